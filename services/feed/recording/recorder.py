"""Writes raw frames to files, beside everything else: it never holds the feed back and never fails it.

Frames are taken over in memory and written by a thread, in pieces that can be read back at once: whoever kills
the process loses at most ``FLUSH_EVERY_S``. Files end by size, by age and with the day; the oldest go when all
together are too large. With the disk (almost) full recording pauses, says so, and goes on when there is room:
trading needs the rest of the disk more.
"""

import logging
import shutil
import threading
import time
import zlib
from collections import deque
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from libs.venues.frame import RawFrame
from proto.units import SECOND
from services.feed.control import DISCONNECTED, FEED
from services.feed.recording.frame_files import PATTERN, find_frame_files, line_of

FLUSH_EVERY_S = 1.0
"""At most so much is lost with the process. Flushing more often packs worse."""
TAKE_EVERY_S = 0.25
WAITING_FRAMES_MAX = 50_000
"""Some 30 s of several busy venues. Beyond it frames are left out: memory is for trading."""
RETRY_S = 30.0
"""How long recording pauses before it looks for room again."""
_LEVEL = 3
_GZIP = 16 + zlib.MAX_WBITS

log = logging.getLogger("presage.feed.recorder")


class Limits(NamedTuple):
    """When files end, and how much disk they may take.

    ``file_bytes_max`` packed (about 600 MB of frames: a quarter of an hour of playback at maximum speed),
    ``file_age_s_max``, ``total_bytes_max`` for all files together (weeks of a handful of markets),
    ``free_bytes_min`` left on the disk for the broker and the database.
    """

    file_bytes_max: int = 64 * 1024 * 1024
    file_age_s_max: float = 3600.0
    total_bytes_max: int = 20 * 1024**3
    free_bytes_min: int = 2 * 1024**3


class Recorder:
    """Records into ``directory``. Counters: ``frames`` written, ``dropped``, ``files`` begun, ``removed``.

    Each file should be readable by itself: when ``files`` has grown, or something was ``dropped``, the venues are
    to be asked for whole books again (see ``LiveFeed``). ``detail`` is empty while all is well. ``start`` and ``close`` belong together; ``add`` is called by one
    thread, and cheap.
    """

    def __init__(self, directory: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - never changes
        self.directory = directory
        self.detail = ""
        self.frames = 0
        self.dropped = 0
        self.files = 0
        self.removed = 0
        self.packed_bytes = 0
        self._limits = limits
        self._waiting: deque[RawFrame] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._file: _File | None = None
        self._paused_until_s = 0.0
        self._venues: set[str] = set()
        self._lost = False

    def start(self) -> None:
        """Begin to record. Nothing is on the disk before the first frame."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(self, frame: RawFrame) -> None:
        """Take a frame; it is written soon."""
        if len(self._waiting) >= WAITING_FRAMES_MAX:
            self.dropped += 1
            self._lost = True
            return
        self._waiting.append(frame)

    def close(self) -> None:
        """Write what waits, end the file, stop the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        flushed_at_s = time.monotonic()
        stopping = False
        while not stopping:
            stopping = self._stop.wait(TAKE_EVERY_S)
            try:
                self._next_batch()
                if self._file is not None and (stopping or time.monotonic() - flushed_at_s >= FLUSH_EVERY_S):
                    flushed_at_s = time.monotonic()
                    self._file.flush()
                    self._check_room()
                    if stopping or self._file.is_over(self._limits):
                        self._end_file()
            except OSError as e:
                self._pause(f"not recording: {e.strerror or type(e).__name__}")

    def _next_batch(self) -> None:
        """Write what waits now."""
        paused = time.monotonic() < self._paused_until_s
        for _ in range(len(self._waiting)):
            frame = self._waiting.popleft()
            line = None if paused else line_of(frame)
            if line is None:
                self.dropped += 1
                self._lost = True
                continue
            if self._file is None or self._file.day != day_of(frame.at):
                self._end_file()
                self._file = self._next_file(frame.at)
            if self._lost:
                self._lost = False
                self._log_loss(frame.at)
            self._file.write(line)
            self.frames += 1
            if frame.source != FEED:
                self._venues.add(frame.source)

    def _log_loss(self, at_ns: int) -> None:
        """Frames are missing here: whoever plays this back must not believe its books any more."""
        assert self._file is not None
        for venue in sorted(self._venues):
            line = line_of(RawFrame(at_ns, venue, DISCONNECTED))
            assert line is not None
            self._file.write(line)

    def _next_file(self, at_ns: int) -> "_File":
        self._check_room()
        self._remove_oldest()
        day = day_of(at_ns)
        directory = self.directory / day
        directory.mkdir(parents=True, exist_ok=True)
        last = max(
            (int(path.name.split("-")[1].split(".")[0]) for path in directory.glob(PATTERN)), default=-1
        )
        file = _File(directory / f"frames-{last + 1:05d}.jsonl.gz", day)
        self.files += 1
        self.detail = ""
        return file

    def _end_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            self.packed_bytes += file.end()

    def _check_room(self) -> None:
        """Raises ``OSError`` when the disk is so full that others need the rest."""
        place = next(path for path in (self.directory, *self.directory.parents) if path.exists())
        if shutil.disk_usage(place).free < self._limits.free_bytes_min:
            raise OSError(28, f"less than {self._limits.free_bytes_min // 1024**2} MiB free on the disk")

    def _remove_oldest(self) -> None:
        """Keep all files together below the limit."""
        files = [(path, path.stat().st_size) for path in find_frame_files(self.directory)]
        total = sum(size for _, size in files)
        for path, size in files:
            if total + self._limits.file_bytes_max <= self._limits.total_bytes_max:
                return
            path.unlink()
            total -= size
            self.removed += 1
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def _pause(self, detail: str) -> None:
        """Leave the file as it is, and everything out for a while."""
        if detail != self.detail:
            log.warning("%s", detail)
        self.detail = detail
        self._paused_until_s = time.monotonic() + RETRY_S
        self._lost = True
        if self._file is not None:
            file, self._file = self._file, None
            file.leave()


class _File:
    """One file being written."""

    def __init__(self, path: Path, day: str) -> None:
        self.day = day
        self._path = path
        self._file = FileIO(path, "xb")
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._bytes = 0
        self._began_s = time.monotonic()

    def write(self, line: bytes) -> None:
        self._put(self._packer.compress(line + b"\n"))

    def flush(self) -> None:
        """Everything written so far can be read, and survives this process."""
        self._put(self._packer.flush(zlib.Z_SYNC_FLUSH))

    def end(self) -> int:
        """Finish and close; the size."""
        try:
            self._put(self._packer.flush(zlib.Z_FINISH))
        finally:
            self._file.close()
        return self._bytes

    def leave(self) -> None:
        """Close as it is: what was flushed can be read."""
        self._file.close()

    def is_over(self, limits: Limits) -> bool:
        age_s = time.monotonic() - self._began_s
        return self._bytes >= limits.file_bytes_max or age_s >= limits.file_age_s_max

    def _put(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]
            self._bytes = self._file.tell()


def day_of(at_ns: int) -> str:
    """The day (UTC) a moment is in, as a directory is named: ``2026-11-21``."""
    return datetime.fromtimestamp(at_ns / SECOND, UTC).strftime("%Y-%m-%d")
