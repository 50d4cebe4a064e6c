"""Three brokers, a standby of each service: whatever is killed, frozen or cut off, orders go on, each once."""

from functools import partial
from pathlib import Path

import pytest

from libs.runtime.layout import StateLayout
from proto.execution import Claim
from proto.subjects import LEDGER, TAPE
from tests.fault import invariants
from tests.fault.cluster_rig import Fault, Rig, running_on, three_nodes

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.soak]

QUICK: list[Fault] = [partial(Rig.kill_both, service="execution")]
ALL: list[Fault] = [
    *(
        partial(Rig.kill_service, service=name)
        for name in ("execution", "risk", "signal", "exit", "feed", "monitor")
    ),
    *(partial(Rig.kill_node, stream=stream) for stream in (TAPE, LEDGER)),
    partial(Rig.kill_both, service="execution"),
    partial(Rig.kill_both, service="risk"),
    *(partial(Rig.freeze_service, service=name) for name in ("execution", "risk", "feed")),
    *(partial(Rig.freeze_node, stream=stream) for stream in (TAPE, LEDGER)),
    Rig.cut_off,
]


@pytest.mark.timeout(14_000)
@pytest.mark.asyncio
async def test_orders_go_on_once_each_whatever_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count
) -> None:
    rounds = count(0, 30)
    faults = ALL * rounds or QUICK
    state = tmp_path / "state"
    async with three_nodes(tmp_path / "nodes", state, can_cut=rounds > 0) as (nodes, relays):
        async with running_on(nodes, relays, state, monkeypatch) as rig:
            await rig.trades()
            for number, fault in enumerate(faults):
                print(f"fault {number} of {len(faults)}: {fault}")
                await rig.healthy()
                await fault(rig)
                await rig.trades()
            await rig.journalled()
            claims = len(rig.tape.of(Claim))
            assert rig.system.summary.divergences == 0
        assert not StateLayout(state).halt_file.exists()
        found = await invariants.check(state, finished=False)
    assert found.claims >= claims
    assert found.fills > 0
