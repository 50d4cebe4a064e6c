"""What the feed puts on the tape: prices, trades and markets, as the venues show them.

Instruments are named ``{venue}:{market ticker}:{outcome}`` (``kalshi:KXBTC15M-26MAY131800-00:yes``),
or ``{venue}:{symbol}`` for a reference price (``coinbase:BTC-USD``). Markets are
``{venue}:{market ticker}``.
"""

from collections.abc import Iterable
from functools import partial
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from proto.message import Integer, Message, Name, Record, Rows, Text, Word, token, unchecked
from proto.units import Money, Nanoseconds, Price, Quantity

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


quote_of = unchecked(Quote)
"""A Quote of values already within bounds, in a third of the time."""
book_of = unchecked(Book)
"""A Book of values already within bounds, in a tenth of the time."""
_level_of = partial(tuple.__new__, Level)


def to_levels(pairs: Iterable[tuple[int, int]]) -> tuple[Level, ...]:
    """Levels of pairs of price and quantity."""
    return tuple(map(_level_of, pairs))


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


DECIMALS_MAX = 18
"""More than any venue shows; the figures themselves stay within 64 bits."""
Decimals = Annotated[int, Field(title="Decimals", ge=0, le=DECIMALS_MAX)]
"""How many of a figure's digits stand behind the point."""
TAKER_DELAY_MS_MAX = 60_000
"""A minute; venues have used one and three seconds."""
Milliseconds = Annotated[int, Field(title="Milliseconds", ge=0, le=TAKER_DELAY_MS_MAX)]
"""A short time."""


class FeeSchedule(Record):
    """The venue's fee for a market: ``model`` names the formula, rates are in millionths.

    ``kalshi_quadratic``: rate * contracts * price * (1 - price); ``polymarket``: rate * contracts *
    (price * (1 - price)) ** exponent; see ``libs/exchange/fees.py``.
    """

    model: Name = "none"
    taker_rate: Price = 0
    maker_rate: Price = 0
    exponent: Exponent = 1


class Payoff(Word):
    """What makes a market's first outcome (yes, up) pay. ``floor`` and ``cap`` of the market are its bounds."""

    UNKNOWN = "unknown"
    """Nobody has said, or in words that we do not know: no strategy prices it by an underlying."""
    ABOVE = "above"
    """The underlying ends above the floor; ``floor_included`` says whether at the floor as well."""
    BELOW = "below"
    """The underlying ends below the cap; ``cap_included`` says whether at the cap as well."""
    BETWEEN = "between"
    """The underlying ends from the floor to the cap; the two flags say which bounds belong to it."""
    TOUCH = "touch"
    """The underlying reaches a bound at any time before the end."""
    EVENT = "event"
    """Something happens, or somebody wins: no figure decides."""


class Answer(Word):
    """What is said about the result while it is not final. It does not end trading: the venue does."""

    NONE = "none"
    PROPOSED = "proposed"
    DISPUTED = "disputed"


class InstrumentKind(Word):
    """What the instruments of a market are."""

    OUTCOME = "outcome"
    """Pays 0 to 1 once the market is decided."""
    SPOT = "spot"
    """A coin, share or currency: any positive price, no end."""


class Market(Message):
    """A market as it stands: listing, status, payoff and times, and at the end its result.

    Every message is complete: the newest one replaces the earlier ones. ``group`` ties markets of which at
    most one pays.

    Payoff: ``floor`` and ``cap`` are figures of the underlying with ``figure_decimals`` decimals (6: in
    millionths), negative ones included. ``strike`` is the floor of an up-or-down market in millionths of a
    dollar, where it fits. ``settlement_average_s``: the result compares the mean of the underlying over that
    many seconds before the end with the bounds (Kalshi's crypto: 60).

    Times: ``close_at`` is the latest moment at which trading ends by itself, ``expected_end_at`` when the
    answer is expected (a game's end: hours or days before the latest close), ``ended_at`` when the venue did
    end trading. 0: not known, and for ``ended_at`` not ended. ``clears_at``: the venue cancels all that rests then,
    because the event begins; trading goes on. 0: it does not, or has.

    Orders: ``quantity_min`` is the least a resting order may have, ``taker_notional_min`` the least value of
    one that trades at once, ``taker_delay_ms`` how long the venue holds such an order back.

    Result: ``payout`` is what the first of two outcomes pays, once that is decided and neither 0 nor 1 follows
    from ``result``; the second pays the rest of 1. ``payout_floor`` is the least that the first outcome gets.

    ``price_decimals``: decimals of prices and of quotes of a spot instrument; outcomes always have 6.
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
    instrument_kind: InstrumentKind = InstrumentKind.OUTCOME
    payoff: Payoff = Payoff.UNKNOWN
    floor: Integer | None = None
    cap: Integer | None = None
    floor_included: bool = True
    cap_included: bool = False
    figure_decimals: Decimals = 6
    price_decimals: Decimals = 6
    expected_end_at: Nanoseconds = 0
    ended_at: Nanoseconds = 0
    answer: Answer = Answer.NONE
    quantity_min: Quantity = 0
    taker_notional_min: Money = 0
    taker_delay_ms: Milliseconds = 0
    payout: Price | None = None
    payout_floor: Price = 0
    clears_at: Nanoseconds = 0

    @property
    def ends_at(self) -> Nanoseconds:
        """When trading is expected to end: at the latest close, or before it, with the answer.

        0 without a close: such a market trades until its venue ends it, also past an expected end.
        """
        return min(self.close_at, self.expected_end_at or self.close_at)

    @property
    def decided_at(self) -> Nanoseconds:
        """When the answer is expected: with the end of trading, or where no close is known at the expected end.

        0: not known.
        """
        return self.ends_at or self.expected_end_at

    def key(self) -> tuple[str, ...]:
        return (token(self.market),)


class News(Message):
    """An item of a news feed, as it was published: somebody's words, for models to weigh, never an instruction.

    ``item`` is known by the feed's own id; ``published_at`` is 0 where the feed does not say.
    """

    kind: ClassVar[str] = "feed.news"

    source: Name
    item: Name
    title: Text
    at: Nanoseconds
    summary: Text = ""
    address: Text = ""
    published_at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.source),)


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
