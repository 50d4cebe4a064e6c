"""Orders as a list: those that wait for the operator, and what became of every other."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from libs.lists.reading import Entry
from libs.view.check_words import check_words
from libs.view.names import short_id
from libs.view.wording import reason
from proto.execution import TERMINAL, OrderUpdate, Refusal
from proto.message import Message
from proto.risk import Approval, Check, Pending, Rejection
from proto.units import ONE, notional
from proto.venue import Fill

KINDS: tuple[type[Message], ...] = (Pending, Approval, Rejection, OrderUpdate, Refusal, Fill)
PENDING = "pending"
"""Status of an order that waits for the operator."""
_OVER = {status.value for status in TERMINAL} | {"approved by you", "denied", "lapsed"}


@dataclass(slots=True)
class OrderRow:
    """One order. Prices and quantities are in millionths; ``at`` is when the tape first told of it."""

    order: str
    seq: int
    at: int
    strategy: str = ""
    market: str = ""
    instrument: str = ""
    side: str = ""
    price: int = 0
    quantity: int = 0
    reduce_only: bool = False
    expires_at: int = 0
    proposal: str = ""
    status: str = "approved"
    reason: str = ""
    filled: int = 0
    traded: int = 0
    value: int = 0
    became: str = ""
    """The order that an approval by the operator made of it: it is checked again, and has an id of its own."""

    @property
    def is_open(self) -> bool:
        """Whether it waits, or may still trade."""
        return self.status not in _OVER

    @property
    def average_price(self) -> int:
        """Of what has traded; 0 without a fill."""
        return (2 * self.value * ONE + self.traded) // (2 * self.traded) if self.traded else 0

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "order": self.order,
            "id": short_id(self.order),
            "seq": self.seq,
            "at": self.at,
            "status": self.status,
            "strategy": self.strategy,
            "market": self.market,
            "instrument": self.instrument,
            "side": self.side,
            "price": self.price,
            "quantity": self.quantity,
            "filled": self.filled,
            "average_price": self.average_price,
            "reduce_only": self.reduce_only,
            "expires_at": self.expires_at,
            "reason": self.reason,
            "became": self.became,
        }


class OrderList:
    """The fold: feed it entries in the order of the tape."""

    def __init__(self) -> None:
        self.rows: dict[str, OrderRow] = {}
        self._waiting: dict[str, OrderRow] = {}

    def add(self, entries: Iterable[Entry]) -> "OrderList":
        """Take entries; the list itself, for chaining."""
        for record, message in entries:
            if isinstance(message, Pending | Approval):
                self._open(message, record.seq, record.stored_at_ns)
            elif isinstance(message, Rejection):
                self._reject(message)
            elif isinstance(message, OrderUpdate | Refusal | Fill):
                self._follow(message, record.seq, record.stored_at_ns)
        return self

    def waiting(self) -> list[OrderRow]:
        """Orders that wait for the operator, the oldest first."""
        return list(self._waiting.values())

    def forget(self, kept: int) -> None:
        """Forget orders that are over, the oldest first, a tenth at a time; one that may still trade is never forgotten."""
        if len(self.rows) > kept + kept // 10:
            for name in [name for name, row in self.rows.items() if not row.is_open][: kept // 10]:
                del self.rows[name]

    def _open(self, message: Pending | Approval, seq: int, at: int) -> None:
        row = OrderRow(
            message.order,
            seq,
            at,
            message.strategy,
            message.market,
            message.instrument,
            message.side.value,
            message.price,
            message.quantity,
            expires_at=message.expires_at,
            proposal=message.proposal,
        )
        self.rows[message.order] = row
        if isinstance(message, Pending):
            row.status = PENDING
            self._waiting[message.proposal] = row
            return
        row.reduce_only = message.reduce_only
        waited = self._waiting.pop(message.proposal, None)
        if waited is not None:
            waited.status, waited.became = "approved by you", message.order

    def _reject(self, rejection: Rejection) -> None:
        waited = self._waiting.pop(rejection.proposal, None)
        if waited is not None:
            waited.status = _end_of(rejection.failed)
            waited.reason = ", ".join(map(check_words, rejection.failed))

    def _follow(self, message: OrderUpdate | Refusal | Fill, seq: int, at: int) -> None:
        row = self.rows.get(message.order)
        if row is None:
            row = self.rows[message.order] = OrderRow(message.order, seq, at)
        if isinstance(message, Refusal):
            row.reason = f"refused: {reason(message.reason.value)}"
            return
        row.strategy, row.market, row.instrument = message.strategy, message.market, message.instrument
        if isinstance(message, Fill):
            row.side = message.side.value
            row.traded += message.quantity
            row.value += notional(message.price, message.quantity)
            return
        row.status, row.filled = message.status.value, message.filled
        row.reason = reason(message.reason) or row.reason
        row.quantity = row.quantity or message.filled + message.remaining


def _end_of(failed: tuple[Check, ...]) -> str:
    names = {check.name for check in failed}
    if names == {"operator"}:
        return "denied"
    return "lapsed" if names == {"time_to_expiry_s"} else "rejected"
