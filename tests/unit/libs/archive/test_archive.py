"""Segments and the archive made of them: what goes in comes out, and whatever was changed shows."""

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.archive.archive import Archive, make_folder, subject_matches
from libs.archive.segment import MAGIC, ArchiveDamaged, Segment, SegmentWriter
from libs.tape.record import CAUSE_HEADER, TapeRecord
from tests.support.paths import ROOT

ROWS = 5_000
"""More than two blocks."""


def record_of(seq: int) -> TapeRecord:
    """Prices, and now and then an order with its cause."""
    if seq % 100:
        return TapeRecord(seq, "feed.quote.a", {"Nats-Msg-Id": f"t:feed:{seq}:0"}, b"q%d" % seq, seq * 10**9)
    headers = {"Nats-Msg-Id": f"t:risk:{seq - 1}:0", CAUSE_HEADER: str(seq - 1)}
    return TapeRecord(seq, f"risk.approval.t-{seq - 1}-0", headers, b"approval", seq * 10**9)


def sealed(folder: Path, first: int, last: int, previous: str = "", tape: str = "t") -> Segment:
    make_folder(folder)
    writer = SegmentWriter(folder, tape, previous)
    writer.add_all(record_of(seq) for seq in range(first, last + 1))
    return Segment(writer.seal())


def chained(folder: Path, *bounds: int) -> Archive:
    previous = ""
    for first, after in itertools.pairwise(bounds):
        previous = sealed(folder, first, after - 1, previous).info.digest
    return Archive(folder)


def test_what_went_in_comes_out(tmp_path: Path):
    archive = chained(tmp_path, 1, ROWS, 2 * ROWS)
    assert (archive.first, archive.last) == (1, 2 * ROWS - 1)
    assert list(archive.records(1, 2 * ROWS)) == [record_of(seq) for seq in range(1, 2 * ROWS)]
    assert list(archive.records(ROWS - 3, ROWS + 3)) == [record_of(s) for s in range(ROWS - 3, ROWS + 4)]
    assert archive.verify() == []


@given(st.integers(1, ROWS), st.integers(0, ROWS))
def test_any_part_is_the_same_part_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, first: int, rows: int
):
    folder = tmp_path_factory.getbasetemp() / "part"
    if not folder.exists():
        chained(folder, 1, ROWS + 1)
    last = min(first + rows, ROWS)
    assert [record.seq for record in Archive(folder).records(first, last)] == list(range(first, last + 1))


def test_one_record_and_the_records_of_a_subject_are_found(tmp_path: Path):
    archive = chained(tmp_path, 1, 3_001, 6_001)
    assert archive.at(3_000) == record_of(3_000)
    assert archive.at(6_001) is None
    found = [record.seq for record in archive.matching(["risk.approval.>"], 2_950, 3_250)]
    assert found == [3_000, 3_100, 3_200]
    assert [r.seq for r in archive.matching(["risk.approval.t-99-0"], 0, 10_000)] == [100]


@pytest.mark.parametrize(
    ("pattern", "subject", "matches"),
    [
        ("a.b", "a.b", True), ("a.b", "a.b.c", False), ("a.*", "a.b", True), ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True), ("a.>", "a", False), ("*.started", "risk.started", True), ("a.b.c", "a.b", False),
    ],
)  # fmt: skip
def test_patterns_match_as_the_brokers_do(pattern: str, subject: str, matches: bool):
    assert subject_matches(pattern, subject) is matches


