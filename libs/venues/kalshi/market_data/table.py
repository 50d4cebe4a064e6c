"""All markets of a normaliser: which are kept, what is published of them, which books are requested. Pure.

What is told twice is told once, what the clock alone changes is changed by ``on_time``, and a book that is
not true any more is dropped with a Gap and wanted until it is whole again.
"""

from libs.bounded import clip, keep_newest
from libs.venues.frame import FrameError
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.fees import STANDARD
from libs.venues.kalshi.market_data.following import Following
from libs.venues.kalshi.market_data.listings import EventFacts
from libs.venues.kalshi.market_data.market import KalshiMarket
from libs.venues.kalshi.schemas import amounts
from libs.venues.kalshi.series import SeriesTable
from proto.feed import FeeSchedule, Gap, MarketStatus
from proto.message import Message
from proto.units import MILLISECOND, SECOND

BOOK_INTERVAL_NS = 100 * MILLISECOND
"""At most ten books a second an instrument: what the queue model and the depth checks can use."""
MARKETS_MAX = 2_048
"""Markets kept at once, which all are looked at ten times a second; an hourly event of ranges has 188."""
EVENTS_MAX = 4_096
"""Events remembered: more than markets, since one that is listed comes before its markets."""
LEFT_OUT_MAX = 20_000
"""Names of markets without room, kept only to count each once."""
FOLLOWED_AFTER_CLOSE_NS = 60 * SECOND
"""A market that is over stays subscribed for so long: its last trades and its empty book still come."""
NEVER = 2**63


