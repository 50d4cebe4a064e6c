"""All markets of a normaliser: which are kept, what is told of them, which books are wanted. Pure.

What is told twice is told once, what the clock alone changes is changed by ``on_time``, and a book that is
not true any more is dropped with a Gap and wanted until it is whole again.
"""

from libs.venues.frame import FrameError
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.market_data.following import Following
from libs.venues.kalshi.market_data.market import KalshiMarket
from libs.venues.kalshi.schemas import amounts
from proto.feed import FeeSchedule, Gap, MarketStatus
from proto.message import Message
from proto.units import MILLISECOND, SECOND

BOOK_INTERVAL_NS = 100 * MILLISECOND
"""At most ten books a second an instrument: what the queue model and the depth checks can use."""
MARKETS_MAX = 1024
"""Markets kept at once; settled ones go first, then those without a book. A day of KXBTC15M is 96."""
FOLLOWED_AFTER_CLOSE_NS = 60 * SECOND
"""A market that is over stays subscribed for so long: its last trades and its empty book still come."""
NEVER = 2**63


class KalshiTable:
    """The markets by ticker. ``wake_at``: when ``on_time`` has something to do next.

    ``wanted`` are tickers of broken books: when each was last asked for, 0 for never. ``gaps`` counts them.
    """

    def __init__(self, following: Following) -> None:
        self.markets: dict[str, KalshiMarket] = {}
        self.wanted: dict[str, int] = {}
        self.wake_at = NEVER
        self.gaps = 0
        self._following = following
        self._fees: dict[str, FeeSchedule] = {}

    # ── which are kept ──────────────────────────────────────────────────────────────────────────────

    @property
    def full(self) -> bool:
        """Whether there is no room for another market."""
        return len(self.markets) >= MARKETS_MAX and self._dispensable() is None

    def get(self, ticker: str) -> KalshiMarket:
        """A market, perhaps seen for the first time; it is kept by ``adopt``, once its frame is known good.

        Raises:
            FrameError: for a ticker that is none, or when there is no room.
        """
        known = self.markets.get(ticker)
        if known is not None:
            return known
        if self.full:
            raise FrameError(f"expected at most {MARKETS_MAX} markets with a book, was {ticker[:40]!r} too")
        return KalshiMarket(amounts.ticker(ticker))

    def adopt(self, market: KalshiMarket, sid: int) -> None:
        """Keep a market that a valid frame named, and the subscription its book comes from."""
        if market.ticker not in self.markets:
            if len(self.markets) >= MARKETS_MAX and (oldest := self._dispensable()):
                del self.markets[oldest]
                self.wanted.pop(oldest, None)
            self.markets[market.ticker] = market
            if fees := self._fees.get(market.ticker.partition("-")[0]):
                market.fees = fees
        market.sid = sid

    def _dispensable(self) -> str | None:
        """The market that is missed least: the oldest settled one, else the oldest without a book."""
        settled = (t for t, m in self.markets.items() if m.status is MarketStatus.SETTLED)
        empty = (t for t, m in self.markets.items() if not m.whole)
        return next(settled, None) or next(empty, None)

    def set_fees(self, series: str, fees: FeeSchedule, at: int, out: list[Message]) -> None:
        """The fees of a series, for the markets it has and will have."""
        if len(self._fees) < MARKETS_MAX:
            self._fees[series] = fees
        for market in self.markets.values():
            if market.ticker.partition("-")[0] == series:
                market.fees = fees
                self.announce(market, None, at, out)

    # ── books ───────────────────────────────────────────────────────────────────────────────────────

    def healed(self, market: KalshiMarket, at: int, out: list[Message]) -> None:
        """The levels just taken over are the whole book."""
        market.whole = True
        market.gapped = False
        self.wanted.pop(market.ticker, None)
        self.announce(market, None if market.status else MarketStatus.OPEN, at, out)
        self.show_whole(market, at, out)

    def break_off(self, market: KalshiMarket, at: int, reason: str, out: list[Message]) -> None:
        """Drop a book that is not true any more, say so once, and want it again."""
        market.drop_book()
        if market.status is MarketStatus.SETTLED:
            return
        self.wanted.setdefault(market.ticker, 0)
        if market.gapped:
            return
        market.gapped = True
        self.gaps += 1
        instruments = (market.yes_instrument, market.no_instrument)
        out.extend(Gap(venue=KALSHI, at=at, reason=reason[:200], instrument=name) for name in instruments)

    def show_whole(self, market: KalshiMarket, at: int, out: list[Message]) -> None:
        """Put out both books as snapshots, and the quotes."""
        out.extend(market.books(at, snapshot=True))
        out.extend(market.quotes(at))
        market.pending = False
        market.book_due_at = at + BOOK_INTERVAL_NS

    # ── the life of markets ─────────────────────────────────────────────────────────────────────────

    def announce(
        self, market: KalshiMarket, status: MarketStatus | None, at: int, out: list[Message]
    ) -> None:
        """Emit a market's facts if they changed, at the stage of life that event and clock allow."""
        if status is not None:
            market.advance(status)
        self._follow_clock(market, at)
        facts = market.facts(0)
        if facts != market.told:
            market.told = facts
            out.append(market.facts(at))
        if market.status is MarketStatus.SETTLED:
            market.drop_book()
            self.wanted.pop(market.ticker, None)
        if self._following.active:
            self._follow(market, at)
        change_at = market.next_change_at()
        if change_at is not None and change_at < self.wake_at:
            self.wake_at = change_at

    def _follow(self, market: KalshiMarket, at: int) -> None:
        """Subscribe to a market of a followed series, and leave it once it is over."""
        if not market.over(at):
            if self._following.of_interest(market.ticker):
                self._following.add(market.ticker, market.close_at)
        elif market.status is MarketStatus.SETTLED or at >= market.close_at + FOLLOWED_AFTER_CLOSE_NS:
            self._following.drop(market.ticker)

    def _follow_clock(self, market: KalshiMarket, at: int) -> None:
        """Open a listed market and close an open one when their time has come."""
        change_at = market.next_change_at()
        if change_at is None or at < change_at:
            return
        closes = market.close_at and at >= market.close_at
        market.advance(MarketStatus.CLOSED if closes else MarketStatus.OPEN)

    def on_time(self, at: int, out: list[Message]) -> None:
        """Publish the books whose turn it is, open and close markets, and note when to wake next."""
        self.wake_at = wake_at = NEVER
        for market in self.markets.values():
            change_at = market.next_change_at()
            if change_at is not None:
                if change_at <= at:
                    self.announce(market, None, at, out)
                    change_at = market.next_change_at()
                wake_at = min(wake_at, change_at or NEVER)
            if market.pending:
                if market.book_due_at <= at:
                    out.extend(market.books(at, snapshot=False))
                    market.pending = False
                    market.book_due_at = at + BOOK_INTERVAL_NS
                else:
                    wake_at = min(wake_at, market.book_due_at)
        self.wake_at = wake_at
