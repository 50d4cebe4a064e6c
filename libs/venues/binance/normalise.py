"""Raw Binance frames to feed messages: trades, candles, best prices, and the book by update ids.

Pure: time comes with the frames. A frame is validated completely before anything changes. Trades and
updates carry ids that rise over connections, so repetitions (two connections overlap in a planned change)
and losses show by themselves.
"""

from collections.abc import Callable
from typing import Any

from libs.venues.binance import wire
from libs.venues.binance.depth import Change, Sequence, Verdict
from libs.venues.frame import FrameError
from libs.venues.reference import Reference, Repeats, Top, price_of, size_of
from proto.feed import Candle, Side, Trade
from proto.message import Message
from proto.units import MILLISECOND

VENUE = "binance"
SYMBOLS_MAX = 1_000
"""The venue lists some two thousand pairs, one connection takes 1,024 streams: more is garbage."""
CANDLE_STREAMS_MAX = 4_000

_INTERVALS_S = {"1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600} | {
    f"{hours}h": 3_600 * hours for hours in (2, 4, 6, 8, 12)
}
_INTERVALS_S |= {"1d": 86_400, "3d": 259_200, "1w": 604_800}


class _Symbol:
    """One symbol. Trades come as they are or aggregated, never both: ``aggregate`` says which came first."""

    __slots__ = ("aggregate", "reference", "repeats", "sequence", "ticker")

    def __init__(self, symbol: str) -> None:
        self.reference = Reference(VENUE, f"{VENUE}:{symbol}")
        self.sequence = Sequence()
        self.repeats = Repeats()
        self.aggregate: bool | None = None
        # Best prices come from bookTicker if there is one, else from the book.
        self.ticker = 0


