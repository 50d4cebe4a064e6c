"""The writer against a real PostgreSQL: each record once, in one chain, whatever is handed over how often."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from libs.tape.record import TapeRecord
from services.journal.chainwalk import Damage
from services.journal.verify import verify
from services.journal.writer import BATCH_ROWS_MAX, IDLE_RECORDS_MAX, DatabaseUnavailable, JournalWriter
from tests.support.journal_tape import TAPE, kept, mixed_tape, order, quote, record, trade
from tests.support.samples import SAMPLES

pytestmark = pytest.mark.asyncio


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    return tmp_path / "anchors.jsonl"


@pytest_asyncio.fixture
async def sql(empty_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


async def stored(sql: asyncpg.Connection) -> list[tuple[int, int]]:
    rows = await sql.fetch("SELECT epoch, seq FROM journal.entry ORDER BY epoch, seq")
    return [(row["epoch"], row["seq"]) for row in rows]


async def assert_sound(sql: asyncpg.Connection) -> None:
    assert (await verify(sql, [], [])).findings == []


async def test_every_kind_of_message_is_stored_and_readable(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    records = [record(seq, message) for seq, message in enumerate(SAMPLES, 1)]
    writer = JournalWriter(empty_database, TAPE, anchors)
    await writer.append(records)
    await writer.close()
    rows = await sql.fetch("SELECT seq, payload, body, unreadable FROM journal.entry ORDER BY seq")
    assert [(row["seq"], row["payload"]) for row in rows] == [(r.seq, r.payload) for r in kept(records)]
    assert [row["seq"] for row in rows if row["body"] is None] == []
    await assert_sound(sql)


@pytest.mark.parametrize("seed", range(4))
async def test_random_redelivery_stores_each_record_once(
    empty_database: str, anchors: Path, sql: asyncpg.Connection, seed: int
) -> None:
    """Batches of any size, each possibly handed over again, from any earlier place, by a new writer."""
    chance = random.Random(seed)
    records = mixed_tape(3_000)
    writer = JournalWriter(empty_database, TAPE, anchors)
    at = 0
    while at < len(records):
        end = min(len(records), at + chance.randint(1, 400))
        await writer.append(records[at:end])
        if chance.random() < 0.3:
            await writer.append(records[chance.randint(0, at) : end])
        if chance.random() < 0.2:
            await writer.close()
            writer = JournalWriter(empty_database, TAPE, anchors)
            assert await writer.position() <= end
        at = end
    await writer.close()
    assert await stored(sql) == [(1, r.seq) for r in kept(records)]
    await assert_sound(sql)


async def test_two_journals_at_once_store_each_record_once(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    records = mixed_tape(600)
    writers = [JournalWriter(empty_database, TAPE, anchors) for _ in range(2)]
    for at in range(0, 600, 50):
        batch = records[at : at + 50]
        await writers[0].append(batch)
        # The other one's chain is out of date now: refused once, then it finds the rows there.
        for _ in range(2):
            try:
                await writers[1].append(batch)
            except DatabaseUnavailable:
                continue
    for writer in writers:
        await writer.close()
    assert await stored(sql) == [(1, r.seq) for r in kept(records)]
    await assert_sound(sql)


async def test_the_position_moves_with_what_is_left_out(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    writer = JournalWriter(empty_database, TAPE, anchors)
    await writer.append([record(seq, quote(seq)) for seq in range(1, 100)])
    assert await writer.position() == 0
    await writer.append([record(100, order(100)), record(101, quote(101))])
    assert await writer.position() == 101
    await writer.append([record(101 + IDLE_RECORDS_MAX, quote(1))])
    assert await writer.position() == 101 + IDLE_RECORDS_MAX
    await writer.close()
    assert await stored(sql) == [(1, 100)]


async def test_large_batches_are_cut_to_transactions(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    records = [record(seq, trade(seq)) for seq in range(1, 2 * BATCH_ROWS_MAX + 18)]
    writer = JournalWriter(empty_database, TAPE, anchors)
    assert await writer.append(records) == len(records)
    await writer.close()
    transactions = await sql.fetchval("SELECT count(DISTINCT xmin::text) FROM journal.entry")
    assert transactions == 3
    await assert_sound(sql)


POISON = [
    b"",
    b"\xff\xfe",
    b"\xc1" * 300,
    b"\xdf\xff\xff\xff\xff",
    b"\x93" * 5_000,
    b'{"json": true}',
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    bytes(200_000),
]


async def test_poison_is_kept_as_it_came(empty_database: str, anchors: Path, sql: asyncpg.Connection) -> None:
    subjects = [
        "risk.approval.x",
        "feed.trade.y",
        "no.such.kind",
        "risk",
        "x.started",
        "a\x00b.c\ud800",
        "v" * 3_000,
    ]
    headers = [{}, {"Nats-Msg-Id": "i" * 4_000, "cause": "9" * 40, "root": "-1", "sig": "\x00"}]
    records = [
        TapeRecord(seq, subject, header, payload, 1_779_000_000_000_000_000 + seq)
        for seq, (subject, header, payload) in enumerate(
            ((s, h, p) for s in subjects for h in headers for p in POISON), 1
        )
    ]
    writer = JournalWriter(empty_database, TAPE, anchors)
    await writer.append(records)
    assert writer.unreadable == len(records)
    await writer.close()
    rows = await sql.fetch("SELECT payload FROM journal.entry ORDER BY seq")
    assert [row["payload"] for row in rows] == [r.payload for r in records]
    await assert_sound(sql)


async def test_a_row_the_database_refuses_is_kept_without_its_decoded_form(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    writer = JournalWriter(empty_database, TAPE, anchors)
    await writer.position()
    await sql.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.seq = 17 AND NEW.body IS NOT NULL THEN
                RAISE EXCEPTION 'refused' USING ERRCODE = '22003';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON journal.entry FOR EACH ROW EXECUTE FUNCTION refuse();
        """
    )
    records = [record(seq, order(seq)) for seq in range(1, 41)]
    await writer.append(records)
    await writer.close()
    assert await stored(sql) == [(1, seq) for seq in range(1, 41)]
    bare = await sql.fetch("SELECT seq, payload FROM journal.entry WHERE body IS NULL")
    assert [(row["seq"], row["payload"]) for row in bare] == [(17, records[16].payload)]
    # Verify would rightly name the trigger.
    await sql.execute("DROP TRIGGER refuse ON journal.entry")
    await assert_sound(sql)


