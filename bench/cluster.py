"""``python -m bench cluster``: how long no order leaves when a part of a cluster goes, on three brokers of this machine.

The whole system runs with a standby of each service and buys on paper several times a second. Then one part is killed or
moved by plan, and the time runs from the signal until the broker has stored the claim that ends the longest pause.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench import machine, venue
from bench.latency import CHANGES, STRATEGY, configuration
from bench.nodes import BrokerNodes
from libs.config.environment import PREFIX
from libs.runtime.layout import StateLayout
from libs.tape.client import TapeClient
from libs.tape.credentials import STANDBY, make_passwords, standby_name
from libs.tape.record import TapeRecord
from proto.execution import Claim
from proto.message import Message
from proto.subjects import LEASE, LEDGER, SERVICES, TAPE
from tools.system.composition import sections
from tools.system.options import Options
from tools.system.system import System

RATE = 50
EVERY_N = 5
"""An order for every fifth quote: some five a second."""
ROUNDS = 5
PATIENCE_S = 120.0
STEADY_S = 2.0
"""Trading goes on when so long no pause was longer than ``PAUSE_S``."""
PAUSE_S = 0.8
CHECK_S = 0.05
SERVICE_AIM_S, PLANNED_AIM_S, BROKER_AIM_S = 3.0, 1.0, 8.0


class Bench:
    """A system on three nodes, and the times of its claims (s since 1970, by the broker)."""

    def __init__(self, system: System, nodes: BrokerNodes, client: TapeClient) -> None:
        self.system = system
        self.nodes = nodes
        self.client = client
        self.claims_s: list[float] = []
        system.observers.append(self._observe)

    def _observe(self, record: TapeRecord, message: Message) -> None:
        if isinstance(message, Claim):
            self.claims_s.append(record.stored_at_ns / 1e9)

    def leading(self, service: str) -> int:
        """Process id of who leads a service."""
        return leading_process(self.system, service)

    async def healthy(self) -> None:
        """Wait until every node has everything and every service has its standby."""
        async with asyncio.timeout(PATIENCE_S):
            for stream in (TAPE, LEDGER, LEASE):
                while not await self.nodes.current(self.client, stream):
                    await asyncio.sleep(CHECK_S)
            while not all_stand_by(self.system):
                await asyncio.sleep(CHECK_S)
        await self.trades(time.time())

    async def trades(self, since_s: float) -> list[float]:
        """Wait until orders leave without a pause; the times of those after ``since_s``."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                later = [at for at in self.claims_s if at > since_s]
                steady = [at for at in later if at > time.time() - STEADY_S]
                points = [*steady, time.time()]
                gaps = [b - a for a, b in pairwise(points)]
                if later and later[0] < time.time() - STEADY_S and max(gaps, default=9.0) < PAUSE_S:
                    return later
                await asyncio.sleep(CHECK_S)

    async def pause_after(self, act: Callable[["Bench"], Awaitable[str]]) -> float:
        """Do something; seconds from then to the claim that ends the longest pause."""
        await self.healthy()
        began_s = time.time()
        node = await act(self)
        # The pause of a killed service begins only when another would have taken over.
        await asyncio.sleep(STEADY_S + 1.0)
        times = [began_s, *await self.trades(began_s)]
        start = max(range(len(times) - 1), key=lambda place: times[place + 1] - times[place])
        if node:
            await asyncio.to_thread(self.nodes.processes[node].wait)
            self.nodes.start_node(node)
        return (
            times[start + 1] - began_s
            if times[start + 1] - times[start] > PAUSE_S
            else times[start + 1] - times[start]
        )


def leading_process(system: System, service: str) -> int:
    """Process id of who leads a service, as its newest health report has it."""
    owner = str(system.reports.latest[service].get("owner", ""))
    name = standby_name(service) if owner.startswith(STANDBY) else service
    return system.supervisor.children[name].pid


def all_stand_by(system: System) -> bool:
    """Whether every service has one process that leads and one that waits."""
    believed = system.reports.believed
    return all(
        believed(service, 2.0).get("state") == "live"
        and believed(standby_name(service), 2.0).get("state") == STANDBY
        for service in SERVICES
    )


