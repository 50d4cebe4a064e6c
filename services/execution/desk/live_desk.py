"""The live side of execution: a desk at each live venue, the one queue of facts, and the emergencies."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from libs.bounded import clip
from libs.machine.claims import approval_in
from libs.machine.host_state import Fact
from libs.tape.errors import BrokerUnavailable, ContentMismatch
from libs.tape.record import TapeRecord
from libs.tasks import cancel_all
from libs.venues.gateway import VenueGateway
from proto.execution import Cancel, Claim, Query
from proto.feed import Market, MarketStatus
from proto.ids import venue_of
from proto.message import Message
from proto.operator import Command, Verb
from services.execution.desk.context import DeskContext
from services.execution.desk.queue import FactQueue
from services.execution.desk.venue import VenueDesk

WATCH_EVERY_S = 0.1
BROKER_PATIENCE_S = 2.0
"""A broker gone for longer than a restart takes: nobody can say halt any more, so nothing may rest."""
RETRY_S = 1.0
"""Between attempts to read a claim while the broker is away."""
STOP_PATIENCE_S = 1.5
"""For cancelling what rests before a planned stop; the supervisor ends the process after three seconds."""

ReadClaim = Callable[[str], Any]
"""Reads an order's claim from the ledger (a coroutine function)."""

log = logging.getLogger("presage.desk")


