"""What is known of one Kalshi market: its facts, its life, and its book as far as it is whole."""

from typing import NamedTuple

from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.fees import STANDARD
from libs.venues.kalshi.market_data.book import BidSide
from libs.venues.kalshi.schemas.amounts import QUANTITY_GRID
from proto.feed import (
    Book,
    Market,
    MarketStatus,
    Outcome,
    PriceStep,
    Quote,
    book_of,
    quote_of,
    to_levels,
)
from proto.units import ONE, SECOND

TITLE_CHARACTERS_MAX = 200
"""Titles are for people; the longest seen is about 120 characters."""

_LINEAR_CENT = (PriceStep(0, 10_000),)
_DECI_CENT = (PriceStep(0, 1_000),)
TAPERED = (PriceStep(0, 1_000), PriceStep(100_000, 10_000), PriceStep(900_000, 1_000))
"""Steps of 0.001 at the edges, 0.01 between."""
STRUCTURES = {"linear_cent": _LINEAR_CENT, "deci_cent": _DECI_CENT, "tapered_deci_cent": TAPERED}
"""Price steps by ``price_level_structure``."""
SETTLEMENT_AVERAGE_S = 60
"""Bitcoin markets are decided by the mean of the index over their last minute."""


class Series(NamedTuple):
    """What a series' rules say of all its markets; times in seconds."""

    underlying: str = ""
    settlement_average_s: int = 0
    window_s: int = 0
    price_steps: tuple[PriceStep, ...] = _LINEAR_CENT


def series_of(ticker: str) -> Series:
    """Facts of the series a ticker belongs to; ``KXBTC15M-…`` opens every 15 minutes."""
    name = ticker.partition("-")[0]
    if not name.startswith("KXBTC"):
        return Series()
    minutes = name.removeprefix("KXBTC").removesuffix("M")
    if not (name.endswith("M") and minutes.isdecimal() and len(minutes) <= 3):
        return Series("coinbase:BTC-USD", SETTLEMENT_AVERAGE_S)
    return Series("coinbase:BTC-USD", SETTLEMENT_AVERAGE_S, 60 * int(minutes), TAPERED)


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


class KalshiMarket:
    """One market and its book. ``whole``: the book is built from a snapshot and every delta since."""

    __slots__ = (
        "book_due_at",
        "close_at",
        "counter",
        "differs_since",
        "fees",
        "gapped",
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
        "shown",
        "sid",
        "status",
        "strike",
        "ticker",
        "title",
        "told",
        "whole",
        "yes",
        "yes_instrument",
    )

    def __init__(self, ticker: str) -> None:
        self.ticker = ticker
        self.market = f"{KALSHI}:{ticker}"
        self.yes_instrument = f"{self.market}:yes"
        self.no_instrument = f"{self.market}:no"
        self.series = series_of(ticker)
        self.price_steps = self.series.price_steps
        self.title = ""
        self.status: MarketStatus | None = None
        self.strike: int | None = None
        self.open_at = 0
        self.close_at = 0
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

    def advance(self, status: MarketStatus) -> None:
        """Go to a later (or equal) stage of life; an earlier one is ignored."""
        if self.status is None or _RANK[status] >= _RANK[self.status]:
            self.status = status

    def set_close(self, close_at: int) -> None:
        """Set the close; the open follows from the series' window where it was not given."""
        self.close_at = close_at
        if not self.open_at and self.series.window_s:
            self.open_at = max(0, close_at - self.series.window_s * SECOND)

    def set_title(self, title: str) -> None:
        """Keep a printable, short title: it ends in terminals and rows."""
        self.title = "".join(c for c in title if c.isprintable())[:TITLE_CHARACTERS_MAX]

    def next_change_at(self) -> int | None:
        """When the clock alone opens or closes this market; ``None`` when it does not."""
        if self.status is MarketStatus.LISTED and self.open_at:
            return self.open_at
        if self.status in (MarketStatus.LISTED, MarketStatus.OPEN, MarketStatus.PAUSED) and self.close_at:
            return self.close_at
        return None

    def over(self, at: int) -> bool:
        """Whether the market has stopped trading for good."""
        closed = self.status is not None and _RANK[self.status] >= _RANK[MarketStatus.CLOSED]
        return closed or bool(self.close_at and at >= self.close_at)

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
        return Market(
            market=self.market,
            venue=KALSHI,
            at=at,
            status=self.status or MarketStatus.OPEN,
            outcomes=(Outcome("yes", self.yes_instrument), Outcome("no", self.no_instrument)),
            title=self.title,
            underlying=self.series.underlying,
            strike=self.strike,
            open_at=self.open_at,
            close_at=self.close_at,
            settlement_average_s=self.series.settlement_average_s,
            price_steps=self.price_steps,
            quantity_step=QUANTITY_GRID,
            quantity_min=QUANTITY_GRID,
            fees=self.fees,
            result=self.result,
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
