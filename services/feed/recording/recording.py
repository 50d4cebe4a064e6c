"""Recorded sessions: raw frames in the order they were received, from files of any condition.

A recording is a directory with ``ws.jsonl.gz`` (Kalshi frames, one ``{"recv_ns":…,"frame":{…}}`` a line),
``coinbase_btcusd_trades.csv.gz`` and ``results.json``, the latter two if they exist; or a ``ws.jsonl.gz``
alone; or what the feed's own recorder wrote (``frame_files.py``), a directory or one file of it. What cannot be
read is reported as dead and counted, never raised. Memory stays bounded.
"""

import heapq
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from libs.venues.coinbase import COINBASE
from libs.venues.frame import DECODE_ERRORS, FrameError, RawFrame
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.schemas.amounts import nanoseconds
from proto.units import SECOND
from services.feed.normalise import DeadFrame
from services.feed.recording.frame_files import (
    PATTERN,
    FrameRecording,
    find_frame_files,
    in_time,
    read_frames,
    torn,
)
from services.feed.recording.lines import Torn, read_lines

FRAMES_FILE = "ws.jsonl.gz"
TRADES_FILE = "coinbase_btcusd_trades.csv.gz"
RESULTS_FILE = "results.json"
TRADES_HEADER = "exchange_ts_utc,recv_ns,price,trade_id,raw_event_type"
PRODUCT = "BTC-USD"

SETTLEMENT_DELAY_NS = 10 * SECOND
"""A recording knows a result but not when it came: the venue settles some seconds after the close."""
RESULTS_BYTES_MAX = 1024 * 1024
"""results.json holds one entry of about 200 bytes a market."""


class RecordingError(ValueError):
    """A path that is no recording; the text says what was expected there."""


class _Line(Struct, gc=False):
    recv_ns: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    frame: msgspec.Raw


class _Result(Struct, gc=False):
    market: str
    close_time: Annotated[datetime, Meta(tz=True)]
    result: str


_line = msgspec.json.Decoder(_Line)
_results = msgspec.json.Decoder(list[msgspec.Raw])
_result = msgspec.json.Decoder(_Result)


class Span(NamedTuple):
    """First and last moment of a recording, in nanoseconds; a late settlement counts."""

    start_ns: int
    end_ns: int


class Recording(NamedTuple):
    """The files of one recorded session; missing ones are ``None``. Nothing in them says that time passed."""

    name: str
    frames_file: Path
    trades_file: Path | None
    results_file: Path | None
    ticked: bool = False

    def frames(self) -> Iterator[RawFrame | DeadFrame]:
        """All frames by receive time; unreadable pieces in between, as dead frames."""
        streams = [in_time(read_frames(self.frames_file, _kalshi_frame))]
        if self.trades_file:
            streams.append(in_time(_coinbase_frames(self.trades_file)))
        if self.results_file:
            streams.append(_result_frames(self.results_file))
        return heapq.merge(*streams, key=lambda frame: frame.at)


def open_recording(path: Path) -> Recording | FrameRecording:
    """Find the files of a recording; nothing is read yet.

    Raises:
        RecordingError: when there is neither a ``ws.jsonl.gz`` nor a file of recorded frames.
    """
    if path.is_dir():
        files = find_frame_files(path)
        if files and not (path / FRAMES_FILE).is_file():
            return FrameRecording(path.resolve().name, files)
        frames, trades, results = path / FRAMES_FILE, path / TRADES_FILE, path / RESULTS_FILE
        if not frames.is_file():
            raise RecordingError(
                f"expected {FRAMES_FILE} or {PATTERN} in the recording {path}, was not there"
            )
        name = path.resolve().name
        return Recording(
            name, frames, trades if trades.is_file() else None, results if results.is_file() else None
        )
    if not path.is_file():
        raise RecordingError(f"expected a recording (a directory or a {FRAMES_FILE}), was {path}")
    if path.match(PATTERN):
        return FrameRecording(path.name, (path,))
    return Recording(path.name, path, None, None)


def recording_span(path: Path) -> Span:
    """When a recording begins and ends; reads it once, without normalising (about 0.3 s for 100,000 frames).

    Raises:
        RecordingError: when ``path`` is no recording, or holds no readable frame.
    """
    start = end = None
    for frame in open_recording(path).frames():
        if isinstance(frame, RawFrame):
            start = frame.at if start is None else start
            end = frame.at
    if start is None or end is None:
        raise RecordingError(f"expected at least one readable frame in the recording {path}, was none")
    return Span(start, end)


def recording_start(path: Path) -> int:
    """Receive time of the first readable frame, in nanoseconds; a session opens there.

    Raises:
        RecordingError: when ``path`` is no recording, or holds no readable frame.
    """
    for frame in open_recording(path).frames():
        if isinstance(frame, RawFrame):
            return frame.at
    raise RecordingError(f"expected at least one readable frame in the recording {path}, was none")


def _kalshi_frame(line: bytes) -> RawFrame:
    decoded = _line.decode(line)
    return RawFrame(decoded.recv_ns, KALSHI, bytes(decoded.frame))


def _coinbase_frames(path: Path) -> Iterator[RawFrame | DeadFrame]:
    """Rows as the frames they were made from; the recorder did not keep size and side."""
    for number, line in enumerate(read_lines(path)):
        if isinstance(line, Torn):
            yield torn(line)
            continue
        fields = line.decode("utf-8", "replace").rstrip("\r").split(",")
        if number == 0 and ",".join(fields) == TRADES_HEADER:
            continue
        if len(fields) != 5 or not (_is_number(fields[1]) and _is_number(fields[3])):
            yield torn(Torn(f"expected the fields {TRADES_HEADER}", line))
            continue
        time, recv_ns, price, trade_id, kind = fields
        match = {"type": kind, "trade_id": int(trade_id), "price": price, "product_id": PRODUCT, "time": time}
        yield RawFrame(int(recv_ns), COINBASE, msgspec.json.encode(match))


def _is_number(text: str) -> bool:
    """Whether a text is a plain number below 2**63."""
    return text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < 2**63


def _result_frames(path: Path) -> Iterator[RawFrame | DeadFrame]:
    """Each market's result as the frame the venue would have sent, in order of time."""
    data = path.read_bytes() if path.stat().st_size <= RESULTS_BYTES_MAX else b"too long"
    try:
        rows = _results.decode(data)
    except DECODE_ERRORS as e:
        return iter([torn(Torn(f"expected a list of results: {e}", data))])
    frames: list[RawFrame | DeadFrame] = []
    for row in rows:
        try:
            result = _result.decode(row)
            at = nanoseconds(result.close_time) + SETTLEMENT_DELAY_NS
        except (*DECODE_ERRORS, FrameError) as e:
            frames.append(torn(Torn(f"expected a result: {e}", bytes(row))))
            continue
        body = {
            "market_ticker": result.market,
            "event_type": "settled",
            "close_ts": at // SECOND - SETTLEMENT_DELAY_NS // SECOND,
            "result": result.result,
        }
        data = msgspec.json.encode({"type": "market_lifecycle_v2", "sid": 0, "msg": body})
        frames.append(RawFrame(at, KALSHI, data))
    return iter(sorted(frames, key=lambda frame: frame.at))
