"""``presage why``: the chain of causes, read from the tape."""

from pathlib import Path
from typing import Any

from tools.cli.commands.tape import records
from tools.offline.why import Tape, document
from tools.system.installation import tape_access


async def why(state: Path, name: str) -> list[dict[str, Any]]:
    """The chain of causes of ``name``; empty when the tape does not know it."""
    tape = Tape()
    async with tape_access(state) as (_, link):
        async for record in records(link):
            tape.add(record)
        return document(await tape.chain(name, lambda seq: records(link, seq, seq)))
