"""The journal at work against a database that is killed, full or away: complete and without doubles."""

import asyncio
import random
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from libs.database.embedded import EmbeddedPostgres
from libs.tape.errors import BrokerUnavailable, TapeGap
from libs.tape.record import TapeRecord
from proto.service import Anchor
from services.journal import service as service_module
from services.journal.anchors import read_anchors
from services.journal.service import JournalService, JournalState
from services.journal.verify import verify
from services.journal.writer import JournalWriter
from tests.support.containers import ContainerPostgres
from tests.support.journal_tape import TAPE, kept, mixed_tape, order, quote, record
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio

PATIENCE_S = 60.0
"""Nobody waits this long: a bound for a shared machine, not a duration."""


class FakeTape:
    """A tape in memory, handed out in batches; ``gate`` holds back what comes after a sequence."""

    def __init__(self, records: Sequence[TapeRecord], batch: int = 100) -> None:
        self.records = list(records)
        self.batch = batch
        self.gate = len(self.records)
        self.pauses = 0
        self.gap_once = False
        self.window_failures = 0
        self.windows = 0
        self._next = 0
        self._changed = asyncio.Event()

    @property
    def backlog(self) -> int:
        return 0

    def open_gate(self, index: int | None = None) -> None:
        self.gate = len(self.records) if index is None else index
        self._changed.set()

    async def window(self) -> tuple[int, int]:
        self.windows += 1
        if self.window_failures:
            self.window_failures -= 1
            raise BrokerUnavailable("expected the tape's state, was nothing")
        return (self.records[0].seq, self.records[-1].seq) if self.records else (1, 0)

    async def read(self, first: int, last: int) -> Sequence[TapeRecord]:
        return [r for r in self.records if first <= r.seq <= last]

    async def start(self, seq: int) -> None:
        self._next = next((i for i, r in enumerate(self.records) if r.seq >= seq), len(self.records))

    async def next_batch(self, timeout_s: float) -> Sequence[TapeRecord]:
        if self.gap_once:
            self.gap_once = False
            raise TapeGap("expected the tape to hold it")
        if self._next >= self.gate:
            self._changed.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return []
        end = min(self._next + self.batch, self.gate)
        batch = self.records[self._next : end]
        self._next = end
        return batch

    async def pause(self) -> None:
        self.pauses += 1

    async def close(self) -> None:
        self._next = len(self.records)


