"""A reader of feed messages that holds them to their contract, as machines may."""

from collections.abc import Iterable

from proto.feed import Book, Candle, FeedClock, Gap, Market, Played, Quote, Trade
from proto.message import Message
from proto.units import AMOUNT_MAX


class FeedObserver:
    """Keeps the last of everything, and fails on what a feed must never do."""

    def __init__(self) -> None:
        self.quotes: dict[str, Quote] = {}
        self.books: dict[str, Book] = {}
        self.markets: dict[str, list[Market]] = {}
        self.gaps: list[Gap] = []
        self.trades: list[Trade] = []
        self.candles: list[Candle] = []
        self.clocks: list[FeedClock] = []
        self.played: Played | None = None
        self.at = 0
        self._counters: dict[str, int] = {}
        self._whole: set[str] = set()

    def handle_messages(self, messages: Iterable[Message]) -> None:
        for message in messages:
            at = getattr(message, "at", self.at)
            assert at >= self.at, f"time went backwards from {self.at} to {at}: {message}"
            self.at = at
            self._see(message)

    def whole(self, instrument: str) -> bool:
        return instrument in self._whole

    def _see(self, message: Message) -> None:
        match message:
            case Book():
                if message.snapshot:
                    self._whole.add(message.instrument)
                self._count(message)
                self.books[message.instrument] = message
                self._check_levels(message)
            case Quote():
                self._count(message)
                self.quotes[message.instrument] = message
            case Gap():
                self._whole.discard(message.instrument)
                self.gaps.append(message)
            case Market():
                self.markets.setdefault(message.market, []).append(message)
            case Trade():
                self.trades.append(message)
            case Candle():
                self.candles.append(message)
            case FeedClock():
                self.clocks.append(message)
            case Played():
                self.played = message
            case _:
                raise AssertionError(f"not a feed message: {message}")

    def _count(self, message: Quote | Book) -> None:
        name = message.instrument
        assert name in self._whole, f"{message} without a snapshot"
        expected = self._counters.get(name, 0) + 1
        assert message.counter == expected, f"expected counter {expected}, was {message.counter}"
        self._counters[name] = message.counter

    @staticmethod
    def _check_levels(book: Book) -> None:
        bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        # An outcome costs less than its payout; a reference price is as high as it likes.
        price_max = 1_000_000 if book.instrument.count(":") == 2 else AMOUNT_MAX
        assert all(0 < level.price < price_max and level.quantity > 0 for level in (*book.bids, *book.asks))
        assert max(len(bids), len(asks)) <= 10
