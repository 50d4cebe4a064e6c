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
    """Both sides as last seen: the last book, and the quote that came after it, if any.

    The quote is newer: levels better than its best price are gone, and its own sizes replace the book's.
    Without either nothing is visible: nothing to trade with, no queue known.
    """

    book: Book | None = None
    quote: Quote | None = None

    def best(self, bids: bool) -> int | None:
        """The best price of a side, or ``None``."""
        quote = self.quote
        if quote is not None:
            return quote.bid if bids else quote.ask
        levels = self._booked(bids)
        return levels[0].price if levels else None

    def levels(self, bids: bool) -> tuple[Level, ...]:
        """The visible levels of a side, best first."""
        quote = self.quote
        if quote is None:
            return self._booked(bids)
        best = quote.bid if bids else quote.ask
        if best is None:
            return ()
        top = Level(best, quote.bid_size if bids else quote.ask_size)
        deeper = (
            level for level in self._booked(bids) if (level.price < best if bids else level.price > best)
        )
        return (top, *deeper)

    def shown(self, bids: bool, price: int) -> int:
        """The quantity on display at a price, or ``UNSEEN`` when the price is deeper than what is shown."""
        quote = self.quote
        if quote is not None:
            best = quote.bid if bids else quote.ask
            if best is None or (price > best if bids else price < best):
                return 0
            if price == best:
                return quote.bid_size if bids else quote.ask_size
        levels = self._booked(bids)
        for level in levels:
            if level.price == price:
                return level.quantity
        if self.book is None:
            return UNSEEN
        if len(levels) < BOOK_LEVELS_MAX:
            return 0
        deepest = levels[-1].price
        return 0 if (price > deepest if bids else price < deepest) else UNSEEN

    def _booked(self, bids: bool) -> tuple[Level, ...]:
        if self.book is None:
            return ()
        return self.book.bids if bids else self.book.asks


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
        if not self.bids and not self.asks:
            return False
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
