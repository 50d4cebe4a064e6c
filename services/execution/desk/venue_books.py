"""Our books of one venue: what it reports is published as facts, each once, and applied to our portfolio."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from libs.portfolio.portfolio import Portfolio
from libs.venues.errors import VenueError
from libs.venues.gateway import (
    Balance,
    FillReport,
    OrderReport,
    SettlementReport,
    StreamState,
    UserEvent,
    VenueGateway,
)
from proto.message import Message
from proto.units import SECOND, as_money
from proto.venue import Account, Fill, TradeState
from services.execution.desk.context import DeskContext
from services.execution.desk.facts import FINAL, VenueFacts
from services.execution.desk.order_registry import OrderRegistry, OwnOrder
from services.execution.desk.recent_fills import RecentFills
from services.execution.desk.tasks import BackgroundTasks
from services.execution.desk.unconfirmed import drop_expired, restore_fill
from services.execution.state import UnsettledFill, VenueRecord

FETCH_WAIT_S = 1.0
"""Between attempts to get fills that the venue counts and has not shown yet."""
FETCH_ATTEMPTS_MAX = 5
"""Then the next reconciliation goes on."""
CLAIM_MARGIN_NS = 60 * SECOND
"""A venue's clock may be behind ours: its fills are asked for from so long before the claim."""

PublishFact = Callable[[Message, int, int], None]
"""Queues a fact, with the places of its cause and root on the tape."""

log = logging.getLogger("presage.desk")


