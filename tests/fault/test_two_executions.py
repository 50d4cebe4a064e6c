"""Two execution processes on one tape with the same credentials: the claim decides, one order each time."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.contract.codec import decode_as
from libs.runtime.child import INSTANCE_VARIABLE
from libs.tape.credentials import REPORT
from proto.execution import Claim
from tests.fault import invariants
from tests.fault.rig import BUSY, busy_recording, play
from tests.support.harness import kill, running
from tests.support.paths import ROOT
from tools.cli.commands.tape import history_of
from tools.system.installation import tape_access
from tools.system.options import Options
from tools.system.system import System

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.soak]

PATIENCE_S = 200.0
LIVE_S = 180.0
STOP_S = 30.0
FIRST, SECOND = "execution.log", "execution-second.log"
RACED_MIN = 5
"""In a soak run. In a short one how often both try is a matter of what else the machine does: one that is late sees the
other's claim and does not try. ``test_tape_reader`` races for every claim."""


@contextmanager
def second_execution(state: Path):
    """Another execution process over the state directory, its log beside the others; ended in any case."""
    environment = os.environ | {INSTANCE_VARIABLE: "second", "PYTHONPATH": str(ROOT)}
    with (state / "logs" / "execution-second.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.execution", "--state", str(state)],
            env=environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
        process.terminate()
        assert process.wait(STOP_S) == 0
    finally:
        process.kill()
        process.wait()


class Instances:
    """The newest report of each instance of execution."""

    def __init__(self) -> None:
        self.latest: dict[str, dict] = {}
        self._heard = asyncio.Event()

    async def listen(self, system: System) -> None:
        self._link = await system.installation.connect()
        await self._link.client.subscribe(f"{REPORT}.execution", cb=self._on_report)

    async def _on_report(self, message) -> None:
        body = json.loads(message.data)
        self.latest[body["instance"]] = body
        self._heard.set()

    async def wait_for(self, condition) -> None:
        async with asyncio.timeout(LIVE_S):
            while not condition(self.latest):
                self._heard.clear()
                await self._heard.wait()

    async def close(self) -> None:
        await self._link.close()


def attempts(state: Path, name: str) -> dict[str, str]:
    """Order → nonce, as an instance wrote them down before it claimed."""
    if not (state / "claims" / name).exists():
        return {}
    # While it writes, the last line may be half of one.
    lines = (state / "claims" / name).read_text().splitlines(keepends=True)
    return dict(line.split() for line in lines if line.endswith("\n"))


def raced(state: Path) -> set[str]:
    """Orders that both tried to claim."""
    return attempts(state, FIRST).keys() & attempts(state, SECOND).keys()


def outcomes(report: dict[str, Any]) -> int:
    """How many claims an instance says it tried and knows the outcome of."""
    return int(report["claimed"] + report["lost"])


async def claimed_nonces(state: Path) -> dict[str, str]:
    """Order → the nonce that won."""
    async with tape_access(state) as (installation, link):
        claimed = [
            r async for r in history_of(installation, link).records() if r.subject.startswith(Claim.kind)
        ]
    claims = [decode_as(Claim, record.payload) for record in claimed]
    return {claim.order: claim.nonce for claim in claims}


@pytest.mark.timeout(14_000)
@pytest.mark.asyncio
async def test_two_executions_send_each_order_once(tmp_path, count):
    minutes = count(1, 20) / 2
    recording = busy_recording(tmp_path, minutes, results=minutes > 1)
    options = Options(state=tmp_path / "state", recordings=[recording], speed=3.0)
    instances = Instances()
    async with running(options, BUSY) as (system, tape):
        await instances.listen(system)
        with second_execution(options.state):
            await instances.wait_for(lambda latest: latest.get("second", {}).get("state") == "live")
            playing = asyncio.create_task(play(system, PATIENCE_S * max(minutes, 1)))
            await tape.wait(lambda t: len(t.of(Claim)) >= 10, PATIENCE_S)
            await tape.wait(lambda _: len(raced(options.state)) >= count(0, RACED_MIN), PATIENCE_S)
            # One dies: the other goes on, and the first comes back to a tape that moved on without it.
            kill(system, "execution")
            await playing
            # Reports come twice a second: the one that counts all it tried.
            tried = len(attempts(options.state, SECOND))
            await instances.wait_for(lambda latest: outcomes(latest["second"]) == tried)
            told = dict(instances.latest)
        await instances.close()
    found = await invariants.check(options.state)
    assert found.claims >= 10
    won = await claimed_nonces(options.state)
    first, second = attempts(options.state, FIRST), attempts(options.state, SECOND)
    for order in raced(options.state):
        assert won[order] in (first[order], second[order])
        assert first[order] != second[order]
    wins = sum(won[order] == nonce for order, nonce in second.items())
    assert told["second"]["claimed"] == wins
    assert told["second"]["lost"] == len(second) - wins
    print(found, f"raced {len(raced(options.state))}, second won {wins} of {len(second)}")
