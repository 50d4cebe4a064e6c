"""kill -9 and SIGTERM of the broker under the whole system: it comes back by itself, and nothing is lost."""

import asyncio
import random
import signal
from functools import partial

import pytest

from libs.tape.broker import Broker
from proto.execution import Claim
from proto.venue import Fill
from tests.fault import invariants
from tests.fault.rig import BUSY, backtested, busy_recording, play, same_decisions
from tests.support.harness import Tape, running
from tools.system.options import Options
from tools.system.system import System

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.soak]

PATIENCE_S = 200.0
CLAIMS_MIN, FILLS_MIN = 10, 5
LOCKSTEP_KILLS = 3
POLL_S = 0.01


def has_come_to(seq: int, tape: Tape) -> bool:
    return bool(tape.messages) and tape.messages[-1][0].seq >= seq


async def end_by_plan(system: System, tape: Tape, plan: list[tuple[int, signal.Signals]]) -> int:
    """Signal the broker whenever the tape gets to the next place of the plan; the number of brokers ended."""
    broker = system.installation.broker
    ended = 0
    for seq, number in plan:
        await tape.wait(partial(has_come_to, seq), PATIENCE_S)
        await running_again(broker)
        process = broker.process
        assert process is not None
        process.send_signal(number)
        while process.poll() is None:
            await asyncio.sleep(POLL_S)
        ended += 1
    return ended


async def running_again(broker: Broker) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while broker.process is None or broker.process.poll() is not None:
            await asyncio.sleep(POLL_S)


def plan_of(seed: int, kills: int, last_seq: int) -> list[tuple[int, signal.Signals]]:
    """Random places on the tape, kill -9 and SIGTERM in turn."""
    places = sorted(random.Random(seed).sample(range(200, last_seq), kills))
    return [(seq, (signal.SIGKILL, signal.SIGTERM)[i % 2]) for i, seq in enumerate(places)]


@pytest.mark.timeout(14_000)
@pytest.mark.asyncio
async def test_ending_the_broker_while_orders_flow_loses_and_doubles_nothing(tmp_path, count):
    kills, last_seq = count(6, 60), count(1_200, 19_000)
    # Longer than the kills take: when it has ended, nothing moves any more.
    recording = busy_recording(tmp_path, count(2, 15), results=False)
    options = Options(state=tmp_path / "state", recordings=[recording], speed=3.0)
    async with running(options, BUSY) as (system, tape):
        ended = await end_by_plan(system, tape, plan_of(5, kills, last_seq))
        await tape.wait(lambda t: len(t.of(Claim)) >= CLAIMS_MIN and len(t.of(Fill)) >= FILLS_MIN)
        assert system.servers is not None
        await running_again(system.installation.broker)
        restarts = system.servers.broker_restarts
        assert not [s for s, report in system.reports.latest.items() if report.get("diverged")]
    assert ended == restarts == kills
    assert system.summary.divergences == 0
    found = await invariants.check(options.state, finished=False)
    assert found.claims >= CLAIMS_MIN, found
    assert found.fills >= FILLS_MIN, found


@pytest.mark.timeout(600)
@pytest.mark.asyncio
async def test_in_lockstep_a_killed_broker_changes_no_decision(tmp_path):
    recording = busy_recording(tmp_path, results=False)
    # As without any kill: that a calm run in lockstep decides as the backtest is what test_same_hash sees.
    expected = backtested(recording, BUSY)
    options = Options(state=tmp_path / "state", recordings=[recording], speed=None)
    async with running(options, BUSY) as (system, tape):
        ending = asyncio.create_task(end_by_plan(system, tape, plan_of(9, LOCKSTEP_KILLS, 1_300)))
        summary = await play(system, PATIENCE_S)
        assert await asyncio.wait_for(ending, 180) == LOCKSTEP_KILLS
    assert expected["orders"] >= CLAIMS_MIN
    same_decisions(summary, expected)
