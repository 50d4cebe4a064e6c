"""The walk over the chain finds every damage to a row, names it, and blames no other."""

from collections.abc import Callable
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.journal.chainwalk import ChainFinding, Damage, Walker, content_of_row
from services.journal.rows import Chain, Row, extend, genesis, row_hash
from tests.support.journal_tape import TAPE, kept, mixed_tape

COUNT = 40


def sound_rows() -> list[Row]:
    start = genesis(1, TAPE, 1)
    chain = Chain(epoch=1, run=1, tape=TAPE, from_seq=1, position=0, head=start)
    return extend(chain, kept(mixed_tape(COUNT)))[0]


ROWS = sound_rows()


def walk(rows: list[Row]) -> list[ChainFinding]:
    walker = Walker(1, genesis(1, TAPE, 1))
    for row in rows:
        walker.check(row)
    return walker.findings


def named(findings: list[ChainFinding]) -> set[tuple[int, Damage]]:
    return {(finding.seq, finding.damage) for finding in findings}


def rehashed(row: Row) -> Row:
    return row._replace(hash=row_hash(row.prev_hash, row.prev_seq, row.n, content_of_row(row)))


places = st.integers(0, len(ROWS) - 1)
inner = st.integers(1, len(ROWS) - 2)

changes: list[Callable[[Row], Row]] = [
    lambda row: row._replace(payload=row.payload + b"!"),
    lambda row: row._replace(subject=row.subject + "x"),
    lambda row: row._replace(message_id="forged"),
    lambda row: row._replace(signature="forged"),
    lambda row: row._replace(cause=(row.cause or 0) + 1),
    lambda row: row._replace(stored_ns=row.stored_ns + 1),
    lambda row: row._replace(hash=bytes(32)),
    lambda row: row._replace(prev_hash=bytes(32)),
    lambda row: row._replace(n=row.n + 7),
    lambda row: row._replace(body='{"forged":true}'),
    lambda row: row._replace(order_id="forged"),
    lambda row: row._replace(strategy="forged"),
    lambda row: row._replace(kind="feed.gap"),
    lambda row: row._replace(stored_at=row.stored_at + timedelta(hours=1)),
    lambda row: row._replace(day=row.day + timedelta(days=1)),
    lambda row: row._replace(body=None, unreadable="the database refused its decoded form"),
    lambda row: row._replace(body=None, unreadable="hidden"),
]


def test_a_sound_journal_has_no_findings() -> None:
    assert walk(ROWS) == []


@given(places, st.sampled_from(changes))
def test_a_changed_row_is_named(place: int, change: Callable[[Row], Row]) -> None:
    rows = list(ROWS)
    rows[place] = change(rows[place])
    assert (rows[place].seq, Damage.CHANGED) in named(walk(rows))


@given(places, st.sampled_from(changes[:6]))
def test_a_changed_row_is_the_only_one_named(place: int, change: Callable[[Row], Row]) -> None:
    rows = list(ROWS)
    rows[place] = change(rows[place])
    assert named(walk(rows)) == {(rows[place].seq, Damage.CHANGED)}


@given(st.integers(0, len(ROWS) - 2), st.sampled_from(changes[:6]))
def test_a_changed_row_with_its_hash_made_to_fit_is_named(place: int, change: Callable[[Row], Row]) -> None:
    rows = list(ROWS)
    rows[place] = rehashed(change(rows[place]))
    assert (rows[place].seq, Damage.CHANGED) in named(walk(rows))


@given(inner, st.integers(1, 5))
def test_removed_rows_are_named_by_the_last_of_them(place: int, count: int) -> None:
    end = min(place + count, len(ROWS) - 1)
    findings = walk(ROWS[:place] + ROWS[end:])
    assert named(findings) == {(ROWS[end - 1].seq, Damage.REMOVED)}
    assert str(ROWS[place - 1].seq) in findings[0].detail
    assert str(ROWS[end].seq) in findings[0].detail


def test_removed_first_rows_are_named() -> None:
    assert named(walk(ROWS[3:])) == {(ROWS[2].seq, Damage.REMOVED)}


@given(inner, st.integers(1, 3), st.booleans(), st.booleans())
def test_inserted_rows_are_named_and_no_other(place: int, count: int, fits: bool, linked: bool) -> None:
    """Between two rows whose sequences leave room: well linked or not, with a fitting hash or not."""
    spread = [row._replace(seq=row.seq * 10) for row in ROWS]
    rows = relinked(spread)
    before = rows[place]
    forged: list[Row] = []
    for number in range(1, count + 1):
        last = forged[-1] if forged else before
        row = before._replace(seq=before.seq + number, payload=b"forged", body=None, unreadable="?")
        if linked:
            row = row._replace(prev_hash=last.hash, prev_seq=last.seq, n=last.n + 1)
        forged.append(rehashed(row) if fits else row)
    found = named(walk(rows[: place + 1] + forged + rows[place + 1 :]))
    assert found == {(row.seq, Damage.INSERTED) for row in forged}


def relinked(rows: list[Row]) -> list[Row]:
    """The rows with a sound chain."""
    made: list[Row] = []
    for row in rows:
        last = made[-1] if made else None
        row = row._replace(
            prev_seq=0 if last is None else last.seq,
            prev_hash=genesis(1, TAPE, 1) if last is None else last.hash,
        )
        made.append(rehashed(row))
    return made


@given(st.data())
def test_several_damages_are_all_found(data: st.DataObject) -> None:
    """A changed, a removed and an inserted row, apart from one another."""
    rows = relinked([row._replace(seq=row.seq * 10) for row in ROWS])
    changed, removed, after = 3, 10, 18
    change = data.draw(st.sampled_from(changes[:6]))
    expected = {
        (rows[changed].seq, Damage.CHANGED),
        (rows[removed].seq, Damage.REMOVED),
        (rows[after].seq + 1, Damage.INSERTED),
    }
    forged = rows[after]._replace(seq=rows[after].seq + 1)
    rows[changed] = change(rows[changed])
    rows.insert(after + 1, forged)
    del rows[removed]
    assert named(walk(rows)) == expected
