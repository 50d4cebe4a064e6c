"""Raw Binance frames to feed messages: trades, candles, best prices, and the book by update ids.

Pure: time comes with the frames. A frame is validated completely before anything changes. Trades and
updates carry ids that rise over connections, so repetitions (two connections overlap in a planned change)
and losses show by themselves.
"""

from collections.abc import Mapping
from typing import Any

from libs.bounded import clip
from libs.venues.binance import BINANCE
from libs.venues.binance.market_data.depth import DepthChange, Sequence, Verdict
from libs.venues.binance.schemas import wire
from libs.venues.frame import FrameError
from libs.venues.reference import (
    BestPrices,
    Reference,
    Repeats,
    candle_of,
    levels_of,
    price_of,
    size_of,
    top_of,
)
from libs.venues.reference_normaliser import Handlers, ReferenceNormaliser
from proto.feed import Candle, Side, Trade
from proto.message import Message
from proto.units import MILLISECOND

CANDLE_STREAMS_MAX = 4_000

_INTERVALS_S = {"1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600} | {
    f"{hours}h": 3_600 * hours for hours in (2, 4, 6, 8, 12)
}
_INTERVALS_S |= {"1d": 86_400, "3d": 259_200, "1w": 604_800}


class _Symbol(Reference):
    """One symbol. Trades come as they are or aggregated, never both: ``aggregate`` says which came first."""

    __slots__ = ("aggregate", "repeats", "sequence", "ticker")

    def __init__(self, instrument: str) -> None:
        super().__init__(BINANCE, instrument)
        self.sequence = Sequence()
        self.repeats = Repeats()
        self.aggregate: bool | None = None
        # Best prices come from bookTicker if there is one, else from the book.
        self.ticker = 0


