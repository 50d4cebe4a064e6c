"""The journal's statements: loading the chain's end, opening epochs, storing a batch in one transaction."""

from collections.abc import Sequence

import asyncpg

from services.journal.rows import COLUMNS, Chain, Content, DayEnd, Row, genesis

_LATEST = """
SELECT e.epoch, e.run, e.tape, e.from_seq, e.position, e.genesis AS start,
       d.day, d.genesis, d.first_seq, d.rows, d.last_seq, d.head
FROM journal.epoch e
LEFT JOIN LATERAL (
    SELECT * FROM journal.day d WHERE d.epoch = e.epoch ORDER BY d.day DESC LIMIT 1
) d ON true
ORDER BY e.epoch DESC
LIMIT 1
"""
_MOVE = "UPDATE journal.epoch SET position = $3 WHERE epoch = $1 AND position = $2"
_DAY = """
INSERT INTO journal.day (epoch, day, first_seq, last_seq, rows, genesis, head)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (epoch, day) DO UPDATE
SET last_seq = excluded.last_seq, rows = excluded.rows, head = excluded.head
"""
_OPEN = """
INSERT INTO journal.epoch (epoch, run, parent, tape, from_seq, position, genesis, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_QUARANTINE = """
WITH moved AS (DELETE FROM journal.entry WHERE epoch = $1 AND seq = ANY($2::bigint[]) RETURNING *)
INSERT INTO journal.quarantine SELECT now(), moved.* FROM moved RETURNING seq
"""
_LINEAGE = """
WITH RECURSIVE line AS (
    SELECT epoch, parent, from_seq, 9223372036854775807 AS to_seq FROM journal.epoch WHERE epoch = $1
    UNION ALL
    SELECT p.epoch, p.parent, p.from_seq, least(line.to_seq, line.from_seq - 1)
    FROM journal.epoch p JOIN line ON p.epoch = line.parent
)
SELECT e.seq, e.stored_ns, e.subject, e.message_id, e.cause, e.root, e.build, e.signature, e.key_id, e.payload
FROM line JOIN journal.entry e
  ON e.epoch = line.epoch AND e.seq BETWEEN line.from_seq AND line.to_seq
WHERE e.seq BETWEEN $2 AND $3
ORDER BY e.seq
"""


class Displaced(RuntimeError):
    """Somebody else moved the position: the chain in memory is no longer the end of the stored one."""


async def load(connection: asyncpg.Connection) -> Chain | None:
    """The end of the newest epoch; ``None`` in an empty journal."""
    row = await connection.fetchrow(_LATEST)
    if row is None:
        return None
    chain = Chain(
        epoch=row["epoch"],
        run=row["run"],
        tape=row["tape"],
        from_seq=row["from_seq"],
        position=row["position"],
        head=row["start"],
    )
    if row["day"] is not None:
        chain.day, chain.day_genesis, chain.day_first_seq = row["day"], row["genesis"], row["first_seq"]
        chain.n, chain.last_seq, chain.head = row["rows"], row["last_seq"], row["head"]
    return chain


async def open_epoch(
    connection: asyncpg.Connection, old: Chain | None, tape: str, from_seq: int, *, reason: str, follows: bool
) -> Chain:
    """Begin an epoch at ``from_seq``; ``follows`` says that the tape up to there is the old epoch's."""
    number = 1 if old is None else old.epoch + 1
    parent = old if follows else None
    chain = Chain(
        epoch=number,
        run=number if parent is None else parent.run,
        tape=tape,
        from_seq=from_seq,
        position=from_seq - 1,
        head=genesis(number, tape, from_seq),
    )
    async with connection.transaction():
        if parent is not None:
            await _end_parents(connection, parent.epoch, from_seq - 1)
        await connection.execute(
            _OPEN,
            number,
            chain.run,
            None if parent is None else parent.epoch,
            tape,
            from_seq,
            chain.position,
            chain.head,
            reason,
        )
        if old is not None:
            await record_event(connection, "epoch", number, from_seq, reason)
    return chain


async def _end_parents(connection: asyncpg.Connection, epoch: int, last_seq: int) -> None:
    """What the line of parents holds beyond ``last_seq`` no longer counts (it may reach back several)."""
    await connection.execute(
        """
        WITH RECURSIVE line AS (
            SELECT epoch, parent FROM journal.epoch WHERE epoch = $1
            UNION ALL
            SELECT p.epoch, p.parent FROM journal.epoch p JOIN line ON p.epoch = line.parent
        )
        UPDATE journal.epoch e SET ends_at_seq = least(e.ends_at_seq, $2)
        FROM line WHERE e.epoch = line.epoch
        """,
        epoch,
        last_seq,
    )


async def store(
    connection: asyncpg.Connection, old: Chain, new: Chain, rows: Sequence[Row], ends: Sequence[DayEnd]
) -> None:
    """Write rows, day heads and position together, or nothing.

    The position is compared before it is set, so that a second journal, or a retry of a batch whose commit
    was not confirmed, cannot store anything twice.

    Raises:
        Displaced: the stored position is not ``old``'s.
        asyncpg.UniqueViolationError: a row is already there that the journal did not write.
    """
    async with connection.transaction():
        moved = await connection.execute(_MOVE, old.epoch, old.position, new.position)
        if moved != "UPDATE 1":
            raise Displaced(f"expected position {old.position} in epoch {old.epoch}, was another")
        if rows:
            await connection.copy_records_to_table(
                "entry", schema_name="journal", columns=COLUMNS, records=rows
            )
            await connection.executemany(_DAY, ends)


async def quarantine(connection: asyncpg.Connection, epoch: int, seqs: Sequence[int]) -> list[int]:
    """Move rows that stand where the journal is about to write; returns their sequences."""
    async with connection.transaction():
        moved = [row["seq"] for row in await connection.fetch(_QUARANTINE, epoch, seqs)]
        for seq in moved:
            await record_event(
                connection, "foreign row", epoch, seq, "a row stood where the journal had not written yet"
            )
    return moved


async def record_event(connection: asyncpg.Connection, kind: str, epoch: int, seq: int, detail: str) -> None:
    """Record an incident of the journal itself."""
    await connection.execute(
        "INSERT INTO journal.incident (kind, epoch, seq, detail) VALUES ($1, $2, $3, $4)",
        kind,
        epoch,
        seq,
        detail,
    )


async def contents(connection: asyncpg.Connection, epoch: int, first: int, last: int) -> dict[int, Content]:
    """The contents of the rows of an epoch and its line of parents, by sequence."""
    rows = await connection.fetch(_LINEAGE, epoch, first, last)
    return {row["seq"]: Content(*row.values()) for row in rows}
