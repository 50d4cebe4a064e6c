"""The observed book of one instrument, and what we already took from it.

The market does not feel paper orders, so a level that we bought stays on display. ``Taken`` remembers
how much of each level is spent: what is shown less what is spent can still be traded. The spent part is
never more than the level shows, so it shrinks as the level does, and goes when the level is empty;
what is added to a level afterwards is new liquidity.
"""

from msgspec import Struct

from libs.exchange.orders import UNSEEN
from proto.feed import BOOK_LEVELS_MAX, Book, Level, Quote


class View(Struct, frozen=True, gc=False):
    """Both sides as last seen, best first. ``*_whole``: the side is shown to its last level."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    bids_whole: bool
    asks_whole: bool

    def shown(self, bids: bool, price: int) -> int:
        """The quantity on display at a price, or ``UNSEEN`` when the price is deeper than what is shown."""
        levels = self.bids if bids else self.asks
        for level in levels:
            if level.price == price:
                return level.quantity
        if self.bids_whole if bids else self.asks_whole:
            return 0
        if not levels:
            return UNSEEN
        deepest = levels[-1].price
        return 0 if (price > deepest if bids else price < deepest) else UNSEEN


NOTHING_SEEN = View(bids=(), asks=(), bids_whole=False, asks_whole=False)
"""The view before the first quote and after a gap: nothing to trade with, no queue known."""


def view_of(book: Book | None, quote: Quote | None) -> View:
    """Join the last book and the quote that came after it, if any.

    The quote is newer: levels better than its best price are gone, its own sizes replace the book's.
    """
    if book is None and quote is None:
        return NOTHING_SEEN
    if quote is None:
        assert book is not None
        return View(
            bids=book.bids,
            asks=book.asks,
            bids_whole=len(book.bids) < BOOK_LEVELS_MAX,
            asks_whole=len(book.asks) < BOOK_LEVELS_MAX,
        )
    bids: tuple[Level, ...] = () if quote.bid is None else (Level(quote.bid, quote.bid_size),)
    asks: tuple[Level, ...] = () if quote.ask is None else (Level(quote.ask, quote.ask_size),)
    if book is None:
        return View(bids=bids, asks=asks, bids_whole=not bids, asks_whole=not asks)
    if quote.bid is not None:
        bids += tuple(level for level in book.bids if level.price < quote.bid)
    if quote.ask is not None:
        asks += tuple(level for level in book.asks if level.price > quote.ask)
    return View(
        bids=bids,
        asks=asks,
        bids_whole=not bids or len(book.bids) < BOOK_LEVELS_MAX,
        asks_whole=not asks or len(book.asks) < BOOK_LEVELS_MAX,
    )


class Taken(Struct):
    """What we traded against displayed levels: price → quantity spent, for each side of the book."""

    bids: dict[int, int] = {}
    asks: dict[int, int] = {}

    def available(self, bids: bool, level: Level) -> int:
        """What is left of a displayed level for us."""
        return max(0, level.quantity - (self.bids if bids else self.asks).get(level.price, 0))

    def spend(self, bids: bool, price: int, quantity: int) -> None:
        side = self.bids if bids else self.asks
        side[price] = side.get(price, 0) + quantity

    def refresh(self, view: View) -> bool:
        """Forget what the market replaced; ``False`` when nothing is remembered any more."""
        self.bids = _still_spent(self.bids, view, True)
        self.asks = _still_spent(self.asks, view, False)
        return bool(self.bids or self.asks)


def _still_spent(spent: dict[int, int], view: View, bids: bool) -> dict[int, int]:
    kept = {}
    for price, quantity in spent.items():
        shown = view.shown(bids, price)
        left = quantity if shown == UNSEEN else min(quantity, shown)
        if left:
            kept[price] = left
    return kept
