"""Playing recordings with a running system: one session each, in order of time, to the end of what they cause."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from libs.archive.archive import Archive
from libs.operator.watch import Reports, TapeWatch
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from libs.tape.record import TapeRecord
from proto.message import Message
from services.feed.recording.recording import open_recording, recording_start
from tools.exit_codes import UsageError

QUIET_S = 1.0
"""So long without a new message, and what a recording caused is over."""
QUIET_CHECK_S = 0.1
PROGRESS_EVERY_S = 0.2


class ShowsProgress(Protocol):
    """Shows how far a playback is: recordings done, the feed's newest report, the watch on the tape."""

    def show(self, done: int, feed: Mapping[str, Any], watch: TapeWatch | None) -> None: ...


@dataclass
class Playback:
    """Plays recordings. The first one's session is open already; ``open_next`` opens each of the others.

    ``session_nonce`` names the newest session, ``progress_file`` is where the feed keeps how far it played.
    """

    link: Link
    watch: TapeWatch
    reports: Reports
    progress_file: Path
    open_next: Callable[[Path], Awaitable[None]]
    session_nonce: Callable[[], str]

    async def run(self, recordings: Sequence[Path], progress: ShowsProgress) -> None:
        """Play all, and follow what the last one still causes."""
        for number, path in enumerate(recordings):
            if number:
                await self.open_next(path)
            name = open_recording(path).name
            while not self._is_played(name):
                progress.show(number, self.reports.latest.get("feed", {}), self.watch)
                await asyncio.sleep(PROGRESS_EVERY_S)
        await self._follow_until_quiet()

    def _is_played(self, name: str) -> bool:
        """Whether the player says that the newest session is played to its end."""
        path = self.progress_file
        done = path.exists() and f"{self.session_nonce()}.done" in json.loads(path.read_text())
        return done and self.reports.latest.get("feed", {}).get("detail") == f"played {name}"

    async def _follow_until_quiet(self) -> None:
        quiet_since = monotonic()
        last = -1
        while monotonic() - quiet_since < QUIET_S:
            try:
                seq = int((await stream_state(self.link.client))["last_seq"])
            except BrokerUnavailable:
                # It is started again, and what it then goes on with belongs to the run.
                quiet_since = monotonic()
                await asyncio.sleep(QUIET_CHECK_S)
                continue
            if self.watch.position < seq or seq != last:
                last = seq
                quiet_since = monotonic()
            await asyncio.sleep(QUIET_CHECK_S)


async def check_order(link: Link, archive: Archive, recordings: Sequence[Path]) -> None:
    """Refuse recordings that are not in order of time, or that begin before what the tape has reached.

    Raises:
        UsageError: time would go back.
    """
    newest = _NewestTime()
    watch = TapeWatch(link, archive, newest.observe)
    await watch.read_to(int((await stream_state(link.client))["last_seq"]))
    await watch.close()
    starts = [recording_start(path) for path in recordings]
    if newest.at > starts[0]:
        raise UsageError(
            f"expected a tape not later than the recording {recordings[0]}, was one that has"
            f" reached {_utc(newest.at)}: give a fresh --state"
        )
    if starts != sorted(starts):
        raise UsageError("expected the recordings in order of time, was another order")


class _NewestTime:
    """The latest session time on a tape."""

    def __init__(self) -> None:
        self.at = 0

    def observe(self, _: TapeRecord, message: Message) -> None:
        if message.kind.startswith("feed.") or message.kind == "monitor.clock":
            self.at = max(self.at, getattr(message, "at", 0))


def _utc(at_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at_ns / 1e9))
