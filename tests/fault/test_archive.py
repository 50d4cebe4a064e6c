"""The archive beside a real broker: nothing lost, doubled or torn, and a tape that reaches back beyond its window."""

import asyncio
import hashlib
import random
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import thread_time

import pytest
import pytest_asyncio

from libs.archive.archive import Archive, make_folder
from libs.archive.history import History, HistoryReader
from libs.archive.segment import SegmentWriter
from libs.explain.archived_chain import archived_records
from libs.machine.errors import MachineStopped
from libs.tape.broker import Broker, StreamLimits
from libs.tape.connection import Link, open_link
from libs.tape.errors import TapeGap
from libs.tape.record import CAUSE_HEADER, ID_HEADER, TapeRecord
from services.journal.archiver import Archiver
from tests.support.host_world import Counter, World, world
from tests.support.patient import PatientPublisher
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.broker]

WINDOW = 400
SEGMENT = 100
SMALL = StreamLimits(tape_messages=WINDOW)


class Feed:
    """Puts numbered prices on the tape."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._publisher = PatientPublisher(link)
        self._said = 0

    async def start(self) -> None:
        await self._publisher.start()

    async def say(self, messages: int) -> None:
        """Put so many messages on the tape."""
        for _ in range(messages):
            self._said += 1
            headers = {ID_HEADER: f"t:feed:{self._said}:0"}
            await self._publisher.publish("feed.quote.a", b"price %d" % self._said, headers)

    async def fact(self) -> None:
        """Put something on the tape that is no price."""
        await self._publisher.publish("feed.market.m", b"market", {ID_HEADER: "t:feed:x:0"})


@pytest_asyncio.fixture
async def broker(tmp_path: Path, broker_type: type[Broker]) -> AsyncIterator[Broker]:
    made = broker_type(tmp_path / "broker", SMALL)
    made.start()
    try:
        await made.ready()
        yield made
    finally:
        made.kill()


@pytest_asyncio.fixture
async def feed(broker: Broker) -> AsyncIterator[Feed]:
    link = await open_link(broker.url, "feed", broker.passwords["feed"])
    made = Feed(link)
    await made.start()
    yield made
    await link.close()


@pytest_asyncio.fixture
async def link(broker: Broker) -> AsyncIterator[Link]:
    made = await open_link(broker.url, "journal", broker.passwords["journal"])
    yield made
    await made.close()


def archiver_of(link: Link, folder: Path, **options: int) -> Archiver:
    return Archiver(link, folder, "t", segment_seq=SEGMENT, settled_seq=0, **options)


def payloads(records: list[TapeRecord]) -> list[bytes]:
    return [record.payload for record in records]


@pytest.mark.asyncio
async def test_archive_and_window_are_read_as_one(feed: Feed, link: Link, tmp_path: Path):
    archiver = archiver_of(link, tmp_path / "archive")
    for _ in range(10):
        await feed.say(SEGMENT)
        while await archiver.archive_next():
            pass
    history = History(link, Archive(tmp_path / "archive"))
    assert await history.bounds() == (1, 10 * SEGMENT)
    whole = [record async for record in history.records()]
    assert payloads(whole) == [b"price %d" % number for number in range(1, 10 * SEGMENT + 1)]
    assert [record.seq for record in whole] == list(range(1, 10 * SEGMENT + 1))
    for first, last in ((1, 5), (95, 105), (580, 620), (990, 2_000)):
        part = [record async for record in history.records(first, last)]
        assert part == whole[first - 1 : last]
    for seq in (1, 99, 100, 555, 1_000):
        assert await history.at(seq) == whole[seq - 1]
    assert await history.at(1_001) is None


@pytest.mark.asyncio
async def test_a_watch_reads_facts_from_the_archive_and_leaves_out_what_nobody_holds(
    feed: Feed, link: Link, tmp_path: Path
):
    folder = tmp_path / "archive"
    archiver = archiver_of(link, folder)
    await feed.say(SEGMENT)
    await feed.fact()
    await feed.say(SEGMENT)
    while await archiver.archive_next():
        pass
    # Never archived, and out of the window: a hole.
    await feed.say(2 * WINDOW)
    reader = HistoryReader(link, Archive(folder), 0, facts_only=True)
    last = 2 * SEGMENT + 1 + 2 * WINDOW
    found: list[TapeRecord] = []
    async with asyncio.timeout(150):
        while reader.position < last:
            found += await reader.next_batch(0.1)
    await reader.close()
    assert [record.seq for record in found] == [SEGMENT + 1, *range(last - WINDOW + 1, last + 1)]


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.asyncio
async def test_killing_the_archiver_loses_doubles_and_tears_no_segment(
    tmp_path: Path, count: Callable[[int, int], int]
):
    """Its window is the usual one: how often it is killed before it is done must not matter."""
    folder = tmp_path / "archive"
    chance = random.Random(9)
    kills = count(5, 100)
    broker = Broker(tmp_path / "broker")
    broker.start()
    try:
        await broker.ready()
        link = await open_link(broker.url, "feed", broker.passwords["feed"])
        feed = Feed(link)
        await feed.start()
        arguments = (broker.url, broker.passwords["journal"], str(folder), str(SEGMENT))
        for _ in range(kills):
            await feed.say(SEGMENT + chance.randrange(SEGMENT))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.support.archiver_process", *arguments
            )
            # It is killed while it writes, or between two segments.
            began = folder / f"{process.pid}.new"
            before = Archive(folder).last
            await until(lambda: began.exists() or Archive(folder).last > before)  # noqa: B023
            await asyncio.sleep(chance.random() * 0.1)
            process.kill()
            await process.wait()
        await link.close()
        link = await open_link(broker.url, "journal", broker.passwords["journal"])
        archiver = archiver_of(link, folder)
        while await archiver.archive_next():
            pass
        await link.close()
    finally:
        broker.kill()
    archive = Archive(folder)
    assert archive.verify() == []
    assert archiver.status.lost == 0
    held = list(archive.records(1, archive.last))
    assert [record.seq for record in held] == list(range(1, archive.last + 1))
    assert payloads(held) == [b"price %d" % number for number in range(1, archive.last + 1)]
    assert archive.last >= kills * SEGMENT - 1
    assert {path.suffix for path in folder.iterdir()} == {".segment"}


@pytest.mark.asyncio
async def test_a_slow_archive_holds_nothing_up_and_says_so_long_before(
    feed: Feed, link: Link, tmp_path: Path
):
    archiver = archiver_of(link, tmp_path / "archive")
    percents = []
    for _ in range(3):
        await feed.say(SEGMENT - 1)
        archiver._settled_seq = 10_000
        assert not await archiver.archive_next()
        percents.append(archiver.status.percent)
    assert percents == [24, 49, 74]
    # Nobody waited: the window moved on, and what it dropped is said, with what is held after it.
    await feed.say(2 * WINDOW)
    archiver._settled_seq = 0
    while await archiver.archive_next():
        pass
    assert archiver.archive.first > 1
    await feed.say(2 * WINDOW)
    while await archiver.archive_next():
        pass
    assert archiver.status.lost > 0
    (finding,) = Archive(tmp_path / "archive").verify()
    assert "to be held, was nothing" in finding.text


@pytest.mark.asyncio
async def test_a_segment_of_a_lost_tail_is_set_aside(feed: Feed, link: Link, tmp_path: Path):
    folder = tmp_path / "archive"
    await feed.say(SEGMENT)
    archiver = archiver_of(link, folder)
    await archiver.archive_next()
    sound = archiver.archive.last
    writer = SegmentWriter(folder, "t", archiver.archive.segments[-1].info.digest)
    writer.add_all(
        TapeRecord(s, "feed.quote.b", {}, b"lost", 1) for s in range(sound + 1, sound + SEGMENT + 1)
    )
    writer.seal()
    await feed.say(2 * SEGMENT)
    archiver = archiver_of(link, folder)
    await archiver._drop_lost_tail()
    assert archiver.archive.last == sound
    while await archiver.archive_next():
        pass
    assert archiver.archive.verify() == []
    assert archiver.archive.last == sound + 2 * SEGMENT
    assert [path.suffix for path in folder.iterdir()].count(".lost") == 1


# --- a machine that was down while the window passed its snapshot --------------------------------------


async def trades_behind_the_window(tape: World, folder: Path | None) -> int:
    """A snapshot, then trades until the window has passed it; with a folder, archived meanwhile."""
    async with tape.host(Counter):
        for _ in range(10):
            await tape.trade()
        await tape.says(list(range(1, 11)))
    layout = tape.installation.layout
    link = await open_link(tape.installation.broker_url, "journal", layout.password("journal"))
    archiver = archiver_of(link, folder) if folder is not None else None
    trades = 10
    while await tape.last_seq() < 3 * WINDOW:
        await tape.trade()
        trades += 1
        if archiver is not None:
            await archiver.archive_next()
    await link.close()
    return trades


@pytest.mark.asyncio
async def test_a_machine_whose_snapshot_left_the_window_comes_back_from_the_archive(tmp_path: Path):
    async with world(tmp_path, SMALL) as tape:
        trades = await trades_behind_the_window(tape, tape.installation.layout.archive)
        async with tape.host(Counter) as host:
            machine = host.runners[0].machine
            assert isinstance(machine, Counter)
            assert machine.state.trades == trades
            # What it had not said is said now, and it goes on with what is new.
            await tape.trade()
            await until(lambda: machine.state.trades == trades + 1)
            await until(lambda: host.settled)


@pytest.mark.asyncio
async def test_without_the_archive_it_does_not_pretend(tmp_path: Path):
    async with world(tmp_path, SMALL) as tape:
        await trades_behind_the_window(tape, None)
        with pytest.raises(
            (TapeGap, MachineStopped, AssertionError), match="expected the tape or its archive"
        ):
            async with tape.host(Counter):
                pass


# --- ten million messages --------------------------------------------------------------------------------


def synthetic(seq: int) -> TapeRecord:
    """A price, and every 500th message the approval of an order that the price caused."""
    if seq % 500:
        return TapeRecord(seq, f"feed.quote.{seq % 7}", {ID_HEADER: f"t:feed:{seq}:0"}, b"p%d" % seq, seq)
    headers = {ID_HEADER: f"t:risk:{seq - 1}:0", CAUSE_HEADER: str(seq - 1)}
    return TapeRecord(seq, f"risk.approval.t-{seq - 1}-0", headers, b"a%d" % seq, seq)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_why_over_ten_million_archived_messages_answers_within_a_second(
    tmp_path: Path, count: Callable[[int, int], int]
):
    messages, stretch = count(100_000, 10_000_000), count(10_000, 250_000)
    make_folder(tmp_path)
    previous = ""
    whole = hashlib.sha256()
    for first in range(1, messages, stretch):
        records = [synthetic(seq) for seq in range(first, first + stretch)]
        writer = SegmentWriter(tmp_path, "t", previous)
        writer.add_all(records)
        writer.seal()
        previous = Archive(tmp_path).segments[-1].info.digest
        whole.update(b"".join(record.payload for record in records))
    order = messages // 2 - (messages // 2) % 500 - 1
    for name in (f"t-{order}-0", f"{order}-0", f"t:risk:{order}:0"):
        began = thread_time()
        found = archived_records(Archive(tmp_path), name)
        took_s = thread_time() - began
        assert [record.seq for record in found] == [order, order + 1], name
        assert took_s < 1.0, f"{name} took {took_s:.2f} s of a processor"
    parts = hashlib.sha256()
    archive = Archive(tmp_path)
    for first in range(1, messages, stretch * 3 // 2):
        for record in archive.records(first, first + stretch * 3 // 2 - 1):
            parts.update(record.payload)
    assert parts.digest() == whole.digest()
