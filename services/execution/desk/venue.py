"""The desk at one venue: sends each order once, cancels, asks, listens, and keeps the books in step.

It decides nothing. What the venue says goes onto the tape as facts, and the machine draws the conclusions.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec

from libs.portfolio.portfolio import Portfolio
from libs.venues.brake import HasBrake
from libs.venues.errors import VenueError
from libs.venues.gateway import (
    AsksAboutHeld,
    Balance,
    FillReport,
    OrderReport,
    Prepared,
    RemembersOrders,
    StreamState,
    UserEvent,
    VenueGateway,
)
from proto.execution import TERMINAL, Claim, OrderStatus
from proto.message import Message
from proto.risk import Approval
from proto.units import SECOND
from proto.venue import Account, Ack, Fill, Reconciliation, TradeState
from services.execution.desk.context import Surroundings
from services.execution.desk.facts import FINAL, VenueFacts
from services.execution.desk.heartbeat import Heartbeat
from services.execution.desk.order_builder import Preparing
from services.execution.desk.orders import OwnOrder, OwnOrders
from services.execution.desk.reconcile import Reconciler
from services.execution.desk.submit import rejected, send
from services.execution.desk.tasks import Tasks
from services.execution.desk.unsettled import followed
from services.execution.desk.venue_gate import BRAKE, VenueGate
from services.execution.orders import Tracked
from services.execution.state import Unsettled, VenueRecord

QUESTIONS_MAX = 8
"""Look-ups under way at a time: more would only wait for the venue's rate limit."""
FETCH_WAIT_S = 1.0
"""Between attempts to get fills that the venue counts and has not shown yet."""
FETCH_ATTEMPTS_MAX = 5
"""Then the next reconciliation goes on."""
CLAIM_MARGIN_NS = 60 * SECOND
"""A venue's clock may be behind ours: its fills are asked for from so long before the claim."""

Tell = Callable[[Message, int, int], None]
"""Queues a fact, with the places of its cause and root on the tape."""

log = logging.getLogger("presage.desk")


