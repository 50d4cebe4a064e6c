"""Execution dies at each named moment of a claim, again and again, in lockstep: one claim an order, same hash."""

import asyncio
from itertools import cycle, islice

import pytest

from tests.fault import invariants
from tests.fault.rig import BUSY, backtested, busy_recording, play, same_decisions
from tests.support.harness import running
from tools.system.options import Options
from tools.system.supervisor import Child
from tools.system.system import System

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.soak]

POINTS = ("before_claim", "after_claim", "after_submit", "before_publish")
VARIABLE = "PRESAGE_CRASH_POINT"
PATIENCE_S = 300.0
POLL_S = 0.01


async def crash_in_turn(system: System, points: list[str]) -> None:
    """Wait for a death at each point; a service that dies so often is not started again any slower for it."""
    child = system.supervisor.children["execution"]
    while child.restarts < len(points):
        await next_death(child)
        child.in_a_row = 0


async def next_death(child: Child) -> None:
    restarts = child.restarts
    while child.restarts == restarts:
        await asyncio.sleep(POLL_S)


@pytest.mark.timeout(14_000)
@pytest.mark.asyncio
async def test_execution_dying_at_any_moment_of_a_claim_claims_each_order_once(tmp_path, count, monkeypatch):
    rounds, minutes = count(2, 50), count(1, 20) / 2
    recording = busy_recording(tmp_path, minutes)
    expected = backtested(recording, BUSY)
    # The second time that a life comes to the point: so every life gets at least one order further.
    points = [f"{point}:2" for point in islice(cycle(POINTS), rounds * len(POINTS))]
    assert expected["orders"] >= 2 * len(points)
    options = Options(state=tmp_path / "state", recordings=[recording], speed=None)
    monkeypatch.setenv(VARIABLE, ",".join(points))
    async with running(options, BUSY) as (system, _):
        crashing = asyncio.create_task(crash_in_turn(system, points))
        summary = await play(system, PATIENCE_S * max(minutes, 1))
        await asyncio.wait_for(crashing, 60)
        codes = system.supervisor.children["execution"].exit_codes
        assert system.supervisor.children["execution"].restarts == len(points)
        assert set(codes) == {-9}
    same_decisions(summary, expected)
    found = await invariants.check(options.state)
    assert found.claims == expected["orders"]
    assert found.unclaimed == 0
    print(found)
