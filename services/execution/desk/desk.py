"""The live side of execution: a desk at each live venue, the one queue of facts, and what happens in need."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from libs.machine.claims import approval_in
from libs.machine.host_state import Fact
from libs.tape.errors import BrokerUnavailable, ContentMismatch
from libs.tape.record import TapeRecord
from libs.venues.errors import VenueError
from libs.venues.gateway import VenueGateway
from proto.execution import Cancel, Claim, Query
from proto.feed import Market, MarketStatus
from proto.ids import venue_of
from proto.message import Message
from proto.operator import Command, Verb
from services.execution.desk.context import Surroundings
from services.execution.desk.emergency import Emptying
from services.execution.desk.queue import FactQueue
from services.execution.desk.venue import VenueDesk

WATCH_EVERY_S = 0.1
BROKER_PATIENCE_S = 2.0
"""A broker gone for longer than a restart takes: nobody can say halt any more, so nothing may rest."""
RETRY_S = 1.0
"""Between attempts to start a gateway, or to follow a user stream."""
STOP_PATIENCE_S = 1.5
"""For cancelling what rests before a planned stop; the supervisor ends the process after three seconds."""

ReadClaim = Callable[[str], Any]
"""Reads an order's claim from the ledger (a coroutine function)."""

log = logging.getLogger("presage.desk")