class VenueDesk:
    """One venue; ``now_s`` is a clock that only rises."""

    def __init__(
        self,
        gateway: VenueGateway,
        tell: Tell,
        around: Surroundings,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gateway = gateway
        self.venue = gateway.venue
        self.orders = OwnOrders()
        self.gate = VenueGate(now_s)
        self.submitted = 0
        self.stream_up = False
        self.money: Balance | None = None
        self.facts = VenueFacts(self.venue, self.orders, Portfolio())
        self.reconciler = Reconciler(self)
        self.wall_ns = around.wall_ns
        self.in_flight: dict[str, asyncio.Event] = {}
        self._preparing = Preparing(gateway)
        self._fetching = False
        self._tell = tell
        self._state = around.state
        self._refusal = around.refusal
        self._crash_point = around.crash_point
        self._sent: set[str] = set()
        self._unsettled: dict[str, Unsettled] = {}
        self._questions = asyncio.Semaphore(QUESTIONS_MAX)
        self._asking: set[str] = set()
        self._tasks = Tasks(self.venue)
        self.spawn, self.idle = self._tasks.spawn, self._tasks.idle
        self._heartbeat = Heartbeat(self)

    # ── what is known ──

    def seed(self) -> None:
        """Begin with the books as the tape has them."""
        record = self._state().venues.get(self.venue, VenueRecord())
        copy = msgspec.msgpack.decode(msgspec.msgpack.encode(record.portfolio), type=Portfolio)
        self.facts = VenueFacts(self.venue, self.orders, copy)
        self._unsettled = dict(record.unsettled)

    def learn(self, claim: Claim, approval: Approval, cause: int = 0, root: int = 0) -> OwnOrder:
        """An order was claimed, now or before the restart."""
        own = self.orders.add(claim, approval, cause, root)
        tracked = self.tracked(own)
        if tracked is not None:
            self.orders.learn(own, tracked.venue_order_id)
            own.fills = {**tracked.fills, **own.fills}
            self.facts.check_total(own)
        for fill_id in [name for name, fill in self._unsettled.items() if fill.order == claim.order]:
            fill = self._unsettled.pop(fill_id)
            self.orders.learn(own, fill.venue_order_id)
            self._follow(own, fill_id, fill.at)
        if isinstance(self.gateway, RemembersOrders):
            self.gateway.remember(own.sent)
        return own

    def _follow(self, own: OwnOrder, fill_id: str, at: int) -> None:
        report = followed(own, fill_id, at, self.facts.book, self.wall_ns())
        if report is not None:
            self.facts.unconfirmed[fill_id] = report
            # The machine may have forgotten the order: then nothing else keeps it here.
            own.seen_tracked = True

    def is_claimed(self, order: str) -> bool:
        """Whether the machine has read a claim of the order that verifies."""
        state = self._state()
        tracked = state.live.get(order) or state.ended.get(order)
        return tracked is not None and tracked.claimed

    def recall(self, message: Message) -> None:
        """A fact that was told and is not on the tape yet."""
        if isinstance(message, Account) and message.venue != self.venue:
            return
        own = self.orders.get(getattr(message, "order", ""))
        if isinstance(message, Fill) and own is not None:
            own.fills[message.fill_id] = message.quantity
        if own is not None or isinstance(message, Account):
            self.facts.book.apply(message)
        if isinstance(message, TradeState) and own is not None:
            self.facts.unconfirmed.pop(message.fill_id, None)
            if message.status not in FINAL:
                self._follow(own, message.fill_id, message.at)

    def tracked(self, own: OwnOrder) -> Tracked | None:
        """What the machine knows of an order."""
        state = self._state()
        order = own.approval.order
        return state.live.get(order) or state.ended.get(order)

    def is_open(self, own: OwnOrder) -> bool:
        """Whether, for all the tape says, the order can still change."""
        tracked = self.tracked(own)
        return tracked is not None and tracked.status not in TERMINAL

    @property
    def reconciled_at(self) -> int:
        """When the tape says that the books last agreed."""
        return self._state().venues.get(self.venue, VenueRecord()).reconciled_at

    @property
    def unresolved(self) -> int:
        """Orders whose outcome is not known."""
        return sum(
            tracked.status is OrderStatus.UNKNOWN
            for own in self.orders
            if (tracked := self.tracked(own)) is not None
        )

    def reason(self, market: str = "") -> str:
        """Why a new order for ``market`` must not leave; empty when it may."""
        return self.gate.reason() or self.facts.stopped.get(market, "")

    def report(self) -> dict[str, Any]:
        """For the health report."""
        return {
            "gate": self.gate.reason() or "open",
            "reconciled_at": self.gate.reconciled_at,
            "unknown": self.unresolved,
            "open": sum(self.is_open(own) for own in self.orders),
            "submitted": self.submitted,
            "in_flight": len(self.in_flight),
            "user_stream": "up" if self.stream_up else "down",
            "stopped_markets": dict(list(self.facts.stopped.items())[:10]),
            "unconfirmed_fills": len(self.facts.unconfirmed),
            "empty_fills": self.facts.empty_fills,
            "brake": self.gate.held(BRAKE) or "off",
        } | ({"balance": self.money.total, "available": self.money.available} if self.money else {})

    # ── orders ──

    def prepare(self, approval: Approval, approved_at: int) -> Prepared:
        """Build and sign. Raises ``Refused`` for what the venue cannot express."""
        return self._preparing.prepare(approval, approved_at)

    async def prepare_known(self, approval: Approval, approved_at: int) -> Prepared:
        """As ``prepare``; the market is read first when it is not known, or has changed since."""
        return await self._preparing.prepare_known(approval, approved_at)

    async def foresee(self, market: str) -> None:
        """A market was listed: read it now, so that its first order need not wait."""
        await self._preparing.foresee(market)

    def begin(self, claim: Claim, approval: Approval, prepared: Prepared) -> None:
        """Send an order whose claim was won just now, without waiting for the venue."""
        own = self.learn(claim, approval)
        if claim.order in self._sent:
            return
        self._sent.add(claim.order)
        self.in_flight[claim.order] = asyncio.Event()
        self.spawn(self.submit(own, prepared))

    async def submit(self, own: OwnOrder, prepared: Prepared) -> None:
        """Send once, and tell what the answer proves."""
        order = own.approval.order
        arrived = self.in_flight.setdefault(order, asyncio.Event())
        try:
            reason = self._refusal() or self.reason(own.approval.market)
            if reason:
                # Claimed and not sent, and nobody else can send it: that is proof.
                self.tell(own, rejected(order, f"not sent: {reason}"))
                return
            self.submitted += 1
            told = await self._send(own, prepared)
            self._crash_point("after_submit")
            for message in told:
                self.tell(own, message)
        finally:
            self.in_flight.pop(order, None)
            arrived.set()
        self._fetch_lacking()

    async def _send(self, own: OwnOrder, prepared: Prepared) -> list[Message]:
        answer = await send(self.gateway, prepared, self.gate, lambda: self._may_send(own))
        if isinstance(answer, Ack):
            return [answer]
        return self.facts.take_report(own, answer, asked=False)

    def _may_send(self, own: OwnOrder) -> bool:
        """Whether an order may leave late, or once more after a refusal: gate, expiry and machine, asked anew."""
        reason = self._refusal() or self.reason(own.approval.market)
        tracked = self.tracked(own)
        wanted = tracked is None or not tracked.cancel_reason
        return wanted and not reason and self.wall_ns() < own.approval.expires_at

    async def cancel(self, order: str) -> None:
        """Cancel, once the order's own request is answered, and ask what became of it.

        A failed one is not repeated here: the machine asks about a cancel without effect, and cancels again.
        """
        own = self.orders.get(order)
        if own is None:
            return
        await self._answered(order)
        try:
            await self.gateway.cancel(own.sent)
        except VenueError as e:
            log.warning("cancel failed", extra={"venue": self.venue, "order": order, "detail": str(e)})
        await self.look_up(order)

    async def look_up(self, order: str) -> None:
        """Ask what became of an order and tell the answer; not-found alone proves nothing."""
        own = self.orders.get(order)
        if own is None or order in self._asking:
            return
        await self._answered(order)
        self._asking.add(order)
        try:
            async with self._questions:
                await self.ask(own)
        except VenueError as e:
            log.warning("look-up failed", extra={"venue": self.venue, "order": order, "detail": str(e)})
        finally:
            self._asking.discard(order)
        self._fetch_lacking()

    async def ask(self, own: OwnOrder) -> bool:
        """Look one order up; whether the venue has it. Raises what the gateway raises."""
        report = await self.gateway.look_up(own.sent)
        if report is None:
            return False
        for message in self.facts.take_report(own, report, asked=True):
            self.tell(own, message)
        return True

    async def _answered(self, order: str) -> None:
        """Wait until an order's own request is answered: before, the venue may not know it."""
        arrived = self.in_flight.get(order)
        if arrived is not None:
            await arrived.wait()

    # ── what the venue says by itself ──

    def take(self, event: UserEvent) -> None:
        """An event of the user stream."""
        if isinstance(event, FillReport):
            self.take_fill(event)
        elif isinstance(event, OrderReport):
            own = self.orders.find(event.client_order_id, event.venue_order_id)
            if own is not None:
                for message in self.facts.take_report(own, event, asked=False):
                    self.tell(own, message)
                self._fetch_lacking()
        else:
            self.stream_up = event is StreamState.CONNECTED
            if self.stream_up:
                self.reconciler.soon()

    def take_fill(self, report: FillReport, *, reconciling: bool = False) -> None:
        """A fill, from whichever channel."""
        self.reconciler.note_fill(report, self.wall_ns())
        oddities = len(self.facts.oddities)
        own = self.orders.find(report.client_order_id, report.venue_order_id)
        for message in self.facts.take_fill(report):
            self.tell(own, message)
        if len(self.facts.oddities) > oddities and not reconciling:
            self.reconciler.soon()

    def tell(self, own: OwnOrder | None, message: Message) -> None:
        """Queue a fact. Its cause is the order's claim, where that was seen on the tape."""
        self._tell(message, own.cause if own else 0, own.root if own else 0)

    def _fetch_lacking(self) -> None:
        """Get fills that the venue counts and has not shown: the order's end waits for them."""
        if not self._fetching and self.facts.lacking():
            self._fetching = True
            self.spawn(self._fetch())

    async def _fetch(self) -> None:
        try:
            for attempt in range(FETCH_ATTEMPTS_MAX):
                lacking = self.facts.lacking()
                if not lacking:
                    return
                if attempt:
                    await asyncio.sleep(FETCH_WAIT_S)
                since = min(own.claimed_at for own in lacking) - CLAIM_MARGIN_NS
                for report in await self.gateway.fills(max(since, 0)):
                    self.take_fill(report)
        except VenueError as e:
            log.warning("fills not read", extra={"venue": self.venue, "detail": str(e)})
        finally:
            self._fetching = False
        self.reconciler.soon()

    # ── books ──

    async def reconcile(self) -> Reconciliation:
        """Put our books beside the venue's, and tell what came of it."""
        doubts = self.gate.doubts
        if isinstance(self.gateway, AsksAboutHeld):
            self.gateway.hold({market for market, _, _ in self.facts.book.open_positions()})
        found = await self.reconciler.run()
        self._tell(found, 0, 0)
        if found.complete:
            self.gate.hold("books", self.reconciler.stopping)
            if not self.reconciler.suspicious:
                self.gate.reconciled(found.at, doubts)
        else:
            self.gate.failed()
            log.warning("not reconciled", extra={"venue": self.venue, "detail": found.reason})
        return found

    def deposit(self, total: int, at: int) -> None:
        """The balance the account begins with in our books."""
        account = Account(
            account_id=f"account:{self.venue}:start",
            venue=self.venue,
            deposit=total - self.facts.book.cash,
            at=at,
        )
        if self.facts.book.apply(account):
            self._tell(account, 0, 0)

    # ── safety ──

    async def heartbeat(self) -> None:
        """One beat of the dead man's switch, while orders may rest."""
        await self._heartbeat.beat()

    async def cancel_all(self, why: str) -> bool:
        """Cancel everything at the venue, whatever the tape says; whether the venue agreed."""
        self.gate.doubt(why)
        try:
            await self.gateway.cancel_all()
        except VenueError as e:
            log.warning("cancel-all failed", extra={"venue": self.venue, "detail": str(e)})
            return False
        except Exception:
            # Also for an error of the adapter's own: who asked must go on asking.
            log.exception("gateway failed", extra={"venue": self.venue})
            return False
        log.warning("everything cancelled", extra={"venue": self.venue, "detail": why})
        self.reconciler.soon()
        return True

    async def resume(self) -> None:
        """The operator said resume: let go the venue's own brake, if it was told that it tripped, and look."""
        if isinstance(self.gateway, HasBrake) and self.gate.held(BRAKE):
            try:
                await self.gateway.release_brake()
            except VenueError as e:
                log.warning("brake not released", extra={"venue": self.venue, "detail": str(e)})
        self.reconciler.soon()

    async def withdraw(self, *, everything: bool = False) -> None:
        """Before a planned stop: cancel resting entries and tell how they ended. Exits stay at the venue."""
        resting = [
            own for own in self.orders if self.is_open(own) and (everything or not own.approval.reduce_only)
        ]
        self.gate.doubt("stopping")
        await asyncio.gather(*(self.cancel(own.approval.order) for own in resting))

    async def close(self) -> None:
        """Give up what is under way and close the gateway."""
        await self._tasks.close()
        await self.gateway.close()
