"""What the feed puts on the tape: prices, trades and markets, as the venues show them.

Instruments are named ``{venue}:{market ticker}:{outcome}`` (``kalshi:KXBTC15M-26MAY131800-00:yes``),
or ``{venue}:{symbol}`` for a reference price (``coinbase:BTC-USD``). Markets are
``{venue}:{market ticker}``.
"""

from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from proto.message import Integer, Message, Name, Record, Rows, Text, Word, token
from proto.units import Nanoseconds, Price, Quantity

BOOK_LEVELS_MAX = 10
"""Levels a side in a book message: risk looks at the top five, the queue model a little deeper."""
EXPONENT_MAX = 8
"""Polymarket has used 1 and 2; a bound keeps the integers of a fee small."""


class Side(Word):
    """Side of an order or of the aggressor of a trade."""

    BUY = "buy"
    SELL = "sell"


class MarketStatus(Word):
    """Life of a market, in the order it is lived."""

    LISTED = "listed"
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"
    DETERMINED = "determined"
    DISPUTED = "disputed"
    SETTLED = "settled"


class Level(NamedTuple):
    """One price level of a book: price and the quantity resting there."""

    price: Price
    quantity: Quantity


class Quote(Message):
    """The best bid and ask of one instrument changed. A missing side is ``None``.

    ``counter`` goes up by one for each Quote or Book of the instrument; a jump means lost messages.
    """

    kind: ClassVar[str] = "feed.quote"

    instrument: Name
    at: Nanoseconds
    counter: Integer
    bid: Price | None = None
    bid_size: Quantity = 0
    ask: Price | None = None
    ask_size: Quantity = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.instrument),)


class Book(Message):
    """The top levels of one instrument, best first: bids falling, asks rising in price.

    ``snapshot`` marks the first book after a start, a reconnect or a gap: it heals a gapped book and
    may restart the counter. Every Book is complete for the levels it carries.
    """

    kind: ClassVar[str] = "feed.book"

    instrument: Name
    at: Nanoseconds
    counter: Integer
    bids: Rows[Level] = ()
    asks: Rows[Level] = ()
    snapshot: bool = False

    def key(self) -> tuple[str, ...]:
        return (token(self.instrument),)


class Trade(Message):
    """A trade the venue reported. ``aggressor`` is the side that took liquidity, if known."""

    kind: ClassVar[str] = "feed.trade"

    instrument: Name
    at: Nanoseconds
    trade_id: Name
    price: Price
    quantity: Quantity
    aggressor: Side | None = None

    def key(self) -> tuple[str, ...]:
        return (token(self.instrument),)


class Candle(Message):
    """A closed candle as the venue counts it: history at the start, then each as it closes.

    It covers ``interval_s`` from ``start_at``: first, highest, lowest and last price, and the volume in
    millionths of a coin. ``at`` is when we got it, so history is older than its message.
    """

    kind: ClassVar[str] = "feed.candle"

    instrument: Name
    at: Nanoseconds
    start_at: Nanoseconds
    interval_s: Integer
    first: Price
    high: Price
    low: Price
    last: Price
    volume: Quantity = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.instrument),)


class PriceStep(NamedTuple):
    """From ``start`` (inclusive) upwards valid prices are multiples of ``step``."""

    start: Price
    step: Price


class Outcome(NamedTuple):
    """One outcome of a market and the instrument that pays 1 if it happens."""

    name: Name
    instrument: Name


Exponent = Annotated[int, Field(title="Exponent", ge=0, le=EXPONENT_MAX)]
"""How fast a fee falls towards the edges of the price range."""


class FeeSchedule(Record):
    """The venue's fee for a market: ``model`` names the formula, rates are in millionths.

    ``kalshi_quadratic``: rate * contracts * price * (1 - price); ``polymarket``: rate * contracts *
    (price * (1 - price)) ** exponent; see ``libs/exchange/fees.py``.
    """

    model: Name = "none"
    taker_rate: Price = 0
    maker_rate: Price = 0
    exponent: Exponent = 1


class Market(Message):
    """A market as it stands: listing, status, strike and times, and at the end its result.

    Every message is complete: the newest one replaces the earlier ones.
    ``strike`` is the underlying's price that decides an up-or-down market, in millionths of a dollar.
    ``settlement_average_s``: the result compares the mean of the underlying over that many seconds
    before ``close_at`` with the strike (Kalshi: 60). ``group`` ties markets of which at most one pays.
    """

    kind: ClassVar[str] = "feed.market"

    market: Name
    venue: Name
    at: Nanoseconds
    status: MarketStatus
    outcomes: Rows[Outcome] = ()
    title: Text = ""
    underlying: Text = ""
    strike: Price | None = None
    open_at: Nanoseconds = 0
    close_at: Nanoseconds = 0
    settlement_average_s: Integer = 0
    price_steps: Rows[PriceStep] = ()
    quantity_step: Quantity = 0
    fees: FeeSchedule = FeeSchedule()
    group: Text = ""
    result: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.market),)


class Gap(Message):
    """The feed lost continuity for an instrument (or, when empty, for the whole venue).

    Until a Book with ``snapshot`` follows, the book is not traded on.
    """

    kind: ClassVar[str] = "feed.gap"

    venue: Name
    at: Nanoseconds
    reason: Text
    instrument: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.venue),)


class FeedClock(Message):
    """Recorded time passes: the clock of a played session, once a recorded second."""

    kind: ClassVar[str] = "feed.clock"

    at: Nanoseconds


class Played(Message):
    """A recording has been played to its end: ``frames`` raw frames, ``dead`` of them unreadable."""

    kind: ClassVar[str] = "feed.played"

    recording: Text
    at: Nanoseconds
    frames: Integer
    dead: Integer = 0
