"""Our orders at one venue, by every id they have there. Rebuilt from claims at each start."""

import asyncio
from collections.abc import Callable, Iterator

from msgspec import Struct

from libs.venues.gateway import OrderReport, SentOrder
from proto.execution import TERMINAL, Claim, OrderStatus
from proto.risk import Approval
from proto.venue import AckStatus
from services.execution.orders import TrackedOrder
from services.execution.state import ExecutionState


class OwnOrder(Struct):
    """An order that was claimed, and what of it was published.

    ``fills`` (fill id → quantity) is every published fill, corrected ones included. ``published_status`` is
    that of the last acknowledgement. ``ending`` is the venue's last word when it came before all fills it counts.
    ``misses`` counts clean reconciliations in a row that did not find it, ``asked_in`` the last one that looked
    it up. ``was_tracked``: the machine knew it at a reconciliation. ``cause`` and ``root`` are the claim's places
    on the tape, 0 when it was not read there.
    """

    approval: Approval
    client_order_id: str
    claimed_at: int
    cause: int = 0
    root: int = 0
    venue_order_id: str = ""
    fills: dict[str, int] = {}
    venue_filled: int = 0
    published_status: AckStatus | None = None
    ending: OrderReport | None = None
    misses: int = 0
    asked_in: int = 0
    was_tracked: bool = False

    @property
    def traded(self) -> int:
        """Quantity of all published fills."""
        return sum(self.fills.values())

    @property
    def sent(self) -> SentOrder:
        """The ids by which the venue is asked about it."""
        return SentOrder(
            order=self.approval.order,
            client_order_id=self.client_order_id,
            instrument=self.approval.instrument,
            venue_order_id=self.venue_order_id,
        )


class OrderRegistry:
    """Our orders at one venue.

    ``in_flight``: those whose request has no answer yet → set when it has. ``late``: those that became known here while
    this process did not lead; they may be of another one.
    """

    def __init__(self, state: Callable[[], ExecutionState]) -> None:
        self.in_flight: dict[str, asyncio.Event] = {}
        self.late: set[str] = set()
        self._state = state
        self._orders: dict[str, OwnOrder] = {}
        self._by_client_id: dict[str, OwnOrder] = {}
        self._by_venue_id: dict[str, OwnOrder] = {}

    def __iter__(self) -> Iterator[OwnOrder]:
        return iter(list(self._orders.values()))

    def __len__(self) -> int:
        return len(self._orders)

    def get(self, order: str) -> OwnOrder | None:
        """Return the order of our id."""
        return self._orders.get(order)

    def add(self, claim: Claim, approval: Approval, cause: int = 0, root: int = 0) -> OwnOrder:
        """Add an order by its claim; the claim's copy on the tape adds its place there."""
        own = self._orders.get(claim.order)
        if own is None:
            own = OwnOrder(approval, claim.client_order_id, claim.claimed_at)
            self._orders[claim.order] = self._by_client_id[claim.client_order_id] = own
        own.cause, own.root = cause or own.cause, root or own.root
        return own

    def set_venue_id(self, own: OwnOrder, venue_order_id: str) -> None:
        """Index an order by the venue's own id; an empty one changes nothing."""
        if venue_order_id and venue_order_id != own.venue_order_id:
            own.venue_order_id = venue_order_id
            self._by_venue_id[venue_order_id] = own

    def match(self, client_order_id: str, venue_order_id: str) -> OwnOrder | None:
        """Return the order a report is about; ``None``: not ours, or not yet known by this id."""
        own = self._by_client_id.get(client_order_id) if client_order_id else None
        if own is None and venue_order_id:
            return self._by_venue_id.get(venue_order_id)
        if own is not None:
            self.set_venue_id(own, venue_order_id)
        return own

    def remove(self, order: str) -> None:
        """Remove an order about which nothing more can come."""
        self.late.discard(order)
        own = self._orders.pop(order)
        del self._by_client_id[own.client_order_id]
        self._by_venue_id.pop(own.venue_order_id, None)

    # ── what the machine knows ──

    def tracked(self, own: OwnOrder) -> TrackedOrder | None:
        """Return what the machine knows of an order."""
        return self._state().order(own.approval.order)

    def is_claimed(self, order: str) -> bool:
        """Whether the machine has read a claim of the order that verifies."""
        tracked = self._state().order(order)
        return tracked is not None and tracked.claimed

    def is_open(self, own: OwnOrder) -> bool:
        """Whether, for all the tape says, the order can still change."""
        tracked = self.tracked(own)
        return tracked is not None and tracked.status not in TERMINAL

    def may_withdraw(self, own: OwnOrder) -> bool:
        """Whether an order can still change, and is none that another process may have sent."""
        return self.is_open(own) and own.approval.order not in self.late

    def shows_own(self, report: OrderReport) -> bool:
        """Whether what the venue reports is an order of ours, and none that another process may have sent."""
        own = self.match(report.client_order_id, report.venue_order_id)
        return own is not None and own.approval.order not in self.late

    def may_rest(self) -> bool:
        """Whether any order of ours may rest at the venue, now or in a moment."""
        return bool(self.in_flight) or any(self.is_open(own) for own in self)

    @property
    def unknown_count(self) -> int:
        """Number of orders whose outcome is not known."""
        statuses = [tracked.status for own in self if (tracked := self.tracked(own)) is not None]
        return statuses.count(OrderStatus.UNKNOWN)
