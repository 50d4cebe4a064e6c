"""Our orders at one venue: each is sent once, cancelled, and looked up."""

import asyncio
import logging

from libs.bounded import keep_newest
from libs.venues.errors import VenueError
from libs.venues.gateway import Prepared, VenueGateway
from proto.venue import Ack
from services.execution.desk.context import DeskContext
from services.execution.desk.order_registry import OrderRegistry, OwnOrder
from services.execution.desk.submit import rejected, submit_order
from services.execution.desk.tasks import BackgroundTasks
from services.execution.desk.venue_books import VenueBooks
from services.execution.desk.venue_gate import VenueGate

LOOK_UPS_MAX = 8
"""Look-ups under way at a time: more would only wait for the venue's rate limit."""

SENT_MAX = 20_000
"""Orders remembered as sent: days of trading. A claim is won moments before, and once."""

log = logging.getLogger("presage.desk")


class VenueOrders:
    """Sends, cancels and looks up the orders of one venue. What it answers goes into the books."""

    def __init__(
        self,
        gateway: VenueGateway,
        registry: OrderRegistry,
        books: VenueBooks,
        gate: VenueGate,
        context: DeskContext,
        tasks: BackgroundTasks,
    ) -> None:
        self.registry = registry
        self.tasks = tasks
        self.submitted = 0
        self._gateway = gateway
        self._venue = gateway.venue
        self._books = books
        self._gate = gate
        self._context = context
        self._sent: dict[str, None] = {}
        self._look_ups = asyncio.Semaphore(LOOK_UPS_MAX)
        self._looking_up: set[str] = set()

    def reason(self, market: str = "") -> str:
        """Say why a new order for ``market`` must not leave; empty when it may."""
        return self._gate.reason() or self._books.facts.stopped.get(market, "")

    # ── sending ──

    def begin(self, own: OwnOrder, prepared: Prepared) -> None:
        """Send an order whose claim was won just now, in the background; one that was sent before is not."""
        order = own.approval.order
        if order in self._sent:
            return
        self._sent[order] = None
        keep_newest(self._sent, SENT_MAX)
        self.registry.in_flight[order] = asyncio.Event()
        self.tasks.spawn(self.submit(own, prepared))

    async def submit(self, own: OwnOrder, prepared: Prepared) -> None:
        """Send an order once, and publish what the answer proves."""
        order = own.approval.order
        answered = self.registry.in_flight.setdefault(order, asyncio.Event())
        try:
            reason = self._refusal(own)
            if reason:
                # Claimed and not sent, and nobody else can send it: that is proof.
                self._books.publish(own, rejected(order, f"not sent: {reason}"))
                return
            self.submitted += 1
            answer = await submit_order(self._gateway, prepared, self._gate, lambda: self._may_send(own))
            self._context.crash_point("after_submit")
            if isinstance(answer, Ack):
                self._books.publish(own, answer)
            else:
                self._books.handle_order(own, answer, asked=False)
        finally:
            self.registry.in_flight.pop(order, None)
            answered.set()
        self._books.fetch_missing_fills()

    def _may_send(self, own: OwnOrder) -> bool:
        """Whether an order may leave late, or once more after a refusal: gate, expiry and machine, asked anew."""
        tracked = self.registry.tracked(own)
        is_wanted = tracked is None or not tracked.cancel_reason
        return is_wanted and not self._refusal(own) and self._context.wall_ns() < own.approval.expires_at

    def _refusal(self, own: OwnOrder) -> str:
        return self._context.refusal(own.approval.reduce_only) or self.reason(own.approval.market)

    # ── cancelling and looking up ──

    async def cancel(self, order: str) -> None:
        """Cancel an order, once its own request is answered, and look up what became of it.

        A failed cancel is not repeated here: the machine asks about a cancel without effect, and cancels again.
        """
        own = self.registry.get(order)
        if own is None:
            return
        await self._wait_for_answer(order)
        try:
            await self._gateway.cancel(own.sent)
        except VenueError as e:
            log.warning("cancel failed", extra={"venue": self._venue, "order": order, "detail": str(e)})
        await self.look_up(order)

    async def look_up(self, order: str) -> None:
        """Look up what became of an order, and publish the answer; not-found alone proves nothing."""
        own = self.registry.get(order)
        if own is None or order in self._looking_up:
            return
        await self._wait_for_answer(order)
        self._looking_up.add(order)
        try:
            async with self._look_ups:
                await self.query(own)
        except VenueError as e:
            log.warning("look-up failed", extra={"venue": self._venue, "order": order, "detail": str(e)})
        finally:
            self._looking_up.discard(order)
        self._books.fetch_missing_fills()

    async def query(self, own: OwnOrder) -> bool:
        """Ask the venue for one order and publish the answer; whether it has it. Raises what the gateway raises."""
        report = await self._gateway.look_up(own.sent)
        if report is None:
            return False
        self._books.handle_order(own, report, asked=True)
        return True

    async def _wait_for_answer(self, order: str) -> None:
        """Wait until an order's own request is answered: before, the venue may not know it."""
        answered = self.registry.in_flight.get(order)
        if answered is not None:
            await answered.wait()
