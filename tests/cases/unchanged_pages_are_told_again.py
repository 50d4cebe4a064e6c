"""From the 1,025th Kalshi market on, every look at the unchanged list tells every market again, and forgets what it knew of it.

A market without a book is forgotten for each new one, so that a page of old acquaintances is a page of strangers: with three
series of hourly ranges, or one of combos, thousands of messages every 20 s go on the tape. (Real: an hourly KXBTC event has
188 markets, KXETH 115; 7,881 combos of one series settled in a day.) Ids here are made up.
Run from a Presage checkout. Exit 0 = a second look at 1,100 unchanged markets tells nothing.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import Market

AT = 1_786_000_000 * 10**9
rows = [
    {
        "ticker": f"KXETH-26AUG0701-B{1000 + 20 * i}",
        "status": "active",
        "title": "Ethereum price range?",
        "result": "",
        "open_time": "2026-08-06T00:00:00Z",
        "close_time": "2026-08-07T05:00:00Z",
        "strike_type": "between",
        "floor_strike": 1000 + 20 * i,
        "cap_strike": 1019.99 + 20 * i,
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
    }
    for i in range(1_100)
]
wrong = 0
for count in (1_024, 1_100):
    n = KalshiNormaliser()
    told = []
    for look in range(3):
        told.append(0)
        for start in range(0, count, 200):
            page = rest_frame(
                "markets",
                msgspec.json.encode({"markets": rows[start : min(start + 200, count)], "cursor": ""}),
            )
            told[-1] += sum(isinstance(m, Market) for m in n.normalise(page, AT + look * 20 * 10**9))
    print(f"{count} markets: told by the first, second and third look: {told}")
    wrong += any(told[1:])
sys.exit(bool(wrong))
