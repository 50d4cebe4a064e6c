"""The markets that are kept with a book for each outcome: what is published of them, and when.

Books are conflated to ten a second; one that is not true is dropped, said with a Gap once, and wanted again.
"""

from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.market_data.book import DOUBT_NS_MAX, TokenBook
from libs.venues.polymarket.market_data.market import PolymarketMarket
from libs.venues.polymarket.market_data.wanted import BookRequests
from proto.feed import Gap, MarketStatus
from proto.message import Message
from proto.units import MILLISECOND

BOOK_INTERVAL_NS = 100 * MILLISECOND
"""At most ten books a second an instrument: what the queue model and the depth checks can use."""
MARKETS_MAX = 1024
"""Markets kept at once, which all are looked at ten times a second."""
LEFT_OUT_MAX = 20_000
"""Names of markets without room, kept only to count each once."""

_NEVER = 2**63


class PolymarketTable:
    """Markets by condition, books by token. ``wake_at``: when ``on_time`` has something to do.

    ``evicted`` counts markets that gave way after their end; ``left_out`` are those that found no room, because
    all that are kept may still trade.
    """

    def __init__(self) -> None:
        self.markets: dict[str, PolymarketMarket] = {}
        self.books: dict[str, TokenBook] = {}
        self.wanted = BookRequests()
        self.wake_at = _NEVER
        self.gaps = 0
        self.evicted = 0
        self.left_out: set[str] = set()
        self._checked_before = 0
        self._matched_before = 0

    @property
    def checked(self) -> int:
        """Book states compared with the venue's hash."""
        return self._checked_before + sum(book.checked for book in self.books.values())

    @property
    def matched(self) -> int:
        """Those of them that were equal."""
        return self._matched_before + sum(book.matched for book in self.books.values())

    def adopt(self, condition: str) -> PolymarketMarket | None:
        """Keep a market seen for the first time, at the cost of the one that ended first.

        ``None`` when all that are kept may trade: none of them is given up for another, which is left out and counted.
        """
        if len(self.markets) >= MARKETS_MAX:
            ended = min((m for m in self.markets.values() if m.over), key=lambda m: m.ended_at, default=None)
            if ended is None:
                if len(self.left_out) < LEFT_OUT_MAX:
                    self.left_out.add(condition)
                return None
            self._forget(ended.condition)
        self.left_out.discard(condition)
        market = self.markets[condition] = PolymarketMarket(condition)
        return market

    def _forget(self, condition: str) -> None:
        """Give up an ended market; its books were left when it ended."""
        self.evicted += 1
        for token in self.markets.pop(condition).tokens:
            book = self.books.pop(token)
            self._checked_before += book.checked
            self._matched_before += book.matched
            self.wanted.leave(token)

    def open_book(self, market: PolymarketMarket, index: int, token: str) -> None:
        """Keep a book for an outcome, with what its hash covers; a new one is wanted."""
        book = self.books.get(token)
        if book is None:
            book = self.books[token] = TokenBook(token, market.condition, market.instrument(index))
            if not market.over:
                self.wanted.add(token, joined=False)
        book.size_min = book.size_min if book.size_min is not None else market.size_min or None
        book.neg_risk = market.neg_risk if market.neg_risk is not None else book.neg_risk
        book.tick = book.tick if book.tick is not None else market.tick or None

    def announce(self, market: PolymarketMarket, at: int, out: list[Message]) -> None:
        """Emit a market's facts if they changed, at the stage of life that venue and clock allow."""
        if not market.over:
            if 0 < market.close_at <= at:
                market.end(MarketStatus.CLOSED, market.close_at)
            for due_at in (market.close_at, market.clears_at):
                if due_at > at:
                    self.wake(due_at)
        facts = market.facts(0)
        if facts != market.told:
            market.told = facts
            out.append(market.facts(at))
        if market.over:
            self._leave(market)

    def _leave(self, market: PolymarketMarket) -> None:
        """The books of an ended market are of no more use."""
        for token in market.tokens:
            book = self.books.get(token)
            if book is not None and (book.whole or token in self.wanted.tokens):
                book.drop()
                self.wanted.leave(token)

    def _on_market_time(self, market: PolymarketMarket, at: int, out: list[Message]) -> None:
        """End a window whose time has come, and ask for the books that the beginning of a game has emptied."""
        if 0 < market.clears_at <= at:
            market.clears_at = 0
            for token in market.tokens:
                if self.books[token].whole:
                    self.break_off(self.books[token], at, "the event begins and the book is cleared", out)
        if 0 < market.close_at <= at:
            self.announce(market, at, out)
        for due_at in (market.close_at, market.clears_at):
            if due_at > at:
                self.wake(due_at)

    def show_whole(self, book: TokenBook, at: int, out: list[Message]) -> None:
        """Emit a snapshot and the best prices; the next book waits for its turn."""
        whole = book.book(at, snapshot=True)
        if whole is not None:
            out.append(whole)
        out.append(book.quote(at))
        book.pending = False
        book.due_at = at + BOOK_INTERVAL_NS

    def break_off(
        self, book: TokenBook, at: int, reason: str, out: list[Message], *, by_hash: bool = False
    ) -> None:
        """Drop a book that is not true any more, say so once, and want it again."""
        if by_hash:
            book.strike(at)
        book.drop()
        market = self.markets.get(book.condition)
        if market is None or market.over:
            return
        self.wanted.add(book.token, joined=True)
        if book.gapped:
            return
        book.gapped = True
        self.gaps += 1
        out.append(Gap(venue=POLYMARKET, at=at, reason=reason, instrument=book.instrument))

    def wake(self, at: int) -> None:
        """Have ``on_time`` called at ``at`` or before."""
        self.wake_at = min(self.wake_at, at)

    def on_time(self, at: int, out: list[Message]) -> None:
        """Publish the books that are due, end inconsistent books and windows, and compute the next wake time."""
        self.wake_at = _NEVER
        for market in self.markets.values():
            if not market.over:
                self._on_market_time(market, at, out)
        for book in self.books.values():
            if book.doubt_since and at - book.doubt_since >= DOUBT_NS_MAX:
                self.break_off(book, at, "a change's hash does not match", out, by_hash=True)
            elif book.doubt_since:
                self.wake(book.doubt_since + DOUBT_NS_MAX)
            if book.pending and book.due_at <= at:
                book.pending = False
                shown = book.book(at, snapshot=False)
                if shown is not None:
                    out.append(shown)
                    book.due_at = at + BOOK_INTERVAL_NS
            elif book.pending:
                self.wake(book.due_at)