async def _signal_service(bench: Bench, service: str, number: signal.Signals) -> str:
    os.kill(bench.leading(service), number)
    return ""


async def _signal_node(bench: Bench, stream: str, number: signal.Signals) -> str:
    node = await bench.nodes.leader(bench.client, stream)
    bench.nodes.signal(node, number)
    return node


async def _step_down(bench: Bench, stream: str) -> str:
    await bench.nodes.step_down(bench.client, stream)
    return ""


async def _both(bench: Bench, service: str, stream: str) -> str:
    await _signal_service(bench, service, signal.SIGKILL)
    return await _signal_node(bench, stream, signal.SIGKILL)


class Case(NamedTuple):
    """What is done, and the figure it should stay below at the median (s)."""

    name: str
    act: Callable[[Bench], Awaitable[str]]
    aim_s: float | None


CASES = (
    *(
        Case(
            f"{service} killed",
            partial(_signal_service, service=service, number=signal.SIGKILL),
            SERVICE_AIM_S,
        )
        for service in ("signal", "risk", "execution", "feed")
    ),
    *(
        Case(
            f"{service} stopped by plan",
            partial(_signal_service, service=service, number=signal.SIGTERM),
            PLANNED_AIM_S,
        )
        for service in ("signal", "risk", "execution")
    ),
    *(
        Case(f"leader of {stream} moved by plan", partial(_step_down, stream=stream), PLANNED_AIM_S)
        for stream in (TAPE, LEDGER)
    ),
    Case(
        f"node that leads {TAPE} stopped by plan",
        partial(_signal_node, stream=TAPE, number=signal.SIGTERM),
        PLANNED_AIM_S,
    ),
    *(
        Case(
            f"node that leads {stream} killed",
            partial(_signal_node, stream=stream, number=signal.SIGKILL),
            BROKER_AIM_S,
        )
        for stream in (TAPE, LEDGER)
    ),
    Case(
        "execution and node that leads LEDGER killed",
        partial(_both, service="execution", stream=LEDGER),
        None,
    ),
)


async def measure(rounds: int, cases: Sequence[Case], tell: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds of pause by case."""
    found: dict[str, list[float]] = {case.name: [] for case in cases}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        layout = StateLayout(root / "state")
        layout.prepare()
        nodes = BrokerNodes(root / "nodes", make_passwords(layout.broker / "credentials"))
        url, task = await venue.start(RATE)
        options = Options(state=layout.root, sockets=[url], strategies=[STRATEGY], standby=True)
        changes = CHANGES | {"signal.every_nth.every_n": str(EVERY_N)}
        known = sections(strategies=[STRATEGY], directory=configuration(layout.root), overrides=changes)
        try:
            await nodes.start()
            os.environ[f"{PREFIX}NATS_URL"] = nodes.url
            admin = await nodes.link()
            system = System(options, known)
            bench = Bench(system, nodes, admin.client)
            try:
                await system.start()
                for number in range(rounds):
                    for case in cases:
                        pause_s = await bench.pause_after(case.act)
                        found[case.name].append(pause_s)
                        tell(f"round {number + 1} of {rounds}: {case.name}: {pause_s:.2f} s")
            finally:
                await system.stop()
                await admin.close()
        finally:
            task.cancel()
            await asyncio.to_thread(nodes.stop)
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    about = machine.describe()
    if warning := machine.busy(about):
        console.print(f"[bold yellow]{warning}[/]")
    cases = [case for case in CASES if options.only in case.name]
    found = asyncio.run(measure(options.rounds, cases, lambda line: console.print(line, highlight=False)))
    table = Table(title="pause until the next order", title_justify="left")
    for column in ("what", "p50", "worst", "aim (p50)", "times"):
        table.add_column(column)
    for case in cases:
        times = found[case.name]
        aim = "" if case.aim_s is None else f"≤ {case.aim_s:g} s"
        table.add_row(case.name, f"{median(times):.2f} s", f"{max(times):.2f} s", aim, str(len(times)))
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    return 0
