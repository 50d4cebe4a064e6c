"""Candles from trades, on tape time."""

from msgspec import Struct

from proto.units import SECOND, Nanoseconds, Price, Quantity

FLAT_CANDLES_MAX = 3
"""Intervals without a trade that are bridged by flat candles. A longer silence ends the history:
a return across it is not a return of one interval."""

NO_CANDLES: tuple["Candle", ...] = ()


class Candle(Struct, gc=False):
    """First, highest, lowest and last price and the volume of the interval that began at ``start_at``."""

    start_at: Nanoseconds
    first: Price
    high: Price
    low: Price
    last: Price
    # A sum: plain, because it may pass the bound that a message's quantity has.
    volume: int = 0


class Candles(Struct):
    """The forming candle of one instrument and the newest ``keep`` closed ones, oldest first.

    Intervals are aligned to multiples of ``interval_s`` since the epoch.
    """

    interval_s: int
    keep: int
    closed: list[Candle] = []
    forming: Candle | None = None

    def add(self, at: Nanoseconds, price: Price, quantity: Quantity) -> tuple[Candle, ...]:
        """Take a trade; return the candles it closed, oldest first (nearly always none)."""
        forming = self.forming
        interval = self.interval_s * SECOND
        if forming is not None and 0 <= at - forming.start_at < interval:
            forming.high = max(forming.high, price)
            forming.low = min(forming.low, price)
            forming.last = price
            forming.volume += quantity
            return NO_CANDLES
        start_at = at - at % interval
        just_closed = NO_CANDLES if forming is None else self._close(forming, start_at)
        self.forming = Candle(start_at, price, price, price, price, quantity)
        return just_closed

    def seed(self, candle: Candle) -> bool:
        """Take a closed candle of the venue's history; false for one that trades have told, or will.

        History comes in order, before trades have closed a candle of their own; across a hole it starts anew.
        """
        interval = self.interval_s * SECOND
        end_at = candle.start_at + interval
        if candle.start_at % interval or (self.forming is not None and end_at > self.forming.start_at):
            return False
        if self.closed and candle.start_at <= self.closed[-1].start_at:
            return False
        self._append(candle)
        return True

    def _append(self, candle: Candle) -> None:
        interval = self.interval_s * SECOND
        if self.closed and candle.start_at != self.closed[-1].start_at + interval:
            self.closed.clear()
        self.closed.append(candle)
        del self.closed[: -self.keep]

    def _close(self, forming: Candle, start_at: Nanoseconds) -> tuple[Candle, ...]:
        interval = self.interval_s * SECOND
        silent_count = (start_at - forming.start_at) // interval - 1
        if not 0 <= silent_count <= FLAT_CANDLES_MAX:
            self.closed.clear()
            return NO_CANDLES
        price = forming.last
        flat = (
            Candle(forming.start_at + i * interval, price, price, price, price)
            for i in range(1, silent_count + 1)
        )
        just_closed = (forming, *flat)
        for candle in just_closed:
            self._append(candle)
        return just_closed
