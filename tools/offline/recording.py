"""``presage record``: raw frames of the venues to files, and nothing else: no broker, no orders."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from libs.tasks import cancel_all
from services.feed.control import CONNECTED, DISCONNECTED, FEED
from services.feed.live.build import build
from services.feed.live.live_feed import LiveFeed
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.recording.recorder import Limits, Recorder
from tools.exit_codes import UsageError

PROGRESS_EVERY_S = 0.5


@dataclass
class RecordingProgress:
    """How far it is, told twice a second."""

    seconds: float
    frames: Counter[str]
    detail: str


class RecordingRun:
    """One recording of some venues, until it is stopped or its time is over."""

    def __init__(
        self,
        sections: Mapping[str, Mapping[str, Any]],
        directory: Path,
        feed_keys: Path,
        limits: Limits = Limits(),  # noqa: B008 - a NamedTuple never changes
    ) -> None:
        """``sections``: venue → its section of the configuration."""
        self.directory = directory
        self.recorder = Recorder(directory, limits)
        self.frames: Counter[str] = Counter()
        self.dead = 0
        self.seconds = 0.0
        self._normalisers = Normalisers()
        self.live: LiveFeed = build(sections, feed_keys, self._normalisers, self.recorder)

    async def run(self, for_s: float | None, tell: Callable[[RecordingProgress], None]) -> dict[str, Any]:
        """Record for so long, or until SIGINT, SIGTERM or SIGHUP; the summary.

        Raises:
            UsageError: when none of the venues can be used; the text says why.
        """
        if not self.live.sources:
            raise UsageError(self.live.detail or "expected at least one venue, was none")
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        began = monotonic()
        self.recorder.start()
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._report_progress(began, tell))]
        waiting = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait(
                (*tasks, waiting), timeout=for_s, return_when=asyncio.FIRST_COMPLETED
            )
            for ended in done:
                ended.result()
        finally:
            await cancel_all([*tasks, waiting])
            await asyncio.to_thread(self.recorder.close)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)
        self.seconds = monotonic() - began
        return self.document()

    async def _read(self) -> None:
        """Read the frames as the feed would: what they come to says what is followed and asked for."""
        async with contextlib.aclosing(self.live.frames()) as frames:
            async for frame in frames:
                result = self._normalisers.read(frame)
                if isinstance(result, DeadFrame):
                    self.dead += 1
                    result = []
                # That a line is up or down is the feed's word, not the venue's.
                if frame.source != FEED and frame.data not in (CONNECTED, DISCONNECTED):
                    self.frames[frame.source] += 1
                self.live.handle_result(frame, result)

    async def _report_progress(self, began: float, tell: Callable[[RecordingProgress], None]) -> None:
        while True:
            tell(RecordingProgress(monotonic() - began, self.frames, self.live.detail))
            await asyncio.sleep(PROGRESS_EVERY_S)

    def document(self) -> dict[str, Any]:
        """What was recorded."""
        recorder = self.recorder
        return {
            "directory": str(self.directory),
            "seconds": round(self.seconds, 1),
            "frames": dict(sorted(self.frames.items())),
            "dead": self.dead,
            "dropped": recorder.dropped,
            "files": recorder.files,
            "bytes": recorder.packed_bytes,
            "connections": {venue: source.connects for venue, source in self.live.sources.items()},
            "off": self.live.off,
            "detail": recorder.detail,
        }
