"""What is known of one reference instrument: best prices, and a book where the venue gives one.

Nobody trades here, so ten quotes a second are enough: a coin's best price moves by a cent hundreds of times
a second, and every one of them would be on the tape.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from libs.bounded import clip
from libs.venues.frame import FrameError
from libs.venues.numbers import number
from proto.feed import BOOK_LEVELS_MAX, Book, Candle, Gap, Quote, book_of, quote_of, to_levels
from proto.message import Message
from proto.units import MILLISECOND

INTERVAL_NS = 100 * MILLISECOND
"""Between two quotes, and between two books, of an instrument."""
LEVELS_MAX = 20_000
"""Levels kept a side. Binance's largest snapshot has 5,000; far ones pile up between snapshots."""
DECIMALS_KEPT = 6
"""Sizes carry eight decimals; what is finer than a millionth of a coin is cut off."""


class BestPrices(NamedTuple):
    """Best bid and ask with their sizes; ``None`` for an empty side."""

    bid: int | None
    bid_size: int
    ask: int | None
    ask_size: int


class TooFineError(FrameError):
    """A cheap coin's price with more than six decimals: in millionths it would be another price."""


def price_of(text: str) -> int:
    """A positive price in millionths.

    Raises:
        TooFineError: for more than six decimals of a price below a cent.
        FrameError: for anything else, also for more than six decimals.
    """
    try:
        price = number(text)
    except FrameError as e:
        whole, _, fraction = text.partition(".")
        if fraction.isdecimal() and not whole.strip("0") and fraction[:2] == "00":
            raise TooFineError(
                f"expected a price of at most {DECIMALS_KEPT} decimals, was {clip(text, 40)}"
            ) from e
        raise
    if price <= 0:
        raise FrameError(f"expected a positive price, was {clip(text, 40)!r}")
    return price


def size_of(text: str) -> int:
    """A size of at least 0 in millionths of a coin, cut off there.

    Raises:
        FrameError: for anything else.
    """
    whole, point, fraction = text.partition(".")
    # Only digits are cut off: anything else must fail in number().
    if fraction.isdecimal():
        fraction = fraction[:DECIMALS_KEPT]
    size = number(f"{whole}{point}{fraction}")
    if size < 0 or text.startswith("-"):
        raise FrameError(f"expected a size of at least 0, was {clip(text, 40)!r}")
    return size


def top_of(bid: str, bid_size: str, ask: str, ask_size: str) -> BestPrices:
    """Parse best prices as a venue reports them; 0 stands for an empty side.

    Raises:
        FrameError: for a bid above the ask, and what is neither price nor size.
    """
    best_bid, best_ask = (price_of(text) if text.strip("0.") else None for text in (bid, ask))
    if best_bid is not None and best_ask is not None and best_bid > best_ask:
        raise FrameError(f"expected a bid of at most the ask, was {clip(bid, 40)} and {clip(ask, 40)}")
    return BestPrices(best_bid, size_of(bid_size), best_ask, size_of(ask_size))


def levels_of(rows: Iterable[tuple[str, str]]) -> dict[int, int]:
    """Price → size; a size of 0 is kept, as in a change it removes the level.

    Raises:
        FrameError: for what is neither price nor size.
    """
    return {price_of(price): size_of(size) for price, size in rows}


def candle_of(
    instrument: str, at: int, start_at: int, interval_s: int, prices: Iterable[str], volume: int
) -> Candle:
    """A candle; ``prices`` are open, high, low and close.

    Raises:
        FrameError: for prices that are none, or not in order.
    """
    first, high, low, last = (price_of(text) for text in prices)
    if not low <= min(first, last) <= max(first, last) <= high:
        raise FrameError(f"expected low ≤ open, close ≤ high, was {low} {first} {last} {high}")
    return Candle(
        instrument=instrument,
        at=at,
        start_at=start_at,
        interval_s=interval_s,
        first=first,
        high=high,
        low=low,
        last=last,
        volume=volume,
    )


