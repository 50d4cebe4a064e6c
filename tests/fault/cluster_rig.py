"""A system on three brokers of its own, with a standby of each service, and the faults that strike it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.cluster import all_stand_by, leading_process
from bench.nodes import HOST, NODES, BrokerNodes
from libs.config.environment import PREFIX
from libs.runtime.layout import StateLayout
from libs.tape.client import TapeClient
from libs.tape.connection import Link
from libs.tape.credentials import make_passwords
from proto.execution import Claim
from proto.subjects import LEASE, LEDGER, TAPE
from tests.fault.live import trading
from tests.fault.relay import Relay
from tests.support.harness import Tape
from tests.support.waiting import until
from tools.system.system import System

STREAMS = (TAPE, LEDGER, LEASE)
PATIENCE_S = 120.0
POLL_S = 0.02
FROZEN_SERVICE_S = 4.0
"""Longer than a lease is held; then it goes on, and finds that another one leads."""
FROZEN_NODE_S = 12.0
"""Longer than an election."""
CUT_OFF = NODES[-1]
"""The node whose routes go by relays."""


class Rig:
    """A running system, its nodes, and what can be done to both."""

    def __init__(
        self, system: System, tape: Tape, nodes: BrokerNodes, admin: Link, relays: list[Relay]
    ) -> None:
        self.system = system
        self.tape = tape
        self.nodes = nodes
        self.client: TapeClient = admin.client
        self._relays = relays

    def leading(self, service: str) -> int:
        """The process that leads a service."""
        return leading_process(self.system, service)

    async def healthy(self) -> None:
        """Wait until every node has everything, and every service leads and has its standby."""
        async with asyncio.timeout(PATIENCE_S):
            for stream in STREAMS:
                while not await self.nodes.current(self.client, stream):
                    await asyncio.sleep(POLL_S)
        await until(lambda: all_stand_by(self.system), PATIENCE_S)

    async def journalled(self) -> None:
        """Wait until the journal has what is on the tape now: after a fault its reader may have to begin anew."""
        watch, reports = self.system.watch, self.system.reports
        assert watch is not None
        position = watch.position
        await until(lambda: int(reports.latest["journal"]["position"]) >= position, PATIENCE_S)

    async def trades(self) -> None:
        """Wait for two more claims: one may have been on its way."""
        claims = len(self.tape.of(Claim))
        await self.tape.wait(lambda tape: len(tape.of(Claim)) >= claims + 2, PATIENCE_S)

    # ── faults ──

    async def kill_service(self, service: str) -> None:
        os.kill(self.leading(service), signal.SIGKILL)

    async def freeze_service(self, service: str) -> None:
        pid = self.leading(service)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(FROZEN_SERVICE_S)
        os.kill(pid, signal.SIGCONT)

    async def kill_node(self, stream: str) -> None:
        """Kill the node that leads a stream; start it again once trading goes on."""
        node = await self.nodes.leader(self.client, stream)
        self.nodes.signal(node, signal.SIGKILL)
        await self.trades()
        self.nodes.start_node(node)

    async def freeze_node(self, stream: str) -> None:
        node = await self.nodes.leader(self.client, stream)
        self.nodes.signal(node, signal.SIGSTOP)
        await asyncio.sleep(FROZEN_NODE_S)
        self.nodes.signal(node, signal.SIGCONT)

    async def kill_both(self, service: str) -> None:
        await self.kill_service(service)
        await self.kill_node(LEDGER)

    async def cut_off(self) -> None:
        """Cut one node off from the others, not from its clients."""
        for relay in self._relays:
            await relay.cut()
        await asyncio.sleep(FROZEN_NODE_S)
        for relay in self._relays:
            await relay.mend()


Fault = Callable[[Rig], Awaitable[None]]


@asynccontextmanager
async def three_nodes(
    root: Path, state: Path, *, can_cut: bool = False
) -> AsyncIterator[tuple[BrokerNodes, list[Relay]]]:
    """Three brokers with the users of a state directory; ``can_cut``: the routes of one of them go by relays."""
    layout = StateLayout(state)
    layout.prepare()
    relays: dict[tuple[str, str], Relay] = {}
    nodes = BrokerNodes(
        root,
        make_passwords(layout.broker / "credentials"),
        lambda a, b, address: (
            relays[a, b].through(f"nats://{address}").removeprefix("nats://") if (a, b) in relays else address
        ),
    )
    others = [node for node in NODES if node != CUT_OFF and can_cut]
    for pair in [pair for node in others for pair in ((node, CUT_OFF), (CUT_OFF, node))]:
        relays[pair] = Relay()
        await relays[pair].open(f"nats://{HOST}:{nodes.route_ports[pair[1]]}")
    try:
        await nodes.start()
        yield nodes, list(relays.values())
    finally:
        await asyncio.to_thread(nodes.stop)
        for relay in relays.values():
            await relay.cut()


@asynccontextmanager
async def running_on(
    nodes: BrokerNodes, relays: list[Relay], state: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    """A system on these nodes that trades on paper all the time, with a standby of each service."""
    monkeypatch.setenv(f"{PREFIX}NATS_URL", nodes.url)
    admin = await nodes.link()
    try:
        async with trading(state, standby=True) as (system, tape):
            yield Rig(system, tape, nodes, admin, relays)
    finally:
        await admin.close()