async def test_a_foreign_row_in_the_way_is_moved_and_reported(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    records = [record(seq, order(seq)) for seq in range(1, 21)]
    writer = JournalWriter(empty_database, TAPE, anchors)
    await writer.append(records[:10])
    await sql.execute(
        "CREATE TEMPORARY TABLE forged AS SELECT * FROM journal.entry WHERE seq = 10;"
        "UPDATE forged SET seq = 15; INSERT INTO journal.entry SELECT * FROM forged;"
    )
    await writer.append(records[10:])
    await writer.close()
    assert await stored(sql) == [(1, seq) for seq in range(1, 21)]
    findings = (await verify(sql, [], [])).findings
    assert [(f.seq, f.damage) for f in findings] == [(15, Damage.INSERTED)]


async def reader_of(tape: Sequence[TapeRecord]):
    async def read(first: int, last: int) -> Sequence[TapeRecord]:
        return [r for r in tape if first <= r.seq <= last]

    return read


async def journal(dsn: str, anchors: Path, tape: Sequence[TapeRecord], tape_id: str = TAPE) -> JournalWriter:
    """A journal that starts on ``tape`` as the service does."""
    writer = JournalWriter(dsn, tape_id, anchors)
    first, last = (tape[0].seq, tape[-1].seq) if tape else (1, 0)
    start = await writer.resume(first, last, await reader_of(tape))
    await writer.append([r for r in tape if r.seq >= start])
    return writer


async def current(sql: asyncpg.Connection) -> list[tuple[int, str]]:
    """What counts: sequence and message id of every row that is not of a lost tail."""
    rows = await sql.fetch("SELECT seq, message_id FROM journal.fact ORDER BY run, seq")
    return [(row["seq"], row["message_id"]) for row in rows]


@pytest.mark.parametrize(("lost", "renamed"), [(1, True), (40, True), (40, False), (700, True), (700, False)])
async def test_a_tape_that_lost_its_tail_gets_a_new_epoch(
    empty_database: str, anchors: Path, sql: asyncpg.Connection, lost: int, renamed: bool
) -> None:
    old = mixed_tape(1_000)
    await (await journal(empty_database, anchors, old)).close()
    left = old[: 1_000 - lost]
    tape_id = f"{TAPE}e1" if renamed else TAPE
    tape = left + mixed_tape(lost + 50, first=left[-1].seq + 1, tape="other", price=999)
    writer = await journal(empty_database, anchors, tape, tape_id)
    await writer.close()
    assert await current(sql) == [(r.seq, r.message_id) for r in kept(tape)]
    both = await sql.fetchval("SELECT count(*) FROM journal.entry")
    agreed = max(r.seq for r in kept(left))
    assert both == len(kept(old)) + len([r for r in kept(tape) if r.seq > agreed])
    assert await sql.fetchval("SELECT count(*) FROM journal.incident WHERE kind = 'epoch'") == 1
    await assert_sound(sql)


async def test_tails_lost_again_and_again_deeper_and_less_deep(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    tape = mixed_tape(300)
    await (await journal(empty_database, anchors, tape)).close()
    for left, name in ((250, "second"), (100, "third"), (180, "fourth"), (180, "fifth")):
        tape = tape[:left] + mixed_tape(200, first=left + 1, tape=name)
        await (await journal(empty_database, anchors, tape)).close()
        assert await current(sql) == [(r.seq, r.message_id) for r in kept(tape)]
    await assert_sound(sql)


async def test_a_deep_loss_hides_all_epochs_above_it(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    """Where the present tape has quotes, rows of the first epoch must not be taken for its own."""
    tape = mixed_tape(300)
    await (await journal(empty_database, anchors, tape)).close()
    tape = tape[:250] + mixed_tape(50, first=251, tape="second")
    await (await journal(empty_database, anchors, tape)).close()
    tape = tape[:100] + [record(seq, quote(seq)) for seq in range(101, 200)] + [record(200, order(7))]
    writer = await journal(empty_database, anchors, tape)
    epochs = await sql.fetchval("SELECT count(*) FROM journal.epoch")
    assert await writer.append(tape[120:150]) == 0
    await writer.close()
    assert await sql.fetchval("SELECT count(*) FROM journal.epoch") == epochs


async def test_a_lost_tail_of_nothing_but_quotes_needs_no_epoch(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    """The position was beyond the last row; what uses those sequences now is stored all the same."""
    first = record(1, order(1))
    writer = await journal(empty_database, anchors, [first, record(2, quote(2)), record(3, quote(3))])
    assert await writer.position() == 3
    await writer.close()
    tape = [first, record(2, order(2)), record(3, quote(4)), record(4, order(4))]
    await (await journal(empty_database, anchors, tape)).close()
    assert await stored(sql) == [(1, 1), (1, 2), (1, 4)]
    await assert_sound(sql)


async def test_a_damaged_row_is_not_taken_for_another_tape(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    records = [record(seq, order(seq)) for seq in range(1, 31)]
    writer = JournalWriter(empty_database, TAPE, anchors)
    await writer.append(records)
    await sql.execute("UPDATE journal.entry SET payload = 'x' WHERE seq = 12")
    assert await writer.append(records) == 0
    await writer.close()
    assert await sql.fetchval("SELECT count(*) FROM journal.epoch") == 1
    assert [(f.seq, f.damage) for f in (await verify(sql, [], [])).findings] == [(12, Damage.CHANGED)]


async def test_a_lost_tail_is_noticed_without_a_restart(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    old = mixed_tape(100)
    writer = await journal(empty_database, anchors, old)
    tape = old[:60] + mixed_tape(80, first=61, tape="other")
    await writer.append(tape[50:])
    await writer.close()
    assert await current(sql) == [(r.seq, r.message_id) for r in kept(tape)]
    await assert_sound(sql)


async def test_another_tape_altogether_is_another_run(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    await (await journal(empty_database, anchors, mixed_tape(100))).close()
    other = mixed_tape(30, tape="other")
    await (await journal(empty_database, anchors, other, "other")).close()
    assert await sql.fetchval("SELECT count(DISTINCT run) FROM journal.fact") == 2
    assert await sql.fetchval("SELECT count(*) FROM journal.fact WHERE run = 2") == len(kept(other))
    assert await sql.fetchval("SELECT count(*) FROM journal.fact") == len(kept(other)) + len(
        kept(mixed_tape(100))
    )
    await assert_sound(sql)


async def test_the_same_tape_needs_no_new_epoch_and_no_gap(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    tape = mixed_tape(500)
    for end in (10, 11, 200, 200, 500):
        await (await journal(empty_database, anchors, tape[:end])).close()
    # The window's beginning is dropped, but nothing that is not in the journal.
    await (await journal(empty_database, anchors, tape[400:])).close()
    await (await journal(empty_database, anchors, mixed_tape(20, first=501))).close()
    assert await sql.fetchval("SELECT count(*) FROM journal.epoch") == 1
    assert await sql.fetchval("SELECT count(*) FROM journal.incident") == 0
    assert await current(sql) == [(r.seq, r.message_id) for r in kept(mixed_tape(520))]


async def test_a_window_that_begins_too_late_is_a_named_gap(
    empty_database: str, anchors: Path, sql: asyncpg.Connection
) -> None:
    await (await journal(empty_database, anchors, mixed_tape(100))).close()
    await (await journal(empty_database, anchors, mixed_tape(50, first=301))).close()
    findings = (await verify(sql, [], [])).findings
    assert [(f.seq, f.damage) for f in findings] == [(301, Damage.MISSING)]
    assert "101" in findings[0].detail
