"""``presage journal``: verify and export, with the database started when it does not run."""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from libs.tape.record import TapeRecord
from tools.cli.commands.tape import records
from tools.offline import journal
from tools.system.installation import Installation, database_access, expect_run, tape_access


async def verify_journal(state: Path) -> tuple[dict[str, Any], list[str]]:
    """Verify the journal against itself, its anchors and the tape."""
    expect_run(state)
    async with tape_access(state) as (installation, link):

        async def batches() -> AsyncIterator[Sequence[TapeRecord]]:
            batch: list[TapeRecord] = []
            async for record in records(link):
                batch.append(record)
                if len(batch) == 1000:
                    yield batch
                    batch = []
            yield batch

        anchors = await journal.anchors_on_tape(batches())
        async with database_access(installation) as dsn:
            path = installation.layout.journal / "anchors.jsonl"
            result = await journal.verify_journal(dsn, path, anchors, batches())
    return journal.verification_document(result), journal.verification_lines(result)


async def export_journal(state: Path, output: Path, from_seq: int, to_seq: int | None) -> int:
    """Export the journal to a file, or to stdout for ``-``."""
    expect_run(state)
    async with database_access(Installation(state)) as dsn:
        if str(output) == "-":
            return await journal.export_journal(dsn, sys.stdout.buffer, from_seq=from_seq, to_seq=to_seq)
        with output.open("wb") as file:
            return await journal.export_journal(dsn, file, from_seq=from_seq, to_seq=to_seq)