class BinanceNormaliser:
    """Normalises the frames of one Binance connection, or of a recording.

    Counters: ``frames`` read, ``unused`` of a kind not used here, ``old`` repetitions, ``missed`` trades
    never seen, ``gaps`` in books, ``errors`` the venue reported. ``shutting_down``: it announced the end
    of this connection, so another should be opened now.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.unused = 0
        self.old = 0
        self.gaps = 0
        self.errors = 0
        self.last_error = ""
        self.shutting_down = False
        self._symbols: dict[str, _Symbol] = {}
        self._candles: dict[tuple[str, int], int] = {}
        self._wanted: dict[str, None] = {}
        self._handlers: dict[type, Callable[[Any, int], list[Message]]] = {
            wire.Trade: self._on_trade,
            wire.AggregateTrade: self._on_aggregate,
            wire.Kline: self._on_kline,
            wire.BookTicker: self._on_ticker,
            wire.DepthUpdate: self._on_depth,
            wire.Partial: self._on_partial,
            wire.Shutdown: self._on_shutdown,
            wire.Connected: self._on_connected,
            wire.Disconnected: self._on_disconnected,
            wire.Answer: self._on_answer,
            wire.Rest: self._on_rest,
        }

    @property
    def missed(self) -> int:
        """Trades that were never seen, over all symbols."""
        return sum(symbol.repeats.missed for symbol in self._symbols.values())

    @property
    def wanted_snapshots(self) -> tuple[str, ...]:
        """Symbols whose changes wait for a REST snapshot (``/depth``)."""
        return tuple(self._wanted)

    def normalise(self, data: bytes, at: int) -> list[Message]:
        """Read one frame received at ``at`` (ns).

        Raises:
            FrameError: for a frame that is not of the protocol; nothing has changed then.
        """
        frame = wire.decode(data)
        out = [] if frame is None else self._handlers[type(frame)](frame, at)
        self.frames += 1
        self.unused += frame is None
        return out

    def tick(self, at: int) -> list[Message]:
        """Quotes and books that waited for their turn."""
        return [message for symbol in self._symbols.values() for message in symbol.reference.show(at)]

    def resend(self, at: int) -> list[Message]:
        """Whole books and best prices as snapshots."""
        return [message for symbol in self._symbols.values() for message in symbol.reference.heal(at)]

    def commands(self, at: int) -> list[bytes]:  # noqa: ARG002 - the port's signature
        """Nothing is asked for on the socket: a snapshot comes by REST, see ``wanted_snapshots``."""
        return []

    def distrust(self, market: str, at: int, reason: str) -> list[Message]:
        """Drop what is known of one symbol; the next frames build it up again."""
        known = self._symbols.get(market.removeprefix(f"{VENUE}:"))
        return self._lose(known, at, reason) if known is not None else []

    # ── trades and candles ──────────────────────────────────────────────────────────────────────────

    def _on_trade(self, frame: wire.Trade, at: int) -> list[Message]:
        return self._trade(frame.s, frame.t, frame, aggregate=False, at=at)

    def _on_aggregate(self, frame: wire.AggregateTrade, at: int) -> list[Message]:
        return self._trade(frame.s, frame.a, frame, aggregate=True, at=at)

    def _trade(
        self,
        name: str,
        number: int,
        frame: wire.Trade | wire.AggregateTrade | wire.RestAggregateTrade,
        *,
        aggregate: bool,
        at: int,
    ) -> list[Message]:
        trade = _trade(name, number, frame.p, frame.q, frame.m, at)
        return [trade] if self._counts(name, number, aggregate) else []

    def _counts(self, name: str, number: int, aggregate: bool) -> bool:
        """Whether a trade is new. The two kinds are counted apart by the venue, so only one is taken."""
        symbol = self._symbol(name)
        if symbol.aggregate is None:
            symbol.aggregate = aggregate
        if symbol.aggregate is not aggregate:
            self.unused += 1
            return False
        new = symbol.repeats.is_new(number)
        self.old += not new
        return new

    def _on_kline(self, frame: wire.Kline, at: int) -> list[Message]:
        """Only a closed candle is one: what it will be is not known before."""
        body = frame.k
        row = (body.t, body.o, body.h, body.l, body.c, body.v)
        candle = _candle(frame.s, body.i, row, at)
        return self._new_candles([candle]) if body.x else []

    def _new_candles(self, candles: list[Candle]) -> list[Message]:
        """Candles later than those told; the venue repeats them after a reconnect."""
        out: list[Message] = []
        for candle in candles:
            key = (candle.instrument, candle.interval_s)
            if candle.start_at <= self._candles.get(key, -1):
                self.old += 1
                continue
            if key not in self._candles and len(self._candles) >= CANDLE_STREAMS_MAX:
                raise FrameError(f"expected at most {CANDLE_STREAMS_MAX} kinds of candles, was {key} too")
            self._candles[key] = candle.start_at
            out.append(candle)
        return out

    # ── best prices and books ───────────────────────────────────────────────────────────────────────

    def _on_ticker(self, frame: wire.BookTicker, at: int) -> list[Message]:
        return self._best(frame.s, _top(frame.b, frame.B, frame.a, frame.A), frame.u, at)

    def _best(self, name: str, top: Top, update: int, at: int) -> list[Message]:
        symbol = self._symbol(name)
        if update and update < symbol.ticker:
            self.old += 1
            return []
        symbol.ticker = update or symbol.ticker or 1
        symbol.reference.top = top
        return symbol.reference.show(at)

    def _on_depth(self, frame: wire.DepthUpdate, at: int) -> list[Message]:
        if frame.u < frame.U:
            raise FrameError(f"expected U of at most u, was {frame.U} and {frame.u}")
        change = Change(frame.U, frame.u, _levels(frame.b), _levels(frame.a))
        symbol = self._symbol(frame.s)
        verdict = symbol.sequence.change(change)
        if verdict is Verdict.OLD:
            self.old += 1
            return []
        if verdict is Verdict.APPLY:
            return self._apply(symbol, change, at)
        self._wanted[frame.s] = None
        if verdict is Verdict.GAP:
            self.gaps += 1
            return symbol.reference.lose(at, f"expected update {frame.U} to follow the last")
        return []

    def _apply(self, symbol: _Symbol, change: Change, at: int) -> list[Message]:
        if not symbol.reference.change(change.bids, change.asks):
            return self._lose(symbol, at, "more levels than a book has")
        self._top_of_book(symbol)
        return symbol.reference.show(at)

    def _snapshot(self, name: str, depth: wire.Depth, at: int) -> list[Message]:
        bids, asks = _levels(depth.bids), _levels(depth.asks)
        symbol = self._symbol(name)
        newer = symbol.sequence.snapshot(depth.lastUpdateId)
        if newer is None:
            # Older than the changes that wait, or than the book: another one is asked for if it is needed.
            self.old += 1
            return []
        self._wanted.pop(name, None)
        symbol.reference.replace(_whole(bids), _whole(asks))
        for change in newer:
            symbol.reference.change(change.bids, change.asks)
        self._top_of_book(symbol)
        return symbol.reference.heal(at)

    def _on_partial(self, frame: wire.Partial, at: int) -> list[Message]:
        """A partial book is whole each time: it needs no sequence."""
        bids, asks = _levels(frame.depth.bids), _levels(frame.depth.asks)
        symbol = self._symbol(frame.symbol)
        healed = symbol.reference.whole
        symbol.reference.replace(_whole(bids), _whole(asks))
        self._top_of_book(symbol)
        if not healed:
            return symbol.reference.heal(at)
        symbol.reference.change({}, {})
        return symbol.reference.show(at)

    @staticmethod
    def _top_of_book(symbol: _Symbol) -> None:
        if symbol.ticker:
            return
        book = symbol.reference
        bid, ask = max(book.bids, default=None), min(book.asks, default=None)
        symbol.reference.top = Top(bid, book.bids.get(bid or 0, 0), ask, book.asks.get(ask or 0, 0))

    def _lose(self, symbol: _Symbol, at: int, reason: str) -> list[Message]:
        symbol.sequence.reset()
        symbol.ticker = 0
        out = symbol.reference.lose(at, reason)
        self.gaps += bool(out)
        return out

    # ── the connection and REST ─────────────────────────────────────────────────────────────────────

    def _on_connected(self, frame: wire.Connected, at: int) -> list[Message]:  # noqa: ARG002
        """Ids rise over connections: what was lost in between shows by itself."""
        self.shutting_down = False
        return []

    def _on_disconnected(self, frame: wire.Disconnected, at: int) -> list[Message]:  # noqa: ARG002
        self._wanted.clear()
        return [m for symbol in self._symbols.values() for m in self._lose(symbol, at, "connection lost")]

    def _on_shutdown(self, frame: wire.Shutdown, at: int) -> list[Message]:  # noqa: ARG002
        self.shutting_down = True
        return []

    def _on_answer(self, frame: wire.Answer, at: int) -> list[Message]:  # noqa: ARG002
        if frame.error:
            self.errors += 1
            self.last_error = frame.error
        return []

    def _on_rest(self, frame: wire.Rest, at: int) -> list[Message]:
        body, name = frame.body, frame.symbol
        if frame.name == "depth":
            return self._snapshot(name, body, at)
        if frame.name == "bookTicker":
            top = _top(body.bidPrice, body.bidQty, body.askPrice, body.askQty)
            return self._best(name, top, 0, at)
        if frame.name == "klines":
            rows = [row for row in body if row[6] * MILLISECOND < at]
            return self._new_candles([_candle(name, frame.interval, row, at) for row in rows])
        return self._backfill(name, body, at)

    def _backfill(
        self, name: str, rows: list[wire.RestTrade] | list[wire.RestAggregateTrade], at: int
    ) -> list[Message]:
        """Trades missed since the last one seen; of an unknown symbol only the newest, for its price."""
        read: list[tuple[int, Trade]] = []
        aggregate = False
        for row in rows:
            if isinstance(row, wire.RestTrade):
                read.append((row.id, _trade(name, row.id, row.price, row.qty, row.isBuyerMaker, at)))
            else:
                aggregate = True
                read.append((row.a, _trade(name, row.a, row.p, row.q, row.m, at)))
        symbol = self._symbol(name)
        if not symbol.repeats.last:
            read = read[-1:]
        return [
            trade
            for number, trade in read
            if number > symbol.repeats.last and self._counts(name, number, aggregate)
        ]

    def _symbol(self, name: str) -> _Symbol:
        known = self._symbols.get(name)
        if known is None:
            if len(self._symbols) >= SYMBOLS_MAX:
                raise FrameError(f"expected at most {SYMBOLS_MAX} symbols, was {name} too")
            known = self._symbols[name] = _Symbol(name)
        return known


def _trade(name: str, number: int, price: str, size: str, buyer_is_maker: bool, at: int) -> Trade:
    return Trade(
        instrument=f"{VENUE}:{name}",
        at=at,
        trade_id=str(number),
        price=price_of(price),
        quantity=size_of(size),
        aggressor=Side.SELL if buyer_is_maker else Side.BUY,
    )


def _candle(name: str, interval: str, row: tuple[Any, ...], at: int) -> Candle:
    """A candle from open time (ms), open, high, low, close and volume."""
    interval_s = _INTERVALS_S.get(interval)
    if interval_s is None:
        raise FrameError(f"expected a known interval, was {interval[:40]!r}")
    first, high, low, last = (price_of(text) for text in row[1:5])
    if not low <= min(first, last) <= max(first, last) <= high:
        raise FrameError(f"expected low ≤ open, close ≤ high, was {low} {first} {last} {high}")
    return Candle(
        instrument=f"{VENUE}:{name}",
        at=at,
        start_at=row[0] * MILLISECOND,
        interval_s=interval_s,
        first=first,
        high=high,
        low=low,
        last=last,
        volume=size_of(row[5]),
    )


def _levels(rows: list[tuple[str, str]]) -> dict[int, int]:
    return {price_of(price): size_of(size) for price, size in rows}


def _whole(levels: dict[int, int]) -> dict[int, int]:
    """Levels without the empty ones: a snapshot has none, and what is below a millionth is none."""
    return {price: size for price, size in levels.items() if size}


def _top(bid: str, bid_size: str, ask: str, ask_size: str) -> Top:
    """Best prices; the venue shows an empty side by a price of 0."""
    best_bid, best_ask = (price_of(text) if text.strip("0.") else None for text in (bid, ask))
    if best_bid is not None and best_ask is not None and best_bid > best_ask:
        raise FrameError(f"expected a bid of at most the ask, was {bid[:40]} and {ask[:40]}")
    return Top(best_bid, size_of(bid_size), best_ask, size_of(ask_size))
