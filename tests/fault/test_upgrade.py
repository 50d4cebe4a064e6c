"""Another version of a machine: after a planned stop it goes on, after a crash it refuses or adopts."""

from pathlib import Path
from typing import Any

import pytest

from libs.machine import host as host_module
from libs.machine.host import Host
from libs.machine.machine import Machine
from proto.service import Started
from tests.support.harness import readable
from tests.support.host_world import Counter, NewCounter, OtherCounter, World, until, world
from tools.cli.commands.replay import ReplayRequest, run_replay
from tools.offline import replay

pytestmark = [pytest.mark.broker, pytest.mark.fault]


@pytest.fixture(params=["no snapshot", "snapshots"])
def snapshots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With a snapshot after every message, or with none but those of a planned stop."""
    often = request.param == "snapshots"
    monkeypatch.setattr(host_module, "SNAPSHOT_EVERY_SEQ", 1 if often else 10**9)
    return often


async def replayed(
    world: World, machine: type[Machine], monkeypatch: pytest.MonkeyPatch, **options: Any
) -> dict[str, Any]:
    monkeypatch.setattr(replay, "factories", lambda _: {"signal": machine})
    return await run_replay(ReplayRequest(world.state, machines=["signal"], **options))


def assert_refused(host: Host, old: int, new: int) -> None:
    report = host.health()
    assert report["state"] == "refused"
    assert f"expected signal version {old} after a crash, was version {new}" in report["detail"]
    assert "run the old build once to a planned stop" in report["detail"]
    assert "--adopt signal" in report["detail"]


async def starts(world: World) -> list[Started]:
    found = [message for _, message in readable(await world.records("*.started"))]
    return [message for message in found if isinstance(message, Started)]


@pytest.mark.asyncio
async def test_after_a_planned_stop_the_new_version_goes_on(
    tmp_path: Path, snapshots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter):
            for _ in range(3):
                await w.trade()
            await w.says([1, 2, 3])
        await w.trade()
        async with w.host(NewCounter) as host:
            await w.says([1, 2, 3, 400])
            await w.trade()
            await w.says([1, 2, 3, 400, 500])
            assert not host.status.refused
        assert [start.version for start in await starts(w)] == [1, 2]
        result = await replayed(w, NewCounter, monkeypatch)
        assert result["identical"], result
        assert result["compared"] == 2
        assert result["left_out"][0]["text"] == "decided by version 1"
        assert [start["version"] for start in result["starts"]] == [2]


@pytest.mark.asyncio
async def test_after_a_crash_it_refuses_stays_up_and_the_old_version_is_a_way_out(
    tmp_path: Path, snapshots: bool
) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter, crash=True):
            await w.trade()
            await w.trade()
            await w.says([1, 2])
        await w.trade()
        async with w.host(NewCounter) as host:
            assert_refused(host, 1, 2)
            await w.trade()
        assert await w.prices() == [1, 2]
        assert len(await starts(w)) == 1
        async with w.host(Counter):
            await w.says([1, 2, 3, 4])
        async with w.host(NewCounter) as host:
            await w.trade()
            await w.says([1, 2, 3, 4, 500])


@pytest.mark.asyncio
async def test_the_new_version_may_crash_too_and_the_old_one_is_then_refused(
    tmp_path: Path, snapshots: bool
) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter):
            await w.trade()
            await w.says([1])
        async with w.host(NewCounter, crash=True):
            await w.trade()
            await w.says([1, 200])
        await w.trade()
        async with w.host(NewCounter, crash=True):
            await w.says([1, 200, 300])
        async with w.host(Counter) as host:
            assert_refused(host, 2, 1)


@pytest.mark.asyncio
async def test_a_start_after_the_planned_stop_makes_it_a_crash_again(tmp_path: Path) -> None:
    # The newest snapshot is a planned one, but the old version has decided something since.
    async with world(tmp_path) as w:
        async with w.host(Counter):
            await w.trade()
            await w.says([1])
        async with w.host(Counter, crash=True):
            await w.trade()
            await w.says([1, 2])
        async with w.host(NewCounter) as host:
            assert_refused(host, 1, 2)


@pytest.mark.asyncio
async def test_an_adoption_repeats_nothing_and_goes_on_with_what_is_new(
    tmp_path: Path, snapshots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter, crash=True):
            await w.trade()
            await w.trade()
            await w.says([1, 2])
        end = await w.last_seq()
        before = len(await w.records("signal.proposal.>"))
        async with w.host(NewCounter, adopt_to=end, crash=True):
            await w.trade()
            await w.says([1, 2, 300])
        assert [(s.version, s.adopted, s.from_seq) for s in await starts(w)][1] == (2, True, end)
        assert len(await w.records("signal.proposal.>")) == before + 1
        # What came while it was down is new, also for a restart within the run that adopts.
        await w.trade()
        async with w.host(NewCounter, adopt_to=end, crash=True):
            await w.says([1, 2, 300, 400])
        # And the next run needs no adoption any more, whatever snapshots there are.
        await w.trade()
        async with w.host(NewCounter) as host:
            await w.says([1, 2, 300, 400, 500])
            assert not host.status.refused
        result = await replayed(w, NewCounter, monkeypatch)
        assert result["identical"], result
        assert result["compared"] == 3
        assert result["left_out"][0] == {"machine": "signal", "to": end, "text": "adopted by version 2"}


@pytest.mark.asyncio
async def test_a_state_that_cannot_be_read_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter):
            await w.trade()
            await w.trade()
            await w.says([1, 2])
        async with w.host(OtherCounter) as host:
            assert host.health()["state"] == "refused"
            assert "state that signal version 3 can read" in host.status.refused
        async with w.host(OtherCounter, adopt_to=await w.last_seq()):
            await w.trade()
            await w.says([1, 2, 3_000])


@pytest.mark.asyncio
async def test_a_replay_by_another_version_tells_the_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter):
            first = await w.trade()
            await w.trade()
            await w.says([1, 2])
        assert (await replayed(w, Counter, monkeypatch))["identical"]
        difference = (await replayed(w, NewCounter, monkeypatch))["difference"]
        assert difference["machine"] == "signal"
        assert difference["fields"] == [{"field": "price", "stored": 1, "recomputed": 100}]
        # Nothing was decided before the first trade: no version differs there.
        before = await replayed(w, NewCounter, monkeypatch, to=str(first - 1))
        assert before["identical"]
        assert before["to"] == first - 1
        # What it decided at once differs, wherever the window ends: the output is looked for behind it.
        assert not (await replayed(w, NewCounter, monkeypatch, to=str(first)))["identical"]


@pytest.mark.asyncio
async def test_a_diverged_machine_says_nothing_more_until_it_is_adopted(tmp_path: Path) -> None:
    class Liar(Counter):
        factor = 7

    async with world(tmp_path) as w:
        async with w.host(Counter, crash=True):
            await w.trade()
            await w.says([1])
        await w.trade()
        async with w.host(Liar) as host:
            assert await until(lambda: host.health()["diverged"])
            assert host.health()["state"] == "stopped"
            assert "differs from signal.proposal.s.m" in host.status.refused
        assert await w.prices() == [1]
        async with w.host(Liar, adopt_to=await w.last_seq()) as host:
            await w.trade()
            await w.says([1, 21])
