"""What is known of one Kalshi market: its facts, its life, and its book as far as it is whole."""

from dataclasses import dataclass

from libs.bounded import cut
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.fees import STANDARD
from libs.venues.kalshi.market_data.book import BidSide
from libs.venues.kalshi.market_data.grids import structure_steps
from libs.venues.kalshi.market_data.payoff import (
    FIGURE_DECIMALS,
    NEEDS_CAP,
    NEEDS_FLOOR,
    TERMS,
    UNKNOWN,
    Strikes,
    Terms,
    price_of,
)
from libs.venues.kalshi.schemas.amounts import QUANTITY_GRID
from libs.venues.kalshi.series import SeriesFacts
from proto.feed import (
    Answer,
    Book,
    Market,
    MarketStatus,
    Outcome,
    Payoff,
    Quote,
    book_of,
    quote_of,
    to_levels,
)
from proto.units import ONE, SECOND

TITLE_CHARACTERS_MAX = 200
"""Titles are for people; the longest seen is about 120 characters."""


@dataclass(frozen=True)
class Figures:
    """The bounds of a payoff as whole numbers of their last decimal."""

    floor: int | None
    cap: int | None
    decimals: int


# A market only moves forward in its life; between equals it may go back and forth.
_RANK = {
    MarketStatus.LISTED: 0,
    MarketStatus.OPEN: 1,
    MarketStatus.PAUSED: 1,
    MarketStatus.CLOSED: 2,
    MarketStatus.DETERMINED: 3,
    MarketStatus.DISPUTED: 3,
    MarketStatus.SETTLED: 4,
}

_ANSWERS = {MarketStatus.DETERMINED: Answer.PROPOSED, MarketStatus.DISPUTED: Answer.DISPUTED}
"""A result that is determined may be disputed and amended until the market is settled."""
LIST_AGE_MAX_NS = 60 * SECOND
"""No list is so old when it is read: the venue keeps copies for 15 s, and a question waits for seconds."""


