"""From records to rows: nothing a tape can carry stops the journal, and the chain has one form."""

from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.tape.record import TapeRecord
from proto.operator import Config
from proto.subjects import TABLE
from services.journal.anchors import AnchorFile, FiledAnchor, read_anchors
from services.journal.rows import (
    BIGINT_MAX,
    LEFT_OUT,
    Chain,
    Row,
    content_of,
    extend,
    genesis,
    is_kept,
    read,
    row_hash,
    text_of,
)
from tests.support.journal_tape import BEGAN_NS, TAPE, kept, mixed_tape, order, record

DAY_NS = 86_400 * 1_000_000_000


def fresh_chain() -> Chain:
    return Chain(epoch=1, run=1, tape=TAPE, from_seq=1, position=0, head=genesis(1, TAPE, 1))


def rows_of(records: list[TapeRecord]) -> list[Row]:
    return extend(fresh_chain(), records)[0]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_rows_do_not_depend_on_how_the_tape_is_cut_into_batches(sizes: list[int]) -> None:
    records = kept(mixed_tape(sum(sizes)))
    whole = rows_of(list(records))
    chain, parts, at = fresh_chain(), [], 0
    for size in sizes:
        parts += extend(chain, records[at : at + size])[0]
        at += size
    parts += extend(chain, records[at:])[0]
    assert parts == whole


def test_each_row_follows_the_one_before() -> None:
    rows = rows_of(list(kept(mixed_tape(50))))
    for before, row in pairwise(rows):
        assert (row.prev_hash, row.prev_seq, row.n) == (before.hash, before.seq, before.n + 1)


@given(
    st.integers(0, BIGINT_MAX // 2),
    st.text(max_size=200),
    st.dictionaries(st.sampled_from(["Nats-Msg-Id", "cause", "root", "build", "sig", "kid"]), st.text()),
    st.binary(max_size=300),
    st.integers(0, 2**62),
)
def test_nothing_a_tape_can_carry_stops_the_journal(
    seq: int, subject: str, headers: dict[str, str], payload: bytes, stored_ns: int
) -> None:
    row = rows_of([TapeRecord(seq, subject, headers, payload, stored_ns)])[0]
    assert row.payload == payload
    assert (row.body is None) == (row.unreadable is not None)
    for value in row:
        if isinstance(value, str):
            assert "\x00" not in value
            value.encode()
    for number in (row.cause, row.root):
        assert number is None or 0 < number <= BIGINT_MAX


@given(st.sampled_from(TABLE), st.binary(max_size=200))
def test_an_unreadable_payload_is_kept_with_its_reason(row: Any, payload: bytes) -> None:
    kind = row.kind
    reading = read(f"{kind}.x", "", payload)
    assert (reading.body is None) == (reading.unreadable is not None)


def test_text_postgres_cannot_hold_is_replaced() -> None:
    assert text_of("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    body = read("operator.config.risk", "", _config({"a": "nul \x00 here"})).body
    assert body is not None
    assert "\\u0000" not in body


def _config(document: dict[str, object]) -> bytes:
    return record(1, Config(section="risk", document=document, nonce="n", expires_at=1)).payload


def test_quotes_books_and_clocks_are_left_out_and_nothing_else() -> None:
    left_out = {
        row.kind for row in TABLE if not is_kept(f"{row.kind}.x" if row.kind != "started" else "x.started")
    }
    assert left_out == set(LEFT_OUT)
    assert is_kept("feed.quotes.x")
    assert not is_kept("feed.quote")


def test_days_end_where_the_date_changes_and_never_go_back() -> None:
    midnight = BEGAN_NS // DAY_NS * DAY_NS + DAY_NS
    times = [midnight - 2, midnight - 1, midnight, midnight - 1, midnight + DAY_NS]
    records = [record(seq, order(seq), stored_at_ns=at) for seq, at in enumerate(times, 1)]
    chain = fresh_chain()
    rows, ends = extend(chain, records)
    first = rows[0].day
    assert [(row.day - first).days for row in rows] == [0, 0, 1, 1, 2]
    assert [row.n for row in rows] == [1, 2, 1, 2, 1]
    assert [(end.first_seq, end.last_seq, end.rows) for end in ends] == [(1, 2, 2), (3, 4, 2), (5, 5, 1)]
    assert ends[1].genesis == ends[0].head
    assert isinstance(chain.day, date)


def test_fields_cannot_be_shifted_into_one_another() -> None:
    one = content_of(TapeRecord(1, "a.b", {"Nats-Msg-Id": "c"}, b"d", 1))
    other = content_of(TapeRecord(1, "a.bc", {"Nats-Msg-Id": ""}, b"d", 1))
    assert row_hash(b"", 0, 1, one) != row_hash(b"", 0, 1, other)


def _anchor(seq: int) -> FiledAnchor:
    return FiledAnchor(epoch=1, tape=TAPE, day="2026-05-17", seq=seq, rows=seq, head="ab" * 32, at=seq)


def test_a_torn_line_in_the_anchors_file_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "anchors.jsonl"
    file = AnchorFile(path)
    file.append(_anchor(1))
    with path.open("ab") as torn:
        torn.write(b'{"epoch":1,"tape":"a')
    file.append(_anchor(2))
    anchors, unreadable = read_anchors(path)
    assert [anchor.seq for anchor in anchors] == [1, 2]
    assert unreadable == 1