class Reference:
    """One instrument. ``counter`` is shared by its quotes and books. Changes wait for ``due_messages``."""

    __slots__ = (
        "_book_due_at",
        "_book_pending",
        "_quote_due_at",
        "_shown",
        "asks",
        "bids",
        "counter",
        "instrument",
        "top",
        "venue",
        "whole",
    )

    def __init__(self, venue: str, instrument: str) -> None:
        self.venue = venue
        self.instrument = instrument
        self.counter = 0
        self.top: BestPrices | None = None
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.whole = False
        self._shown: BestPrices | None = None
        self._quote_due_at = 0
        self._book_pending = False
        self._book_due_at = 0

    def replace(self, bids: Mapping[int, int], asks: Mapping[int, int]) -> None:
        """Take over a whole book, without its empty levels; it is shown as a snapshot by ``snapshot_messages``."""
        self.bids = {price: size for price, size in bids.items() if size}
        self.asks = {price: size for price, size in asks.items() if size}
        self.whole = True

    def change(self, bids: Mapping[int, int], asks: Mapping[int, int]) -> bool:
        """Set levels to their new sizes, 0 removes; false when the book has grown beyond all measure."""
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            for price, size in changes.items():
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        self._book_pending = True
        return len(self.bids) <= LEVELS_MAX and len(self.asks) <= LEVELS_MAX

    def top_from_book(self) -> None:
        """Take the best prices from the book."""
        bid, ask = max(self.bids, default=None), min(self.asks, default=None)
        self.top = BestPrices(bid, self.bids.get(bid or 0, 0), ask, self.asks.get(ask or 0, 0))

    def clear(self) -> None:
        """Drop the book and the best prices, which may be out of date."""
        self.bids, self.asks = {}, {}
        self.whole = self._book_pending = False
        self.top = self._shown = None

    def invalidate(self, at: int, reason: str) -> list[Message]:
        """Forget, and say so if anything was whole."""
        told = self.whole or self.top is not None
        self.clear()
        return (
            [Gap(venue=self.venue, at=at, reason=clip(reason, 200), instrument=self.instrument)]
            if told
            else []
        )

    def due_messages(self, at: int) -> list[Message]:
        """The quote and the book that have waited long enough."""
        out: list[Message] = []
        if self.top is not None and at >= self._quote_due_at and self._has_news():
            if self._shown is None and not self.whole:
                # After a gap only a book makes the instrument whole again: its best prices are one.
                out.append(self._book(at, snapshot=True))
            out.append(self._quote(at, self.top))
            self._shown = self.top
            self._quote_due_at = at + INTERVAL_NS
        if self._book_pending and at >= self._book_due_at:
            out.append(self._book(at, snapshot=False))
        return out

    def snapshot_messages(self, at: int) -> list[Message]:
        """Everything that is known, as a snapshot; nothing when nothing is."""
        if not self.whole and self.top is None:
            return []
        out: list[Message] = [self._book(at, snapshot=True)]
        if self.top is not None:
            out.append(self._quote(at, self.top))
            self._shown = self.top
            self._quote_due_at = at + INTERVAL_NS
        return out

    def _has_news(self) -> bool:
        """Whether a best price changed; a change of sizes alone waits for the next book."""
        old, new = self._shown, self.top
        return old is None or new is None or (old.bid, old.ask) != (new.bid, new.ask)

    def _quote(self, at: int, top: BestPrices) -> Quote:
        self.counter += 1
        return quote_of(
            instrument=self.instrument,
            at=at,
            counter=self.counter,
            bid=top.bid,
            bid_size=top.bid_size,
            ask=top.ask,
            ask_size=top.ask_size,
        )

    def _book(self, at: int, snapshot: bool) -> Book:
        self.counter += 1
        self._book_pending = False
        self._book_due_at = at + INTERVAL_NS
        if self.whole:
            bids = [(p, self.bids[p]) for p in sorted(self.bids, reverse=True)[:BOOK_LEVELS_MAX]]
            asks = [(p, self.asks[p]) for p in sorted(self.asks)[:BOOK_LEVELS_MAX]]
        else:
            top = self.top or BestPrices(None, 0, None, 0)
            bids = [(top.bid, top.bid_size)] if top.bid is not None else []
            asks = [(top.ask, top.ask_size)] if top.ask is not None else []
        return book_of(
            instrument=self.instrument,
            at=at,
            counter=self.counter,
            bids=to_levels(bids),
            asks=to_levels(asks),
            snapshot=snapshot,
        )


class Repeats:
    """Tells trades already seen by their rising ids. A long run of old ids is a new count, not a repetition."""

    RUN_MAX = 64

    __slots__ = ("last", "missed", "old", "run")

    def __init__(self) -> None:
        self.last = 0
        self.run = 0
        self.old = 0
        self.missed = 0

    def is_new(self, number: int) -> bool:
        """Count a trade; false when it was seen before."""
        if number <= self.last and self.run < self.RUN_MAX:
            self.run += 1
            self.old += 1
            return False
        if self.last and number > self.last + 1:
            self.missed += number - self.last - 1
        self.run = 0
        self.last = number
        return True
