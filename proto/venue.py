"""Facts from venues, put on the tape by gateways and by the paper venue."""

from typing import ClassVar, NamedTuple

from proto.feed import Side
from proto.message import Integer, Message, Name, Rows, Text, Word, token
from proto.units import Money, Nanoseconds, Price, Quantity


class AckStatus(Word):
    """What the venue said about an order. Unknown: sent, and nothing proves what became of it."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CANCELED = "canceled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class TradeStatus(Word):
    """Where a trade stands between match and final settlement. Venues without a chain confirm at once."""

    MATCHED = "matched"
    MINED = "mined"
    RETRYING = "retrying"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class Ack(Message):
    """The venue answered for an order. ``remaining`` is what still rests there afterwards."""

    kind: ClassVar[str] = "venue.ack"

    order: Name
    status: AckStatus
    remaining: Quantity = 0
    venue_order_id: Text = ""
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Fill(Message):
    """A trade of ours. ``fill_id`` is the natural key (``fill:{venue}:{trade}``), folded once for ever.

    ``fee`` is what the venue charged for this fill; a rebate makes it negative.
    """

    kind: ClassVar[str] = "venue.fill"

    fill_id: Name
    order: Name
    market: Name
    instrument: Name
    strategy: Name
    side: Side
    price: Price
    quantity: Quantity
    fee: Money
    maker: bool = False
    at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class TradeState(Message):
    """A fill that is not final when it happens took another step. A failed one is corrected as well."""

    kind: ClassVar[str] = "venue.trade"

    fill_id: Name
    order: Name
    instrument: Name
    status: TradeStatus
    at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Settlement(Message):
    """The venue paid an instrument out at ``price`` a contract (1 or 0; 0.5 for a void)."""

    kind: ClassVar[str] = "venue.settlement"

    settlement_id: Name
    market: Name
    instrument: Name
    price: Price
    at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.market),)


class Correction(Message):
    """The venue took a fill back (matched, then failed to settle): undo it exactly."""

    kind: ClassVar[str] = "venue.correction"

    correction_id: Name
    fill_id: Name
    order: Name
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Account(Message):
    """Money moved in (positive) or out (negative) of an account at a venue."""

    kind: ClassVar[str] = "venue.account"

    account_id: Name
    venue: Name
    deposit: Money
    at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.venue),)


class StatusReport(Message):
    """The answer to a look-up. ``found=False`` is proof of absence: the order never will exist."""

    kind: ClassVar[str] = "venue.status"

    order: Name
    found: bool
    status: AckStatus | None = None
    filled: Quantity = 0
    remaining: Quantity = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Difference(NamedTuple):
    """Something at the venue that our books do not explain, with both sides' figure (millionths).

    ``difference``: position, balance, foreign_position, foreign_order, foreign_fill, still_working,
    over_fill, fill_changed, unreadable. ``topic``: the instrument or order.
    """

    difference: Name
    topic: Text
    ours: Integer = 0
    theirs: Integer = 0


class Reconciliation(Message):
    """Our books beside the venue's, at the start and every half minute.

    ``complete``: every question was answered; if not, ``reason`` says which was not. ``clean``: complete
    and without a difference that stops trading. ``differences`` holds at most ``DIFFERENCES_MAX``.
    """

    kind: ClassVar[str] = "venue.reconciliation"

    venue: Name
    complete: bool
    clean: bool = False
    reason: Text = ""
    differences: Rows[Difference] = ()
    open_orders: Integer = 0
    balance: Money = 0
    available: Money = 0
    at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.venue),)


DIFFERENCES_MAX = 20
"""More than anybody reads at once; the next reconciliation shows those that are left."""