class KalshiMarket:
    """One market and its book. ``whole``: the book is built from a snapshot and every delta since."""

    __slots__ = (
        "before_close",
        "book_due_at",
        "close_at",
        "closed_since",
        "counter",
        "differs_since",
        "ended_at",
        "event",
        "expected_end_at",
        "fees",
        "gapped",
        "group",
        "market",
        "no",
        "no_instrument",
        "open_at",
        "payout",
        "payout_floor",
        "pending",
        "polled",
        "price_steps",
        "result",
        "series",
        "shortened_at",
        "shown",
        "sid",
        "status",
        "strikes",
        "ticker",
        "title",
        "told",
        "whole",
        "yes",
        "yes_instrument",
    )

    def __init__(self, ticker: str, series: SeriesFacts) -> None:
        self.ticker = ticker
        self.market = f"{KALSHI}:{ticker}"
        self.yes_instrument = f"{self.market}:yes"
        self.no_instrument = f"{self.market}:no"
        self.series = series
        self.price_steps = structure_steps(series.grid)
        self.event = ""
        self.group = ""
        self.title = ""
        self.status: MarketStatus | None = None
        self.strikes = Strikes()
        self.open_at = 0
        self.close_at = 0
        self.expected_end_at = 0
        self.ended_at = 0
        # The stage before our clock closed it, and since when the venue calls it closed.
        self.before_close: MarketStatus | None = None
        self.closed_since = 0
        # When the socket last told an earlier close.
        self.shortened_at = 0
        self.result = ""
        self.payout: int | None = None
        self.payout_floor = 0
        self.sid = 0
        self.yes = BidSide()
        self.no = BidSide()
        self.whole = False
        self.gapped = False
        # Whether the book came by REST: it cannot be continued with changes.
        self.polled = False
        self.fees = STANDARD
        self.counter = 0
        self.pending = False
        # Since when the venue's ticker says other best prices than a whole book.
        self.differs_since = 0
        self.book_due_at = 0
        # Last book levels and facts put out, to say nothing twice.
        self.shown: tuple[object, ...] = ()
        self.told: Market | None = None

    def advance(self, status: MarketStatus, at: int) -> None:
        """Go to a later (or equal) stage of life; an earlier one is ignored."""
        if self.status is None or _RANK[status] >= _RANK[self.status]:
            self.status = status
        if self.is_closed and not self.ended_at:
            self.ended_at = min(at, self.close_at or at)
            self.closed_since = at

    def close_by_clock(self, at: int) -> None:
        """The close that was told has come; the venue may still tell a later one."""
        self.before_close = self.status
        self.advance(MarketStatus.CLOSED, at)

    def reopen(self, at: int, told: MarketStatus | None, *, by_list: bool) -> None:
        """Believe that a closed market goes on: its close is ahead again, or the venue calls it active.

        A list may be older than what the socket told, so it contradicts only our clock and a close that is
        older than any list.
        """
        if self.status is not MarketStatus.CLOSED or self.close_at <= at:
            return
        if self.before_close is not None:
            self.status = self.before_close
        elif told is MarketStatus.OPEN and (not by_list or at - self.closed_since >= LIST_AGE_MAX_NS):
            self.status = MarketStatus.OPEN
        else:
            return
        self.before_close = None
        self.ended_at = self.closed_since = 0

    @property
    def is_closed(self) -> bool:
        """Whether trading has ended, by the clock or by the venue's word."""
        return self.status is not None and _RANK[self.status] >= _RANK[MarketStatus.CLOSED]

    def set_close(self, close_at: int) -> None:
        """Set the close; the open follows from the series' window where it was not given."""
        self.close_at = close_at
        if not self.open_at and self.series.window_s:
            self.open_at = max(0, close_at - self.series.window_s * SECOND)

    def move_close(self, close_at: int, at: int) -> None:
        """Set the close as the socket tells it."""
        if close_at < self.close_at:
            self.shortened_at = at
        self.set_close(close_at)

    def list_close(self, close_at: int, at: int) -> None:
        """Set the close as a list tells it, which may be from before the socket told an earlier one."""
        is_behind = self.shortened_at and at - self.shortened_at < LIST_AGE_MAX_NS
        if close_at <= self.close_at or not is_behind:
            self.set_close(close_at)

    def set_title(self, title: str) -> None:
        """Keep a printable, short title: it ends in terminals and rows."""
        self.title = cut("".join(c for c in title if c.isprintable()), TITLE_CHARACTERS_MAX)

    def next_change_at(self) -> int | None:
        """When the clock alone opens or closes this market; ``None`` when it does not."""
        if self.status is MarketStatus.LISTED and self.open_at:
            return self.open_at
        if self.status in (MarketStatus.LISTED, MarketStatus.OPEN, MarketStatus.PAUSED) and self.close_at:
            return self.close_at
        return None

    def over(self, at: int) -> bool:
        """Whether the market has stopped trading for good."""
        return self.is_closed or bool(self.close_at and at >= self.close_at)

    @property
    def terms(self) -> Terms:
        """How the market is decided: as its series' row says, else as its strike type does."""
        word = self.series.payoff
        told = TERMS.get(self.strikes.kind, UNKNOWN)
        if word == "told":
            return told
        payoff = Payoff(word)
        return told if told.payoff is payoff else Terms(payoff)

    @property
    def ends_at(self) -> int:
        """When trading is expected to end, by what is known; 0 when nothing is."""
        known = [moment for moment in (self.expected_end_at, self.close_at) if moment]
        return min(known, default=0)

    def figures(self, terms: Terms) -> Figures:
        """The bounds with as many decimals as they need."""
        floor, cap = self.strikes.floor, self.strikes.cap
        floor = floor if terms.payoff is not Payoff.BELOW else None
        cap = cap if terms.payoff is not Payoff.ABOVE else None
        decimals = max([FIGURE_DECIMALS, *(f.decimals for f in (floor, cap) if f is not None)])
        return Figures(
            None if floor is None else floor.scaled(decimals),
            None if cap is None else cap.scaled(decimals),
            decimals,
        )

    def payoff(self, terms: Terms) -> Payoff:
        """The payoff as far as it may be priced: unknown while a bound that it needs is not told."""
        no_floor = terms.payoff in NEEDS_FLOOR and self.strikes.floor is None
        no_cap = terms.payoff in NEEDS_CAP and self.strikes.cap is None
        # An up-or-down window has its floor only from its opening on.
        waits = no_floor and terms.payoff is Payoff.ABOVE
        return Payoff.UNKNOWN if (no_floor or no_cap) and not waits else terms.payoff

    def drop_book(self) -> None:
        """Forget the book: what it held is not true any more."""
        self.yes.replace({})
        self.no.replace({})
        self.whole = False
        self.polled = False
        self.pending = False
        self.differs_since = 0

    def facts(self, at: int) -> Market:
        """The complete market message."""
        terms = self.terms
        figures = self.figures(terms)
        return Market(
            market=self.market,
            venue=KALSHI,
            at=at,
            status=self.status or MarketStatus.OPEN,
            outcomes=(Outcome("yes", self.yes_instrument), Outcome("no", self.no_instrument)),
            title=self.title,
            underlying=self.series.underlying,
            strike=price_of(self.strikes.floor) if terms.payoff is Payoff.ABOVE else None,
            open_at=self.open_at,
            close_at=self.close_at,
            settlement_average_s=self.series.average_s,
            price_steps=self.price_steps,
            quantity_step=QUANTITY_GRID,
            fees=self.fees,
            group=self.group,
            result=self.result,
            payoff=self.payoff(terms),
            floor=figures.floor,
            cap=figures.cap,
            floor_included=terms.floor_included,
            cap_included=terms.cap_included,
            figure_decimals=figures.decimals,
            expected_end_at=self.expected_end_at,
            ended_at=self.ended_at,
            answer=_ANSWERS.get(self.status, Answer.NONE) if self.status else Answer.NONE,
            quantity_min=QUANTITY_GRID,
            payout=self.payout,
            payout_floor=self.payout_floor,
        )

    def quotes(self, at: int) -> tuple[Quote, Quote]:
        """Best prices of both instruments: an ask is one minus the other outcome's best bid."""
        self.counter += 1
        yes, no = self.yes.best, self.no.best
        yes_size, no_size = self.yes.best_quantity(), self.no.best_quantity()
        yes_bid, yes_ask = yes or None, ONE - no if no else None
        no_bid, no_ask = no or None, ONE - yes if yes else None
        return (
            quote_of(
                instrument=self.yes_instrument,
                at=at,
                counter=self.counter,
                bid=yes_bid,
                bid_size=yes_size,
                ask=yes_ask,
                ask_size=no_size,
            ),
            quote_of(
                instrument=self.no_instrument,
                at=at,
                counter=self.counter,
                bid=no_bid,
                bid_size=no_size,
                ask=no_ask,
                ask_size=yes_size,
            ),
        )

    def books(self, at: int, snapshot: bool) -> tuple[Book, ...]:
        """The top levels of both instruments; nothing if the last ones still hold."""
        yes = [(p, self.yes.levels[p]) for p in self.yes.top()]
        no = [(p, self.no.levels[p]) for p in self.no.top()]
        shown = (*yes, None, *no)
        if shown == self.shown and not snapshot:
            return ()
        self.shown = shown
        self.counter += 1
        return (
            book_of(
                instrument=self.yes_instrument,
                at=at,
                counter=self.counter,
                bids=to_levels(yes),
                asks=to_levels([(ONE - p, q) for p, q in no]),
                snapshot=snapshot,
            ),
            book_of(
                instrument=self.no_instrument,
                at=at,
                counter=self.counter,
                bids=to_levels(no),
                asks=to_levels([(ONE - p, q) for p, q in yes]),
                snapshot=snapshot,
            ),
        )
