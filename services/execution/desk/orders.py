"""The orders of ours at one venue, by every name they have there. Rebuilt from claims at each start."""

from collections.abc import Iterator

from msgspec import Struct

from libs.venues.gateway import OrderReport, SentOrder
from proto.execution import Claim
from proto.risk import Approval
from proto.venue import AckStatus


class OwnOrder(Struct):
    """An order that was claimed, and what the tape was told of it.

    ``fills`` (fill id → quantity) is every fill told, corrected ones included. ``ending`` is the venue's
    last word when it came before all fills it counts. ``misses`` counts clean reconciliations in a row
    that did not find it, ``asked_in`` the last one that asked for it. ``seen_tracked``: the machine knew it at a reconciliation. ``cause`` and ``root`` are the claim's places on the tape, 0 when not seen there.
    """

    approval: Approval
    client_order_id: str
    claimed_at: int
    cause: int = 0
    root: int = 0
    venue_order_id: str = ""
    fills: dict[str, int] = {}
    venue_filled: int = 0
    told: AckStatus | None = None
    ending: OrderReport | None = None
    misses: int = 0
    asked_in: int = 0
    seen_tracked: bool = False

    @property
    def traded(self) -> int:
        """Quantity of all fills told."""
        return sum(self.fills.values())

    @property
    def sent(self) -> SentOrder:
        """How the venue is asked about it."""
        return SentOrder(
            order=self.approval.order,
            client_order_id=self.client_order_id,
            instrument=self.approval.instrument,
            venue_order_id=self.venue_order_id,
        )


class OwnOrders:
    """Orders of ours at one venue."""

    def __init__(self) -> None:
        self._orders: dict[str, OwnOrder] = {}
        self._by_client_id: dict[str, OwnOrder] = {}
        self._by_venue_id: dict[str, OwnOrder] = {}

    def __iter__(self) -> Iterator[OwnOrder]:
        return iter(list(self._orders.values()))

    def __len__(self) -> int:
        return len(self._orders)

    def get(self, order: str) -> OwnOrder | None:
        """The order of our id."""
        return self._orders.get(order)

    def add(self, claim: Claim, approval: Approval, cause: int = 0, root: int = 0) -> OwnOrder:
        """Know an order by its claim; the claim's copy on the tape adds its place there."""
        own = self._orders.get(claim.order)
        if own is None:
            own = OwnOrder(approval, claim.client_order_id, claim.claimed_at)
            self._orders[claim.order] = self._by_client_id[claim.client_order_id] = own
        own.cause, own.root = cause or own.cause, root or own.root
        return own

    def learn(self, own: OwnOrder, venue_order_id: str) -> None:
        """The venue's own id of an order."""
        if venue_order_id and venue_order_id != own.venue_order_id:
            own.venue_order_id = venue_order_id
            self._by_venue_id[venue_order_id] = own

    def find(self, client_order_id: str, venue_order_id: str) -> OwnOrder | None:
        """The order a report is about; ``None``: not ours, or not yet known by this id."""
        own = self._by_client_id.get(client_order_id) if client_order_id else None
        if own is None and venue_order_id:
            return self._by_venue_id.get(venue_order_id)
        if own is not None:
            self.learn(own, venue_order_id)
        return own

    def forget(self, order: str) -> None:
        """Nothing more can come for it."""
        own = self._orders.pop(order)
        del self._by_client_id[own.client_order_id]
        self._by_venue_id.pop(own.venue_order_id, None)
