"""The whole tape: what the archive holds, then what the broker's window holds, as one."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from itertools import islice

from libs.archive.archive import Archive
from libs.tape.broker import LOOK_TIMEOUT_S, stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable, TapeGap
from libs.tape.reader import BATCH_MAX, TapeReader, read_at, read_subject
from libs.tape.record import TapeRecord

READ_WAIT_S = 1.0
GONE_S = 5.0
"""A broker that is started again is back within a second or two; one that is away for so long was stopped."""


class History:
    """Reads a tape from its first archived message to its newest. ``answer_s``: how long the broker may take to say where it ends."""

    def __init__(self, link: Link, archive: Archive, answer_s: float = LOOK_TIMEOUT_S) -> None:
        self.archive = archive
        self.link = link
        self._answer_s = answer_s

    def reader(self, position: int, *, rest_s: float = 0.0) -> "HistoryReader":
        """A reader of everything after a sequence."""
        return HistoryReader(self.link, self.archive, position, rest_s=rest_s)

    async def bounds(self) -> tuple[int, int]:
        """The first sequence from which everything is held, and the last; the first is beyond an empty tape's last.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        state = await stream_state(self.link.client, timeout_s=self._answer_s)
        first, last = int(state["first_seq"]), int(state["last_seq"])
        self.archive.refresh()
        for segment in reversed(self.archive.segments):
            if segment.last < first - 1:
                break
            first = min(first, segment.first)
        return max(first, 1), last

    async def records(self, first: int = 1, last: int | None = None) -> AsyncIterator[TapeRecord]:
        """The records from ``first`` (or where the history begins) to ``last`` (or its end now), in order.

        Raises:
            BrokerUnavailable: the broker is gone.
            ArchiveDamaged: a segment cannot be read.
            TapeGap: the tape moved on while it was read, and the archive does not hold what is missing.
        """
        begins, ends = await self.bounds()
        end = ends if last is None else min(last, ends)
        reader = self.reader(max(first, begins) - 1)
        try:
            while reader.position < end:
                if self.link.away_s() > GONE_S:
                    text = f"expected the tape to {end}, was no broker after {reader.position}"
                    raise BrokerUnavailable(text)
                for record in await reader.next_batch(READ_WAIT_S):
                    if record.seq > end:
                        return
                    yield record
        finally:
            await reader.close()

    async def at(self, seq: int) -> TapeRecord | None:
        """One record; ``None`` when neither the archive nor the window holds it (or the broker does not answer).

        Raises:
            ArchiveDamaged: its segment cannot be read.
        """
        found = self.archive.at(seq)
        return found if found is not None else await read_at(self.link, seq)

    async def read_subject(self, subject: str, after: int = 0) -> list[TapeRecord]:
        """What is held of a subject (or pattern) after a sequence, up to now. Prices and clocks: of the window alone.

        Raises:
            BrokerUnavailable: the broker did not answer.
            ArchiveDamaged: a segment cannot be read.
        """
        return await self.read_subjects([subject], after)

    async def read_subjects(self, subjects: Collection[str], after: int = 0) -> list[TapeRecord]:
        """The same of several at once, in order; the archive is looked through once.

        Raises:
            BrokerUnavailable: the broker did not answer.
            ArchiveDamaged: a segment cannot be read.
        """
        state = await stream_state(self.link.client, timeout_s=self._answer_s)
        self.archive.refresh()
        begins = int(state["first_seq"])
        archived = await asyncio.to_thread(lambda: list(self.archive.matching(subjects, after, begins)))
        held: list[TapeRecord] = []
        for subject in subjects:
            held += await read_subject(self.link, subject, max(after, begins - 1))
        return archived + sorted(held, key=lambda record: record.seq)


class HistoryReader:
    """As ``TapeReader``; what the window has dropped comes from the archive.

    The window is asked first: only a reader that it left behind reads files. ``facts_only``: of the archive no prices
    and no clocks, which are nearly all of it, and what neither holds is left out.
    """

    def __init__(
        self, link: Link, archive: Archive, position: int, *, rest_s: float = 0.0, facts_only: bool = False
    ) -> None:
        self._link = link
        self._archive = archive
        self._rest_s = rest_s
        self._facts_only = facts_only
        self._reader = TapeReader(link, position, rest_s=rest_s)
        self._archived: Iterator[TapeRecord] | None = None
        self._archived_to = position
        self._restarts = 0

    @property
    def position(self) -> int:
        """The last sequence handed out."""
        return self._archived_to if self._archived is not None else self._reader.position

    @property
    def backlog(self) -> int:
        """Messages received and not yet handed out."""
        return self._reader.backlog

    @property
    def lag(self) -> int:
        """Messages not yet handed out, as far as is known."""
        behind = self._archive.last - self._archived_to if self._archived is not None else 0
        return behind + self._reader.lag

    @property
    def restarts(self) -> int:
        """How often reading had to begin anew."""
        return self._restarts + self._reader.restarts

    async def next_batch(self, timeout_s: float) -> list[TapeRecord]:
        """The next messages in order; empty when none came within ``timeout_s``.

        Raises:
            BrokerUnavailable: the broker did not say where its window begins (``facts_only``).
            TapeGap: neither window nor archive holds the message after ``position``.
            ArchiveDamaged: the archive's segment cannot be read.
        """
        if self._archived is None:
            try:
                return await self._reader.next_batch(timeout_s)
            except TapeGap:
                await self._turn_to_archive()
        batch = self._next_archived()
        if not batch:
            await self._turn_to_window()
        return batch

    async def _turn_to_archive(self) -> None:
        position = self._reader.position
        await self._reader.close()
        self._archive.refresh()
        if self._facts_only:
            await self._turn_to_facts(position)
            return
        if not self._archive.holds(position + 1):
            held = f"{self._archive.first} to {self._archive.last}" if self._archive.last else "nothing"
            raise TapeGap(
                f"expected the tape or its archive to hold sequence {position + 1}, was an archive of {held}"
            )
        self._archived_to = position
        self._archived = self._archive.records(position + 1, self._archive.last)

    async def _turn_to_facts(self, position: int) -> None:
        if self._archive.last > position:
            self._archived_to = position
            self._archived = self._archive.matching((">",), position, self._archive.last + 1)
            return
        state = await stream_state(self._link.client)
        self._archived_to = max(position, int(state["first_seq"]) - 1)
        self._archived = iter(())

    def _next_archived(self) -> list[TapeRecord]:
        assert self._archived is not None
        batch: list[TapeRecord] = []
        for record in islice(self._archived, BATCH_MAX):
            if record.seq != self._archived_to + 1 and not self._facts_only:
                # A hole in the archive: what comes next is perhaps still in the window.
                self._archived = iter(())
                break
            batch.append(record)
            self._archived_to = record.seq
        return batch

    async def _turn_to_window(self) -> None:
        if self._facts_only:
            self._archived_to = max(self._archived_to, self._archive.last)
        self._restarts += self._reader.restarts
        self._reader = TapeReader(self._link, self._archived_to, rest_s=self._rest_s)
        self._archived = None

    async def close(self) -> None:
        """Stop reading."""
        await self._reader.close()