class Desk:
    """All live venues."""

    def __init__(self, gateways: Sequence[VenueGateway], around: Surroundings) -> None:
        self.queue = FactQueue(around.publish, around.spool)
        self.venues: dict[str, VenueDesk] = {
            gateway.venue: VenueDesk(gateway, self._tell, around) for gateway in gateways
        }
        self._state = around.state
        self._away_s = around.away_s
        self._halted = around.halted
        self._emergency = ""
        self._stopping = False
        self._emptying = {venue: Emptying(desk) for venue, desk in self.venues.items()}

    def _tell(self, message: Message, cause: int, root: int) -> None:
        self.queue.put(Fact(message, cause, root))

    # ── for the shell ──

    def at(self, market: str) -> VenueDesk | None:
        """The desk at a market's venue."""
        return self.venues.get(venue_of(market))

    def reason(self, market: str) -> str:
        """Why no new order may leave for a market; empty when one may."""
        desk = self.at(market)
        if desk is None:
            return "no gateway"
        if self._emergency:
            return self._emergency
        if self.queue.crowded:
            return "facts waiting"
        return desk.reason(market)

    def report(self) -> dict[str, Any]:
        """For the health report."""
        return {
            venue: desk.report() | {"gate": self.reason(f"{venue}:") or "open"}
            for venue, desk in self.venues.items()
        }

    def observe(self, record: TapeRecord, event: Message, *, live: bool) -> None:
        """A message was read from the tape; only new ones are acted on."""
        if isinstance(event, Claim):
            approval = approval_in(event)
            desk = self.at(approval.market) if approval is not None else None
            if desk is not None and approval is not None and desk.is_claimed(event.order):
                desk.learn(event, approval, record.seq, record.root or record.seq)
        elif isinstance(event, Market):
            desk = self.at(event.market)
            if live and desk is not None and event.status in (MarketStatus.LISTED, MarketStatus.OPEN):
                desk.spawn(desk.foresee(event.market))
        elif live and isinstance(event, Cancel):
            self._of(event.order, lambda desk: desk.cancel(event.order))
        elif live and isinstance(event, Query):
            self._of(event.order, lambda desk: desk.look_up(event.order))
        elif live and isinstance(event, Command) and event.verb is Verb.RESUME:
            for desk in self.venues.values():
                desk.spawn(desk.resume())

    def _of(self, order: str, work: Callable[[VenueDesk], Any]) -> None:
        for desk in self.venues.values():
            if desk.orders.get(order) is not None:
                desk.spawn(work(desk))

    # ── running ──

    async def start(self, read_claim: ReadClaim) -> None:
        """Know all orders by their claims; call it when the machine has read the tape."""
        for desk in self.venues.values():
            desk.seed()
        for order, market in self._remembered().items():
            venue = self.at(market)
            if venue is None or venue.orders.get(order) is not None:
                continue
            claim = await self._claim(read_claim, order)
            approval = approval_in(claim) if claim is not None else None
            if claim is not None and approval is not None:
                venue.learn(claim, approval)
        for fact in self.queue:
            # Saved by the process before; on the tape in a moment.
            for desk in self.venues.values():
                desk.recall(fact.message)

    def _remembered(self) -> dict[str, str]:
        """Orders that the machine follows → their market, or what they traded where a fill is all that is left."""
        state = self._state()
        found = {tracked.order: tracked.market for tracked in (*state.live.values(), *state.ended.values())}
        for record in state.venues.values():
            found = {fill.order: fill.instrument for fill in record.unsettled.values()} | found
        return found

    async def _claim(self, read_claim: ReadClaim, order: str) -> Claim | None:
        while True:
            try:
                found: Claim | None = await read_claim(order)
            except ContentMismatch:
                return None
            except BrokerUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return found

    async def run(self) -> None:
        """Trade until cancelled."""
        tasks = [asyncio.create_task(self.queue.run()), asyncio.create_task(self._watch_loop())]
        tasks += [asyncio.create_task(self._empty_loop(emptying)) for emptying in self._emptying.values()]
        tasks += [asyncio.create_task(self._serve(desk)) for desk in self.venues.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, desk: VenueDesk) -> None:
        while True:
            try:
                await desk.gateway.start()
            except VenueError as e:
                desk.gate.doubt(f"not connected: {e}"[:200])
                log.warning("gateway not started", extra={"venue": desk.venue, "detail": str(e)})
                await asyncio.sleep(RETRY_S)
            else:
                break
        await asyncio.gather(desk.reconciler.loop(), self._stream_loop(desk), self._beat_loop(desk))

    async def _stream_loop(self, desk: VenueDesk) -> None:
        while True:
            try:
                async for event in desk.gateway.events():
                    desk.take(event)
            except VenueError as e:
                log.warning("user stream failed", extra={"venue": desk.venue, "detail": str(e)})
            except Exception:
                log.exception("gateway failed", extra={"venue": desk.venue})
            desk.stream_up = False
            await asyncio.sleep(RETRY_S)

    async def _beat_loop(self, desk: VenueDesk) -> None:
        every_s = desk.gateway.heartbeat_every_s
        while every_s > 0:
            await desk.heartbeat()
            await asyncio.sleep(every_s)

    # ── need ──

    async def _watch_loop(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(WATCH_EVERY_S)

    async def _empty_loop(self, emptying: Emptying) -> None:
        # Each venue by itself: one that does not answer keeps nobody from emptying the others.
        while True:
            if not self._stopping:
                await emptying.step(self._emergency)
            await asyncio.sleep(WATCH_EVERY_S)

    async def watch(self) -> None:
        """One look at what may make everything rest impossible, and what it asks for at every venue."""
        self._look()
        if not self._stopping:
            await asyncio.gather(*(emptying.step(self._emergency) for emptying in self._emptying.values()))

    def _look(self) -> None:
        """Is there a halt beside the tape, or a broker that is gone?"""
        if self._stopping:
            return
        away = self._away_s() > BROKER_PATIENCE_S
        if away:
            self.queue.save()
        reason = "broker gone" if away else "halted" if self._halted() else ""
        if self._emergency and not reason:
            for desk in self.venues.values():
                desk.gate.doubt("reconciling")
                desk.reconciler.soon()
        self._emergency = reason

    async def stop(self) -> None:
        """Cancel resting entries, tell how they ended, save what could not be told, close the gateways.

        During an emergency exits are cancelled too: nobody would see one that still arrives.
        """
        self._stopping = True
        everything = bool(self._emergency)
        self._emergency = "stopping"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_PATIENCE_S):
                await asyncio.gather(*(desk.withdraw(everything=everything) for desk in self.venues.values()))
                while len(self.queue):
                    await asyncio.sleep(WATCH_EVERY_S / 10)
        self.queue.save()

    async def close(self) -> None:
        """Close the gateways."""
        await asyncio.gather(*(desk.close() for desk in self.venues.values()), return_exceptions=True)