def test_a_changed_bit_is_found_wherever_it_is(tmp_path: Path):
    path = sealed(tmp_path, 1, ROWS).path
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert len(Archive(tmp_path).verify()) == 1, at
    for size in (0, 1, len(MAGIC), len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert len(Archive(tmp_path).verify()) == 1, size
    path.write_bytes(whole)
    assert Archive(tmp_path).verify() == []


def test_a_segment_that_is_missing_or_another_one_is_found(tmp_path: Path):
    archive = chained(tmp_path, 1, 101, 201, 301)
    archive.segments[1].path.unlink()
    (finding,) = Archive(tmp_path).verify()
    assert "101 to 200" in finding.text
    sealed(tmp_path, 101, 200, "0" * 64)
    assert ["expected to follow" in finding.text for finding in Archive(tmp_path).verify()] == [True, True]


def test_a_record_that_does_not_follow_is_refused_and_leaves_nothing(tmp_path: Path):
    make_folder(tmp_path)
    writer = SegmentWriter(tmp_path, "t", "")
    with pytest.raises(ValueError, match="expected sequence 2, was 3"):
        writer.add_all([record_of(1), record_of(3)])
    writer.abandon()
    empty = SegmentWriter(tmp_path, "t", "")
    with pytest.raises(ValueError, match="expected records"):
        empty.seal()
    empty.abandon()
    (tmp_path / "1.new").write_bytes(b"of a process that died")
    assert Archive(tmp_path).segments == []
    make_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_may_read_it(tmp_path: Path):
    folder = tmp_path / "archive" / "t"
    assert sealed(folder, 1, 10).path.stat().st_mode & 0o77 == 0
    assert folder.stat().st_mode & 0o77 == 0


def test_old_segments_are_removed_and_the_newest_stays(tmp_path: Path):
    archive = chained(tmp_path, 1, 101, 201, 301)
    assert archive.prune(150 * 10**9) == 1
    assert archive.first == 101
    assert archive.prune(10**18) == 1
    assert (archive.first, archive.last) == (201, 300)
    assert archive.verify() == []


def test_segments_that_no_age_removed_are_lost(tmp_path: Path):
    archive = chained(tmp_path, 1, 101, 201, 301, 401)
    archive.segments[0].path.unlink()
    (finding,) = Archive(tmp_path).verify()
    assert "expected the segments up to 100 to be held" in finding.text
    archive = chained(tmp_path, 1, 101, 201, 301, 401)
    whole = archive.segments[1].path.read_bytes()
    assert archive.prune(250 * 10**9) == 2
    assert archive.verify() == []
    # It died before the last of them was gone: that is still an archive, with them or without.
    (tmp_path / "0000000000000101-0000000000000200.segment").write_bytes(whole)
    archive.segments[0].path.unlink()
    (finding,) = Archive(tmp_path).verify()
    assert "201 to 300" in finding.text
    for path in tmp_path.glob("*.segment"):
        path.unlink()
    (finding,) = Archive(tmp_path).verify()
    assert "expected what follows 200 to be held" in finding.text
    (tmp_path / "removed.json").write_text("{}")
    (finding,) = Archive(tmp_path).verify()
    assert "expected a sequence and a hash" in finding.text


def test_a_damaged_segment_says_which_it_is(tmp_path: Path):
    path = sealed(tmp_path, 1, 10).path
    path.write_bytes(b"x" * 100)
    with pytest.raises(ArchiveDamaged, match=path.name):
        list(Archive(tmp_path).records(1, 10))


def test_looking_through_all_of_it_keeps_no_footer(tmp_path: Path):
    archive = chained(tmp_path, 1, 101, 201, 301)
    assert len(list(archive.matching(["risk.>"], 0, 1_000))) == 3
    assert len(list(archive.records(1, 1_000))) == 300
    assert [segment.info.last for segment in archive.segments] == [100, 200, 300]
    assert not any("_footer" in vars(segment) for segment in archive.segments)


def test_a_segment_of_an_earlier_build_is_read_and_followed(tmp_path: Path):
    """It has prices and facts in the same blocks, and was written by the build that did so."""
    make_folder(tmp_path)
    old = next((ROOT / "tests" / "fixtures" / "segment_1").glob("*.segment"))
    shutil.copy(old, tmp_path)
    before = Archive(tmp_path).segments[0]
    sealed(tmp_path, before.last + 1, 600, before.info.digest)
    archive = Archive(tmp_path)
    assert archive.verify() == []
    assert list(archive.records(1, 600)) == [record_of(seq) for seq in range(1, 601)]
    assert [archive.at(seq) for seq in (1, 100, 300, 301)] == [record_of(seq) for seq in (1, 100, 300, 301)]
    assert [r.seq for r in archive.matching(["risk.>"], 0, 600)] == [100, 200, 300, 400, 500]
    assert archive.segments[0].pick([99, 100]) == [record_of(99), record_of(100)]


def test_facts_have_blocks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who looks for facts unpacks no prices."""
    segment = sealed(tmp_path, 1, 2 * ROWS)
    unpacked: list[int] = []
    rows_of = Segment._rows_of

    def counted(self: Segment, block: int) -> Sequence[Any]:
        unpacked.append(block)
        return rows_of(self, block)

    monkeypatch.setattr(Segment, "_rows_of", counted)
    found = segment.pick([seq for seqs in segment.subjects().values() for seq in seqs])
    assert [record.seq for record in found] == list(range(100, 2 * ROWS + 1, 100))
    assert len(unpacked) == 1
    assert [record.seq for record in segment.pick([99, 100, 101, 7_001])] == [99, 100, 101, 7_001]
