"""Raw Coinbase frames to feed messages: trades, best prices, the book where it is subscribed, candles.

Pure: time comes with the frames. Trade ids rise by one a product, which shows repetitions (Coinbase
repeats the last trade after each connect, as ``last_match``) and losses. A lost trade of a reference
price needs no healing, the next one tells the price, so losses are only counted.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from libs.bounded import clip
from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.limits import GRANULARITIES_S
from libs.venues.coinbase.schemas import wire
from libs.venues.frame import FrameError
from libs.venues.reference import BestPrices, Reference, candle_of, levels_of, price_of, size_of, top_of
from libs.venues.reference_normaliser import Handlers, ReferenceNormaliser
from proto.feed import Candle, Side, Trade
from proto.message import Message
from proto.units import AMOUNT_MAX, ONE, SECOND

PRODUCTS_MAX = 1_000
"""Coinbase lists some hundreds of products; more means that the names are garbage."""

PAST_S = 1
"""Length of the candles that past trades become: shorter than any the venue has."""

# Coinbase names the side of the maker's resting order; the taker is on the other.
_AGGRESSOR = {"buy": Side.SELL, "sell": Side.BUY, None: None}


class CoinbaseNormaliser(ReferenceNormaliser[Reference]):
    """Normalises the frames of one Coinbase connection, or of a recording.

    Beside the counters of all, ``missed`` trades that were never seen and ``behind`` heartbeats that named a
    later trade than we had. A recording without sizes gives trades of quantity 0: the price is what they are
    kept for.
    """

    def __init__(self) -> None:
        self.missed = 0
        self.behind = 0
        self._last: dict[str, int] = {}
        self._candles: dict[tuple[str, int], int] = {}
        handlers: Handlers = {
            wire.Match: self._on_match,
            wire.Ticker: self._on_ticker,
            wire.Snapshot: self._on_snapshot,
            wire.Update: self._on_update,
            wire.Heartbeat: self._on_heartbeat,
            wire.Error: self._on_error,
            wire.Connected: self._on_connected,
            wire.Disconnected: self._on_disconnected,
            wire.Rest: self._on_rest,
        }
        super().__init__(COINBASE, partial(Reference, COINBASE), wire.decode, handlers, _name_of)

    # ── trades ──────────────────────────────────────────────────────────────────────────────────────

    def _on_match(self, match: wire.Match, at: int) -> list[Message]:
        trade = _trade(match, at)
        product = match.product_id
        last = self._last.get(product)
        if last is None and len(self._last) >= PRODUCTS_MAX:
            raise FrameError(f"expected at most {PRODUCTS_MAX} products, was {product} too")
        if last is not None and match.trade_id <= last and match.type == "last_match":
            self.old += 1
            return []
        if last is not None and match.trade_id > last + 1:
            self.missed += match.trade_id - last - 1
        self._last[product] = match.trade_id
        return [trade]

    def _on_heartbeat(self, frame: wire.Heartbeat, at: int) -> list[Message]:  # noqa: ARG002
        """Handle a heartbeat: a later trade than ours means that trades are missing; the next one shows how many."""
        self.behind += frame.last_trade_id > self._last.get(frame.product_id, frame.last_trade_id)
        return []

    def _backfill(self, product: str, rows: list[wire.RestTrade], at: int) -> list[Message]:
        """Trades missed since the last one seen; of an unknown product only the newest, for its price."""
        matches = [wire.Match(product, row.price, row.trade_id, row.size, row.side) for row in rows]
        matches.sort(key=lambda match: match.trade_id)
        read = [(match.trade_id, _trade(match, at)) for match in matches]
        last = self._last.get(product)
        if last is None and len(self._last) >= PRODUCTS_MAX:
            raise FrameError(f"expected at most {PRODUCTS_MAX} products, was {product} too")
        new = read[-1:] if last is None else [(number, trade) for number, trade in read if number > last]
        if new:
            self._last[product] = new[-1][0]
        return [trade for _, trade in new]

    # ── best prices and books ───────────────────────────────────────────────────────────────────────

    def _on_ticker(self, frame: wire.Ticker, at: int) -> list[Message]:
        top = top_of(frame.best_bid, frame.best_bid_size, frame.best_ask, frame.best_ask_size)
        return self._best(frame.product_id, top, at)

    def _best(self, product: str, top: BestPrices, at: int) -> list[Message]:
        known = self._reference(product)
        # A book that is kept up knows its best prices earlier than the ticker, which speaks after trades.
        if not known.whole:
            known.top = top
        return known.due_messages(at)

    def _on_snapshot(self, frame: wire.Snapshot, at: int) -> list[Message]:
        bids, asks = levels_of(frame.bids), levels_of(frame.asks)
        known = self._reference(frame.product_id)
        known.replace(bids, asks)
        known.top_from_book()
        return known.snapshot_messages(at)

    def _on_update(self, frame: wire.Update, at: int) -> list[Message]:
        changes: dict[str, dict[int, int]] = {"buy": {}, "sell": {}}
        for side, price, size in frame.changes:
            changes[side][price_of(price)] = size_of(size)
        known = self._reference(frame.product_id)
        if not known.whole:
            return []
        if not known.change(changes["buy"], changes["sell"]):
            return self._invalidate(known, at, "more levels than a book has")
        known.top_from_book()
        return known.due_messages(at)

    # ── the connection and REST ─────────────────────────────────────────────────────────────────────

    def _on_connected(self, frame: wire.Connected, at: int) -> list[Message]:  # noqa: ARG002
        return []

    def _on_disconnected(self, frame: wire.Disconnected, at: int) -> list[Message]:  # noqa: ARG002
        return self._invalidate_all(at, "connection lost")

    def _on_error(self, frame: wire.Error, at: int) -> list[Message]:  # noqa: ARG002
        self.errors += 1
        self.last_error = f"{frame.message} {frame.reason}".strip()[:200]
        return []

    def _on_rest(self, frame: wire.Rest, at: int) -> list[Message]:
        if frame.name == "trades":
            return self._backfill(frame.product, frame.body, at)
        if frame.name == "past_trades":
            return self._new_candles((frame.product, PAST_S), _seconds_of(frame.product, frame.body, at), at)
        if frame.name == "ticker":
            return self._best(frame.product, top_of(frame.body.bid, "0", frame.body.ask, "0"), at)
        return self._history(frame, at)

    def _history(self, frame: wire.Rest, at: int) -> list[Message]:
        """Return closed candles later than those published, oldest first."""
        length_s = frame.granularity_s
        if length_s not in GRANULARITIES_S:
            raise FrameError(f"expected a length of candles the venue has, was {length_s} s")
        candles = sorted(
            (_candle(frame.product, length_s, row, at) for row in frame.body), key=lambda c: c.start_at
        )
        return self._new_candles((frame.product, length_s), candles, at)

    def _new_candles(self, key: tuple[str, int], candles: list[Candle], at: int) -> list[Message]:
        """Return closed candles later than those published; ``key``: their product and length in seconds."""
        told = self._candles.get(key, -1)
        if told < 0 and len(self._candles) >= PRODUCTS_MAX:
            raise FrameError(f"expected at most {PRODUCTS_MAX} kinds of candles, was {key} too")
        new: list[Message] = []
        for candle in candles:
            if told < candle.start_at <= at - key[1] * SECOND:
                new.append(candle)
                told = candle.start_at
        self._candles[key] = told
        return new


def _name_of(frame: object) -> str:
    if isinstance(frame, wire.Rest):
        return frame.product
    own = wire.Match | wire.Ticker | wire.Snapshot | wire.Update | wire.Heartbeat
    return frame.product_id if isinstance(frame, own) else ""


def _trade(match: wire.Match, at: int) -> Trade:
    return Trade(
        instrument=f"{COINBASE}:{match.product_id}",
        at=at,
        trade_id=str(match.trade_id),
        price=price_of(match.price),
        quantity=size_of(match.size),
        aggressor=_AGGRESSOR[match.side],
    )


def _candle(product: str, length_s: int, row: list[msgspec.Raw], at: int) -> Candle:
    start, *prices, volume = (bytes(value).decode("ascii", "replace").strip() for value in row)
    if not (start.isdecimal() and len(start) <= 10):
        raise FrameError(f"expected a time in seconds, was {clip(start, 40)!r}")
    low, high, first, last = prices
    return candle_of(
        f"{COINBASE}:{product}", at, int(start) * SECOND, length_s, (first, high, low, last), _volume(volume)
    )


def _seconds_of(product: str, rows: list[wire.PastTrade], at: int) -> list[Candle]:
    """Candles of a second from trades, oldest first; a second without a trade has none."""
    read = sorted(
        (row.trade_id, wire.time_ns(row.time), price_of(row.price), size_of(row.size)) for row in rows
    )
    seconds: dict[int, list[tuple[int, int]]] = {}
    for _, traded_at, price, size in read:
        seconds.setdefault(traded_at // SECOND * SECOND, []).append((price, size))
    return [
        Candle(
            instrument=f"{COINBASE}:{product}",
            at=at,
            start_at=start_at,
            interval_s=PAST_S,
            first=trades[0][0],
            high=max(price for price, _ in trades),
            low=min(price for price, _ in trades),
            last=trades[-1][0],
            volume=sum(size for _, size in trades),
        )
        for start_at, trades in sorted(seconds.items())
    ]


def _volume(text: str) -> int:
    """A volume in millionths. A JSON number may have an exponent, a tiny one does: then it is rounded."""
    if "e" not in text.lower():
        return size_of(text)
    try:
        value = float(text)
    except ValueError as e:
        raise FrameError(f"expected a number, was {clip(text, 40)!r}") from e
    if not 0 <= value <= AMOUNT_MAX // ONE:
        raise FrameError(f"expected a volume of at most {AMOUNT_MAX // ONE}, was {clip(text, 40)!r}")
    return round(value * ONE)


def build_normaliser(section: Mapping[str, Any]) -> CoinbaseNormaliser:  # noqa: ARG001 - the form of the catalogue
    """A normaliser; it reads the same whatever is configured."""
    return CoinbaseNormaliser()
