"""The journal's writer: records of the tape into PostgreSQL, each one once, chained by hashes.

It keeps no promise in memory: position and chain are read from the database at every (re)connection, and a
batch is one transaction that moves the position with the rows. After any error the caller hands over the
same records again.
"""

import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path
from time import time_ns
from typing import TypeVar

import asyncpg

from libs.bounded import clip
from libs.tape.record import TapeRecord
from proto.service import Anchor
from services.journal import store
from services.journal.anchors import AnchorFile, FiledAnchor
from services.journal.epochs import epochs_digest, load_epochs
from services.journal.resume import Meeting, Reader, first_difference, seek_meeting
from services.journal.rows import Chain, Content, extend, is_kept
from services.journal.schema import migrate

BATCH_ROWS_MAX = 1_000
"""Rows a transaction: a commit costs a disk sync, more rows at once only add latency and memory."""
BATCH_BYTES_MAX = 8 * 1024 * 1024
"""Payload bytes a transaction: a thousand foreign messages of the largest size must not fill the memory."""
IDLE_RECORDS_MAX = 10_000
"""Left-out records after which the position is stored although no row was: bounds what a restart reads again."""
COMMAND_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0

# What a value PostgreSQL or its client cannot take looks like; the row is then stored without its decoded form.
_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError, TypeError, OverflowError)
# The client's internal error is its word for a server that said farewell and whose connection still stands.
_BROKEN = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    store.Displaced,
)

T = TypeVar("T")

log = logging.getLogger("presage.journal")


class DatabaseUnavailable(RuntimeError):
    """No connection, or it broke: nothing is known about the last batch. Hand it over again."""


class DatabaseFull(DatabaseUnavailable):
    """PostgreSQL has no room left. Nothing of the batch was stored."""


