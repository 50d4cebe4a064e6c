"""Snapshots on disk: whole or not at all, damaged ones passed over, a few old ones kept."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from libs.machine import snapshots
from libs.machine.input_gate import InputGateState
from libs.machine.machine import StateMachine
from libs.machine.snapshots import KEPT_EVERY_SEQ, KEPT_NEWEST, Snapshot, SnapshotStore
from libs.tape.record import ID_HEADER, TapeRecord


def snapshot(seq: int, state: bytes = b"state", *, planned: bool = False) -> Snapshot:
    return Snapshot(
        machine="risk",
        version=1,
        tape="t",
        seq=seq,
        digest=f"digest {seq}",
        state=state,
        input_gate=InputGateState(marks={"risk": ("t", seq, 0)}, nonces={"n": 1}),
        planned=planned,
    )


def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path, "risk")


def path_of(tmp_path: Path, seq: int) -> Path:
    return tmp_path / "risk" / f"{seq:016d}.snapshot"


@given(state=st.binary(max_size=200), seq=st.integers(0, 10**12), planned=st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, state: bytes, seq: int, planned: bool
) -> None:
    kept = store(tmp_path_factory.mktemp("snapshots"))
    written = snapshot(seq, state, planned=planned)
    kept.write(written)
    assert kept.newest_first() == [written]


@given(data=st.data())
def test_a_damaged_file_is_passed_over_whatever_happened_to_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("snapshots")
    kept = store(folder)
    kept.write(snapshot(1))
    kept.write(snapshot(2))
    path = path_of(folder, 2)
    content = path.read_bytes()
    # What is whole behind the first copy is a snapshot.
    cut = data.draw(st.integers(0, len(content) // 2 - 1))
    path.write_bytes(content[:cut] + data.draw(st.sampled_from([b"", b"\xc1", b"\xff" * 9])))
    found = kept.newest_first()
    assert [s.seq for s in found if s == snapshot(s.seq)] == [1]
    assert len(found) == 1


@given(data=st.data())
def test_changed_bytes_of_one_copy_cost_nothing_and_of_both_are_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("snapshots")
    kept = store(folder)
    kept.write(snapshot(1))
    kept.write(snapshot(2))
    path = path_of(folder, 2)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    copies = [(0, half), (half, len(content))]
    for changed, (start, end) in enumerate(data.draw(st.permutations(copies)), start=1):
        content[data.draw(st.integers(start, end - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        assert kept.newest_first() == ([snapshot(2), snapshot(1)] if changed == 1 else [snapshot(1)])


def test_a_snapshot_that_an_earlier_build_wrote_once_is_read(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.write(snapshot(1))
    path = path_of(tmp_path, 1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert kept.newest_first() == [snapshot(1)]


def test_an_unfinished_file_is_no_snapshot(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.write(snapshot(1))
    path_of(tmp_path, 2).with_suffix(".new").write_bytes(b"half")
    assert [s.seq for s in kept.newest_first()] == [1]


def test_the_newest_and_one_a_stretch_are_kept(tmp_path: Path) -> None:
    kept = store(tmp_path)
    step = KEPT_EVERY_SEQ // 5
    seqs = [step * number for number in range(1, 31)]
    for seq in seqs:
        kept.write(snapshot(seq))
    found = [s.seq for s in kept.newest_first()]
    assert found[:KEPT_NEWEST] == seqs[::-1][:KEPT_NEWEST]
    stretches = [seq // KEPT_EVERY_SEQ for seq in found[KEPT_NEWEST:]]
    assert len(stretches) == len(set(stretches))
    # A replay can start in every stretch that was lived through.
    assert {seq // KEPT_EVERY_SEQ for seq in found} == {seq // KEPT_EVERY_SEQ for seq in seqs}


def test_the_last_of_an_earlier_version_is_kept(tmp_path: Path) -> None:
    """Where another version took over, a replay of its decisions begins."""
    kept = store(tmp_path)
    for seq in range(1, 31):
        kept.write(msgspec.structs.replace(snapshot(seq), version=seq // 10))
    # The first of the stretch, the last of each earlier version, and the newest three.
    assert [s.seq for s in kept.newest_first()] == [30, 29, 28, 19, 9, 1]


def test_what_is_written_for_a_year_is_not_read_again_at_each_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store(tmp_path)
    for place in range(20):
        before.write(snapshot(place * KEPT_EVERY_SEQ // 2))
    read: list[str] = []
    whole = snapshots._read

    def noted(path: Path) -> Snapshot:
        read.append(path.name)
        return whole(path)

    monkeypatch.setattr(snapshots, "_read", noted)
    after = store(tmp_path)
    for place in range(20, 40):
        after.write(snapshot(place * KEPT_EVERY_SEQ // 2))
    assert len(read) == len(set(read)) <= KEPT_NEWEST


def test_what_lies_beyond_a_lost_tail_is_removed(tmp_path: Path) -> None:
    kept = store(tmp_path)
    for seq in (5, 10, 15):
        kept.write(snapshot(seq))
    kept.remove_after(10)
    assert [s.seq for s in kept.newest_first()] == [10, 5]


@given(st.integers(1, 9), st.text(max_size=9), st.text(max_size=9), st.binary(max_size=9))
def test_the_digest_of_a_record_tells_its_place_and_content(
    seq: int, subject: str, message_id: str, payload: bytes
) -> None:
    record = TapeRecord(seq, subject, {ID_HEADER: message_id}, payload, 1)
    assert (
        record.digest() == record._replace(stored_at_ns=2, headers={ID_HEADER: message_id, "x": "y"}).digest()
    )
    assert record.digest() != record._replace(seq=seq + 1).digest()
    assert record.digest() != record._replace(payload=payload + b"\x00").digest()
    assert record.digest() != record._replace(subject=subject + "x").digest()
    assert record.digest() != record._replace(headers={ID_HEADER: message_id + "x"}).digest()


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)
    bet_max: int = 1


class Kept(msgspec.Struct):
    limits: Limits | None = None
    other: Limits | None = None


def test_a_state_may_hold_models() -> None:
    machine = StateMachine(Kept(Limits(bet_max=7)))
    state = machine.snapshot()
    assert msgspec.msgpack.decode(state) == {"limits": {"bet_max": 7}, "other": None}
    machine.state = Kept()
    machine.restore(state)
    assert machine.state == Kept(Limits(bet_max=7))


def test_a_model_in_a_state_is_validated() -> None:
    with pytest.raises(msgspec.ValidationError, match="bet_max"):
        StateMachine(Kept()).restore(msgspec.msgpack.encode({"limits": {"bet_max": "7"}}))


def test_only_its_owner_may_read_a_snapshot(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    (folder / "risk").mkdir(parents=True)
    store(folder).write(snapshot(1))
    for path in (folder, folder / "risk", path_of(folder, 1)):
        assert path.stat().st_mode & 0o77 == 0, path
