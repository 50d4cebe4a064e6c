"""``presage journal verify`` and ``presage journal export``: the work behind the commands.

Both take the address of the database; who calls them starts it if it is ours and not running.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg

from libs.contract.codec import Unreadable, decode
from libs.tape.record import TapeRecord
from proto.service import Anchor
from services.journal.anchors import read_anchors
from services.journal.chainwalk import ChainFinding, Damage
from services.journal.export import export
from services.journal.repair import Repaired, repair
from services.journal.verify import Verification, compare_with_tape, verify

CONNECT_TIMEOUT_S = 5.0
REPAIR = "presage journal repair"
"""The command that makes definitions anew."""

Batches = AsyncIterator[Sequence[TapeRecord]]


async def verify_journal(
    dsn: str,
    anchors_path: Path,
    tape_anchors: Sequence[Anchor] = (),
    tape: Batches | None = None,
) -> Verification:
    """Check the journal against itself, the anchors' file, the tape's anchors, and, if given, the tape.

    Read ``tape_anchors`` (``anchors_on_tape``) before: rows stored meanwhile do not disturb.

    Raises:
        OSError, asyncpg.PostgresError: the database does not answer, or holds no journal.
    """
    filed, torn = read_anchors(anchors_path)
    connection = await _connect(dsn)
    try:
        result = await verify(connection, filed, tape_anchors)
        findings = list(result.findings)
        if torn > 1:
            # One torn line is a write that a crash cut off; more of them are no accident.
            text = f"{torn} lines of {anchors_path.name} are not anchors"
            findings.append(ChainFinding(0, 0, Damage.CHANGED, text))
        if tape is not None:
            named = {(finding.epoch, finding.seq) for finding in findings}
            compared = await compare_with_tape(connection, tape)
            findings += [f for f in compared if (f.epoch, f.seq) not in named]
        return result._replace(findings=sorted(findings))
    finally:
        await connection.close()


async def anchors_on_tape(batches: Batches) -> list[Anchor]:
    """The anchors among the tape's records."""
    anchors: list[Anchor] = []
    async for batch in batches:
        for record in batch:
            if record.subject == Anchor.kind:
                try:
                    message = decode(record.subject, record.payload)
                except Unreadable:
                    continue
                if isinstance(message, Anchor):
                    anchors.append(message)
    return anchors


async def repair_journal(dsn: str) -> Repaired:
    """Make the journal's tables, views and functions what this program defines; nothing may run.

    Raises:
        OSError, asyncpg.PostgresError: the database does not answer, or holds no journal.
        SchemaError: the rows do not fit.
    """
    connection = await _connect(dsn)
    try:
        return await repair(connection)
    finally:
        await connection.close()


async def export_journal(
    dsn: str,
    output: BinaryIO,
    *,
    from_seq: int = 1,
    to_seq: int | None = None,
    kinds: list[str] | None = None,
) -> int:
    """Write the journal as JSON lines to ``output``; returns the number of rows. Memory stays bounded."""
    connection = await _connect(dsn)
    try:
        return await export(connection, output.write, from_seq=from_seq, to_seq=to_seq, kinds=kinds)
    finally:
        await connection.close()


def verification_document(result: Verification) -> dict[str, Any]:
    """The result as plain data, for ``--json``."""
    return {
        "sound": not result.findings,
        "rows": result.rows,
        "anchors": result.anchors,
        "last_seq": result.last_seq,
        "findings": [
            {"epoch": f.epoch, "seq": f.seq, "damage": f.damage.value, "detail": f.detail}
            for f in result.findings
        ],
        "remedy": REPAIR if _has_other_definitions(result) else "",
    }


def verification_lines(result: Verification) -> list[str]:
    """The result for people."""
    head = f"{result.rows} rows up to sequence {result.last_seq}, {result.anchors} anchors: "
    if not result.findings:
        return [head + "sound"]
    lines = [head + f"{len(result.findings)} findings", *(str(finding) for finding in result.findings)]
    return lines + ([f"to mend the definitions: {REPAIR}"] if _has_other_definitions(result) else [])


def _has_other_definitions(result: Verification) -> bool:
    return any(finding.damage is Damage.DEFINITION for finding in result.findings)


async def _connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
