"""The journal at work: read a batch, store it, anchor now and then; outlast the database and the disk.

Nothing is held but one batch. While the database does not answer, reading pauses: the tape keeps what comes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Protocol

from libs.bounded import clip
from libs.tape.errors import TapeError, TapeGap
from libs.tape.record import TapeRecord
from proto.service import Anchor
from services.journal.writer import DatabaseFull, DatabaseUnavailable, JournalWriter

FLUSH_S = 0.2
"""How long a record may wait for company before it is stored."""
BATCH_RECORDS = 1_000
BACKLOG_RECORDS_MAX = 50_000
"""Records the source may have waiting in memory; above that it is paused until they are stored."""
ANCHOR_EVERY_S = 10.0
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 2.0
"""A database that restarts is back within a second; a full disk takes a person."""
DRAIN_S = 2.0
"""How long a planned stop goes on reading what the tape still holds."""

log = logging.getLogger("presage.journal")


class JournalState(StrEnum):
    """What the journal is doing."""

    STARTING = "starting"
    LIVE = "live"
    DATABASE_DOWN = "database_down"
    DISK_FULL = "disk_full"
    TAPE_DOWN = "tape_down"
    STOPPED = "stopped"


class JournalSource(Protocol):
    """Where records come from: the tape, in order."""

    @property
    def backlog(self) -> int:
        """Records received and not yet handed out."""
        ...

    async def window(self) -> tuple[int, int]:
        """First and last sequence the tape holds; the first is beyond the last when it is empty."""
        ...

    async def read(self, first: int, last: int) -> Sequence[TapeRecord]:
        """The records from ``first`` to ``last``, both included."""
        ...

    async def start(self, seq: int) -> None:
        """Hand out records from ``seq`` on."""
        ...

    async def next_batch(self, timeout_s: float) -> Sequence[TapeRecord]:
        """The next records; empty when none came in time. Raises TapeGap as the tape's reader does."""
        ...

    async def pause(self) -> None:
        """Take in no more; ``next_batch`` hands out what is there, then goes on by itself."""
        ...

    async def close(self) -> None:
        """Stop for good."""
        ...


@dataclass
class JournalStatus:
    """What an operator sees of the journal. ``position`` is the last sequence taken in and stored."""

    state: JournalState = JournalState.STARTING
    detail: str = ""
    position: int = 0
    waiting: int = 0
    rows: int = 0
    unreadable: int = 0
    incidents: int = 0
    retries: int = 0
    anchors: int = 0
    anchor_failures: int = 0
    last_anchor_seq: int = 0


class JournalService:
    """Runs a writer on a source. ``publish`` puts an anchor on the tape (or raises TapeError)."""

    def __init__(
        self, writer: JournalWriter, source: JournalSource, publish: Callable[[Anchor], Awaitable[None]]
    ) -> None:
        self.status = JournalStatus()
        self._writer = writer
        self._source = source
        self._publish = publish
        self._stopping = asyncio.Event()
        self._anchor_due_s = 0.0

    def stop(self) -> None:
        """Come to a planned stop: what is on the tape by now is still stored, if the database answers."""
        self._stopping.set()

    async def run(self) -> None:
        """Journal until ``stop``."""
        try:
            await self._resume()
            self._anchor_due_s = monotonic() + ANCHOR_EVERY_S
            while not self._stopping.is_set():
                await self._turn(FLUSH_S)
            await self._drain()
        finally:
            self._set(JournalState.STOPPED)
            await self._source.close()
            await self._writer.close()

    async def _turn(self, patience_s: float) -> bool:
        """One batch; whether there was one."""
        try:
            records = await self._gather(patience_s)
        except TapeGap as e:
            log.error("the tape no longer holds what comes next", extra={"detail": str(e)})
            await self._resume()
            return True
        if records:
            await self._store(records)
        if self._source.backlog > BACKLOG_RECORDS_MAX:
            await self._source.pause()
        if monotonic() >= self._anchor_due_s:
            self._anchor_due_s = monotonic() + ANCHOR_EVERY_S
            await self._anchor()
        return bool(records)

    async def _gather(self, patience_s: float) -> list[TapeRecord]:
        """Records until there are enough of them or the first has waited long enough."""
        records = list(await self._source.next_batch(patience_s))
        deadline = monotonic() + FLUSH_S
        while records and len(records) < BATCH_RECORDS:
            left = deadline - monotonic()
            if left <= 0:
                break
            records += await self._source.next_batch(left)
        return records

    async def _store(self, records: Sequence[TapeRecord]) -> None:
        self.status.waiting = len(records)
        await self._until_done(lambda: self._writer.append(records))
        status, writer = self.status, self._writer
        if status.state is not JournalState.LIVE:
            return
        status.position, status.waiting = records[-1].seq, 0
        status.rows, status.unreadable, status.incidents = (
            writer.rows_written,
            writer.unreadable,
            writer.incidents,
        )

    async def _resume(self) -> None:
        """Find the place to read from, however long database or broker take to answer."""

        async def attempt() -> None:
            first, last = await self._source.window()
            start = await self._writer.resume(first, last, self._source.read)
            await self._source.start(start)
            self.status.position = start - 1

        await self._until_done(attempt)

    async def _until_done(self, attempt: Callable[[], Awaitable[object]]) -> None:
        """Repeat until it succeeds, or until a stop is asked for; the tape keeps what was not stored."""
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await attempt()
            except DatabaseFull as e:
                self._set(JournalState.DISK_FULL, str(e))
            except DatabaseUnavailable as e:
                self._set(JournalState.DATABASE_DOWN, str(e))
            except TapeError as e:
                self._set(JournalState.TAPE_DOWN, str(e))
            else:
                self._set(JournalState.LIVE)
                return
            self.status.retries += 1
            if self._stopping.is_set():
                return
            await self._source.pause()
            await self._sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _drain(self) -> None:
        deadline = monotonic() + DRAIN_S
        while self.status.state is JournalState.LIVE and monotonic() < deadline:
            if not await self._turn(FLUSH_S) and await self._has_all():
                break
        if self.status.state is JournalState.LIVE:
            await self._anchor()

    async def _has_all(self) -> bool:
        """Whether the end of the tape is stored: a reader that has just begun anew is silent for a while too."""
        try:
            _, last = await self._source.window()
        except TapeError:
            # Nobody knows: the next start takes in what is missing.
            return True
        return self.status.position >= last

    async def _anchor(self) -> None:
        """Head of the chain to the file and to the tape; a failure waits for the next turn."""
        try:
            anchor = await self._writer.anchor()
            if anchor is None:
                return
            self.status.anchors += 1
            self.status.last_anchor_seq = anchor.seq
            await self._publish(anchor.message())
        except (DatabaseUnavailable, OSError, TapeError) as e:
            self.status.anchor_failures += 1
            log.warning("an anchor was not made", extra={"error": clip(f"{type(e).__name__}: {e}", 200)})

    def _set(self, state: JournalState, detail: str = "") -> None:
        status = self.status
        if state is not status.state:
            log.info("journal state", extra={"state": state.value, "detail": clip(detail, 200)})
        status.state, status.detail = state, clip(detail, 500)
