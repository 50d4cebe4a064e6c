"""One outcome's book, rebuilt from a snapshot and changes, and checked with the venue's hash.

A batch of changes (one timestamp, several frames) carries the hash of the state after all of it: a
state that does not match yet is in doubt until the batch is over, and broken if it still does not match then.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from libs.bounded import clip
from libs.venues.frame import FrameError
from libs.venues.numbers import Remembered, number, share_price
from libs.venues.polymarket.market_data.book_hash import book_hash, level_text
from proto.feed import BOOK_LEVELS_MAX, Book, Quote, book_of, quote_of, to_levels
from proto.units import AMOUNT_MAX, ONE, SECOND, UnitError, parse

DOUBT_NS_MAX = SECOND
"""The frames of one batch come within milliseconds; after so long it is over."""

STRIKES_MAX = 4
STRIKES_NS = 60 * SECOND
"""So many mismatches within a minute, each after a fresh snapshot, are a rule of the hash we do not know."""
UNHASHED_NS = 600 * SECOND
"""How long the hash is left alone then."""


class Numbers:
    """Reads prices and sizes, remembering what it has read.

    ``price(text)``: as ``share_price``. ``size(text)``: a number of shares of at least 0, in millionths. Both
    raise ``FrameError`` for anything else.
    """

    def __init__(self) -> None:
        self.price = Remembered(share_price).__getitem__
        self.size = Remembered(_size).__getitem__


def _size(text: str) -> int:
    value = number(text)
    if not 0 <= value <= AMOUNT_MAX:
        raise FrameError(f"expected a size of at least 0, was {clip(text, 40)!r}")
    return value


class Side:
    """One side of a book: prices rising, and for each what rests there and how the venue wrote it.

    ``falling``: the venue lists the side from its highest price.
    """

    __slots__ = ("_falling", "_joined", "levels", "prices", "texts")

    def __init__(self, *, falling: bool = False) -> None:
        self.levels: dict[int, int] = {}
        self.texts: dict[int, bytes] = {}
        self.prices: list[int] = []
        self._falling = falling
        self._joined: bytes | None = b""

    def joined(self) -> bytes:
        """All levels as the venue lists them; kept until one changes."""
        if self._joined is None:
            prices = reversed(self.prices) if self._falling else self.prices
            self._joined = b",".join(map(self.texts.__getitem__, prices))
        return self._joined

    def replace(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Take over a whole side: price, size and text of each level."""
        kept = [row for row in rows if row[1]]
        self.levels = {price: size for price, size, _ in kept}
        self.texts = {price: text for price, _, text in kept}
        self.prices = sorted(self.levels)
        self._joined = None

    def set(self, price: int, size: int, text: bytes) -> None:
        """Set one level to its new total; 0 removes it."""
        self._joined = None
        if size:
            if price not in self.levels:
                insort(self.prices, price)
            self.levels[price] = size
            self.texts[price] = text
        elif price in self.levels:
            del self.levels[price], self.texts[price]
            del self.prices[bisect_left(self.prices, price)]


