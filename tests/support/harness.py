"""A whole running system for tests: real broker, real PostgreSQL, every service its own process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from libs.contract.codec import Unreadable, decode
from libs.tape.broker import stream_state
from libs.tape.reader import TapeReader
from libs.tape.record import TapeRecord
from proto.message import Message
from services.feed.synthetic.recording import write_recording
from tests.support.cluster import with_cluster
from tools.system.composition import sections
from tools.system.options import Options
from tools.system.system import System

PATIENCE_S = 150.0
POLL_S = 0.02
ENDING_COUNT = 60
"""Of the tape's last messages, in a failure."""


def synthetic_recording(directory: Path, minutes: float = 6, seed: int = 7) -> Path:
    """A recording of the synthetic market; six minutes of seed 7 give about fifteen orders."""
    path = directory / f"synthetic-{seed}-{minutes:g}"
    if not path.exists():
        write_recording(path, seed, minutes)
    return path


class Tape:
    """Everything on the tape so far, readable or not, followed by ``System``'s own watch."""

    def __init__(self) -> None:
        self.messages: list[tuple[TapeRecord, Message]] = []
        self._changed = asyncio.Event()

    def take(self, record: TapeRecord, message: Message) -> None:
        self.messages.append((record, message))
        self._changed.set()

    def of(self, kind: type[Message]) -> list[Any]:
        """All messages of a class, in order."""
        return [message for _, message in self.messages if type(message) is kind]

    def ending(self) -> str:
        """The last of what was decided and what became of it, for a failure's message: prices and clocks are many."""
        quiet = ("feed.", "monitor.clock", "monitor.health", "signal.proposal")
        shown = [(r, m) for r, m in self.messages if not r.subject.startswith(quiet)][-ENDING_COUNT:]
        return "\n".join(f"{r.seq} {r.stored_at_ns / 1e9:.3f} {r.subject} {m!r:.240}" for r, m in shown)

    async def wait(self, condition: Callable[["Tape"], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait until the tape satisfies a condition; fails the test when it does not in time."""
        deadline = monotonic() + patience_s
        while not condition(self):
            left = deadline - monotonic()
            assert left > 0, f"expected the tape to get there in time, did not; last on it:\n{self.ending()}"
            self._changed.clear()
            try:
                async with asyncio.timeout(min(left, 1.0)):
                    await self._changed.wait()
            except TimeoutError:
                continue


@asynccontextmanager
async def running(
    options: Options, changes: dict[str, str] | None = None
) -> AsyncIterator[tuple[System, Tape]]:
    """A started system, every service live; stopped when the block ends. ``changes`` as with --set."""
    with_cluster(options.state / "postgres")
    system = System(options, sections(overrides=changes or {}, strategies=options.strategies))
    async with started(system) as tape:
        yield system, tape


@asynccontextmanager
async def started(system: System) -> AsyncIterator[Tape]:
    """A system that is started here, every service live, and stopped when the block ends; what its tape gets."""
    tape = Tape()
    system.observers.append(tape.take)
    try:
        await system.start()
        assert await system.all_live(), f"expected all services live: {system.not_live()}"
        yield tape
    finally:
        await system.stop()


def kill(system: System, service: str, number: signal.Signals = signal.SIGKILL) -> int:
    """Send a signal to a service's process; its id. The supervisor starts it again."""
    pid = system.supervisor.children[service].pid
    if pid:
        os.kill(pid, number)
    return pid


async def caught_up(system: System, tape: Tape) -> None:
    """Wait until the test has seen what is on the tape now: its own view of it may lag on a busy machine."""
    link = await system.installation.connect()
    try:
        last = int((await stream_state(link.client, timeout_s=PATIENCE_S))["last_seq"])
    finally:
        await link.close()
    watch = system.watch
    assert watch is not None
    await tape.wait(lambda _: watch.position >= last)


async def read_all(system: System) -> list[TapeRecord]:
    """Every record of the tape."""
    link = await system.installation.connect()
    try:
        last = int((await stream_state(link.client, timeout_s=PATIENCE_S))["last_seq"])
        reader = TapeReader(link, 0)
        records: list[TapeRecord] = []
        while not records or records[-1].seq < last:
            records += await reader.next_batch(1.0)
        await reader.close()
        return records
    finally:
        await link.close()


def readable(records: list[TapeRecord]) -> list[tuple[TapeRecord, Message]]:
    """The records that decode."""
    found: list[tuple[TapeRecord, Message]] = []
    for record in records:
        try:
            found.append((record, decode(record.subject, record.payload)))
        except Unreadable:
            continue
    return found