class JournalWriter:
    """Writes one tape's records. Not for concurrent use: one task calls it.

    ``tape_id`` names the tape being read, ``anchors_path`` the local file of chain heads.
    """

    def __init__(self, dsn: str, tape_id: str, anchors_path: Path) -> None:
        self._dsn = dsn
        self._tape_id = tape_id
        self._anchors = AnchorFile(anchors_path)
        self._connection: asyncpg.Connection | None = None
        self._chain: Chain | None = None
        self._news_seq = 0
        self._anchored_seq = 0
        self.rows_written = 0
        self.unreadable = 0
        self.incidents = 0

    async def position(self) -> int:
        """Everything up to this tape sequence is stored; 0 in an empty journal."""
        _, chain = await self._guard(self._ready())
        return chain.position

    async def resume(self, first_seq: int, last_seq: int, reader: Reader) -> int:
        """Find where journal and tape agree, and return the sequence to read from.

        ``first_seq`` and ``last_seq`` are the tape's window. A tape that lost its tail, or is another one
        altogether, opens a new epoch; a window that begins too late leaves a gap, which is recorded.
        """
        return await self._guard(self._resume(first_seq, last_seq, reader))

    async def append(self, records: Sequence[TapeRecord]) -> int:
        """Store ``records`` (rising sequences); returns the number of rows written.

        Records the journal has already are compared and skipped. Safe to repeat after any error.

        Raises:
            DatabaseUnavailable: not stored, as far as is known.
            DatabaseFull: not stored, for want of room.
        """
        return await self._guard(self._append(records)) if records else 0

    async def anchor(self) -> FiledAnchor | None:
        """Write the chain's head to the local file; ``None`` when only anchors came since the last one.

        Raises:
            DatabaseUnavailable: the head is not known.
            OSError: the file could not be written.
        """
        connection, chain = await self._guard(self._ready())
        if chain.n == 0 or self._news_seq <= self._anchored_seq:
            return None
        epochs = await self._guard(load_epochs(connection))
        anchor = FiledAnchor(
            epoch=chain.epoch,
            tape=chain.tape,
            day=chain.day.isoformat(),
            seq=chain.last_seq,
            rows=chain.n,
            head=chain.head.hex(),
            at=time_ns(),
            epochs=epochs_digest(epoch for epoch in epochs if epoch["epoch"] <= chain.epoch),
        )
        self._anchors.append(anchor)
        self._anchored_seq = chain.last_seq
        return anchor

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._chain = self._connection, None, None
        if connection is not None:
            try:
                await connection.close(timeout=CONNECT_TIMEOUT_S)
            except _BROKEN:
                connection.terminate()

    async def _guard(self, work: Awaitable[T]) -> T:
        """After an error neither the connection nor the chain in memory is trusted again."""
        try:
            return await work
        except asyncpg.DiskFullError as e:
            self._forget()
            raise DatabaseFull(f"expected room for the journal, was: {e}") from e
        except _BROKEN as e:
            self._forget()
            raise DatabaseUnavailable(f"expected the database to answer, was {type(e).__name__}: {e}") from e
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        connection, self._connection, self._chain = self._connection, None, None
        if connection is not None:
            connection.terminate()

    async def _ready(self) -> tuple[asyncpg.Connection, Chain]:
        if self._connection is not None and self._chain is not None and not self._connection.is_closed():
            return self._connection, self._chain
        self._forget()
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": "presage-journal", "synchronous_commit": "on"},
        )
        self._connection = connection
        await migrate(connection)
        chain = await store.load(connection)
        if chain is None:
            chain = await store.open_epoch(
                connection, None, self._tape_id, 1, reason="the journal begins", follows=False
            )
        self._chain = chain
        self._news_seq = max(self._news_seq, chain.last_seq)
        return connection, chain

    async def _resume(self, first_seq: int, last_seq: int, reader: Reader) -> int:
        connection, chain = await self._ready()

        async def contents(first: int, last: int) -> Mapping[int, Content]:
            return await store.contents(connection, chain.epoch, first, last)

        meeting = await seek_meeting(chain, first_seq, last_seq, reader, contents)
        chain = await self._enter(connection, chain, meeting, first_seq, last_seq)
        if first_seq > chain.position + 1 and first_seq > chain.known_to + 1:
            self.incidents += 1
            text = f"the tape begins at {first_seq}: sequences from {chain.position + 1} on are not in the journal"
            await store.record_event(connection, "gap", chain.epoch, first_seq, text)
        return max(first_seq, chain.known_to + 1)

    async def _enter(
        self, connection: asyncpg.Connection, chain: Chain, meeting: Meeting, first_seq: int, last_seq: int
    ) -> Chain:
        """The epoch to write in: the present one, or a new one if the tape is not what was journaled."""
        agreed = meeting.agreed
        if agreed is not None and agreed < chain.known_to:
            reason = f"the tape lost what followed {agreed}; the journal knew it up to {chain.known_to}"
            return await self._open(connection, chain, agreed + 1, reason, follows=True)
        if agreed is None and (meeting.compared or last_seq < chain.known_to):
            reason = f"another tape: nothing in it is what the journal has up to {chain.known_to}"
            return await self._open(connection, chain, first_seq, reason, follows=False)
        if chain.tape != self._tape_id:
            reason = f"the tape {chain.tape} goes on as {self._tape_id}"
            return await self._open(connection, chain, chain.known_to + 1, reason, follows=True)
        return chain

    async def _open(
        self, connection: asyncpg.Connection, old: Chain, from_seq: int, reason: str, *, follows: bool
    ) -> Chain:
        log.warning("a new epoch begins", extra={"from_seq": from_seq, "reason": reason})
        chain = await store.open_epoch(
            connection, old, self._tape_id, from_seq, reason=reason, follows=follows
        )
        self._chain = chain
        self._news_seq = self._anchored_seq = 0
        self.incidents += 1
        return chain

    async def _append(self, records: Sequence[TapeRecord]) -> int:
        connection, chain = await self._ready()
        chain = await self._compare_known(connection, chain, records)
        fresh = [r for r in records if r.seq > chain.known_to and is_kept(r.subject)]
        last_seq = max(chain.position, records[-1].seq)
        if not fresh:
            if last_seq - chain.position >= IDLE_RECORDS_MAX:
                await self._store(connection, [], last_seq)
            return 0
        for batch in _batches(fresh):
            await self._store(connection, batch, last_seq if batch[-1] is fresh[-1] else batch[-1].seq)
        return len(fresh)

    async def _compare_known(
        self, connection: asyncpg.Connection, chain: Chain, records: Sequence[TapeRecord]
    ) -> Chain:
        """Records handed over again must be what is stored; other content means another history."""
        known = [r for r in records if r.seq <= chain.known_to]
        fork: int | None = None
        if known:
            stored = await store.contents(connection, chain.epoch, known[0].seq, known[-1].seq)
            fork = first_difference(known, stored)
        if fork is not None:
            reason = (
                f"the tape holds other messages from {fork} on; the journal knew it up to {chain.known_to}"
            )
            return await self._open(connection, chain, fork, reason, follows=fork > 1)
        if chain.tape != self._tape_id:
            reason = f"the tape {chain.tape} goes on as {self._tape_id}"
            return await self._open(connection, chain, chain.known_to + 1, reason, follows=True)
        return chain

    async def _store(
        self,
        connection: asyncpg.Connection,
        records: Sequence[TapeRecord],
        position: int,
        *,
        plain: bool = False,
    ) -> None:
        """One transaction; a row the database refuses is found by halving, and kept without its decoded form."""
        old = self._present()
        new = old.copy()
        rows, ends = extend(new, records, refused=plain)
        new.position = max(old.position, position)
        try:
            await store.store(connection, old, new, rows, ends)
        except asyncpg.UniqueViolationError:
            moved = await store.quarantine(connection, old.epoch, [row.seq for row in rows])
            if not moved:
                raise
            self.incidents += len(moved)
            log.error(
                "foreign rows were moved out of the way", extra={"seqs": moved[:10], "count": len(moved)}
            )
            await store.store(connection, old, new, rows, ends)
        except _REFUSED as e:
            if plain or not records:
                raise
            log.warning(
                "the database refused a batch", extra={"rows": len(records), "error": clip(str(e), 200)}
            )
            await self._store_halves(connection, records, position)
            return
        self._chain = new
        self.rows_written += len(rows)
        self.unreadable += sum(row.unreadable is not None for row in rows)
        for row in reversed(rows):
            if row.kind != Anchor.kind:
                self._news_seq = row.seq
                break

    async def _store_halves(
        self, connection: asyncpg.Connection, records: Sequence[TapeRecord], position: int
    ) -> None:
        if len(records) == 1:
            await self._store(connection, records, position, plain=True)
            return
        middle = len(records) // 2
        await self._store(connection, records[:middle], records[middle - 1].seq)
        await self._store(connection, records[middle:], position)

    def _present(self) -> Chain:
        if self._chain is None:
            raise DatabaseUnavailable("expected to know the chain's end, was cut off")
        return self._chain


def _batches(records: Sequence[TapeRecord]) -> Iterator[list[TapeRecord]]:
    """Parts that fit a transaction, by rows and by bytes."""
    batch: list[TapeRecord] = []
    size_bytes = 0
    for record in records:
        if batch and (len(batch) >= BATCH_ROWS_MAX or size_bytes + len(record.payload) > BATCH_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(record)
        size_bytes += len(record.payload)
    if batch:
        yield batch
