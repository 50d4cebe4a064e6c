"""Candles of one minute, made from trades; longer ones joined from them, and those of a second from trades again."""

from collections.abc import Sequence
from dataclasses import dataclass

from proto.feed import Side
from proto.units import SECOND, notional
from sandbox.world.events import SpotTraded

MINUTE_NS = 60 * SECOND


@dataclass(slots=True)
class SpotCandle:
    """A minute (or a second) of one exchange. Prices in millionths, volumes of coins, money in millionths."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    value: int = 0
    trades: int = 0
    bought: int = 0
    bought_value: int = 0
    first_id: int = 0
    last_id: int = -1

    def add(self, trade: SpotTraded) -> None:
        """Count a trade in."""
        value = notional(trade.price, trade.quantity)
        if not self.trades:
            self.open, self.high, self.low = trade.price, trade.price, trade.price
            self.first_id = trade.trade_id
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.close = trade.price
        self.volume += trade.quantity
        self.value += value
        self.trades += 1
        self.last_id = trade.trade_id
        if trade.side is Side.BUY:
            self.bought += trade.quantity
            self.bought_value += value


def join_candles(candles: list[SpotCandle], minutes: int) -> list[SpotCandle]:
    """Join one-minute candles to longer ones, aligned to whole intervals since 1970; the last may run."""
    if minutes == 1:
        return candles
    result: list[SpotCandle] = []
    length = minutes * MINUTE_NS
    for minute in candles:
        start = minute.open_ns // length * length
        if not result or result[-1].open_ns != start:
            whole = SpotCandle(start, minute.open, minute.high, minute.low, minute.close)
            whole.first_id, whole.last_id = minute.first_id, minute.first_id - 1
            result.append(whole)
        whole = result[-1]
        whole.high, whole.low = max(whole.high, minute.high), min(whole.low, minute.low)
        whole.close = minute.close
        whole.volume += minute.volume
        whole.value += minute.value
        whole.trades += minute.trades
        whole.bought += minute.bought
        whole.bought_value += minute.bought_value
        whole.last_id = max(whole.last_id, minute.last_id)
    return result


def second_candles(trades: Sequence[SpotTraded], until_ns: int) -> list[SpotCandle]:
    """Return the candles of every second from the first trade's to the one that runs at ``until_ns``.

    A second without a trade stays where the one before ended, as Binance tells it.
    """
    result: list[SpotCandle] = []
    for trade in trades:
        _fill(result, trade.at // SECOND * SECOND)
        if not result:
            result.append(_empty(trade.at // SECOND * SECOND, trade.price, trade.trade_id - 1))
        result[-1].add(trade)
    _fill(result, until_ns // SECOND * SECOND)
    return result


def _fill(candles: list[SpotCandle], start_ns: int) -> None:
    """Append empty candles until the one that begins at ``start_ns``; to none at all nothing is appended."""
    while candles and candles[-1].open_ns < start_ns:
        last = candles[-1]
        candles.append(_empty(last.open_ns + SECOND, last.close, max(last.last_id, last.first_id - 1)))


def _empty(start_ns: int, price: int, last_id: int) -> SpotCandle:
    return SpotCandle(start_ns, price, price, price, price, first_id=last_id + 1, last_id=last_id)
