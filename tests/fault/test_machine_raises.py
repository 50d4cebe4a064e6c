"""A machine that raises stops, says so, and goes on after a signed skip; a replay does the same."""

from pathlib import Path
from typing import Any

import pytest

from libs.contract.codec import encode
from libs.machine.host import Host
from libs.machine.machine import Machine
from libs.operator.desk import expiry_ns, fresh_nonce
from libs.tape.record import ID_HEADER
from proto.operator import Command, Verb
from proto.service import Started
from tests.support.harness import readable
from tests.support.host_world import POISON, Counter, World, until, world
from tools.cli.commands.replay import ReplayRequest, run_replay
from tools.offline import replay

pytestmark = [pytest.mark.broker, pytest.mark.fault]

NEGATIVE_PATIENCE_S = 1.0
"""A skip that works makes a host live within a tenth of that."""


async def fails_at(host: Host, seq: int) -> None:
    """Wait until the host has stopped at ``seq``, and look at what it says of itself."""
    assert await until(lambda: bool(host.status.refused))
    report = host.health()
    assert report["state"] == "stopped"
    assert not host.status.live
    assert "ValueError: expected anything but poison" in report["detail"]
    assert f"sequence {seq}" in report["detail"]
    assert report["position"] < seq


async def replayed(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    def only(_strategies: object) -> dict[str, type[Machine]]:
        return {"signal": Counter}

    monkeypatch.setattr(replay, "factories", only)
    return await run_replay(ReplayRequest(world.state, machines=["signal"]))


async def unsigned_skip(world: World, seq: int) -> None:
    command = Command(verb=Verb.SKIP, nonce=fresh_nonce(), expires_at=expiry_ns(), machine="signal", seq=seq)
    headers = {ID_HEADER: f"operator.{command.nonce}"}
    await world.publisher.publish(command.subject(), encode(command), headers)


@pytest.mark.asyncio
async def test_nothing_leaves_until_a_signed_skip_then_it_goes_on_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, w.host(Counter) as host:
        await w.trade()
        await w.says([1])
        bad = await w.trade(POISON)
        await w.trade()
        await w.trade()
        await fails_at(host, bad)
        assert await w.prices() == [1]
        assert (await replayed(w, monkeypatch))["difference"]["seq"] == bad
        await w.skip(bad)
        await w.says([1, 2, 3])
        await w.trade()
        await w.says([1, 2, 3, 4])
        assert host.health()["state"] == "live"
        assert host.health()["detail"] == ""
        result = await replayed(w, monkeypatch)
        assert result["identical"]
        assert result["skipped"] == [{"machine": "signal", "seq": bad}]
        assert result["compared"] == 4


@pytest.mark.asyncio
async def test_a_skip_without_signature_or_of_something_else_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, w.host(Counter) as host:
        bad = await w.trade(POISON)
        await w.trade()
        await fails_at(host, bad)
        await unsigned_skip(w, bad)
        await w.skip(bad + 1)
        await w.desk.command(Verb.SKIP, machine="risk", seq=bad)
        assert not await until(lambda: host.status.live, NEGATIVE_PATIENCE_S)
        result = await replayed(w, monkeypatch)
        assert result["difference"]["seq"] == bad
        assert "poison" in result["difference"]["text"]
        await w.skip(bad)
        await w.says([1])
        assert (await replayed(w, monkeypatch))["identical"]


@pytest.mark.asyncio
async def test_a_crash_while_stopped_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter, crash=True) as host:
            await w.trade()
            bad = await w.trade(POISON)
            await w.trade()
            await fails_at(host, bad)
        async with w.host(Counter, crash=True) as host:
            await fails_at(host, bad)
        await w.skip(bad)
        async with w.host(Counter, crash=True) as host:
            await w.says([1, 2])
            assert await until(lambda: host.status.live)
        async with w.host(Counter) as host:
            await w.trade()
            await w.says([1, 2, 3])
        async with w.host(Counter) as host:
            assert await until(lambda: host.status.live)
            assert await w.prices() == [1, 2, 3]
        assert (await replayed(w, monkeypatch))["identical"]


@pytest.mark.asyncio
async def test_a_skip_given_before_its_message_spares_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, w.host(Counter) as host:
        await w.trade()
        await w.says([1])
        expected = await w.last_seq() + 2
        await w.skip(expected)
        assert await w.trade(POISON) == expected
        await w.trade()
        await w.says([1, 2])
        assert host.health()["state"] == "live"
        starts = [m for _, m in readable(await w.records("*.started")) if isinstance(m, Started)]
        assert len(starts) == 1
        assert (await replayed(w, monkeypatch))["identical"]


@pytest.mark.asyncio
async def test_a_skip_of_what_did_not_raise_is_without_effect_in_every_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        async with w.host(Counter, crash=True):
            good = await w.trade()
            await w.trade()
            await w.says([1, 2])
            await w.skip(good)
            bad = await w.trade(POISON)
            await w.skip(bad)
            await w.trade()
            await w.says([1, 2, 3])
        async with w.host(Counter) as host:
            await w.trade()
            await w.says([1, 2, 3, 4])
            assert not host.status.refused
        assert (await replayed(w, monkeypatch))["identical"]


@pytest.mark.asyncio
async def test_two_messages_that_raise_need_two_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, w.host(Counter) as host:
        bad = [await w.trade(POISON), await w.trade(POISON)]
        await w.trade()
        await fails_at(host, bad[0])
        await w.skip(bad[0])
        assert await until(lambda: f"sequence {bad[1]}" in host.status.refused)
        await w.skip(bad[1])
        await w.says([1])
        result = await replayed(w, monkeypatch)
        assert result["identical"]
        assert [row["seq"] for row in result["skipped"]] == bad
