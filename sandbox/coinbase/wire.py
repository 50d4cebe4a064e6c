"""Coinbase Exchange's frames and rows, from the world's trades and candles."""

from typing import Any, NamedTuple

from proto.feed import Side
from proto.units import ONE, SECOND
from sandbox.texts import fixed, iso
from sandbox.world.candles import SpotCandle
from sandbox.world.events import SpotTraded

PRODUCT = "BTC-USD"
_MAKER = {Side.BUY: "sell", Side.SELL: "buy"}
"""Trades name the side of the maker's resting order."""


def match(trade: SpotTraded, sequence: int, kind: str = "match") -> dict[str, Any]:
    """Make a ``match``, or a ``last_match`` right after a subscription."""
    return {
        "type": kind,
        "trade_id": trade.trade_id,
        "maker_order_id": f"00000000-0000-4000-8000-{2 * trade.trade_id:012x}",
        "taker_order_id": f"00000000-0000-4000-8000-{2 * trade.trade_id + 1:012x}",
        "side": _MAKER[trade.side],
        "size": fixed(trade.quantity, 8),
        "price": fixed(trade.price, 2),
        "product_id": PRODUCT,
        "sequence": sequence,
        "time": iso(trade.at),
    }


PRODUCT_BODY = {
    "id": PRODUCT,
    "base_currency": "BTC",
    "quote_currency": "USD",
    "quote_increment": "0.01",
    "base_increment": "0.00000001",
    "display_name": "BTC-USD",
    "min_market_funds": "1",
    "margin_enabled": False,
    "post_only": False,
    "limit_only": False,
    "cancel_only": False,
    "status": "online",
    "status_message": "",
    "trading_disabled": False,
}
"""The one product, as the venue describes it."""
CURRENCIES = [
    {"id": name, "name": words, "min_size": size, "max_precision": size, "status": "online", "message": "",
     "convertible_to": [], "details": {"type": kind}}
    for name, words, size, kind in (
        ("BTC", "Bitcoin", "0.00000001", "crypto"),
        ("USD", "United States Dollar", "0.01", "fiat"),
    )
]  # fmt: skip


class Day(NamedTuple):
    """The last 24 hours in four numbers, millionths."""

    open: int
    low: int
    high: int
    volume: int


def day_of(candles: list[SpotCandle]) -> Day:
    """Return what a day of candles amounts to."""
    return Day(
        candles[0].open,
        min(c.low for c in candles),
        max(c.high for c in candles),
        sum(c.volume for c in candles),
    )


def ticker(
    trade: SpotTraded, sequence: int, best: tuple[tuple[int, int], tuple[int, int]], day: Day
) -> dict[str, Any]:
    """Make a ``ticker``: a trade with the best prices after it and the last day around it."""
    (bid, bid_size), (ask, ask_size) = best
    return {
        "type": "ticker",
        "sequence": sequence,
        "product_id": PRODUCT,
        "price": fixed(trade.price, 2),
        "open_24h": fixed(day.open, 2),
        "volume_24h": fixed(day.volume, 8),
        "low_24h": fixed(day.low, 2),
        "high_24h": fixed(day.high, 2),
        "volume_30d": fixed(30 * day.volume, 8),
        "best_bid": fixed(bid, 2),
        "best_bid_size": fixed(bid_size, 8),
        "best_ask": fixed(ask, 2),
        "best_ask_size": fixed(ask_size, 8),
        "side": trade.side.value,
        "time": iso(trade.at),
        "trade_id": trade.trade_id,
        "last_size": fixed(trade.quantity, 8),
    }


def heartbeat(last_trade_id: int, sequence: int, at: int) -> dict[str, Any]:
    """Make a ``heartbeat``, sent once a second."""
    return {
        "type": "heartbeat",
        "last_trade_id": last_trade_id,
        "product_id": PRODUCT,
        "sequence": sequence,
        "time": iso(at),
    }


def trade_row(trade: SpotTraded) -> dict[str, Any]:
    """Return one row of ``/products/…/trades``."""
    return {
        "trade_id": trade.trade_id,
        "side": _MAKER[trade.side],
        "size": fixed(trade.quantity, 8),
        "price": fixed(trade.price, 2),
        "time": iso(trade.at),
    }


def candle_row(candle: SpotCandle) -> list[Any]:
    """Make a row of ``/products/…/candles``: time in s, low, high, open, close, volume, all JSON numbers."""
    prices = (candle.low, candle.high, candle.open, candle.close)
    return [candle.open_ns // SECOND, *(p / ONE for p in prices), candle.volume / ONE]
