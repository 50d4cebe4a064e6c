"""Snapshots are written beside the event loop, as they were when they were taken."""

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest

from libs.machine.input_gate import InputGateState
from libs.machine.snapshot_writer import SnapshotWriter
from libs.machine.snapshots import Encoded, Snapshot, SnapshotStore, encoded

PATIENCE_S = 60.0
SNAPSHOT = Snapshot(
    machine="risk",
    version=1,
    tape="t",
    seq=7,
    digest="d",
    state=b"state",
    input_gate=InputGateState(marks={"risk": ("t", 7, 0)}),
)


class HeldBack(SnapshotStore):
    """A store on a disk that takes its time: until ``go``."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "risk")
        self.go = threading.Event()
        self.fault: OSError | None = None

    def keep(self, snapshot: Encoded) -> None:
        assert self.go.wait(PATIENCE_S), "expected the loop to go on meanwhile"
        if self.fault is not None:
            raise self.fault
        super().keep(snapshot)


def test_the_loop_goes_on_while_the_disk_takes_its_time(tmp_path: Path):
    async def scenario() -> None:
        writer, store = SnapshotWriter(), HeldBack(tmp_path)
        writer.begin([(store, encoded(SNAPSHOT))])
        await asyncio.sleep(0)
        writer.check()
        busy = [writer.is_busy]
        assert not store.newest_first()
        store.go.set()
        await writer.wait()
        busy.append(writer.is_busy)
        assert busy == [True, False]
        writer.check()
        assert store.newest_first() == [SNAPSHOT]

    asyncio.run(scenario())


def test_what_is_written_is_what_was_taken(tmp_path: Path):
    async def scenario() -> None:
        writer, store = SnapshotWriter(), HeldBack(tmp_path)
        gate = InputGateState(marks={"risk": ("t", 7, 0)})
        writer.begin([(store, encoded(msgspec.structs.replace(SNAPSHOT, input_gate=gate)))])
        gate.marks["risk"] = ("t", 8, 0)
        store.go.set()
        await writer.wait()
        assert store.newest_first()[0].input_gate.marks == {"risk": ("t", 7, 0)}

    asyncio.run(scenario())


def test_a_disk_that_takes_nothing_is_an_error_of_whoever_asks_next(tmp_path: Path):
    async def scenario() -> None:
        writer, store = SnapshotWriter(), HeldBack(tmp_path)
        store.fault = OSError("no space left")
        store.go.set()
        writer.begin([(store, encoded(SNAPSHOT))])
        await writer.wait()
        with pytest.raises(OSError, match="no space left"):
            writer.check()
        writer.check()

    asyncio.run(scenario())


def test_nothing_to_wait_for():
    async def scenario() -> None:
        writer = SnapshotWriter()
        writer.check()
        await writer.wait()
        assert not writer.is_busy

    asyncio.run(scenario())
