"""Raw frames to files and back: byte for byte, in order, whatever happens to the disk or the process."""

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.frame import RawFrame
from proto.units import SECOND
from services.feed import control
from services.feed.normalise import DeadFrame
from services.feed.recording import recorder
from services.feed.recording.frame_files import FrameRecording, find_frame_files, line_of
from services.feed.recording.recorder import Limits, Recorder
from services.feed.recording.recording import open_recording

START = 1_795_269_600 * SECOND
ROOM = Limits(free_bytes_min=0)
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "TAKE_EVERY_S", 0.01)


def frame(number: int, data: bytes | None = None, source: str = "kalshi") -> RawFrame:
    return RawFrame(START + number * SECOND, source, data or b'{"type":"ticker","msg":{"n":%d}}' % number)


def record(directory: Path, frames: list[RawFrame], limits: Limits = ROOM) -> Recorder:
    made = Recorder(directory, limits)
    made.start()
    for one in frames:
        made.add(one)
    made.close()
    return made


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_what_is_recorded_is_played_back_byte_for_byte(tmp_path: Path) -> None:
    frames = [
        frame(0),
        frame(1, b'[{"event_type":"book"},\n {"event_type":"book"}]', "polymarket"),
        frame(2, b"no JSON at all", "binance"),
        frame(3, b'{"text":"a frame that looks like wrapped text"}', "coinbase"),
        frame(4, '{"a":"ü → 𝄞"}'.encode(), "manifold"),
        frame(5, b"", "binance"),
        frame(6, control.TICK, "feed"),
    ]
    made = record(tmp_path, frames)
    assert list(open_recording(tmp_path).frames()) == frames
    assert (made.frames, made.dropped, made.files, made.detail) == (7, 0, 1, "")
    path = tmp_path / "2026-11-21" / "frames-00000.jsonl.gz"
    first = msgspec.json.decode(gzip.decompress(path.read_bytes()).splitlines()[0])
    assert first == {"recv_ns": START, "source": "kalshi", "frame": {"type": "ticker", "msg": {"n": 0}}}


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: msgspec.json.encode({"text": text})))
def test_any_bytes_become_one_line(data: bytes) -> None:
    line = line_of(RawFrame(START, "x", data))
    assert line is not None
    assert b"\n" not in line
    decoded = msgspec.json.decode(line)
    assert decoded["source"] == "x"


def test_files_end_with_the_day_and_the_next_process_begins_a_new_one(tmp_path: Path) -> None:
    day = 24 * 3600
    record(tmp_path, [frame(0), frame(day), frame(day + 1)])
    record(tmp_path, [frame(day + 2)])
    names = [f"{path.parent.name}/{path.name[:12]}" for path in find_frame_files(tmp_path)]
    assert names == ["2026-11-21/frames-00000", "2026-11-22/frames-00000", "2026-11-22/frames-00001"]
    assert list(open_recording(tmp_path).frames()) == [frame(0), frame(day), frame(day + 1), frame(day + 2)]
    assert [f.at for f in open_recording(tmp_path / "2026-11-22").frames()] == [
        frame(n).at for n in (day, day + 1, day + 2)
    ]


def test_days_without_a_recorder_are_no_damage_but_a_wild_digit_is(tmp_path: Path) -> None:
    week = 7 * 24 * 3600
    record(tmp_path, [frame(0)])
    record(tmp_path, [frame(week)])
    assert [f.at for f in open_recording(tmp_path).frames()] == [frame(0).at, frame(week).at]
    wild = tmp_path / "wild" / "frames-00000.jsonl.gz"
    wild.parent.mkdir()
    wild.write_bytes(gzip.compress(b"\n".join(line_of(frame(n)) or b"" for n in (0, week, 1))))
    assert [type(f) for f in open_recording(wild).frames()] == [RawFrame, DeadFrame, RawFrame]


def test_a_file_ends_by_size_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "FLUSH_EVERY_S", 0.0)
    limits = Limits(file_bytes_max=2_000, total_bytes_max=9_000, free_bytes_min=0)
    made = Recorder(tmp_path, limits)
    made.start()
    noise = [bytes(f"{hash((n, 'noise')):x}" * 40, "ascii") for n in range(400)]
    for number in range(40):
        for one in range(10):
            made.add(frame(number, b'"%b"' % noise[number * 10 + one]))
        until(lambda: not made._waiting)
    made.close()
    assert made.files > 3
    assert made.removed > 0
    assert sum(path.stat().st_size for path in find_frame_files(tmp_path)) <= limits.total_bytes_max
    assert list(open_recording(tmp_path).frames())[-1].at == frame(39).at


def test_a_killed_process_loses_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "FLUSH_EVERY_S", 0.05)
    made = Recorder(tmp_path, ROOM)
    made.start()
    made.add(frame(0))
    made.add(frame(1))
    # The file as it stands while the recorder runs is what a killed process leaves behind.
    until(
        lambda: frame(1) in list(open_recording(tmp_path).frames()) if find_frame_files(tmp_path) else False
    )
    torn = list(open_recording(tmp_path).frames())
    made.close()
    assert torn[:2] == [frame(0), frame(1)]
    assert all(isinstance(piece, DeadFrame) for piece in torn[2:])


def test_a_full_disk_pauses_the_recorder_and_nothing_else(tmp_path: Path) -> None:
    made = record(tmp_path, [frame(0)], Limits(free_bytes_min=2**62))
    assert made.detail.startswith("not recording: less than")
    assert (made.frames, find_frame_files(tmp_path)) == (0, ())


def test_after_the_disk_was_full_the_hole_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is /dev/full: the kernel itself refuses to write."""
    monkeypatch.setattr(recorder, "RETRY_S", 0.0)
    monkeypatch.setattr(recorder, "FLUSH_EVERY_S", 0.0)
    made = Recorder(tmp_path, ROOM)
    made.start()
    made.add(frame(0))
    until(lambda: made.frames == 1 and not made._waiting)
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the recorder closes it
    assert made._file is not None
    made._file._file.close()
    monkeypatch.setattr(made._file, "_file", full)
    made.add(frame(1))
    until(lambda: made.detail == "not recording: No space left on device")
    made.add(frame(2))
    until(lambda: made.files == 2)
    made.close()
    assert made.detail == ""
    played = [f for f in open_recording(tmp_path).frames() if isinstance(f, RawFrame)]
    assert played[-2:] == [RawFrame(frame(2).at, "kalshi", control.DISCONNECTED), frame(2)]


def test_a_recorder_that_cannot_keep_up_leaves_frames_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "WAITING_FRAMES_MAX", 10)
    made = Recorder(tmp_path, ROOM)
    for number in range(15):
        made.add(frame(number))
    made.start()
    made.close()
    assert (made.frames, made.dropped) == (10, 5)


def test_frames_of_another_form_are_dead_and_the_rest_is_played(tmp_path: Path) -> None:
    path = tmp_path / "frames-00000.jsonl.gz"
    good = line_of(frame(1))
    assert good is not None
    path.write_bytes(
        gzip.compress(b'{"recv_ns":1}\nrubbish\n' + good + b'\n{"recv_ns":-1,"source":"x","frame":1}\n')
    )
    found = list(FrameRecording("x", (path,)).frames())
    assert [type(one) for one in found] == [DeadFrame, DeadFrame, RawFrame, DeadFrame]
