"""Facts from venues, put on the tape by gateways and by the paper venue."""

from enum import StrEnum
from typing import ClassVar

from proto.feed import Side
from proto.message import Message, Name, Text, token
from proto.units import Money, Nanoseconds, Price, Quantity


class AckStatus(StrEnum):
    """What the venue said about an order."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Ack(Message, frozen=True, kw_only=True, gc=False):
    """The venue answered for an order. ``remaining`` is what still rests there afterwards."""

    kind: ClassVar[str] = "venue.ack"

    order: Name
    status: AckStatus
    remaining: Quantity = 0
    venue_order_id: Text = ""
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Fill(Message, frozen=True, kw_only=True, gc=False):
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


class Settlement(Message, frozen=True, kw_only=True, gc=False):
    """The venue paid an instrument out at ``price`` a contract (1 or 0; 0.5 for a void)."""

    kind: ClassVar[str] = "venue.settlement"

    settlement_id: Name
    market: Name
    instrument: Name
    price: Price
    at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.market),)


class Correction(Message, frozen=True, kw_only=True, gc=False):
    """The venue took a fill back (matched, then failed to settle): undo it exactly."""

    kind: ClassVar[str] = "venue.correction"

    correction_id: Name
    fill_id: Name
    order: Name
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Account(Message, frozen=True, kw_only=True, gc=False):
    """Money moved in (positive) or out (negative) of an account at a venue."""

    kind: ClassVar[str] = "venue.account"

    account_id: Name
    venue: Name
    deposit: Money
    at: Nanoseconds = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.venue),)


class StatusReport(Message, frozen=True, kw_only=True, gc=False):
    """The answer to a look-up. ``found=False`` is proof of absence: the order never will exist."""

    kind: ClassVar[str] = "venue.status"

    order: Name
    found: bool
    status: AckStatus | None = None
    filled: Quantity = 0
    remaining: Quantity = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)
