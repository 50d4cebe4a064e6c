"""A Kalshi series whose own ticker has a hyphen (KXMVECROSSCATEGORY-SHARD1, the combos of shard 1) gets no fees and is never followed.

The series of a market is taken to be what stands before the first hyphen. Real: series KXMVECROSSCATEGORY-SHARD1 with fee_type
quadratic_with_combo_maker_fees; its markets are KXMVECROSSCATEGORY-SHARD1-S2026…-…; ids here made up.
Run from a Presage checkout. Exit 0 = the market has its series' maker fee, is followed, and its sibling series is not.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import Market

AT = 1_786_000_000 * 10**9
J = msgspec.json.encode
SERIES, PLAIN = "KXMVECROSSCATEGORY-SHARD1", "KXMVECROSSCATEGORY"
TICKER = SERIES + "-S2026ABCDEF12345-0123456789A"


def listing(ticker, series):
    event = ticker.rpartition("-")[0]
    row = {
        "ticker": ticker,
        "event_ticker": event,
        "series_ticker": series,
        "mve_collection_ticker": series + "-R",
        "status": "active",
        "title": "yes A,yes B",
        "result": "",
        "open_time": "2026-08-01T00:00:00Z",
        "close_time": "2026-08-20T00:00:00Z",
        "strike_type": "custom",
        "exchange_index": 1,
        "price_level_structure": "deci_cent",
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
    }
    return rest_frame("markets", J({"markets": [row], "cursor": ""}))


def fees(ticker, maker):
    kind = "quadratic_with_combo_maker_fees" if maker else "quadratic"
    return rest_frame(
        "series", J({"series": {"ticker": ticker, "fee_type": kind, "fee_multiplier": 1, "title": "?"}})
    )


n = KalshiNormaliser()
n.normalise(fees(PLAIN, False), AT)
n.normalise(fees(SERIES, True), AT)
(market,) = [m for m in n.normalise(listing(TICKER, SERIES), AT) if isinstance(m, Market)]
print(
    "fees of a shard-1 combo:",
    market.fees.model,
    "taker",
    market.fees.taker_rate,
    "maker",
    market.fees.maker_rate,
    "(right: 70000, 17500)",
)
follow = KalshiNormaliser(follow=(SERIES,))
told = [m for m in follow.normalise(listing(TICKER, SERIES), AT) if isinstance(m, Market)]
print(f"following {SERIES}: its market is", "told" if told else "NOT told")
plain = KalshiNormaliser(follow=(PLAIN,))
other = [m for m in plain.normalise(listing(TICKER, SERIES), AT) if isinstance(m, Market)]
print(f"following {PLAIN}: a market of {SERIES} is", "told (wrong series)" if other else "not told")
sys.exit(not (market.fees.maker_rate == 17_500 and told and not other))
