"""Orders on their way: states, cancels, look-ups, and the ledger's claim."""

from typing import Annotated, ClassVar

from pydantic import Field

from proto.message import PAYLOAD_BYTES_MAX, Message, Name, Text, Word, token
from proto.units import Nanoseconds, Quantity


class OrderStatus(Word):
    """States of an order. Unknown is a state of its own: never treated as rejected.

    ::

        pending_submit ─▶ submitted ─▶ accepted ─▶ partially_filled ─▶ filled
              │              │  ▲          └─▶ pending_cancel ─▶ canceled | expired
              ▼              ▼  │
            denied         unknown ─▶ any state the venue proves, or rejected when proved absent
    """

    PENDING_SUBMIT = "pending_submit"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    DENIED = "denied"


TERMINAL = (
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
    OrderStatus.DENIED,
)
"""States an order never leaves; only these release its reserved exposure."""


NO_APPROVAL = "no_approval"
"""Reason of an order whose claim is on the tape and whose approval is not: a lost tail took it along. Risk
reserves for it, because it may be at the venue."""


class OrderUpdate(Message):
    """An order changed state. Quantities are totals, not increments."""

    kind: ClassVar[str] = "execution.order"

    order: Name
    status: OrderStatus
    instrument: Name
    market: Name
    strategy: Name
    filled: Quantity = 0
    remaining: Quantity = 0
    reduce_only: bool = False
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Cancel(Message):
    """Execution asks the venue to cancel a working order."""

    kind: ClassVar[str] = "execution.cancel"

    order: Name
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Query(Message):
    """Execution asks the venue what became of an order whose outcome is unknown."""

    kind: ClassVar[str] = "execution.query"

    order: Name

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class RefusalReason(Word):
    """Why an approval was not acted on."""

    SIGNATURE = "signature"
    EXPIRED = "expired"
    REPEATED = "repeated"
    MISMATCH = "mismatch"


class Refusal(Message):
    """Execution did not act on an approval it read; the monitor raises an alert for it."""

    kind: ClassVar[str] = "execution.refusal"

    order: Name
    reason: RefusalReason
    message_id: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Unclaimed(Message):
    """A fact of execution's shell: no claim was made for this order, and none will be.

    Only said when the ledger was read and holds no claim. ``reason``: expired, halted, lagging.
    """

    kind: ClassVar[str] = "execution.unclaimed"

    order: Name
    reason: Text

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


CLAIM_PAYLOAD_BYTES_MAX = PAYLOAD_BYTES_MAX * 3 // 4
"""Of the approval in a claim: what is left is enough for the claim's own fields."""


class Claim(Message):
    """The right to send one order, won once in ``LEDGER``; the broker copies it onto the tape.

    Carries the signed approval as it was received (``approval_subject``, ``message_id``, ``payload``,
    ``signature``, ``key_id``), the id by which the venue can be asked, and the claimant's nonce.
    """

    kind: ClassVar[str] = "ledger.order"

    order: Name
    approval_subject: Text
    message_id: Text
    payload: Annotated[bytes, Field(max_length=CLAIM_PAYLOAD_BYTES_MAX)]
    signature: Text
    key_id: Text
    client_order_id: Name
    nonce: Name
    claimed_at: Nanoseconds

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)
