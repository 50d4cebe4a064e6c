"""One venue's desk over a scripted exchange and the real order machine; the test is the tape between them."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from libs.machine.host_state import Fact
from libs.portfolio.portfolio import Portfolio
from proto.execution import Cancel, Claim, OrderStatus, Query
from proto.message import Message
from proto.operator import Config
from proto.risk import Approval
from proto.units import SECOND
from services.execution.desk.context import DeskContext
from services.execution.desk.venue import VenueDesk
from services.execution.machine import ExecutionMachine
from services.execution.orders import TrackedOrder
from tests.support.order_tape import ORDER, Hand, approval, claim, session
from tests.support.scripted_venue import Exchange, ScriptedGateway

VENUE = "kalshi"
CLIENT = f"c-{ORDER}"
"""What the exchange calls the order."""


class DeskWorld:
    """``facts`` wait to be stored; ``store`` puts them onto the tape, where the machine reads them."""

    def __init__(self) -> None:
        self.hand = Hand(ExecutionMachine())
        self.hand.put(session(self.hand.now_s))
        self.hand.put(Config(section="execution", document={"live_venues": [VENUE]}, nonce="n", expires_at=0))
        self.exchange = Exchange()
        self.exchange.now = self.now
        self.gateway = ScriptedGateway(self.exchange, VENUE)
        self.facts: deque[Message] = deque()
        self.stored: list[Message] = []
        self.claims: dict[str, Claim] = {}
        self.approvals: list[Approval] = []
        self.refusal = ""
        self.leads = True
        self.desk = self.new_desk()

    @property
    def machine(self) -> ExecutionMachine:
        machine: ExecutionMachine = self.hand.machines[0]
        return machine

    @property
    def now(self) -> int:
        return self.hand.now_s * SECOND

    @property
    def book(self) -> Portfolio:
        """The machine's books of the venue."""
        return self.machine.state.venues[VENUE].portfolio

    def context(self, **changes: Any) -> DeskContext:
        async def publish(fact: Fact) -> None:
            self.facts.append(fact.message)

        options: dict[str, Any] = {
            "publish": publish,
            "spool": Path("/nonexistent"),
            "state": lambda: self.machine.state,
            "away_s": lambda: 0.0,
            "halted": lambda: False,
            "refusal": lambda _: self.refusal,
            "leads": lambda: self.leads,
            "wall_ns": lambda: self.now,
        }
        return DeskContext(**(options | changes))

    def new_desk(self) -> VenueDesk:
        """A desk as a restarted process makes it: from the machine and the claims, nothing else."""
        desk = VenueDesk(
            self.gateway,
            lambda message, _cause, _root: self.facts.append(message),
            self.context(),
            now_s=lambda: float(self.hand.now_s),
        )
        desk.books.restore()
        for found in self.claims.values():
            approved = next(a for a in self.approvals if a.order == found.order)
            desk.register(found, approved)
        return desk

    def restart(self) -> None:
        """The process dies with whatever it had not told, and comes back."""
        self.facts.clear()
        self.desk = self.new_desk()

    def approve(self, event: Approval) -> None:
        self.hand.approve(event)
        self.approvals.append(event)

    def win(self, event: Approval, *, copied: bool = True) -> Claim:
        """The claim; with ``copied`` the broker's copy is on the tape before anything else happens."""
        prepared = self.desk.order_builder.prepare(event, self.now)
        won = claim(event).replace(client_order_id=prepared.client_order_id, claimed_at=self.now)
        self.claims[event.order] = won
        if copied:
            self.hand.put(won)
        return won

    async def send(
        self, number: int = 1, *, how: str = "ok", copied: bool = True, **options: Any
    ) -> Approval:
        """Approve, claim and send one order."""
        event = approval(number, expires_s=self.hand.now_s + 60, **options)
        self.approve(event)
        if how:
            self.gateway.script.append(how)
        won = self.win(event, copied=copied)
        own = self.desk.register(won, event)
        await self.desk.orders.submit(own, self.desk.order_builder.prepare(event, self.now))
        return event

    async def store(self, count: int = 1_000_000) -> None:
        """Put facts onto the tape, and let the desk act on what the machine says."""
        while self.facts and count > 0:
            count -= 1
            fact = self.facts.popleft()
            self.stored.append(fact)
            await self.act(self.hand.put(fact))

    async def act(self, outputs: list[Message]) -> None:
        for output in outputs:
            if isinstance(output, Cancel):
                await self.desk.orders.cancel(output.order)
            elif isinstance(output, Query):
                await self.desk.orders.look_up(output.order)

    async def tick(self, seconds: int = 1) -> None:
        self.hand.now_s += seconds
        self.exchange.now = self.now
        await self.act(self.hand.tick())

    async def stream(self, count: int = 1_000_000) -> None:
        """The user stream brings what the exchange said."""
        while self.exchange.events and count > 0:
            count -= 1
            self.desk.books.handle_event(self.exchange.events.popleft())

    async def run_until_settled(self, seconds: int = 400) -> None:
        """Time passes until nothing can change any more: reconciliations, questions, answers."""
        for _ in range(max(seconds // 20, 1)):
            await self.tick(20)
            await self.desk.tasks.idle()
            await self.store()
            await self.desk.reconciler.run()
            await self.desk.tasks.idle()
            await self.store()

    def order(self, number: int = 1) -> TrackedOrder:
        """What the machine knows of an order."""
        name = f"tape1-{number}-0"
        state = self.machine.state
        return state.live.get(name) or state.ended[name]

    def status(self, number: int = 1) -> OrderStatus:
        return self.order(number).status

    def published(self, kind: type[Any]) -> list[Any]:
        """Facts of a kind, stored or waiting."""
        return [m for m in (*self.stored, *self.facts) if isinstance(m, kind)]


def run(scene: Callable[[DeskWorld], Coroutine[Any, Any, None]]) -> DeskWorld:
    """Play a scene in a world of its own."""
    world = DeskWorld()
    asyncio.run(scene(world))
    return world


def run_reconciled(scene: Callable[[DeskWorld], Coroutine[Any, Any, None]]) -> DeskWorld:
    """Play a scene in a world whose first reconciliation is done; each order is sent once in it."""

    async def play(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.store()
        await scene(world)
        await world.desk.tasks.idle()

    world = run(play)
    assert all(count == 1 for count in world.gateway.submits.values())
    return world
