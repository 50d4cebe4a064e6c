"""What execution remembers of an order, and which state may follow which."""

from enum import StrEnum

from msgspec import Struct

from libs.machine.machine import Stamp
from proto.execution import OrderStatus, OrderUpdate
from proto.risk import Approval, TimeInForce
from proto.units import as_quantity
from proto.venue import AckStatus

S = OrderStatus

TRANSITIONS: dict[OrderStatus, tuple[OrderStatus, ...]] = {
    # A venue's answer may reach the tape before the broker's copy of the claim: it proves the claim.
    S.PENDING_SUBMIT: (
        S.SUBMITTED,
        S.UNKNOWN,
        S.ACCEPTED,
        S.PARTIALLY_FILLED,
        S.FILLED,
        S.CANCELED,
        S.EXPIRED,
        S.REJECTED,
        S.DENIED,
    ),
    S.SUBMITTED: (
        S.UNKNOWN,
        S.ACCEPTED,
        S.PARTIALLY_FILLED,
        S.FILLED,
        S.CANCELED,
        S.EXPIRED,
        S.REJECTED,
    ),
    S.UNKNOWN: (S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED),
    S.ACCEPTED: (S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED),
    S.PARTIALLY_FILLED: (S.PENDING_CANCEL, S.FILLED, S.CANCELED, S.EXPIRED),
    S.PENDING_CANCEL: (S.FILLED, S.CANCELED, S.EXPIRED),
    S.FILLED: (),
    S.CANCELED: (),
    S.EXPIRED: (),
    S.REJECTED: (),
    S.DENIED: (),
}
"""Every transition an order can make; any other is ignored and counted."""

ENDINGS: dict[AckStatus, OrderStatus] = {
    AckStatus.CANCELED: OrderStatus.CANCELED,
    AckStatus.EXPIRED: OrderStatus.EXPIRED,
    AckStatus.REJECTED: OrderStatus.REJECTED,
}
"""The final state for each final status a venue reports."""

WORKING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
"""States in which the venue is known to hold the order and no cancel is under way."""


class Admission(StrEnum):
    """Which new orders execution lets through."""

    OPEN = "open"
    CLOSE_ONLY = "close_only"
    HALTED = "halted"

    def may_submit(self, reduce_only: bool) -> bool:
        """Whether an order, reduce-only or not, may still be sent."""
        return self is Admission.OPEN or (self is Admission.CLOSE_ONLY and reduce_only)


class TrackedOrder(Struct):
    """An order from its approval until it is forgotten.

    ``traded`` is every fill, ``undone`` what corrections took back of it. ``since`` is when the present
    status began, ``asked_at`` when the venue was last asked (tape time). ``cancel_reason`` is set when
    the order is to be cancelled but the venue may not know it yet. ``asks`` counts the queries about an
    order whose request had no usable answer: the first at once, each later one after a longer wait.
    """

    order: str
    message_id: str
    strategy: str
    market: str
    instrument: str
    quantity: int
    expires_at: int
    time_in_force: TimeInForce
    reduce_only: bool
    status: OrderStatus
    since: int
    asked_at: int = 0
    asks: int = 0
    venue_order_id: str = ""
    traded: int = 0
    undone: int = 0
    claimed: bool = False
    cancel_reason: str = ""
    fills: dict[str, int] = {}
    voided: dict[str, int] = {}

    @property
    def filled(self) -> int:
        """The quantity that we hold of it: fills less corrections."""
        return self.traded - self.undone

    @property
    def remaining(self) -> int:
        """The quantity that has not traded; a correction does not put it back into the market."""
        return max(0, self.quantity - self.traded)

    @property
    def is_immediate(self) -> bool:
        """Whether it ends at once by its time in force."""
        return self.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)


class AwaitingClaim(Struct, frozen=True, gc=False):
    """An approved order that the shell has to claim, or has to prove that nobody claimed it.

    ``message_id`` is the approval's. ``cancel_reason`` is not empty when it should rather not be sent.
    """

    order: str
    message_id: str
    expires_at: int
    reduce_only: bool
    cancel_reason: str


def track_order(approval: Approval, stamp: Stamp) -> TrackedOrder:
    """Make the record of a new approval."""
    return TrackedOrder(
        order=approval.order,
        message_id=stamp.message_id,
        strategy=approval.strategy,
        market=approval.market,
        instrument=approval.instrument,
        quantity=approval.quantity,
        expires_at=approval.expires_at,
        time_in_force=approval.time_in_force,
        reduce_only=approval.reduce_only,
        status=OrderStatus.PENDING_SUBMIT,
        since=stamp.now,
    )


def update_of(tracked: TrackedOrder, reason: str = "") -> OrderUpdate:
    """Make the message that says how an order stands."""
    return OrderUpdate(
        order=tracked.order,
        status=tracked.status,
        instrument=tracked.instrument,
        market=tracked.market,
        strategy=tracked.strategy,
        filled=as_quantity(tracked.filled),
        remaining=as_quantity(tracked.remaining),
        reduce_only=tracked.reduce_only,
        reason=reason,
    )
