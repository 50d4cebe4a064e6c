"""Tampering with the stored rows, as somebody with the database's password would, is found and named."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from libs.tape.record import TapeRecord
from proto.service import Anchor
from services.journal.anchors import FiledAnchor, read_anchors
from services.journal.chainwalk import ChainFinding, Damage
from services.journal.repair import repair
from services.journal.rows import COLUMNS, Row, extend
from services.journal.schema import SchemaError
from services.journal.store import load
from services.journal.verify import verify
from services.journal.writer import JournalWriter
from tests.support.journal_tape import TAPE, kept, mixed_tape, record
from tools.offline.journal import anchors_on_tape, verification_document, verification_lines, verify_journal

pytestmark = pytest.mark.asyncio

COUNT = 300
RECORDS = mixed_tape(COUNT)
KEPT = [r.seq for r in kept(RECORDS)]


class World:
    """A journal of ``RECORDS`` with an anchor after every sixty of them."""

    def __init__(self, dsn: str, path: Path, sql: asyncpg.Connection) -> None:
        self.dsn, self.path, self.sql = dsn, path, sql
        self.tape_anchors: list[Anchor] = []

    async def fill(self) -> None:
        writer = JournalWriter(self.dsn, TAPE, self.path)
        for at in range(0, COUNT, 60):
            await writer.append(RECORDS[at : at + 60])
            anchor = await writer.anchor()
            assert anchor is not None
            self.tape_anchors.append(anchor.message())
        await writer.close()

    async def lose_tail(self, last_seq: int) -> None:
        """The tape lost what followed ``last_seq``, and other messages took its place."""
        writer = JournalWriter(self.dsn, TAPE + "e1", self.path)
        fresh = mixed_tape(100, first=last_seq + 1, tape=TAPE + "e1")
        await writer.append(fresh)
        anchor = await writer.anchor()
        assert anchor is not None
        self.tape_anchors.append(anchor.message())
        await writer.close()

    @property
    def filed(self) -> list[FiledAnchor]:
        return read_anchors(self.path)[0]

    async def findings(self) -> set[tuple[int, Damage]]:
        """With the file's anchors, and the same with the tape's alone, and without either."""
        results = [
            (await verify(self.sql, filed, on_tape)).findings
            for filed, on_tape in ((self.filed, self.tape_anchors), (self.filed, []), ([], self.tape_anchors))
        ]
        assert _named(results[0]) == _named(results[1]) == _named(results[2])
        return _named(results[0])


def _named(findings: Sequence[ChainFinding]) -> set[tuple[int, Damage]]:
    return {(finding.seq, finding.damage) for finding in findings}


@pytest_asyncio.fixture
async def world(empty_database: str, tmp_path: Path) -> AsyncIterator[World]:
    sql = await asyncpg.connect(empty_database)
    world = World(empty_database, tmp_path / "anchors.jsonl", sql)
    await world.fill()
    yield world
    await sql.close()


async def test_a_sound_journal_has_no_findings(world: World) -> None:
    assert await world.findings() == set()
    result = await verify(world.sql, world.filed, world.tape_anchors)
    assert (result.rows, result.last_seq, result.anchors) == (len(KEPT), KEPT[-1], 10)


@pytest.mark.parametrize(
    "change",
    [
        "payload = payload || 'x'::bytea",
        "body = jsonb_set(coalesce(body, '{}'), '{price}', '1')",
        "market = 'kalshi:OTHER'",
        "signature = 'forged'",
        "stored_ns = stored_ns + 1",
        "cause = 3",
        "hash = sha256('x')",
        "stored_at = stored_at + interval '1 second'",
        "at = stored_at + interval '1 hour'",
        "kind = 'feed.other'",
        "subject = subject || '.other'",
        "message_id = 'forged'",
        "producer = 'forged'",
        "root = 3",
        "build = 'forged'",
        "order_id = 'forged'",
        "strategy = 'forged'",
    ],
)
async def test_a_changed_row_is_found_and_named(world: World, change: str) -> None:
    seq = KEPT[77]
    await world.sql.execute(f"UPDATE journal.entry SET {change} WHERE seq = $1", seq)
    assert await world.findings() == {(seq, Damage.CHANGED)}


@pytest.mark.parametrize(
    "change",
    [
        "run = 7",
        "ends_at_seq = 100",
        "ends_at_seq = NULL",
        "parent = NULL",
        "reason = 'forged'",
        "opened_at = opened_at + interval '1 hour'",
    ],
)
async def test_a_changed_epoch_is_found_and_named(world: World, change: str) -> None:
    """The first of two: the tape lost what followed its message 200, and went on otherwise."""
    await world.lose_tail(200)
    assert await world.findings() == set(), "the control"
    number = 2 if change.startswith("parent") else 1
    await world.sql.execute(f"UPDATE journal.epoch SET {change} WHERE epoch = $1", number)
    found = (await verify(world.sql, world.filed, world.tape_anchors)).findings
    assert {(f.damage, f.epoch) for f in found} & {(Damage.EPOCH, 1), (Damage.EPOCH, 2)}
    assert {f.damage for f in found} == {Damage.EPOCH}


DEFINITIONS = [
    (
        (
            "CREATE OR REPLACE FUNCTION journal.amount(millionths numeric) RETURNS numeric"
            " LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN trim_scale(round(millionths / 100000, 6))"
        ),
        "function amount(numeric)",
    ),
    (
        (
            "CREATE OR REPLACE FUNCTION journal.traded(held numeric[], signed numeric, value numeric)"
            " RETURNS numeric[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN held; END'"
        ),
        "function traded(numeric[],numeric,numeric)",
    ),
    (
        (
            "CREATE OR REPLACE AGGREGATE journal.average_cost(numeric, numeric)"
            " (SFUNC = journal.traded, STYPE = numeric[], INITCOND = '{1,0,0,0,0}', PARALLEL = SAFE)"
        ),
        "function average_cost(numeric,numeric)",
    ),
    ("ALTER FUNCTION journal.traded SET search_path = public", "function traded"),
    (
        (
            "CREATE OR REPLACE VIEW journal.latest_alerts AS SELECT run, active, severity, rule, topic,"
            " 'all is well' AS text, stored_at, seq FROM (SELECT 1 AS run, true AS active, '' AS severity,"
            " '' AS rule, '' AS topic, now() AS stored_at, 1::bigint AS seq) none"
        ),
        "view latest_alerts",
    ),
    ("DROP VIEW journal.equity_by_minute", "view equity_by_minute"),
    ("CREATE VIEW journal.other AS SELECT 1", "view other"),
    ("ALTER TABLE journal.epoch ALTER run DROP NOT NULL", "table epoch"),
    ("ALTER TABLE journal.entry ALTER build SET DEFAULT 'x'", "table entry"),
    ("CREATE RULE none AS ON INSERT TO journal.entry DO INSTEAD NOTHING", "table entry"),
    ("ALTER TABLE journal.entry ENABLE ROW LEVEL SECURITY", "table entry"),
]


@pytest.mark.parametrize(("change", "named"), DEFINITIONS)
async def test_a_changed_definition_is_found_and_named(world: World, change: str, named: str) -> None:
    await world.sql.execute(change)
    result = await verify(world.sql, world.filed, world.tape_anchors)
    assert [f.damage for f in result.findings] == [Damage.DEFINITION]
    assert named in verification_lines(result)[1]


REPAIRED = [
    "DROP VIEW journal.fact CASCADE; DROP FUNCTION journal.amount CASCADE; CREATE VIEW journal.other AS SELECT 1",
    "DROP VIEW journal.fact CASCADE; CREATE MATERIALIZED VIEW journal.fact AS SELECT 1 AS one",
    (
        "CREATE FUNCTION journal.silent() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER silent BEFORE INSERT ON journal.entry FOR EACH ROW EXECUTE FUNCTION journal.silent();"
        "CREATE TABLE journal.other AS SELECT 1 AS kept"
    ),
    (
        "ALTER TABLE journal.entry ENABLE ROW LEVEL SECURITY; ALTER TABLE journal.entry FORCE ROW LEVEL SECURITY;"
        "ALTER TABLE journal.epoch ALTER run DROP NOT NULL; ALTER TABLE journal.day ADD note text DEFAULT 'mine';"
        "ALTER TABLE journal.quarantine ALTER n TYPE text"
    ),
]


@pytest.mark.parametrize("change", REPAIRED)
async def test_what_repair_makes_anew_is_sound_and_has_every_row(world: World, change: str) -> None:
    # A connection remembers statements, and what tables looked like when it prepared them.
    await world.sql.close()
    world.sql = await asyncpg.connect(world.dsn, statement_cache_size=0)
    before = await world.sql.fetch("SELECT * FROM journal.entry ORDER BY seq")
    shown = await world.sql.fetch("SELECT * FROM journal.profit_by_strategy_and_hour")
    await world.sql.execute(change)
    damaged = await verify(world.sql, world.filed, world.tape_anchors)
    assert {finding.damage for finding in damaged.findings} >= {Damage.DEFINITION}
    assert "presage journal repair" in verification_lines(damaged)[-1]
    done = await repair(world.sql)
    assert done.names
    assert (await verify(world.sql, world.filed, world.tape_anchors)).findings == []
    assert await world.sql.fetch("SELECT * FROM journal.entry ORDER BY seq") == before
    assert await world.sql.fetch("SELECT * FROM journal.profit_by_strategy_and_hour") == shown
    assert await repair(world.sql) == ([], "")
    # What somebody added is not lost.
    kept = await world.sql.fetchval(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'other'"
    )
    assert done.aside == (kept or "")
    assert bool(kept) == ("journal.other" in change)
    # And the journal goes on.
    writer = JournalWriter(world.dsn, TAPE, world.path)
    await writer.append(mixed_tape(100, first=COUNT + 1))
    await writer.close()
    assert (await verify(world.sql, world.filed, world.tape_anchors)).findings == []


async def test_repair_judges_no_row_and_changes_nothing_that_it_cannot_finish(world: World) -> None:
    await world.sql.execute("UPDATE journal.entry SET payload = 'x' WHERE seq = $1", KEPT[77])
    await world.sql.execute("ALTER TABLE journal.entry ALTER build DROP NOT NULL")
    await repair(world.sql)
    assert await world.findings() == {(KEPT[77], Damage.CHANGED)}
    await world.sql.execute("ALTER TABLE journal.entry DROP COLUMN build CASCADE")
    with pytest.raises(SchemaError, match="expected rows that fit"):
        await repair(world.sql)
    assert await world.sql.fetchval("SELECT count(*) FROM journal.entry") == len(KEPT)


async def test_a_removed_row_is_found_and_named(world: World) -> None:
    await world.sql.execute("DELETE FROM journal.entry WHERE seq = $1", KEPT[77])
    assert await world.findings() == {(KEPT[77], Damage.REMOVED)}


async def test_an_anchored_row_removed_is_named_once(world: World) -> None:
    seq = world.filed[2].seq
    await world.sql.execute("DELETE FROM journal.entry WHERE seq = $1", seq)
    assert await world.findings() == {(seq, Damage.REMOVED)}


async def test_an_inserted_row_is_found_and_named(world: World) -> None:
    """A copy of a row under the sequence of a quote, which the journal has left out."""
    free = next(seq for seq in range(100, COUNT) if seq not in KEPT)
    await world.sql.execute(
        "CREATE TEMPORARY TABLE forged AS SELECT * FROM journal.entry WHERE seq = $1", KEPT[10]
    )
    await world.sql.execute("UPDATE forged SET seq = $1", free)
    await world.sql.execute("INSERT INTO journal.entry SELECT * FROM forged")
    assert await world.findings() == {(free, Damage.INSERTED)}


async def test_a_row_put_after_the_end_is_found(world: World) -> None:
    await world.sql.execute(
        "CREATE TEMPORARY TABLE forged AS SELECT * FROM journal.entry ORDER BY seq DESC LIMIT 1;"
        "UPDATE forged SET prev_seq = seq, prev_hash = hash, n = n + 1;"
        f"UPDATE forged SET seq = {COUNT + 5}; INSERT INTO journal.entry SELECT * FROM forged;"
    )
    assert (COUNT + 5, Damage.INSERTED) in await world.findings()


async def test_a_cut_tail_is_found_and_named(world: World) -> None:
    await world.sql.execute("DELETE FROM journal.entry WHERE seq > $1", KEPT[-20])
    assert (KEPT[-1], Damage.TAIL_CUT) in await world.findings()


async def test_a_cut_tail_with_the_journals_own_notes_made_to_fit_is_found_by_the_anchors(
    world: World,
) -> None:
    last = KEPT[-20]
    await _cut_consistently(world.sql, last)
    assert (KEPT[-1], Damage.TAIL_CUT) in await world.findings()
    assert (await verify(world.sql, [], [])).findings == [], "the control: only the anchors can know"


async def _cut_consistently(sql: asyncpg.Connection, last: int) -> None:
    await sql.execute("DELETE FROM journal.entry WHERE seq > $1", last)
    await sql.execute(
        "UPDATE journal.day d SET last_seq = e.seq, rows = e.n, head = e.hash FROM journal.entry e WHERE e.seq = $1",
        last,
    )
    await sql.execute("UPDATE journal.epoch SET position = $1", last)


async def test_a_chain_made_anew_is_found_by_the_anchors_and_named_by_the_tape(world: World) -> None:
    """One payload is changed and everything after it hashed again: without anchors it looks sound."""
    seq = next(r.seq for r in kept(RECORDS)[77:] if r.subject.startswith("feed.trade"))
    await _rewrite(world.sql, seq)
    assert (await verify(world.sql, [], [])).findings == [], "the control: the chain itself is whole again"
    first_after = next(anchor.seq for anchor in world.filed if anchor.seq >= seq)
    assert await world.findings() == {(first_after, Damage.REWRITTEN)}

    result = await verify_journal(world.dsn, world.path, world.tape_anchors, _batches(RECORDS))
    assert (seq, Damage.CHANGED) in _named(result.findings)


async def _rewrite(sql: asyncpg.Connection, seq: int) -> None:
    chain = await load(sql)
    assert chain is not None
    start = await sql.fetchval("SELECT genesis FROM journal.epoch")
    await sql.execute("DELETE FROM journal.entry")
    chain.head, chain.n, chain.last_seq, chain.day = start, 0, 0, chain.day.min
    forged: list[TapeRecord] = [
        record._replace(payload=mixed_tape(1, first=seq, price=1)[0].payload) if record.seq == seq else record
        for record in kept(RECORDS)
    ]
    rows: list[Row] = extend(chain, forged)[0]
    await sql.copy_records_to_table("entry", schema_name="journal", columns=COLUMNS, records=rows)
    await sql.execute("UPDATE journal.day SET head = $1", rows[-1].hash)


async def _batches(records: Sequence[TapeRecord]) -> AsyncIterator[Sequence[TapeRecord]]:
    for at in range(0, len(records), 50):
        yield records[at : at + 50]


async def test_a_removed_epoch_is_found(world: World) -> None:
    await world.sql.execute("DELETE FROM journal.day; DELETE FROM journal.epoch; DELETE FROM journal.entry")
    findings = (await verify(world.sql, world.filed, [])).findings
    assert {finding.damage for finding in findings} == {Damage.REMOVED}


async def test_the_tape_names_removed_and_inserted_rows(world: World) -> None:
    await world.sql.execute("DELETE FROM journal.entry WHERE seq IN ($1, $2)", KEPT[20], KEPT[21])
    result = await verify_journal(world.dsn, world.path, world.tape_anchors, _batches(RECORDS))
    assert _named(result.findings) == {(KEPT[20], Damage.REMOVED), (KEPT[21], Damage.REMOVED)}


async def test_verify_tells_people_and_programs(world: World) -> None:
    sound = await verify_journal(world.dsn, world.path)
    assert verification_document(sound) == {
        "sound": True,
        "rows": len(KEPT),
        "anchors": 5,
        "last_seq": KEPT[-1],
        "findings": [],
        "remedy": "",
    }
    await world.sql.execute("UPDATE journal.entry SET payload = '' WHERE seq = $1", KEPT[5])
    damaged = await verify_journal(world.dsn, world.path)
    assert verification_document(damaged)["sound"] is False
    assert f"sequence {KEPT[5]}: changed" in verification_lines(damaged)[1]


async def test_verify_does_not_mind_a_journal_at_work(world: World) -> None:
    """Rows that come while the check runs are not damage: anchors first, then one snapshot."""
    filed = world.filed
    writer = JournalWriter(world.dsn, TAPE, world.path)
    await writer.append(mixed_tape(100, first=COUNT + 1))
    assert (await verify(world.sql, filed, world.tape_anchors)).findings == []
    await writer.close()


async def test_anchors_are_found_on_the_tape() -> None:
    anchor = Anchor(day="2026-05-17", seq=7, rows=3, head="ab")
    records = [*mixed_tape(5), record(6, anchor)]
    assert await anchors_on_tape(_batches(records)) == [anchor]
