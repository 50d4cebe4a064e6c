"""Markets, quotes and books as the view shows them."""

from dataclasses import dataclass, field

from libs.bounded import keep_newest
from libs.view import wording
from proto.feed import Book, Level, Market, MarketStatus, Quote, Trade

MARKETS_MAX = 64
"""More than fit on any screen; the oldest goes first."""
INSTRUMENTS_MAX = 512
DEPTH_LEVELS = 5
"""Levels a side that count as depth, as risk counts them."""

_OVER = (MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.SETTLED)


@dataclass(slots=True)
class DisplayedQuotes:
    """What is known of one instrument's prices, in millionths."""

    bid: int | None = None
    ask: int | None = None
    last: int | None = None
    previous: int | None = None
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    @property
    def reference(self) -> int | None:
        """The price of an underlying: its last trade, else the middle of its quote."""
        if self.last is not None:
            return self.last
        if self.bid is not None and self.ask is not None:
            return (self.bid + self.ask) // 2
        return None

    @property
    def depth(self) -> int:
        """Contracts resting in the top levels of both sides."""
        levels = (*self.bids[:DEPTH_LEVELS], *self.asks[:DEPTH_LEVELS])
        return sum(entry.quantity for entry in levels)


@dataclass
class MarketState:
    """All markets that trade, and the prices of their instruments."""

    markets: dict[str, Market] = field(default_factory=dict)
    tops: dict[str, DisplayedQuotes] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def clear(self) -> None:
        """A session opens: the feed lists everything anew."""
        self.markets.clear()
        self.tops.clear()

    def on_market(self, market: Market) -> None:
        """Take a market's newest state; one that is over is forgotten."""
        self.labels.pop(market.market, None)
        self.labels[market.market] = wording.market(market)
        keep_newest(self.labels, INSTRUMENTS_MAX)
        self.markets.pop(market.market, None)
        if market.status not in _OVER:
            self.markets[market.market] = market
            keep_newest(self.markets, MARKETS_MAX)

    def on_quote(self, quote: Quote) -> None:
        """Take a new best bid and ask."""
        tops = self.of(quote.instrument)
        tops.bid, tops.ask = quote.bid, quote.ask

    def on_book(self, book: Book) -> None:
        """Take the top levels."""
        tops = self.of(book.instrument)
        tops.bids, tops.asks = book.bids, book.asks
        tops.bid = book.bids[0].price if book.bids else None
        tops.ask = book.asks[0].price if book.asks else None

    def on_trade(self, trade: Trade) -> None:
        """Take a trade's price; the one before tells the direction."""
        tops = self.of(trade.instrument)
        if trade.price != tops.last:
            tops.previous, tops.last = tops.last, trade.price

    def name(self, instrument: str, width: int) -> str:
        """An instrument for people: its market's name, known also after its end, and the outcome."""
        market, _, outcome = instrument.rpartition(":")
        label = self.labels.get(market)
        if label is None:
            return wording.instrument(instrument, width)
        outcome = wording.clean(outcome).upper()[:8]
        return f"{wording.shorten(label, max(1, width - len(outcome) - 1))} {outcome}"

    def of(self, instrument: str) -> DisplayedQuotes:
        """The prices of an instrument, followed from here on if it is new."""
        tops = self.tops.get(instrument)
        if tops is None:
            keep_newest(self.tops, INSTRUMENTS_MAX - 1)
            tops = self.tops[instrument] = DisplayedQuotes()
        return tops
