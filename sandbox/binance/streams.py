"""Binance's websocket streams: who listens to what, and the frames the world's events become."""

from collections.abc import Callable
from typing import Any

import msgspec

from libs.synthetic.price_path import STEPS_PER_SECOND
from proto.feed import Side
from proto.units import MILLISECOND
from sandbox.binance import wire
from sandbox.binance.day import day_frame, day_row
from sandbox.binance.depth import DepthBook, changed_rows
from sandbox.sockets import ClientSocket
from sandbox.world.candles import MINUTE_NS, join_candles
from sandbox.world.events import PriceMoved, SpotTraded, WorldEvent
from sandbox.world.spot import SpotExchange
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World

STREAMS_MAX = 1024
"""Streams of one connection, as Binance limits them."""
KLINE_EVERY_STEPS = 2 * STEPS_PER_SECOND
"""A running candle is pushed every two seconds."""
_KLINE = "btcusdt@kline_"


class Connection:
    """One client: its socket, whether frames are wrapped with their stream's name, its unit of time."""

    def __init__(self, socket: ClientSocket, *, combined: bool, unit_ns: int = MILLISECOND) -> None:
        self.socket = socket
        self.combined = combined
        self.unit_ns = unit_ns
        self.streams: dict[str, None] = {}


class BinanceStreams:
    """Subscriptions and pushes. A frame is made once for all who listen in the same way."""

    def __init__(self, world: World, book: DepthBook) -> None:
        self.connections: list[Connection] = []
        self._exchange: SpotExchange = world.spot[PriceSource.BINANCE]
        self._book = book
        self._steps = 0
        self._candles: dict[str, int] = {}
        self._best: tuple[Any, ...] = ()
        self._end = world.subscribe(self._handle_event)

    def close(self) -> None:
        """End the subscription to the world."""
        self._end()

    def push(self, stream: str, make: Callable[[int], dict[str, Any]]) -> None:
        """Send a stream's frame to its listeners; ``make`` gets the unit of time."""
        made: dict[tuple[bool, int], str] = {}
        for connection in self.connections:
            if stream in connection.streams:
                key = (connection.combined, connection.unit_ns)
                if key not in made:
                    data: dict[str, Any] = make(connection.unit_ns)
                    whole = {"stream": stream, "data": data} if connection.combined else data
                    made[key] = msgspec.json.encode(whole).decode()
                connection.socket.send(made[key], {"stream": stream})

    def _handle_event(self, event: WorldEvent) -> None:
        if isinstance(event, SpotTraded):
            if event.source is PriceSource.BINANCE:
                self.push("btcusdt@trade", lambda unit: wire.trade(event, unit))
                self.push("btcusdt@aggTrade", lambda unit: wire.aggregate_trade(event, unit))
        elif isinstance(event, PriceMoved):
            self._steps += 1
            self._book.update()
            self._tick(event.at)

    def _tick(self, at: int) -> None:
        """Push what a tenth of a second brings."""
        self._book_ticker()
        slow = self._steps % STEPS_PER_SECOND == 0
        self._depth("btcusdt@depth@100ms", self._book.fast.drain(), at)
        if slow:
            changes = self._book.slow.drain()
            for stream in ("btcusdt@depth", "btcusdt@depth@1000ms"):
                self._depth(stream, changes, at)
        self._partial("@100ms")
        if slow:
            self._day_ticker(at)
            self._partial("")
            self._partial("@1000ms")
        self._klines(at)

    def _book_ticker(self) -> None:
        bid, ask = self._book.rows(Side.BUY, 1)[0], self._book.rows(Side.SELL, 1)[0]
        if (bid, ask) != self._best:
            self._best = (bid, ask)
            frame = {
                "u": self._book.update_id,
                "s": wire.SYMBOL,
                "b": bid[0],
                "B": bid[1],
                "a": ask[0],
                "A": ask[1],
            }
            self.push("btcusdt@bookTicker", lambda _: frame)

    def _depth(self, stream: str, changes: tuple[int, Any], at: int) -> None:
        first_id, changed = changes
        if first_id:
            last_id = self._book.update_id
            self.push(
                stream,
                lambda unit: {
                    "e": "depthUpdate",
                    "E": wire.stamp(at, unit),
                    "s": wire.SYMBOL,
                    "U": first_id,
                    "u": last_id,
                    "b": changed_rows(changed[Side.BUY]),
                    "a": changed_rows(changed[Side.SELL]),
                },
            )

    def _partial(self, speed: str) -> None:
        for count in (5, 10, 20):
            self._push_top(f"btcusdt@depth{count}{speed}", count)

    def _push_top(self, stream: str, count: int) -> None:
        self.push(stream, lambda _: self.snapshot(count))

    def snapshot(self, count: int) -> dict[str, Any]:
        """Return the best levels of both sides."""
        return {
            "lastUpdateId": self._book.update_id,
            "bids": self._book.rows(Side.BUY, count),
            "asks": self._book.rows(Side.SELL, count),
        }

    def day(self, at: int) -> dict[str, Any]:
        """Return the figures of the last 24 hours."""
        top = self.snapshot(1)
        return day_row(self._exchange, (top["bids"][0], top["asks"][0]), at)

    def _day_ticker(self, at: int) -> None:
        if any("btcusdt@ticker" in connection.streams for connection in self.connections):
            row = self.day(at)
            self.push("btcusdt@ticker", lambda unit: day_frame(row, at, unit))

    def _klines(self, at: int) -> None:
        """Push running candles every two seconds, and each that ended once more, closed."""
        listened = {s for c in self.connections for s in c.streams if s.startswith(_KLINE)}
        self._candles = {s: start for s, start in self._candles.items() if s in listened}
        for stream in sorted(listened):
            interval = stream.removeprefix(_KLINE)
            minutes = wire.MINUTES[interval]
            start = at // (minutes * MINUTE_NS) * minutes * MINUTE_NS
            before = self._candles.setdefault(stream, start)
            if before != start:
                self._candles[stream] = start
                self._kline(stream, interval, before, at, closed=True)
            if self._steps % KLINE_EVERY_STEPS == 0:
                self._kline(stream, interval, start, at, closed=False)

    def _kline(self, stream: str, interval: str, start: int, at: int, *, closed: bool) -> None:
        minutes = wire.MINUTES[interval]
        self._exchange.candle(at)
        # A closed candle lies behind the running minute, so one more is looked at than the interval has.
        newest = self._exchange.candles[-minutes - 1 :]
        end = start + minutes * MINUTE_NS
        (candle,) = join_candles([c for c in newest if start <= c.open_ns < end], minutes)
        self.push(stream, lambda unit: wire.kline(candle, interval, at, unit, closed=closed))
