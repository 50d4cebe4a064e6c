"""One side of a Kalshi book: resting bids by price. Both sides of a market are bids."""

from proto.feed import BOOK_LEVELS_MAX


class BidSide:
    """Bids of one outcome in its own price space: price → quantity, both in millionths.

    ``best`` is the highest price, 0 when the side is empty. ``floor`` is the lowest price that the
    last published book showed: a change below it cannot be seen in the next one by itself.
    """

    __slots__ = ("best", "floor", "levels")

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}
        self.best = 0
        self.floor = 0

    def replace(self, levels: dict[int, int]) -> None:
        """Take over a whole side; ``levels`` holds no empty level."""
        self.levels = levels
        self.best = max(levels, default=0)
        self.floor = 0

    def set(self, price: int, quantity: int) -> None:
        """Set one level; a quantity of 0 removes it."""
        if quantity:
            self.levels[price] = quantity
            self.best = max(self.best, price)
            return
        self.levels.pop(price, None)
        if price == self.best:
            self.best = max(self.levels, default=0)

    def best_quantity(self) -> int:
        """What rests at the best price; 0 when the side is empty."""
        return self.levels.get(self.best, 0)

    def top(self) -> list[int]:
        """The best prices, highest first, as many as a book message carries; moves ``floor``."""
        prices = sorted(self.levels, reverse=True)[:BOOK_LEVELS_MAX]
        self.floor = prices[-1] if len(prices) == BOOK_LEVELS_MAX else 0
        return prices
