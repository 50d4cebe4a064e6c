"""The journal's shell on a real broker and a real database: the tape as a source, anchors on the tape."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from libs.archive.archive import Archive
from libs.contract.codec import encode
from libs.runtime.layout import RunFile
from libs.runtime.service import Context
from libs.tape.broker import Broker, stream_state
from libs.tape.connection import Link, open_link
from libs.tape.credentials import ADMIN, REPORT
from proto.message import Message
from proto.subjects import TAPE
from services.journal.archiver import Archiver
from services.journal.chainwalk import Damage
from services.journal.service import JournalState
from services.journal.shell import JournalShell, TapeSource, anchors_path
from tests.support.journal_tape import order, quote, trade
from tests.support.patient import PatientPublisher
from tests.support.waiting import until
from tools.offline.journal import anchors_on_tape, verify_journal
from tools.system.installation import Installation

pytestmark = pytest.mark.asyncio

PATIENCE_S = 60.0
WINDOW = 100


class World:
    """A broker with its streams, a database, and the administrator's link to publish with."""

    def __init__(self, installation: Installation, dsn: str, admin: Link) -> None:
        self.installation, self.dsn, self.admin = installation, dsn, admin
        self.publisher = PatientPublisher(admin)

    async def context(self) -> Context:
        layout = self.installation.layout
        run = RunFile(broker_url=self.installation.broker_url, tape="t1", database_url=self.dsn)
        link = await open_link(run.broker_url, "journal", layout.password("journal"))
        return Context("journal", layout, run, link)

    async def put(self, *messages: Message) -> int:
        seq = 0
        for message in messages:
            seq = (await self.publisher.publish(message.subject(), encode(message), {"build": "test"})).seq
        return seq


@pytest_asyncio.fixture
async def world(empty_database: str, broker_type: type[Broker], tmp_path: Path) -> AsyncIterator[World]:
    installation = Installation(tmp_path / "state")
    installation.broker = broker_type(installation.layout.broker)
    await installation.start_broker()
    admin = await installation.connect(ADMIN)
    world = World(installation, empty_database, admin)
    await world.publisher.start()
    yield world
    await admin.close()
    await asyncio.to_thread(installation.broker.stop)


async def stored(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return [r["kind"] for r in await connection.fetch("SELECT kind FROM journal.entry ORDER BY seq")]
    finally:
        await connection.close()


async def test_the_tape_is_journaled_anchored_and_verified(world: World) -> None:
    reports: list[dict[str, object]] = []

    async def on_report(message: Msg) -> None:
        reports.append(json.loads(message.data))

    await world.admin.client.subscribe(f"{REPORT}.journal", cb=on_report)
    last = await world.put(*(m for n in range(1, 200) for m in (order(n), quote(n), trade(n))))
    context = await world.context()
    shell = JournalShell(context)
    task = asyncio.create_task(shell.run())
    await until(lambda: shell.status.position >= last)
    context.stop()
    async with asyncio.timeout(PATIENCE_S):
        await task
    await context.link.close()
    assert context.link.violations == 0
    assert (await stored(world.dsn)).count("execution.order") == 199

    # The farewell anchor is on the tape; a second life journals it and continues the chain.
    context = await world.context()
    shell = JournalShell(context)
    task = asyncio.create_task(shell.run())
    await until(lambda: shell.status.position > last)
    await until(lambda: any(report["state"] == "live" for report in reports))
    context.stop()
    await task
    assert "journal.anchor" in await stored(world.dsn)

    source = TapeSource(context.link, Archive(context.layout.archive))
    records = await source.read(1, (await source.window())[1])

    async def batches():
        yield records

    anchors = await anchors_on_tape(batches())
    assert anchors
    path = anchors_path(world.installation.layout)
    result = await verify_journal(world.dsn, path, anchors, batches())
    assert result.findings == []
    await context.link.close()


async def test_the_journal_outlasts_kill_9_of_the_broker(world: World) -> None:
    context = await world.context()
    shell = JournalShell(context)
    task = asyncio.create_task(shell.run())
    first = await world.put(*(order(n) for n in range(1, 50)))
    await until(lambda: shell.status.position >= first)
    broker = world.installation.broker
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    await broker.ready()
    await until(lambda: world.admin.connected)
    second = await world.put(*(order(n) for n in range(50, 100)))
    await until(lambda: shell.status.position >= second)
    assert shell.status.state is JournalState.LIVE
    context.stop()
    await task
    await context.link.close()
    kinds = await stored(world.dsn)
    assert kinds.count("execution.order") == 99


async def journaled_to(world: World, seq: int) -> None:
    """A life of the journal, up to a sequence."""
    context = await world.context()
    shell = JournalShell(context)
    task = asyncio.create_task(shell.run())
    await until(lambda: shell.status.position >= seq)
    context.stop()
    await task
    await context.link.close()


async def test_a_journal_that_was_away_while_the_window_moved_on_goes_on_from_the_archive(
    world: World,
) -> None:
    await journaled_to(world, await world.put(*(order(n) for n in range(1, 50))))
    client = world.admin.client
    info = await client.request(f"$JS.API.STREAM.INFO.{TAPE}", b"", timeout=60)
    config = json.loads(info.data)["config"] | {"max_msgs": WINDOW}
    await client.request(f"$JS.API.STREAM.UPDATE.{TAPE}", json.dumps(config).encode(), timeout=60)
    context = await world.context()
    archive = context.layout.archive
    archiver = Archiver(context.link, archive, "t1", segment_seq=WINDOW // 4, settled_seq=0)
    last = 0
    for first in range(50, 600, 10):
        last = await world.put(*(order(n) for n in range(first, first + 10)))
        while await archiver.archive_next():
            pass
    await context.link.close()
    assert int((await stream_state(client, timeout_s=60))["first_seq"]) > 400
    await journaled_to(world, last)
    assert (await stored(world.dsn)).count("execution.order") == 599
    result = await verify_journal(world.dsn, anchors_path(context.layout))
    assert result.findings == []


async def test_a_damaged_archive_leaves_a_gap_that_is_told_and_the_journal_goes_on(world: World) -> None:
    context = await world.context()
    last = await world.put(*(order(n) for n in range(1, 301)))
    archiver = Archiver(context.link, context.layout.archive, "t1", segment_seq=50, settled_seq=0)
    while await archiver.archive_next():
        pass
    await world.admin.client.request(
        f"$JS.API.STREAM.PURGE.{TAPE}", json.dumps({"keep": 60}).encode(), timeout=60
    )
    await context.link.close()
    for segment in context.layout.archive.glob("*.segment"):
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 1
        segment.write_bytes(content)
    await journaled_to(world, last)
    assert (await stored(world.dsn)).count("execution.order") == 60
    result = await verify_journal(world.dsn, anchors_path(context.layout))
    assert [finding.damage for finding in result.findings] == [Damage.MISSING]