class BinanceNormaliser(ReferenceNormaliser[_Symbol]):
    """Normalises the frames of one Binance connection, or of a recording.

    Beside the counters of all, ``missed``: trades never seen.
    """

    def __init__(self) -> None:
        self._candles: dict[tuple[str, int], int] = {}
        self._wanted: dict[str, None] = {}
        handlers: Handlers = {
            wire.Trade: self._on_trade,
            wire.AggregateTrade: self._on_aggregate,
            wire.Kline: self._on_kline,
            wire.BookTicker: self._on_ticker,
            wire.DepthUpdate: self._on_depth,
            wire.Partial: self._on_partial,
            wire.Connected: self._on_connected,
            wire.Disconnected: self._on_disconnected,
            wire.BinanceAnswer: self._on_answer,
            wire.Rest: self._on_rest,
        }
        super().__init__(BINANCE, _Symbol, wire.decode, handlers, _name_of)

    @property
    def missed(self) -> int:
        """Trades that were never seen, over all symbols."""
        return sum(symbol.repeats.missed for symbol in self._references.values())

    @property
    def wanted_snapshots(self) -> tuple[str, ...]:
        """Symbols whose changes wait for a REST snapshot (``/depth``)."""
        return tuple(self._wanted)

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
        symbol = self._reference(name)
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
        """Return candles later than those published; the venue repeats them after a reconnect."""
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
        return self._best(frame.s, top_of(frame.b, frame.B, frame.a, frame.A), frame.u, at)

    def _best(self, name: str, top: BestPrices, update: int, at: int) -> list[Message]:
        symbol = self._reference(name)
        if update and update < symbol.ticker:
            self.old += 1
            return []
        symbol.ticker = update or symbol.ticker or 1
        symbol.top = top
        return symbol.due_messages(at)

    def _on_depth(self, frame: wire.DepthUpdate, at: int) -> list[Message]:
        if frame.u < frame.U:
            raise FrameError(f"expected U of at most u, was {frame.U} and {frame.u}")
        change = DepthChange(frame.U, frame.u, levels_of(frame.b), levels_of(frame.a))
        symbol = self._reference(frame.s)
        verdict = symbol.sequence.change(change)
        if verdict is Verdict.OLD:
            self.old += 1
            return []
        if verdict is Verdict.APPLY:
            return self._apply(symbol, change, at)
        self._wanted[frame.s] = None
        if verdict is Verdict.GAP:
            self.gaps += 1
            return symbol.invalidate(at, f"expected update {frame.U} to follow the last")
        return []

    def _apply(self, symbol: _Symbol, change: DepthChange, at: int) -> list[Message]:
        if not symbol.change(change.bids, change.asks):
            return self._invalidate(symbol, at, "more levels than a book has")
        self._top_of_book(symbol)
        return symbol.due_messages(at)

    def _snapshot(self, name: str, depth: wire.Depth, at: int) -> list[Message]:
        bids, asks = levels_of(depth.bids), levels_of(depth.asks)
        symbol = self._reference(name)
        newer = symbol.sequence.snapshot(depth.lastUpdateId)
        if newer is None:
            # Older than the changes that wait, or than the book: another one is asked for if it is needed.
            self.old += 1
            return []
        self._wanted.pop(name, None)
        symbol.replace(bids, asks)
        for change in newer:
            symbol.change(change.bids, change.asks)
        self._top_of_book(symbol)
        return symbol.snapshot_messages(at)

    def _on_partial(self, frame: wire.Partial, at: int) -> list[Message]:
        """A partial book is whole each time: it needs no sequence."""
        bids, asks = levels_of(frame.depth.bids), levels_of(frame.depth.asks)
        symbol = self._reference(frame.symbol)
        healed = symbol.whole
        symbol.replace(bids, asks)
        self._top_of_book(symbol)
        if not healed:
            return symbol.snapshot_messages(at)
        symbol.change({}, {})
        return symbol.due_messages(at)

    @staticmethod
    def _top_of_book(symbol: _Symbol) -> None:
        if not symbol.ticker:
            symbol.top_from_book()

    def _invalidate(self, symbol: _Symbol, at: int, reason: str) -> list[Message]:
        symbol.sequence.reset()
        symbol.ticker = 0
        return super()._invalidate(symbol, at, reason)

    # ── the connection and REST ─────────────────────────────────────────────────────────────────────

    def _on_connected(self, frame: wire.Connected, at: int) -> list[Message]:  # noqa: ARG002
        """Ids rise over connections: what was lost in between shows by itself."""
        return []

    def _on_disconnected(self, frame: wire.Disconnected, at: int) -> list[Message]:  # noqa: ARG002
        self._wanted.clear()
        return self._invalidate_all(at, "connection lost")

    def _on_answer(self, frame: wire.BinanceAnswer, at: int) -> list[Message]:  # noqa: ARG002
        if frame.error:
            self.errors += 1
            self.last_error = frame.error
        return []

    def _on_rest(self, frame: wire.Rest, at: int) -> list[Message]:
        body, name = frame.body, frame.symbol
        if frame.name == "depth":
            return self._snapshot(name, body, at)
        if frame.name == "bookTicker":
            top = top_of(body.bidPrice, body.bidQty, body.askPrice, body.askQty)
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
        symbol = self._reference(name)
        if not symbol.repeats.last:
            read = read[-1:]
        return [
            trade
            for number, trade in read
            if number > symbol.repeats.last and self._counts(name, number, aggregate)
        ]


def _name_of(frame: object) -> str:
    if isinstance(frame, wire.Partial | wire.Rest):
        return frame.symbol
    own = wire.Trade | wire.AggregateTrade | wire.Kline | wire.BookTicker | wire.DepthUpdate
    return frame.s if isinstance(frame, own) else ""


def _trade(name: str, number: int, price: str, size: str, buyer_is_maker: bool, at: int) -> Trade:
    return Trade(
        instrument=f"{BINANCE}:{name}",
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
        raise FrameError(f"expected a known interval, was {clip(interval, 40)!r}")
    return candle_of(f"{BINANCE}:{name}", at, row[0] * MILLISECOND, interval_s, row[1:5], size_of(row[5]))


def build_normaliser(section: Mapping[str, Any]) -> BinanceNormaliser:  # noqa: ARG001 - the form of the catalogue
    """A normaliser; it reads the same whatever is configured."""
    return BinanceNormaliser()