class LiveDesk:
    """All live venues."""

    def __init__(self, gateways: Sequence[VenueGateway], context: DeskContext) -> None:
        self.queue = FactQueue(context.publish, context.spool)
        self.venues: dict[str, VenueDesk] = {
            gateway.venue: VenueDesk(gateway, self._put_fact, context) for gateway in gateways
        }
        self._state = context.state
        self._away_s = context.away_s
        self._halted = context.halted
        self._emergency = ""
        self._stopping = False
        self._is_unsaved = False

    def _put_fact(self, message: Message, cause: int, root: int) -> None:
        self.queue.put(Fact(message, cause, root))

    # ── for the shell ──

    def desk_of(self, market: str) -> VenueDesk | None:
        """Return the desk at a market's venue."""
        return self.venues.get(venue_of(market))

    def reason(self, market: str) -> str:
        """Say why no new order may leave for a market; empty when one may."""
        desk = self.desk_of(market)
        if desk is None:
            return "no gateway"
        if self._emergency:
            return self._emergency
        if self.queue.is_crowded:
            return "facts waiting"
        return desk.orders.reason(market)

    def report(self) -> dict[str, Any]:
        """Return the venues' part of the health report."""
        return {
            venue: desk.report() | {"gate": self.reason(f"{venue}:") or "open"}
            for venue, desk in self.venues.items()
        }

    def observe(self, record: TapeRecord, event: Message, *, live: bool) -> None:
        """Handle a message read from the tape; only new ones (``live``) are acted on."""
        if isinstance(event, Claim):
            approval = approval_in(event)
            desk = self.desk_of(approval.market) if approval is not None else None
            if desk is not None and approval is not None and desk.registry.is_claimed(event.order):
                desk.restore(event, approval, record.seq, record.root or record.seq)
        elif isinstance(event, Market):
            desk = self.desk_of(event.market)
            if live and desk is not None and event.status in (MarketStatus.LISTED, MarketStatus.OPEN):
                desk.tasks.spawn(desk.order_builder.preload_market(event.market))
        elif live and isinstance(event, Cancel):
            self._spawn_for(event.order, lambda desk: desk.orders.cancel(event.order))
        elif live and isinstance(event, Query):
            self._spawn_for(event.order, lambda desk: desk.orders.look_up(event.order))
        elif live and isinstance(event, Command) and event.verb is Verb.RESUME:
            for desk in self.venues.values():
                desk.tasks.spawn(desk.resume())

    def _spawn_for(self, order: str, work: Callable[[VenueDesk], Any]) -> None:
        for desk in self.venues.values():
            if desk.registry.get(order) is not None:
                desk.tasks.spawn(work(desk))

    # ── running ──

    async def start(self, read_claim: ReadClaim) -> None:
        """Restore the books, and all orders by their claims; call it when the machine has read the tape."""
        for desk in self.venues.values():
            desk.books.restore()
        for order, market in self._tracked_orders().items():
            venue = self.desk_of(market)
            if venue is None or venue.registry.get(order) is not None:
                continue
            claim = await self._read_claim(read_claim, order)
            approval = approval_in(claim) if claim is not None else None
            if claim is not None and approval is not None:
                venue.restore(claim, approval)
        for fact in self.queue:
            # Saved by the process before; on the tape in a moment.
            for desk in self.venues.values():
                desk.books.restore_fact(fact.message)

    def _tracked_orders(self) -> dict[str, str]:
        """Return the machine's orders → their market, or their instrument where only a fill is left of them."""
        state = self._state()
        markets = {tracked.order: tracked.market for tracked in (*state.live.values(), *state.ended.values())}
        for record in state.venues.values():
            markets = {fill.order: fill.instrument for fill in record.unconfirmed.values()} | markets
        return markets

    async def _read_claim(self, read_claim: ReadClaim, order: str) -> Claim | None:
        while True:
            try:
                claim: Claim | None = await read_claim(order)
            except ContentMismatch:
                return None
            except BrokerUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return claim

    async def run(self) -> None:
        """Trade until cancelled."""
        tasks = [asyncio.create_task(self.queue.run()), asyncio.create_task(self._watch_loop())]
        tasks += [asyncio.create_task(self._emergency_loop(desk)) for desk in self.venues.values()]
        tasks += [asyncio.create_task(desk.run()) for desk in self.venues.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            await cancel_all(tasks)

    # ── emergencies ──

    async def _watch_loop(self) -> None:
        while True:
            self._detect_emergency()
            await asyncio.sleep(WATCH_EVERY_S)

    async def _emergency_loop(self, desk: VenueDesk) -> None:
        # Each venue by itself: one that does not answer keeps nobody from cancelling at the others.
        while True:
            if not self._stopping:
                await desk.emergency.step(self._emergency)
            await asyncio.sleep(WATCH_EVERY_S)

    async def watch(self) -> None:
        """Check once for an emergency, and take the step it calls for at every venue."""
        self._detect_emergency()
        if not self._stopping:
            await asyncio.gather(*(desk.emergency.step(self._emergency) for desk in self.venues.values()))

    def _detect_emergency(self) -> None:
        """Look for a halt beside the tape, and for a broker that is gone."""
        if self._stopping:
            return
        self._own_what_came_late()
        away = self._away_s() > BROKER_PATIENCE_S
        reason = "broker gone" if away else "halted" if self._halted() else ""
        if self._emergency and not reason:
            for desk in self.venues.values():
                desk.gate.invalidate("reconciling")
                desk.books.request_reconciliation()
        self._emergency = reason
        if away:
            self._save_facts()

    def _own_what_came_late(self) -> None:
        """Once this process leads, every order is its own."""
        for desk in self.venues.values():
            if desk.registry.late and desk.leads():
                desk.registry.late.clear()

    def _save_facts(self) -> None:
        """Save what waits. Without room it stays in memory: a full disk must not keep what rests from being cancelled."""
        try:
            self.queue.save()
        except OSError as e:
            if not self._is_unsaved:
                log.error("facts not saved", extra={"detail": clip(str(e), 200)})
            self._is_unsaved = True
        else:
            self._is_unsaved = False

    async def stop(self) -> None:
        """Cancel resting entries, publish how they ended, and save the facts that could not be published.

        During an emergency exits are cancelled too: nothing would cancel one that still arrives.
        """
        self._stopping = True
        everything = bool(self._emergency)
        self._emergency = "stopping"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_PATIENCE_S):
                await asyncio.gather(*(desk.withdraw(everything=everything) for desk in self.venues.values()))
                while len(self.queue):
                    await asyncio.sleep(WATCH_EVERY_S / 10)
        self._save_facts()

    async def close(self) -> None:
        """Close the gateways."""
        await asyncio.gather(*(desk.close() for desk in self.venues.values()), return_exceptions=True)
