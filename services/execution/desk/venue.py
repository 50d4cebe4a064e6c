"""The desk at one venue: its orders, its books, its gate, and its dead man's switch.

It decides nothing. What the venue says goes onto the tape as facts, and the machine draws the conclusions.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from libs.bounded import clip
from libs.venues.brake import HasBrake
from libs.venues.errors import VenueError
from libs.venues.gateway import Prepared, RemembersOrders, SentOrder, VenueGateway
from libs.venues.odd_items import KeepsOddItems
from proto.execution import Claim
from proto.risk import Approval
from services.execution.desk.context import DeskContext
from services.execution.desk.emergency import EmergencyCancel
from services.execution.desk.heartbeat import HeartbeatResult, VenueHeartbeat
from services.execution.desk.order_builder import OrderBuilder
from services.execution.desk.order_registry import OrderRegistry, OwnOrder
from services.execution.desk.reconcile import Reconciler
from services.execution.desk.tasks import BackgroundTasks
from services.execution.desk.venue_books import PublishFact, VenueBooks
from services.execution.desk.venue_gate import BRAKE, VenueGate
from services.execution.desk.venue_orders import VenueOrders

LEADS_AGAIN_S = 0.5
"""Between two looks whether the lease is back: a venue's switch gives 15 s, an election takes up to 8."""
RETRY_S = 1.0
"""Between attempts to start a gateway, or to follow a user stream."""
STOPPED_MARKETS_MAX = 10
"""Stopped markets in the health report: enough to see that something is wrong, and with what."""

ODD_ITEMS_SHOWN_MAX = 5
"""Odd items in the health report, the newest: a new word of the venue's shows in one."""

log = logging.getLogger("presage.desk")


