"""The port through which execution trades at a venue; each venue's adapter is in its own folder.

Orders, reports and fills here are in our units (millionths) and in the space of their own outcome. The
adapter alone knows the venue's words, legs and rounding. It keeps no order state of its own that a restart
would lose: whatever is needed to ask about an order is in ``SentOrder``, which the ledger's claim carries.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

from msgspec import Struct

from proto.feed import Side
from proto.risk import TimeInForce
from proto.venue import AckStatus, TradeStatus


class NewOrder(Struct, frozen=True, kw_only=True):
    """An approved order. ``order`` is our id; ``expires_at`` bounds submission, and for GTD the resting."""

    order: str
    market: str
    instrument: str
    side: Side
    price: int
    quantity: int
    time_in_force: TimeInForce
    expires_at: int
    approved_at: int
    post_only: bool = False
    reduce_only: bool = False


class Prepared(Struct, frozen=True, kw_only=True):
    """A request ready to leave: built, rounded and signed, so that its id can be claimed before it is sent.

    Preparing the same order twice gives the same ``client_order_id``. ``body`` are the exact bytes.
    """

    order: str
    client_order_id: str
    body: bytes


class SentOrder(Struct, frozen=True, kw_only=True):
    """How to ask the venue about an order of ours, after any restart. ``venue_order_id`` may be unknown."""

    order: str
    client_order_id: str
    instrument: str
    venue_order_id: str = ""


class OrderReport(Struct, frozen=True, kw_only=True):
    """What the venue says of an order. Quantities are totals; ``client_order_id`` "" when it tells none."""

    client_order_id: str
    venue_order_id: str
    instrument: str
    status: AckStatus
    filled: int = 0
    remaining: int = 0
    reason: str = ""
    at: int = 0


class FillReport(Struct, frozen=True, kw_only=True):
    """One fill of one order of ours. ``trade_id`` is the venue's; with the order's id it is the natural key."""

    trade_id: str
    client_order_id: str
    venue_order_id: str
    instrument: str
    side: Side
    price: int
    quantity: int
    fee: int
    maker: bool
    status: TradeStatus
    at: int


class SettlementReport(Struct, frozen=True, kw_only=True):
    """The venue paid ``instrument`` out at ``price`` a contract (redeemed: the money is in the balance)."""

    market: str
    instrument: str
    price: int
    at: int


class Balance(Struct, frozen=True, kw_only=True):
    """Money at the venue. ``available`` is what orders may still spend."""

    total: int
    available: int


class StreamState(StrEnum):
    """What became of the user stream: whatever happened while it was down must be asked for."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


UserEvent = OrderReport | FillReport | StreamState


class VenueGateway(Protocol):
    """One venue's adapter. Every coroutine raises ``libs.venues.errors.VenueError`` kinds, and only those.

    Reads are complete or raise ``BadAnswer``: a page that is missing is not an empty page.
    """

    venue: str
    heartbeat_every_s: float
    """How often ``heartbeat`` must be called while orders may rest; 0 when the venue has none."""

    async def start(self) -> None:
        """Open connections and read what ``prepare`` needs (markets, addresses, credentials)."""

    async def close(self) -> None:
        """Close connections; never raises."""

    def prepare(self, order: NewOrder) -> Prepared:
        """Build and sign. Raises ``Refused`` for what the venue cannot express (tick, size, lifetime)."""

    async def submit(self, prepared: Prepared) -> OrderReport:
        """Send once. ``Refused``: definitely not there. ``OutcomeUnknown``: look it up. Never retries blindly."""

    async def cancel(self, sent: SentOrder) -> None:
        """Request a cancel; ``look_up`` or an event shows that it worked. An order already gone is no error."""

    async def cancel_all(self) -> None:
        """Cancel every working order of this account; raises while one still works."""

    async def look_up(self, sent: SentOrder) -> OrderReport | None:
        """The order as the venue knows it; ``None`` only for an explicit not-found."""

    async def open_orders(self) -> Sequence[OrderReport]:
        """Every working order of this account, ours or not."""

    async def fills(self, since: int) -> Sequence[FillReport]:
        """Every fill of this account at or after ``since`` (ns), oldest first, with its present status."""

    async def positions(self) -> dict[str, int]:
        """Contracts held, by instrument (millionths); instruments without a position are left out."""

    async def balance(self) -> Balance:
        """Money at the venue."""

    async def settlements(self, since: int) -> Sequence[SettlementReport]:
        """Every payout at or after ``since`` (ns), oldest first."""

    async def heartbeat(self) -> None:
        """Keep the venue's dead man's switch from cancelling everything."""

    def events(self) -> AsyncIterator[UserEvent]:
        """The user stream, reconnecting for ever; says when it lost and regained continuity."""


@runtime_checkable
class LoadsMarkets(Protocol):
    """A gateway that must have read a market before it can prepare an order there."""

    async def load_market(self, market: str) -> None:
        """Read what ``prepare`` needs of a market, unless it is known. Raises as every coroutine here."""


@runtime_checkable
class RemembersOrders(Protocol):
    """A gateway that has to know our orders: which outcome they were meant for, and that their rows are ours."""

    def remember_order(self, sent: SentOrder) -> None:
        """Learn how an order was meant that was claimed, maybe before a restart. Sends nothing."""


@runtime_checkable
class KnowsHeldMarkets(Protocol):
    """A gateway that requests some things market by market, and must know in which of them something is held."""

    def set_held_markets(self, markets: Collection[str]) -> None:
        """The markets in which our books hold something; ``settlements`` may leave out all others."""


@runtime_checkable
class RepeatsRefused(Protocol):
    """A gateway that may send late: after a question of its own, or again after a refusal which passes by itself."""

    async def submit_while(self, prepared: Prepared, may_send: Callable[[], bool]) -> OrderReport:
        """As ``submit``, and again after such a refusal as long as ``may_send`` agrees, asked each time.

        When it does not, the refusal is raised. It is asked before the first time as well, if something had to
        be waited for: when it does not agree then, ``NotSent`` is raised.
        """


__all__ = [
    "AckStatus",
    "Balance",
    "FillReport",
    "KnowsHeldMarkets",
    "LoadsMarkets",
    "NewOrder",
    "OrderReport",
    "Prepared",
    "RemembersOrders",
    "RepeatsRefused",
    "SentOrder",
    "SettlementReport",
    "StreamState",
    "TradeStatus",
    "UserEvent",
    "VenueGateway",
]
