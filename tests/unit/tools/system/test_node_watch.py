"""The nodes of a cluster: told apart at a start, and followed while the system runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from libs.runtime.layout import RunFile
from libs.tape.errors import BrokerUnavailable
from proto.operator import Command, Verb
from tools.exit_codes import UsageError
from tools.system import installation as module
from tools.system.installation import NODES_REPLACED, Installation
from tools.system.node_watch import NodeWatch

ADDRESSES = "nats://a:4222,nats://b:4222,nats://c:4222"


class Desk:
    """The operator's desk at a tape that is there or away."""

    def __init__(self) -> None:
        self.is_away = False
        self.said: list[tuple[Verb, str]] = []

    async def command(self, verb: Verb, *, reason: str) -> int:
        if self.is_away:
            raise BrokerUnavailable("expected a leader, was none")
        self.said.append((verb, reason))
        return len(self.said)


class World:
    """An installation whose cluster's nodes the test replaces."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes = ["a1", "b1", "c1"]

        async def ids(_: Any) -> list[str]:
            return sorted(self.nodes)

        monkeypatch.setattr(module, "node_ids", ids)
        monkeypatch.setattr(module, "NODES_PATIENCE_S", 0.0)
        monkeypatch.setenv("PRESAGE_NATS_URL", ADDRESSES)
        self.installation = Installation(state)
        self.installation.is_cluster = True
        self.layout = self.installation.layout
        self.desk = Desk()
        self.watch = NodeWatch(self.installation, self.desk)

    async def start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def state(_: Any) -> dict[str, Any]:
            return {"last_seq": 7}

        monkeypatch.setattr(module, "stream_state", state)
        link: Any = SimpleNamespace(client=None)
        tape, _ = await self.installation.open_tape(link)
        run = RunFile(broker_url=ADDRESSES, tape=tape, cluster=True, brokers=self.installation.brokers)
        self.layout.write_run(run)

    def read(self, verb: Verb) -> None:
        """The tape shows a command."""
        record: Any = None
        self.watch.observe(record, Command(verb=verb, nonce="n", expires_at=0))


@pytest.mark.asyncio
async def test_most_nodes_replaced_at_once_halt_everything_on_the_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "state", monkeypatch)
    await world.start(monkeypatch)
    await world.watch.look()
    assert not world.layout.halt_file.exists()
    world.nodes = ["a2", "b2", "c1"]
    world.desk.is_away = True
    await world.watch.look()
    assert world.layout.halt_file.read_text() == NODES_REPLACED
    world.desk.is_away = False
    await world.watch.look()
    assert world.desk.said == [(Verb.HALT, NODES_REPLACED)]
    world.read(Verb.HALT)
    await world.watch.look()
    assert len(world.desk.said) == 1
    # What the tape lost is still lost.
    world.read(Verb.RESUME)
    await world.watch.look()
    assert world.desk.said == [(Verb.HALT, NODES_REPLACED)] * 2


@pytest.mark.asyncio
async def test_nodes_that_are_replaced_one_after_the_other_halt_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "state", monkeypatch)
    await world.start(monkeypatch)
    for nodes in (["a2", "b1", "c1"], ["a2", "b1"], ["a2", "b2", "c1"], [], ["a2", "b2", "c2"]):
        world.nodes = nodes
        await world.watch.look()
    assert world.desk.said == []
    assert not world.layout.halt_file.exists()
    assert world.layout.read_run().brokers == ["a2", "b2", "c2"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("addresses", "nodes"),
    [
        ("nats://brokers:4222", ["a1"]),
        ("nats://a:4222,nats://b:4222", ["a1", "b1"]),
        ("nats://a:4222,nats://b:4222,nats://a:4222", ["a1", "a1", "b1"]),
        (ADDRESSES, ["a1", "a1", "a1"]),
    ],
)
async def test_a_cluster_whose_nodes_cannot_be_told_apart_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addresses: str, nodes: list[str]
) -> None:
    world = World(tmp_path / "state", monkeypatch)
    world.nodes = nodes
    world.installation.external_broker = addresses
    with pytest.raises(UsageError, match="expected PRESAGE_NATS_URL to name each of the cluster's 3 nodes"):
        await world.start(monkeypatch)


@pytest.mark.asyncio
async def test_a_cluster_starts_while_one_of_its_nodes_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "state", monkeypatch)
    world.nodes = ["a1", "c1"]
    await world.start(monkeypatch)
    assert world.installation.brokers == ["a1", "c1"]
