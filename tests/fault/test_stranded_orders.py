"""Execution dies between a decision and the fact that nothing was claimed for it: the fact comes all the same."""

from pathlib import Path

import pytest

from proto.execution import Claim, OrderStatus, OrderUpdate, Unclaimed
from tests.fault.rig import BUSY, busy_recording
from tests.support.harness import Tape, running
from tools.system.options import Options

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres]


def denied(tape: Tape) -> set[str]:
    return {u.order for u in tape.of(OrderUpdate) if u.status is OrderStatus.DENIED}


def accepted(tape: Tape) -> set[str]:
    return {u.order for u in tape.of(OrderUpdate) if u.status is OrderStatus.PENDING_SUBMIT}


@pytest.mark.asyncio
async def test_an_order_left_behind_by_a_crash_is_proved_unclaimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(
        state=tmp_path / "state", recordings=[busy_recording(tmp_path, results=False)], speed=4.0
    )
    options.state.mkdir()
    # The file closes the gate; the machine, which knows of no halt, goes on accepting approvals.
    (options.state / "HALT").write_text("test")
    monkeypatch.setenv("PRESAGE_CRASH_POINT", "before_facts")
    async with running(options, BUSY) as (system, tape):
        child = system.supervisor.children["execution"]
        await tape.wait(lambda _: child.restarts >= 1)
        monkeypatch.delenv("PRESAGE_CRASH_POINT")
        await tape.wait(lambda t: "stranded" in {u.reason for u in t.of(Unclaimed)})
        stranded = accepted(tape)
        await tape.wait(lambda t: stranded <= denied(t))
        assert tape.of(Claim) == []