class VenueDesk:
    """One venue; ``now_s`` is a monotonic clock."""

    def __init__(
        self,
        gateway: VenueGateway,
        publish: PublishFact,
        context: DeskContext,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gateway = gateway
        self.venue = gateway.venue
        self.gate = VenueGate(now_s)
        self.tasks = BackgroundTasks(self.venue)
        self.registry = OrderRegistry(context.state)
        self.books = VenueBooks(gateway, self.registry, publish, context, self.tasks)
        self.orders = VenueOrders(gateway, self.registry, self.books, self.gate, context, self.tasks)
        self.order_builder = OrderBuilder(gateway)
        self.reconciler = Reconciler(self.orders, self.books, gateway, self.gate, context.wall_ns)
        self.leads = context.leads
        self.emergency = EmergencyCancel(gateway, self.registry, self.cancel_all, context.leads)
        self._started = asyncio.Event()
        self._heartbeat = VenueHeartbeat(gateway, self.gate, self.registry.may_rest)

    def register(self, claim: Claim, approval: Approval, cause: int = 0, root: int = 0) -> OwnOrder:
        """Add an order that was claimed, now or before a restart."""
        is_new = self.registry.get(claim.order) is None
        own = self.registry.add(claim, approval, cause, root)
        if is_new and not self.leads():
            self.registry.late.add(claim.order)
        self.books.restore_order(own)
        if isinstance(self.gateway, RemembersOrders):
            self.gateway.remember_order(own.sent)
        return own

    def restore(self, claim: Claim, approval: Approval, cause: int = 0, root: int = 0) -> None:
        """Add an order read from its claim; first make its name where the claim has none (``_recover``)."""
        if claim.client_order_id == claim.order:
            if isinstance(self.gateway, RemembersOrders):
                # Its market is ours, whatever its name there turns out to be.
                sent = SentOrder(
                    order=claim.order, client_order_id=claim.order, instrument=approval.instrument
                )
                self.gateway.remember_order(sent)
            self.tasks.spawn(self._recover(claim, approval, cause, root))
        else:
            self.register(claim, approval, cause, root)

    async def _recover(self, claim: Claim, approval: Approval, cause: int, root: int) -> None:
        """Find out under which name an order would be at the venue whose own claim was lost; preparing it says so."""
        await self._started.wait()
        while self.registry.get(claim.order) is None:
            try:
                prepared = await self.order_builder.prepare_with_market(approval, claim.claimed_at)
            except (VenueError, TimeoutError) as e:
                log.warning("order not recovered yet", extra={"venue": self.venue, "detail": str(e)})
                await asyncio.sleep(RETRY_S)
            else:
                named = claim.replace(client_order_id=prepared.client_order_id)
                self.register(named, approval, cause, root)
                self.books.request_reconciliation()

    def begin(self, claim: Claim, approval: Approval, prepared: Prepared) -> None:
        """Send an order whose claim was won just now, without waiting for the venue."""
        self.orders.begin(self.register(claim, approval), prepared)

    def report(self) -> dict[str, Any]:
        """Return this venue's part of the health report."""
        facts, balance = self.books.facts, self.books.balance
        return {
            "gate": self.gate.reason() or "open",
            "reconciled_at": self.gate.reconciled_at,
            "unknown": self.registry.unknown_count,
            "open": sum(self.registry.is_open(own) for own in self.registry),
            "submitted": self.orders.submitted,
            "in_flight": len(self.registry.in_flight),
            "user_stream": "up" if self.books.is_stream_up else "down",
            "stopped_markets": dict(list(facts.stopped.items())[:STOPPED_MARKETS_MAX]),
            "unconfirmed_fills": len(facts.unconfirmed),
            "empty_fills": facts.empty_fills,
            "brake": self.gate.hold_reason(BRAKE) or "off",
            **self._odd_items(),
        } | ({"balance": balance.total, "available": balance.available} if balance else {})

    def _odd_items(self) -> dict[str, Any]:
        """Return what the venue told that could not be read: how much, and the newest of it."""
        if not isinstance(self.gateway, KeepsOddItems):
            return {}
        odd = self.gateway.odd_items
        latest = [f"{item.kind} {item.name}: {item.reason}" for item in odd.latest(ODD_ITEMS_SHOWN_MAX)]
        return {"odd_items": odd.count, "odd_items_latest": latest}

    # ── running ──

    async def run(self) -> None:
        """Connect, then reconcile, follow the user stream and send heartbeats until cancelled."""
        while True:
            try:
                await self.gateway.start()
            except VenueError as e:
                self.gate.invalidate(clip(f"not connected: {e}", 200))
                log.warning("gateway not started", extra={"venue": self.venue, "detail": str(e)})
            except Exception as e:
                # Also for an error of the adapter's own: the other venues trade on.
                self.gate.invalidate(f"not connected: {type(e).__name__}")
                log.exception("gateway failed", extra={"venue": self.venue})
            else:
                break
            await asyncio.sleep(RETRY_S)
        self._started.set()
        await asyncio.gather(self.reconciler.loop(), self._stream_loop(), self._heartbeat_loop())

    async def _stream_loop(self) -> None:
        while True:
            try:
                async for event in self.gateway.events():
                    self.books.handle_event(event)
            except VenueError as e:
                log.warning("user stream failed", extra={"venue": self.venue, "detail": str(e)})
            except Exception:
                log.exception("gateway failed", extra={"venue": self.venue})
            self.books.is_stream_up = False
            await asyncio.sleep(RETRY_S)

    async def _heartbeat_loop(self) -> None:
        every_s = self.gateway.heartbeat_every_s
        while every_s > 0:
            await self.heartbeat()
            await asyncio.sleep(every_s if self.leads() else LEADS_AGAIN_S)

    async def heartbeat(self) -> None:
        """Send one heartbeat while orders may rest, and act on what it calls for.

        A process whose lease has lapsed sends none: two senders disturb each other.
        """
        if not self.leads():
            return
        result = await self._heartbeat.beat()
        if result is HeartbeatResult.CANCEL_ALL:
            await self.cancel_all("heartbeat failed")
        elif result is HeartbeatResult.RECONCILE:
            self.books.request_reconciliation()

    # ── safety ──

    async def cancel_all(self, why: str) -> bool:
        """Cancel everything at the venue, whatever the tape says; whether the venue agreed.

        A process whose lease has lapsed cancels one by one what it knew while it led.
        """
        self.gate.invalidate(why)
        leads = self.leads()
        try:
            if leads:
                await self.gateway.cancel_all()
            else:
                await self._cancel_own()
        except VenueError as e:
            log.warning("cancel-all failed", extra={"venue": self.venue, "detail": str(e)})
            return False
        except Exception:
            # Also for an error of the adapter's own: the caller must go on asking.
            log.exception("gateway failed", extra={"venue": self.venue})
            return False
        cancelled = "everything cancelled" if leads else "own orders cancelled"
        log.warning(cancelled, extra={"venue": self.venue, "detail": why})
        self.books.request_reconciliation()
        return True

    async def _cancel_own(self) -> None:
        """Cancel every order that this process knew while it led."""
        own = filter(self.registry.may_withdraw, self.registry)
        await asyncio.gather(*(self.gateway.cancel(order.sent) for order in own))

    async def resume(self) -> None:
        """Release the venue's own brake on the operator's resume, if it was known to be on; then reconcile."""
        if isinstance(self.gateway, HasBrake) and self.gate.hold_reason(BRAKE):
            try:
                await self.gateway.release_brake()
            except VenueError as e:
                log.warning("brake not released", extra={"venue": self.venue, "detail": str(e)})
        self.books.request_reconciliation()

    async def withdraw(self, *, everything: bool = False) -> None:
        """Cancel resting entries before a planned stop and publish how they ended; exits stay at the venue."""
        resting = [
            own
            for own in self.registry
            if self.registry.may_withdraw(own) and (everything or not own.approval.reduce_only)
        ]
        self.gate.invalidate("stopping")
        await asyncio.gather(*(self.orders.cancel(own.approval.order) for own in resting))

    async def close(self) -> None:
        """Cancel the background tasks and close the gateway."""
        await self.tasks.close()
        await self.gateway.close()
