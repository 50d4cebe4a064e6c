"""Reference prices with more than six decimals (SHIB, PEPE) are refused frame by frame: no price, no candle, no quote.

Run from a Presage checkout. Exit 0 = told. Binance writes eight decimals; SHIBUSDT and PEPEUSDT trade near 0.00001.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.binance.market_data.normalise import BinanceNormaliser
from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.frame import FrameError

AT = 1_780_000_000 * 10**9
J = msgspec.json.encode
wrong = 0


def go(what, normaliser, frame):
    global wrong
    try:
        out = normaliser.normalise(J(frame), AT)
        print(f"{what:40s}", [(type(m).__name__, getattr(m, "price", None)) for m in out])
    except FrameError as e:
        wrong += 1
        print(f"{what:40s} REFUSED {e}")


trade = {
    "e": "trade",
    "E": 1777428651069,
    "s": "SHIBUSDT",
    "t": 7,
    "p": "0.00001234",
    "q": "81234.00",
    "T": 1777428651069,
    "m": False,
    "M": True,
}
go("binance trade SHIBUSDT", BinanceNormaliser(), trade)
go("binance trade PEPEUSDT", BinanceNormaliser(), dict(trade, s="PEPEUSDT", p="0.00000785"))
go(
    "binance bookTicker PEPEUSDT",
    BinanceNormaliser(),
    {"u": 1, "s": "PEPEUSDT", "b": "0.00000784", "B": "10.00", "a": "0.00000785", "A": "40.00"},
)
go(
    "coinbase match SHIB-USD",
    CoinbaseNormaliser(),
    {
        "type": "match",
        "trade_id": 10,
        "sequence": 50,
        "maker_order_id": "a",
        "taker_order_id": "b",
        "time": "2026-05-13T20:00:00.000000Z",
        "product_id": "SHIB-USD",
        "size": "5423",
        "price": "0.00001234",
        "side": "sell",
    },
)
go("control: binance trade DOGEUSDT", BinanceNormaliser(), dict(trade, s="DOGEUSDT", p="0.08123000"))
sys.exit(bool(wrong))
