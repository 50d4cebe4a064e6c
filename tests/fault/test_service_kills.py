"""kill -9 of every service at random points while orders flow."""

import asyncio

import pytest

from tests.fault import invariants
from tests.fault.rig import BUSY, busy_recording, follow_plan, journaled, kill_plan, play
from tests.support.harness import running
from tools.system.options import Options

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.soak]

PATIENCE_S = 200.0


@pytest.mark.timeout(14_000)
@pytest.mark.asyncio
async def test_killing_every_service_loses_and_doubles_nothing(tmp_path, count):
    kills, minutes = count(7, 140), count(1, 40) / 2
    recording = busy_recording(tmp_path, minutes, results=minutes > 1)
    options = Options(state=tmp_path / "state", recordings=[recording], speed=3.0)
    patience_s = PATIENCE_S * max(minutes, 1)
    async with running(options, BUSY) as (system, tape):
        # Half a minute is 1,300 messages where nothing dies; where orders expire meanwhile it is fewer.
        plan = kill_plan(11, kills, 200, round(1_800 * minutes))
        killing = asyncio.create_task(follow_plan(system, tape, plan, patience_s))
        summary = await play(system, patience_s)
        killed = await asyncio.wait_for(killing, 180)
        await journaled(system, tape)
        restarts = sum(child.restarts for child in system.supervisor.children.values())
        diverged = [s for s, report in system.reports.latest.items() if report.get("diverged")]
    assert killed == kills
    assert restarts >= kills
    assert not diverged
    assert summary["divergences"] == 0
    found = await invariants.check(options.state)
    assert found.claims >= 10, found
    assert found.fills >= 5, found
    print(found)
