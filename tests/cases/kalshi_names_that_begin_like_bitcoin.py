"""Every Kalshi series whose name begins with KXBTC is told as a market on the price of Bitcoin.

Series that exist (names public, numbers made up): KXBTCDOM (Bitcoin's share of the coins' worth, in per cent), KXBTCVSGOLD (which gains
more in the year), KXBTCRESERVE (will the state hold some). A "greater than 60.5" of the first is priced as if the coin
had to be worth more than 60.5 dollars: certain. What a market is on is to be known, not guessed from the front of a name.
Run from a Presage checkout. Exit 0 = only series on the price of Bitcoin have it as their underlying.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import Market

AT = 1_786_000_000 * 10**9
CENT = [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}]
OTHERS = {
    "KXBTCDOM-26OCT15-T60.5": ("greater", 60.5),
    "KXBTCVSGOLD-26": ("structured", None),
    "KXBTCRESERVE-27-JAN01": ("structured", None),
    "KXBTCRESERVECOUNTRY-27-T3": ("greater", 3),
}
PRICES = {
    "KXBTCD-26AUG0701-T80000": ("greater", 80000),
    "KXBTC15M-26AUG070115-15": ("greater_or_equal", 80000),
}
wrong = 0
for ticker, (kind, floor) in (OTHERS | PRICES).items():
    row = {
        "ticker": ticker,
        "status": "active",
        "title": "?",
        "result": "",
        "open_time": "2026-08-01T00:00:00Z",
        "close_time": "2026-08-07T05:00:00Z",
        "strike_type": kind,
        "price_ranges": CENT,
    }
    row |= {"floor_strike": floor} if floor is not None else {}
    (m,) = [
        m
        for m in KalshiNormaliser().normalise(
            rest_frame("markets", msgspec.json.encode({"markets": [row], "cursor": ""})), AT
        )
        if isinstance(m, Market)
    ]
    bad = bool(m.underlying) if ticker in OTHERS else m.underlying != "coinbase:BTC-USD"
    wrong += bad
    print(
        f"{ticker:28s} underlying {m.underlying or 'none':18s} strike {m.strike / 1e6 if m.strike is not None else None} {'WRONG' if bad else ''}"
    )
sys.exit(bool(wrong))