class TokenBook:
    """The book of one token. ``whole``: built from a snapshot and every change since.

    Counters: ``checked`` states compared with the venue's hash, ``matched`` equal ones.
    """

    __slots__ = (
        "asks",
        "bids",
        "checked",
        "condition",
        "counter",
        "differs_since",
        "doubt_since",
        "due_at",
        "gapped",
        "hash",
        "instrument",
        "last_trade",
        "matched",
        "neg_risk",
        "pending",
        "shown",
        "size_min",
        "strikes",
        "tick",
        "timestamp",
        "token",
        "unhashed_until",
        "whole",
    )

    def __init__(self, token: str, condition: str, instrument: str) -> None:
        self.token = token
        self.condition = condition
        self.instrument = instrument
        self.bids = Side()
        self.asks = Side(falling=True)
        self.whole = False
        self.gapped = False
        self.pending = False
        self.counter = 0
        self.due_at = 0
        self.shown: tuple[object, ...] = ()
        self.hash = ""
        self.timestamp = ""
        self.doubt_since = 0
        # Since when the venue says other best prices than a whole book.
        self.differs_since = 0
        # What the hash covers besides the levels; None while unknown.
        self.tick: str | None = None
        self.size_min: str | None = None
        self.neg_risk: bool | None = None
        self.last_trade: str | None = None
        self.strikes: list[int] = []
        self.unhashed_until = 0
        self.checked = 0
        self.matched = 0

    def drop(self) -> None:
        """Forget the book: what it held is not true any more."""
        self.bids.replace(())
        self.asks.replace(())
        self.whole = False
        self.pending = False
        self.doubt_since = 0
        self.differs_since = 0
        self.hash = ""

    @property
    def checkable(self) -> bool:
        """Whether everything is known that the hash covers."""
        unknown = self.tick is None or self.size_min is None or self.neg_risk is None
        return not unknown and self.last_trade is not None and bool(self.hash)

    def agrees(self, last_trade: str | None = None) -> bool:
        """Whether the state as it is has the hash the venue gave; ``last_trade`` instead of the known one."""
        return self.hash == book_hash(
            self.condition,
            self.token,
            self.timestamp,
            self.bids.joined(),
            self.asks.joined(),
            self.size_min or "",
            self.tick or "",
            bool(self.neg_risk),
            (self.last_trade or "") if last_trade is None else last_trade,
        )

    def verify(self, at: int, traded_at: str = "", tops: tuple[str, str] | None = None) -> bool:
        """Compare with the hash, or else with the best prices ``tops``; false while it differs.

        ``traded_at``: a price that a trade may have had.
        """
        if not self.checkable or at < self.unhashed_until:
            agreed = tops is None or self.tops_agree(*tops)
            self.doubt_since = 0 if agreed else self.doubt_since or at
            return agreed
        self.checked += 1
        agreed = self.agrees()
        if not agreed and traded_at and traded_at != self.last_trade and self.agrees(traded_at):
            # The trade that took this level is told after the change that it made.
            self.last_trade = traded_at
            agreed = True
        if agreed:
            self.matched += 1
            self.doubt_since = 0
        elif not self.doubt_since:
            self.doubt_since = at
        return agreed

    def tops_agree(self, bid: str, ask: str) -> bool:
        """Whether the venue's best prices are ours; "", 0 and 1 stand for an empty side."""
        return self.top() == (_edge(bid), _edge(ask))

    def strike(self, at: int) -> None:
        """Note that the hash did not match; when that keeps happening with fresh books, it is the hash.

        Then best prices are compared instead for a while: a book that is never tradable helps nobody.
        """
        self.strikes = [*self.strikes, at][-STRIKES_MAX:]
        if len(self.strikes) == STRIKES_MAX and at - self.strikes[0] < STRIKES_NS:
            self.unhashed_until = at + UNHASHED_NS
            self.strikes = []

    def quote(self, at: int) -> Quote:
        """Best prices."""
        self.counter += 1
        bids, asks = self.bids, self.asks
        bid = bids.prices[-1] if bids.prices else None
        ask = asks.prices[0] if asks.prices else None
        return quote_of(
            instrument=self.instrument,
            at=at,
            counter=self.counter,
            bid=bid,
            bid_size=min(AMOUNT_MAX, bids.levels[bid]) if bid is not None else 0,
            ask=ask,
            ask_size=min(AMOUNT_MAX, asks.levels[ask]) if ask is not None else 0,
        )

    def top(self) -> tuple[int | None, int | None]:
        """Best bid and ask."""
        bids, asks = self.bids.prices, self.asks.prices
        return bids[-1] if bids else None, asks[0] if asks else None

    def book(self, at: int, *, snapshot: bool) -> Book | None:
        """The top levels; ``None`` if the last ones still hold."""
        bids, asks = (
            to_levels([(price, min(AMOUNT_MAX, side.levels[price])) for price in prices])
            for side, prices in (
                (self.bids, self.bids.prices[: -BOOK_LEVELS_MAX - 1 : -1]),
                (self.asks, self.asks.prices[:BOOK_LEVELS_MAX]),
            )
        )
        if (bids, asks) == self.shown and not snapshot:
            return None
        self.shown = (bids, asks)
        self.counter += 1
        return book_of(
            instrument=self.instrument, at=at, counter=self.counter, bids=bids, asks=asks, snapshot=snapshot
        )


def _edge(text: str) -> int | None:
    """A best price; ``None`` for an empty side."""
    try:
        value = parse(text)
    except UnitError:
        return None
    return value if 0 < value < ONE else None


def rows_of(rows: Iterable[tuple[str, str]], numbers: Numbers) -> list[tuple[int, int, bytes]]:
    """Levels of a snapshot, read and checked.

    Raises:
        FrameError: for a level that is none, or a price that comes twice.
    """
    read = [(numbers.price(price), numbers.size(size), level_text(price, size)) for price, size in rows]
    if len({row[0] for row in read}) != len(read):
        raise FrameError("expected each price once, was one twice")
    return read
