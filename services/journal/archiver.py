"""The archiver: copies each stretch of the tape into a sealed segment, long before the window drops it.

It holds nothing up: it reads with a connection of its own, one segment at a time, and nobody waits for it. What is
archived is what the files say: after a death at any moment the next attempt begins behind the last whole segment.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any

from libs.archive.archive import Archive, make_folder
from libs.archive.segment import ArchiveDamaged, SegmentWriter
from libs.bounded import clip
from libs.machine.snapshots import KEPT_EVERY_SEQ
from libs.tape.broker import stream_limits, stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable, TapeError, TapeGap
from libs.tape.reader import REST_S, TapeReader, read_at
from proto.units import SECOND

SETTLED_SEQ = 5_000
"""A power cut may take the tape's newest messages back, and their sequences are used again: a segment is sealed when
it is this far behind."""
CHECK_EVERY_S = 5.0
RETRY_S = 1.0
READ_SILENCE_S = 5.0
DAY_NS = 86_400 * SECOND


@dataclass
class ArchiverStatus:
    """What an operator sees. ``percent``: how much of the window's room what is not archived takes."""

    segments: int = 0
    first: int = 0
    last: int = 0
    size: int = 0
    waiting: int = 0
    percent: int = 0
    lost: int = 0
    detail: str = ""


class Archiver:
    """Writes the archive of one tape. ``keep_days``: how long segments stay; 0 for ever.

    ``link`` gives a connection that only this reads from.
    """

    def __init__(
        self,
        link: Link,
        folder: Path,
        tape: str,
        keep_days: int = 0,
        *,
        segment_seq: int = KEPT_EVERY_SEQ,
        settled_seq: int = SETTLED_SEQ,
        wall_ns: Callable[[], int] = time_ns,
    ) -> None:
        make_folder(folder)
        self.archive = Archive(folder)
        self.status = ArchiverStatus()
        self._link = link
        self._tape = tape
        self._keep_days = keep_days
        self._segment_seq = segment_seq
        self._settled_seq = settled_seq
        self._wall_ns = wall_ns

    async def run(self) -> None:
        """Archive until cancelled; whatever goes wrong is said, and tried again."""
        while True:
            wait_s = CHECK_EVERY_S
            try:
                await self._drop_lost_tail()
                while await self.archive_next():
                    self._prune()
                self.status.detail = ""
            except (TapeError, ArchiveDamaged, OSError) as e:
                wait_s = RETRY_S
                self.status.detail = clip(str(e), 300)
                log.warning("not archived", extra={"detail": self.status.detail})
            await asyncio.sleep(wait_s)

    async def archive_next(self) -> bool:
        """Write the next segment if its end is settled; whether there was one.

        Raises:
            TapeError: the broker is gone, or the window dropped what was to be archived.
            OSError: the disk refused the file.
        """
        state = await stream_state(self._link.client)
        first, last = int(state["first_seq"]), int(state["last_seq"])
        begin = max(self.archive.last + 1, first)
        self._report(first, last, await stream_limits(self._link.client), state)
        # Where the window begins in the middle of a stretch, the first segment is a short one.
        end = (begin // self._segment_seq + 1) * self._segment_seq - 1
        if last < end + self._settled_seq:
            return False
        if self.archive.last and begin > self.archive.last + 1:
            self.status.lost += begin - self.archive.last - 1
            log.error("the window dropped what was not archived", extra={"to": begin - 1})
        await self._write(begin, end)
        self.archive.refresh()
        self._report(first, last, await stream_limits(self._link.client), state)
        log.info("archived", extra={"first": begin, "last": end})
        return True

    async def _write(self, first: int, last: int) -> None:
        """Copy a stretch into its segment, packed in a thread while the next messages come."""
        previous = self.archive.segments[-1].info.digest if self.archive.segments else ""
        reader = TapeReader(self._link, first - 1, rest_s=REST_S)
        writer = SegmentWriter(self.archive.folder, self._tape, previous)
        try:
            while reader.position < last:
                batch = await reader.next_batch(READ_SILENCE_S)
                if not batch:
                    raise BrokerUnavailable(f"expected the tape to {last}, was silence at {reader.position}")
                await asyncio.to_thread(writer.add_all, [record for record in batch if record.seq <= last])
            await asyncio.to_thread(writer.seal)
        except ValueError as e:
            raise TapeGap(str(e)) from e
        finally:
            writer.abandon()
            await reader.close()

    async def _drop_lost_tail(self) -> None:
        """Remove segments of a tail that the tape has lost: their sequences are used again for something else."""
        while self.archive.segments:
            newest = self.archive.segments[-1]
            state = await stream_state(self._link.client)
            if newest.last < int(state["first_seq"]):
                return
            kept = await read_at(self._link, newest.last) if newest.last <= int(state["last_seq"]) else None
            held = next(newest.records(newest.last, newest.last), None)
            if kept is not None and held is not None and kept.digest() == held.digest():
                return
            if kept is None and newest.last <= int(state["last_seq"]):
                raise BrokerUnavailable(f"expected sequence {newest.last} of the tape, was no answer")
            newest.path.rename(newest.path.with_suffix(".lost"))
            log.error("a segment of a lost tail was set aside", extra={"file": newest.path.name})
            self.archive.refresh()

    def _prune(self) -> None:
        if self._keep_days:
            self.archive.prune(self._wall_ns() - self._keep_days * DAY_NS)

    def _report(self, first: int, last: int, limits: tuple[int, int], state: dict[str, Any]) -> None:
        status, archive = self.status, self.archive
        status.segments, status.first, status.last = len(archive.segments), archive.first, archive.last
        status.size = archive.size
        held = max(1, last - first + 1)
        status.waiting = last - max(archive.last, first - 1)
        messages_max, bytes_max = limits
        filled = max(held / messages_max, int(state["bytes"]) / bytes_max)
        status.percent = int(100 * filled * status.waiting / held)


log = logging.getLogger("presage.archive")
