"""The files raw frames are recorded in: their lines, and a directory of them as a recording.

::

    FRAMES/2026-11-21/frames-00000.jsonl.gz   one {"recv_ns":…,"source":"polymarket","frame":…} a line
                      frames-00001.jsonl.gz   the next one, by size or age, or of the next process

``frame`` is the frame as it came where that is JSON on one line, else ``{"text":"…"}``. The feed's own frames
(source ``feed``) are among them: played back, the same frames give the same messages.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from libs.venues.frame import DECODE_ERRORS, RawFrame
from proto.units import SECOND
from services.feed.normalise import DeadFrame, dead_frame
from services.feed.recording.lines import LINE_BYTES_MAX, Torn, read_lines

PATTERN = "frames-*.jsonl.gz"
JUMP_NS_MAX = 24 * 3600 * SECOND
"""A receive time so far ahead of the one before is a damaged digit, and would end the session."""

_RECORDER = "recorder"
_WRAPPING_BYTES_MAX = 200
"""What a line has around its frame."""


class _Line(Struct, gc=False):
    recv_ns: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    source: Annotated[str, Meta(max_length=40)]
    frame: msgspec.Raw


class _Text(Struct, gc=False, forbid_unknown_fields=True):
    text: str


_line = msgspec.json.Decoder(_Line)
_text = msgspec.json.Decoder(_Text)
_raw = msgspec.json.Decoder(msgspec.Raw)


class FrameRecording(NamedTuple):
    """Files in the order they were written. ``ticked``: the passing of time is among the frames."""

    name: str
    files: tuple[Path, ...]
    ticked: bool = True

    def frames(self) -> Iterator[RawFrame | DeadFrame]:
        """All frames by receive time; unreadable pieces in between, as dead frames."""
        at = 0
        for path in self.files:
            # Between two files there may be days: nobody recorded.
            for frame in in_time(read_frames(path, _frame), at):
                at = max(at, frame.at)
                yield frame


def find_frame_files(directory: Path) -> tuple[Path, ...]:
    """The files of frames in a directory, or in its directories by date, oldest first."""
    found = [*directory.glob(PATTERN), *directory.glob(f"*/{PATTERN}")]
    return tuple(
        sorted(found, key=lambda path: (path.parent.name if path.parent != directory else "", path.name))
    )


def line_of(frame: RawFrame) -> bytes | None:
    """A frame as a line, without its end; ``None`` for one too long to be read back."""
    data = frame.data.strip()
    if not _is_plain(data):
        data = msgspec.json.encode(_Text(frame.data.decode("utf-8", "replace")))
    if len(data) > LINE_BYTES_MAX - _WRAPPING_BYTES_MAX:
        return None
    return b'{"recv_ns":%d,"source":%b,"frame":%b}' % (frame.at, msgspec.json.encode(frame.source), data)


def _is_plain(data: bytes) -> bool:
    """Whether a frame can stand in a line as it is, and will not be taken for wrapped text."""
    if b"\n" in data or b"\r" in data or data.startswith(b'{"text"'):
        return False
    try:
        _raw.decode(data)
        data.decode()
    except DECODE_ERRORS:
        return False
    return True


def read_frames(path: Path, read: Callable[[bytes], RawFrame]) -> Iterator[RawFrame | DeadFrame]:
    """A frame a line, as ``read`` reads it; a line that is torn, or that it cannot decode, is a dead frame."""
    for line in read_lines(path):
        if isinstance(line, Torn):
            yield torn(line)
            continue
        try:
            frame = read(line)
        except DECODE_ERRORS as e:
            yield torn(Torn(f"expected a recorded frame: {e}", line))
            continue
        yield frame


def _frame(line: bytes) -> RawFrame:
    decoded = _line.decode(line)
    data = bytes(decoded.frame)
    if data.startswith(b'{"text"'):
        data = _text.decode(data).text.encode()
    return RawFrame(decoded.recv_ns, decoded.source, data)


def in_time(frames: Iterator[RawFrame | DeadFrame], start: int = 0) -> Iterator[RawFrame | DeadFrame]:
    """Let time only move forward from ``start``: a late frame is moved up, one from far ahead is dead.

    A dead piece has no time of its own and takes that of the frame before it.
    """
    at = start
    began = False
    for frame in frames:
        if isinstance(frame, DeadFrame):
            yield frame._replace(at=at)
        elif began and at and frame.at > at + JUMP_NS_MAX:
            yield dead_frame(frame._replace(at=at), f"expected a receive time near {at}, was {frame.at}")
        elif frame.at < at:
            began = True
            yield frame._replace(at=at)
        else:
            began = True
            at = frame.at
            yield frame


def torn(piece: Torn) -> DeadFrame:
    """A piece that is no line, as a dead frame."""
    return dead_frame(RawFrame(0, _RECORDER, piece.beginning), piece.reason)