class VenueBooks:
    """The books of one venue.

    ``facts`` finds what of a report is new; ``balance`` is the venue's last one. ``reconciliation_requested`` is set
    when the books may have missed something.
    """

    def __init__(
        self,
        gateway: VenueGateway,
        registry: OrderRegistry,
        publish: PublishFact,
        context: DeskContext,
        tasks: BackgroundTasks,
    ) -> None:
        self.venue = gateway.venue
        self.facts = VenueFacts(self.venue, registry)
        self.balance: Balance | None = None
        self.is_stream_up = False
        self.reconciliation_requested = asyncio.Event()
        self._gateway = gateway
        self._registry = registry
        self._publish = publish
        self._state = context.state
        self._wall_ns = context.wall_ns
        self._tasks = tasks
        self._recent_fills = RecentFills()
        self._unconfirmed: dict[str, UnsettledFill] = {}
        self._fetching = False

    def request_reconciliation(self) -> None:
        """Ask for a reconciliation now rather than in half a minute."""
        self.reconciliation_requested.set()

    @property
    def reconciled_at(self) -> int:
        """When the tape says that the books last agreed."""
        return self._record.reconciled_at

    @property
    def _record(self) -> VenueRecord:
        return self._state().venues.get(self.venue, VenueRecord())

    # ── at the start ──

    def restore(self) -> None:
        """Begin with the books as the tape has them."""
        record = self._record
        self.facts.book = msgspec.msgpack.decode(msgspec.msgpack.encode(record.portfolio), type=Portfolio)
        self._unconfirmed = dict(record.unconfirmed)

    def restore_order(self, own: OwnOrder) -> None:
        """Add what the tape says of an order's fills, those that are not final included."""
        tracked = self._registry.tracked(own)
        if tracked is not None:
            self._registry.set_venue_id(own, tracked.venue_order_id)
            own.fills = {**tracked.fills, **own.fills}
            self.facts.check_total(own)
        order = own.approval.order
        for fill_id in [name for name, fill in self._unconfirmed.items() if fill.order == order]:
            fill = self._unconfirmed.pop(fill_id)
            self._registry.set_venue_id(own, fill.venue_order_id)
            self._restore_unconfirmed(own, fill_id, fill.at)

    def restore_fact(self, message: Message) -> None:
        """Apply a fact that was queued before the restart and is not on the tape yet."""
        if isinstance(message, Account) and message.venue != self.venue:
            return
        own = self._registry.get(getattr(message, "order", ""))
        if isinstance(message, Fill) and own is not None:
            own.fills[message.fill_id] = message.quantity
        if own is not None or isinstance(message, Account):
            self.facts.book.apply(message)
        if isinstance(message, TradeState) and own is not None:
            self.facts.unconfirmed.pop(message.fill_id, None)
            if message.status not in FINAL:
                self._restore_unconfirmed(own, message.fill_id, message.at)

    def _restore_unconfirmed(self, own: OwnOrder, fill_id: str, at: int) -> None:
        report = restore_fill(own, fill_id, at, self.facts.book, self._wall_ns())
        if report is not None:
            self.facts.unconfirmed[fill_id] = report
            # The machine may have forgotten the order: then nothing else keeps it here.
            own.was_tracked = True

    # ── reports ──

    def handle_event(self, event: UserEvent) -> None:
        """Handle an event of the user stream."""
        if isinstance(event, FillReport):
            self.handle_fill(event)
        elif isinstance(event, OrderReport):
            own = self._registry.match(event.client_order_id, event.venue_order_id)
            if own is not None:
                self.handle_order(own, event, asked=False)
                self.fetch_missing_fills()
        else:
            self.is_stream_up = event is StreamState.CONNECTED
            if self.is_stream_up:
                self.request_reconciliation()

    def handle_order(self, own: OwnOrder, report: OrderReport, *, asked: bool) -> None:
        """Publish what is new in a report of an order; ``asked``: it answers a look-up."""
        for fact in self.facts.order_facts(own, report, asked=asked):
            self.publish(own, fact)

    def handle_fill(self, report: FillReport, *, reconciling: bool = False) -> None:
        """Publish what is new in a fill, from whichever channel."""
        self._recent_fills.record(report, self._wall_ns())
        known = len(self.facts.differences)
        own = self._registry.match(report.client_order_id, report.venue_order_id)
        for fact in self.facts.fill_facts(report):
            self.publish(own, fact)
        if len(self.facts.differences) > known and not reconciling:
            self.request_reconciliation()

    def handle_settlements(self, reports: Sequence[SettlementReport]) -> None:
        """Publish new payouts."""
        for fact in self.facts.settlement_facts(reports):
            self.publish(None, fact)

    def handle_balance(self, balance: Balance, at: int) -> None:
        """Keep the venue's balance; our books begin with the first one."""
        self.balance = balance
        if self.facts.book.accounts or self.facts.has_held_fills:
            return
        account = Account(
            account_id=f"account:{self.venue}:start",
            venue=self.venue,
            deposit=as_money(balance.total - self.facts.book.cash),
            at=at,
        )
        if self.facts.book.apply(account):
            self.publish(None, account)

    def publish(self, own: OwnOrder | None, fact: Message) -> None:
        """Queue a fact. Its cause is the order's claim, where that was read from the tape."""
        self._publish(fact, own.cause if own else 0, own.root if own else 0)

    # ── fills the positions may not count yet, and fills the venue has not shown yet ──

    def moving_fills(self) -> list[FillReport]:
        """Return the fills that the venue's positions may or may not count: new ones, and those not final."""
        return [*self._recent_fills.moving(self._wall_ns()), *self.facts.unconfirmed.values()]

    def drop_expired_fills(self, now: int) -> None:
        """Wait no longer for fills that never became final."""
        drop_expired(self.facts.unconfirmed, now)

    def fetch_missing_fills(self) -> None:
        """Get fills that the venue counts and has not shown: the order's end waits for them."""
        if not self._fetching and self.facts.orders_with_missing_fills():
            self._fetching = True
            self._tasks.spawn(self._fetch())

    async def _fetch(self) -> None:
        try:
            for attempt in range(FETCH_ATTEMPTS_MAX):
                orders = self.facts.orders_with_missing_fills()
                if not orders:
                    return
                if attempt:
                    await asyncio.sleep(FETCH_WAIT_S)
                since = min(own.claimed_at for own in orders) - CLAIM_MARGIN_NS
                for report in await self._gateway.fills(max(since, 0)):
                    self.handle_fill(report)
        except VenueError as e:
            log.warning("fills not read", extra={"venue": self.venue, "detail": str(e)})
        finally:
            self._fetching = False
        self.request_reconciliation()
