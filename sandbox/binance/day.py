"""Binance's figures of the last 24 hours: a row of REST, and the frame of ``@ticker``, which has letters for names."""

from typing import Any

from proto.units import ONE
from sandbox.binance.wire import SYMBOL, eight, stamp
from sandbox.texts import fixed
from sandbox.world.candles import MINUTE_NS, SpotCandle
from sandbox.world.spot import SpotExchange

DAY_MINUTES = 1_440
DAY_NS = DAY_MINUTES * MINUTE_NS
LETTERS = {
    "priceChange": "p",
    "priceChangePercent": "P",
    "weightedAvgPrice": "w",
    "prevClosePrice": "x",
    "lastPrice": "c",
    "lastQty": "Q",
    "bidPrice": "b",
    "bidQty": "B",
    "askPrice": "a",
    "askQty": "A",
    "openPrice": "o",
    "highPrice": "h",
    "lowPrice": "l",
    "volume": "v",
    "quoteVolume": "q",
    "openTime": "O",
    "closeTime": "C",
    "firstId": "F",
    "lastId": "L",
    "count": "n",
}
"""What the frame calls the fields of the row."""


def day_row(exchange: SpotExchange, best: tuple[list[str], list[str]], at: int) -> dict[str, Any]:
    """Return the row; ``best`` are the best bid and ask, each with its size."""
    exchange.candle(at)
    candles = exchange.candles[-DAY_MINUTES:]
    day = _joined(candles)
    last = exchange.trades[-1] if exchange.trades else None
    price = last.price if last else day.close
    change = price - day.open
    (bid, bid_size), (ask, ask_size) = best
    return {
        "symbol": SYMBOL,
        "priceChange": eight(change),
        "priceChangePercent": fixed(change * 100 * ONE // day.open, 3),
        "weightedAvgPrice": eight(day.value * ONE // day.volume if day.volume else price),
        "prevClosePrice": eight(day.open),
        "lastPrice": eight(price),
        "lastQty": eight(last.quantity if last else 0),
        "bidPrice": bid,
        "bidQty": bid_size,
        "askPrice": ask,
        "askQty": ask_size,
        "openPrice": eight(day.open),
        "highPrice": eight(day.high),
        "lowPrice": eight(day.low),
        "volume": eight(day.volume),
        "quoteVolume": eight(day.value),
        "openTime": stamp(at - DAY_NS),
        "closeTime": stamp(at),
        "firstId": day.first_id,
        "lastId": day.last_id,
        "count": day.trades,
    }


def day_frame(row: dict[str, Any], at: int, unit_ns: int) -> dict[str, Any]:
    """Make the frame of ``@ticker`` out of the row."""
    times = {"O": stamp(at - DAY_NS, unit_ns), "C": stamp(at, unit_ns)}
    letters = {letter: row[name] for name, letter in LETTERS.items()}
    return {"e": "24hrTicker", "E": stamp(at, unit_ns), "s": SYMBOL, **letters, **times}


def _joined(candles: list[SpotCandle]) -> SpotCandle:
    """Return a day of minutes as one candle."""
    first, last = candles[0], candles[-1]
    high, low = max(c.high for c in candles), min(c.low for c in candles)
    day = SpotCandle(first.open_ns, first.open, high, low, last.close)
    day.volume = sum(c.volume for c in candles)
    day.value = sum(c.value for c in candles)
    day.trades = sum(c.trades for c in candles)
    day.first_id, day.last_id = first.first_id, last.last_id
    return day
