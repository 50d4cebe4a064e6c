"""``presage why``: the chain of causes, read from the tape."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tools.cli.commands.tape import records
from tools.cli.report import print_why
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, fail, run
from tools.offline.why import Tape, document
from tools.system.installation import tape_access


def why(
    name: Annotated[str, typer.Argument(metavar="ID")], state: State = DEFAULT_STATE, as_json: AsJson = False
) -> None:
    """The causal chain of an order, a rejection or an exit (order id, message id or sequence)."""
    chain = run(find_chain(state, name))
    if not chain:
        raise fail(f"expected an order, message id or sequence of the tape, was {name!r}")
    if as_json:
        emit(chain)
    else:
        print_why(console, chain)


async def find_chain(state: Path, name: str) -> list[dict[str, Any]]:
    """The chain of causes of ``name``; empty when the tape does not know it."""
    tape = Tape()
    async with tape_access(state) as (_, link):
        async for record in records(link):
            tape.add(record)
        return document(await tape.chain(name, lambda seq: records(link, seq, seq)))
