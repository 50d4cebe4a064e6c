"""Binance's frames and rows, from the world's trades and candles. Times in ms, or µs where asked."""

from typing import Any

from proto.feed import Side
from proto.units import MILLISECOND, SECOND, notional
from sandbox.texts import fixed
from sandbox.world.candles import MINUTE_NS, SpotCandle
from sandbox.world.events import SpotTraded

SYMBOL = "BTCUSDT"
PLACES = 8
MINUTES = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "6h": 360,
    "8h": 480,
    "12h": 720,
    "1d": 1440,
}
"""Intervals of candles. Weeks and months are left out: the world has three days of minutes."""
ONE_SECOND = "1s"
"""Candles of a second, of the last quarter of an hour, by REST; no stream has them here."""
LENGTHS_NS = {ONE_SECOND: SECOND} | {interval: minutes * MINUTE_NS for interval, minutes in MINUTES.items()}


def eight(value: int) -> str:
    """Return millionths with eight decimals."""
    return fixed(value, PLACES)


def stamp(at_ns: int, unit_ns: int = MILLISECOND) -> int:
    """Return a time in the unit that the connection asked for."""
    return at_ns // unit_ns


def trade(event: SpotTraded, unit_ns: int) -> dict[str, Any]:
    """Make a frame of ``@trade``."""
    at = stamp(event.at, unit_ns)
    return {
        "e": "trade",
        "E": at,
        "s": SYMBOL,
        "t": event.trade_id,
        "p": eight(event.price),
        "q": eight(event.quantity),
        "T": at,
        "m": event.side is Side.SELL,
        "M": True,
    }


def aggregate_trade(event: SpotTraded, unit_ns: int) -> dict[str, Any]:
    """Make a frame of ``@aggTrade``: here each trade is an aggregate of its own."""
    at = stamp(event.at, unit_ns)
    return {
        "e": "aggTrade",
        "E": at,
        "s": SYMBOL,
        "a": event.trade_id,
        "p": eight(event.price),
        "q": eight(event.quantity),
        "f": event.trade_id,
        "l": event.trade_id,
        "T": at,
        "m": event.side is Side.SELL,
        "M": True,
    }


def kline(candle: SpotCandle, interval: str, at_ns: int, unit_ns: int, *, closed: bool) -> dict[str, Any]:
    """Make a frame of ``@kline_<interval>``; ``x``: whether the candle is over."""
    end = candle.open_ns + MINUTES[interval] * MINUTE_NS
    return {
        "e": "kline",
        "E": stamp(at_ns, unit_ns),
        "s": SYMBOL,
        "k": {
            "t": stamp(candle.open_ns, unit_ns),
            "T": stamp(end, unit_ns) - 1,
            "s": SYMBOL,
            "i": interval,
            "f": candle.first_id if candle.trades else -1,
            "L": candle.last_id if candle.trades else -1,
            "o": eight(candle.open),
            "c": eight(candle.close),
            "h": eight(candle.high),
            "l": eight(candle.low),
            "v": eight(candle.volume),
            "n": candle.trades,
            "x": closed,
            "q": eight(candle.value),
            "V": eight(candle.bought),
            "Q": eight(candle.bought_value),
            "B": "0",
        },
    }


def kline_row(candle: SpotCandle, length_ns: int) -> list[Any]:
    """Return one row of ``/api/v3/klines``."""
    return [
        stamp(candle.open_ns),
        eight(candle.open),
        eight(candle.high),
        eight(candle.low),
        eight(candle.close),
        eight(candle.volume),
        stamp(candle.open_ns + length_ns) - 1,
        eight(candle.value),
        candle.trades,
        eight(candle.bought),
        eight(candle.bought_value),
        "0",
    ]


def trade_row(event: SpotTraded) -> dict[str, Any]:
    """Return one row of ``/api/v3/trades``."""
    return {
        "id": event.trade_id,
        "price": eight(event.price),
        "qty": eight(event.quantity),
        "quoteQty": eight(notional(event.price, event.quantity)),
        "time": stamp(event.at),
        "isBuyerMaker": event.side is Side.SELL,
        "isBestMatch": True,
    }


def aggregate_row(event: SpotTraded) -> dict[str, Any]:
    """Return one row of ``/api/v3/aggTrades``."""
    return {
        "a": event.trade_id,
        "p": eight(event.price),
        "q": eight(event.quantity),
        "f": event.trade_id,
        "l": event.trade_id,
        "T": stamp(event.at),
        "m": event.side is Side.SELL,
        "M": True,
    }