class KalshiTable:
    """The markets by ticker. ``wake_at``: when ``on_time`` has something to do next.

    ``wanted`` are tickers of broken books: when each was last asked for, 0 for never. ``gaps`` counts them.
    ``evicted`` counts markets forgotten to make room, ``last_evicted`` is the newest of them; ``left_out`` are
    those for which there was none, because all that are kept still trade.
    """

    def __init__(self, following: Following, series: SeriesTable) -> None:
        self.markets: dict[str, KalshiMarket] = {}
        self.wanted: dict[str, int] = {}
        self.wake_at = NEVER
        self.gaps = 0
        self.evicted = 0
        self.last_evicted = ""
        self.left_out: set[str] = set()
        self._following = following
        self._series = series
        self._fees: dict[str, FeeSchedule] = {}
        self._events: dict[str, EventFacts] = {}
        # Markets that have ended, settled ones apart, in the order in which they were told to have.
        self._closed: dict[str, None] = {}
        self._settled: dict[str, None] = {}

    # ── which are kept ──────────────────────────────────────────────────────────────────────────────

    def has_room(self, ticker: str, *, brings_book: bool = False) -> bool:
        """Whether a market is kept already or can be; one that cannot is counted as left out."""
        if ticker in self.markets or len(self.markets) < MARKETS_MAX or self._dispensable(brings_book):
            return True
        if len(self.left_out) < LEFT_OUT_MAX:
            self.left_out.add(ticker)
        return False

    def get(self, ticker: str, series: str = "") -> KalshiMarket:
        """A market, perhaps seen for the first time; it is kept by ``adopt``, once its frame is known good.

        Raises:
            FrameError: for a ticker that is none, or when there is no room.
        """
        known = self.markets.get(ticker)
        if known is not None:
            return known
        if not self.has_room(ticker, brings_book=True):
            raise FrameError(
                f"expected at most {MARKETS_MAX} markets with a book, was {clip(ticker, 40)!r} too"
            )
        series = series or self._series.series_of(ticker)
        return KalshiMarket(amounts.ticker(ticker), self._series.facts(series))

    def adopt(self, market: KalshiMarket, sid: int, *, brings_book: bool = False) -> None:
        """Keep a market that a valid frame named, and the subscription its book comes from."""
        if market.ticker not in self.markets:
            if len(self.markets) >= MARKETS_MAX and (least := self._dispensable(brings_book)):
                del self.markets[least]
                self.wanted.pop(least, None)
                self._closed.pop(least, None)
                self._settled.pop(least, None)
                self.evicted += 1
                self.last_evicted = least
            self.left_out.discard(market.ticker)
            self.markets[market.ticker] = market
            self._apply_event(market)
        market.sid = sid

    def _dispensable(self, brings_book: bool) -> str | None:
        """The market that is missed least: settled and ended first, else the one that ended first.

        One that trades gives way only to a market that brings a book, and only where nobody follows its book.
        """
        for ended in (self._settled, self._closed):
            if ended:
                return next(iter(ended))
        empty = [m for m in self.markets.values() if not m.whole] if brings_book else []
        return max(empty, key=lambda m: m.close_at or NEVER).ticker if empty else None

    def _record_end(self, market: KalshiMarket) -> None:
        """Keep the order in which markets end; one that goes on after all is none of them."""
        is_settled = market.status is MarketStatus.SETTLED
        for ended, belongs in (
            (self._settled, is_settled),
            (self._closed, market.is_closed and not is_settled),
        ):
            if belongs:
                ended.setdefault(market.ticker)
            else:
                ended.pop(market.ticker, None)

    # ── what series and events say of their markets ─────────────────────────────────────────────────

    def place(self, market: KalshiMarket, series: str, event: str) -> None:
        """Put a market into the series and event that the venue names."""
        if series and series != market.series.series:
            self._series.learn(series)
            market.series = self._series.facts(series)
        market.event = event or market.event
        self._apply_event(market)

    def set_event(self, event: EventFacts, at: int, out: list[Message]) -> None:
        """What an event says of its markets, for those that it has and will have."""
        if self._events.get(event.ticker) == event:
            return
        self._events.pop(event.ticker, None)
        self._events[event.ticker] = event
        keep_newest(self._events, EVENTS_MAX)
        for market in self.markets.values():
            if _event_of(market) == event.ticker:
                self._apply_event(market)
                self.announce(market, None, at, out)

    def set_event_fees(self, ticker: str, fees: FeeSchedule | None, at: int, out: list[Message]) -> None:
        """Fees of an event that replace its series'; ``None`` ends them."""
        known = self._events.get(ticker) or EventFacts(ticker, "", exclusive=False, fees=None)
        self.set_event(known._replace(fees=fees), at, out)

    def _apply_event(self, market: KalshiMarket) -> None:
        event = self._events.get(_event_of(market))
        own = event.fees if event is not None else None
        market.fees = own or self._fees.get(market.series.series, STANDARD)
        if event is not None:
            market.group = f"{KALSHI}:{event.ticker}" if event.exclusive else ""

    def set_fees(self, series: str, fees: FeeSchedule, at: int, out: list[Message]) -> None:
        """The fees of a series, for the markets it has and will have."""
        self._series.learn(series)
        if len(self._fees) < MARKETS_MAX:
            self._fees[series] = fees
        for market in self.markets.values():
            if market.series.series == series:
                self._apply_event(market)
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
        out.extend(
            Gap(venue=KALSHI, at=at, reason=clip(reason, 200), instrument=name) for name in instruments
        )

    def show_whole(self, market: KalshiMarket, at: int, out: list[Message]) -> None:
        """Put out both books as snapshots, and the quotes."""
        out.extend(market.books(at, snapshot=True))
        out.extend(market.quotes(at))
        market.pending = False
        market.book_due_at = at + BOOK_INTERVAL_NS

    # ── the life of markets ─────────────────────────────────────────────────────────────────────────

    def announce(
        self,
        market: KalshiMarket,
        status: MarketStatus | None,
        at: int,
        out: list[Message],
        *,
        by_list: bool = False,
    ) -> None:
        """Emit a market's facts if they changed, at the stage of life that event and clock allow."""
        market.reopen(at, status, by_list=by_list)
        if status is not None:
            market.advance(status, at)
        self._follow_clock(market, at)
        self._record_end(market)
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
            if self._following.of_interest(market.series.series):
                self._following.add(market.ticker, market.ends_at)
        elif market.status is MarketStatus.SETTLED or at >= market.close_at + FOLLOWED_AFTER_CLOSE_NS:
            self._following.drop(market.ticker)

    def _follow_clock(self, market: KalshiMarket, at: int) -> None:
        """Open a listed market and close an open one when their time has come."""
        change_at = market.next_change_at()
        if change_at is None or at < change_at:
            return
        if market.close_at and at >= market.close_at:
            market.close_by_clock(at)
        else:
            market.advance(MarketStatus.OPEN, at)

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


def _event_of(market: KalshiMarket) -> str:
    """The event of a market: as told, else what is before its last hyphen."""
    return market.event or market.ticker.rpartition("-")[0]