class World:
    """A service on a fake tape and a real database."""

    def __init__(self, dsn: str, path: Path) -> None:
        self.dsn, self.path = dsn, path
        self.published: deque[Anchor] = deque()

    def start(self, tape: FakeTape) -> tuple[JournalService, asyncio.Task[None]]:
        writer = JournalWriter(self.dsn, TAPE, self.path)
        service = JournalService(writer, tape, self.publish)
        return service, asyncio.create_task(service.run())

    async def publish(self, anchor: Anchor) -> None:
        self.published.append(anchor)

    async def stored(self) -> list[int]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return [
                r["seq"] for r in await connection.fetch("SELECT seq FROM journal.entry ORDER BY epoch, seq")
            ]
        finally:
            await connection.close()

    async def assert_sound(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            assert (await verify(connection, read_anchors(self.path)[0], list(self.published))).findings == []
        finally:
            await connection.close()


@pytest.fixture(autouse=True)
def patient_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planned stop reads what the tape holds; how long it may take on a busy machine is not the question."""
    monkeypatch.setattr(service_module, "DRAIN_S", PATIENCE_S)


async def finished(service: JournalService, task: asyncio.Task[None]) -> None:
    service.stop()
    async with asyncio.timeout(PATIENCE_S):
        await task


@pytest_asyncio.fixture
async def world(empty_database: str, tmp_path: Path) -> AsyncIterator[World]:
    yield World(empty_database, tmp_path / "anchors.jsonl")


def seqs(records: Sequence[TapeRecord]) -> list[int]:
    return [r.seq for r in kept(records)]


async def test_a_planned_stop_stores_what_the_tape_holds_and_anchors_it(world: World) -> None:
    tape = FakeTape(mixed_tape(2_500))
    service, task = world.start(tape)
    await finished(service, task)
    assert await world.stored() == seqs(tape.records)
    assert service.status.state is JournalState.STOPPED
    assert [anchor.seq for anchor in world.published] == [seqs(tape.records)[-1]]
    await world.assert_sound()


async def test_a_stop_waits_for_a_reader_that_begins_anew(world: World) -> None:
    tape = FakeTape(mixed_tape(50))
    tape.gate = 20
    service, task = world.start(tape)
    await until(lambda: service.status.position >= tape.records[19].seq, PATIENCE_S)
    service.stop()
    # The reader is silent; the stop asks where the tape ends, and goes on.
    asked = tape.windows
    await until(lambda: tape.windows > asked or task.done(), PATIENCE_S)
    tape.open_gate()
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert await world.stored() == seqs(tape.records)


JOURNAL = """
import asyncio, sys
from pathlib import Path
from services.journal.writer import JournalWriter
from tests.support.journal_tape import TAPE, mixed_tape

async def main():
    records = mixed_tape(int(sys.argv[3]))
    writer = JournalWriter(sys.argv[1], TAPE, Path(sys.argv[2]))
    start = await writer.position()
    print(start, flush=True)
    for at in range(start, len(records), 25):
        await writer.append(records[at : at + 25])
        print(at, flush=True)
        await writer.anchor()

asyncio.run(main())
"""


async def test_kill_9_of_the_journal_at_random_points_loses_and_doubles_nothing(
    world: World, root: Path
) -> None:
    chance = random.Random(7)
    tape = FakeTape(mixed_tape(20_000))
    positions = []
    for _ in range(5):
        arguments = ("-c", JOURNAL, world.dsn, str(world.path), str(len(tape.records)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=root, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        positions.append(int(await process.stdout.readline()))
        # Wherever it is after so many batches: it does not wait to be killed.
        for _ in range(chance.randint(1, 12)):
            assert await process.stdout.readline()
        process.kill()
        await process.communicate()
    assert positions == sorted(set(positions))
    service, task = world.start(tape)
    await finished(service, task)
    assert await world.stored() == seqs(tape.records)
    await world.assert_sound()


async def test_kill_9_of_the_database_under_load_loses_and_doubles_nothing(
    world: World, postgres: EmbeddedPostgres | ContainerPostgres
) -> None:
    records = mixed_tape(12_000)
    tape = FakeTape(records, batch=37)
    tape.open_gate(0)
    service, task = world.start(tape)
    for kill in range(4):
        # However far it gets before the database is gone, there is more to be stored afterwards.
        target = kill * 2_500 + 100
        tape.open_gate(target + 1_500)
        await until(lambda: service.status.position >= target)  # noqa: B023 - awaited at once
        await asyncio.to_thread(postgres.kill)
        tape.open_gate(target + 2_000)
        await until(lambda: service.status.state is JournalState.DATABASE_DOWN)
        assert service.status.waiting > 0
        assert tape.pauses > 0
        postgres.start()
        await until(lambda: service.status.state is JournalState.LIVE)
    tape.open_gate()
    await finished(service, task)
    assert await world.stored() == seqs(records)
    assert service.status.retries > 0
    await world.assert_sound()


async def test_a_journal_that_starts_before_its_database_waits_for_it(
    world: World, postgres: EmbeddedPostgres | ContainerPostgres
) -> None:
    postgres.stop()
    tape = FakeTape(mixed_tape(300))
    service, task = world.start(tape)
    await until(lambda: service.status.state is JournalState.DATABASE_DOWN)
    postgres.start()
    await until(lambda: service.status.state is JournalState.LIVE)
    await finished(service, task)
    assert await world.stored() == seqs(tape.records)


async def test_a_stop_while_the_database_is_away_does_not_hang(
    world: World, postgres: EmbeddedPostgres | ContainerPostgres
) -> None:
    tape = FakeTape(mixed_tape(3_000), batch=10)
    tape.open_gate(500)
    service, task = world.start(tape)
    await until(lambda: service.status.position == 500)
    postgres.stop()
    tape.open_gate()
    await until(lambda: service.status.state is JournalState.DATABASE_DOWN)
    service.stop()
    async with asyncio.timeout(60):
        await task
    postgres.start()
    service, task = world.start(tape)
    await finished(service, task)
    assert await world.stored() == seqs(tape.records)


async def test_a_full_disk_is_a_clear_state_and_loses_nothing(world: World) -> None:
    """PostgreSQL's own answer to a full disk, given by a trigger until there is room."""
    tape = FakeTape(mixed_tape(2_000), batch=20)
    tape.open_gate(200)
    service, task = world.start(tape)
    await until(lambda: service.status.position == 200)
    connection = await asyncpg.connect(world.dsn)
    await connection.execute(
        """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON journal.entry EXECUTE FUNCTION full_disk();
        """
    )
    tape.open_gate()
    await until(lambda: service.status.state is JournalState.DISK_FULL)
    assert "No space left" in service.status.detail
    await connection.execute("DROP TRIGGER full_disk ON journal.entry")
    await connection.close()
    await until(lambda: service.status.state is JournalState.LIVE)
    await finished(service, task)
    assert await world.stored() == seqs(tape.records)
    await world.assert_sound()


async def test_anchors_are_made_in_time_but_not_for_anchors_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "ANCHOR_EVERY_S", 0.0)
    records = [
        record(1, order(1)),
        record(2, Anchor(day="2026-05-17", seq=1, rows=1, head="ab")),
        record(3, quote(3)),
    ]
    tape = FakeTape(records)
    tape.open_gate(1)
    service, task = world.start(tape)
    await until(lambda: len(world.published) == 1)
    tape.open_gate()
    await until(lambda: service.status.position == 3)
    await finished(service, task)
    assert [anchor.seq for anchor in world.published] == [1]
    assert [filed.message() for filed in read_anchors(world.path)[0]] == list(world.published)


async def test_a_failing_anchor_does_not_stop_the_journal(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service_module, "ANCHOR_EVERY_S", 0.0)
    (tmp_path / "file").write_text("in the way")
    world.path = tmp_path / "file" / "anchors.jsonl"
    tape = FakeTape(mixed_tape(500))
    service, task = world.start(tape)
    await finished(service, task)
    assert service.status.anchor_failures > 0
    assert await world.stored() == seqs(tape.records)


async def test_a_window_that_moved_on_is_found_again(world: World) -> None:
    tape = FakeTape(mixed_tape(900))
    tape.open_gate(300)
    service, task = world.start(tape)
    await until(lambda: service.status.position == 300)
    tape.gap_once = True
    tape.window_failures = 2
    await until(lambda: not tape.gap_once and tape.window_failures == 0)
    tape.open_gate()
    await finished(service, task)
    assert await world.stored() == seqs(tape.records)
    await world.assert_sound()
