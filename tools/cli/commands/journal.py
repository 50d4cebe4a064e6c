"""``presage journal``: verify and export, with the database started when it does not run."""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.tape.record import TapeRecord
from tools.cli.commands.tape import history_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, errors, print_outcome, run
from tools.exit_codes import DIFFERENCE
from tools.offline import journal
from tools.system.installation import (
    Installation,
    database_access,
    expect_run,
    stopped_database,
    tape_access,
)

journal_app = typer.Typer(no_args_is_help=True, add_completion=False, help="The journal in PostgreSQL.")


@journal_app.command()
def verify(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Find changed, removed and inserted rows, and a cut tail."""
    document, lines = run(verify_journal(state))
    if as_json:
        emit(document)
    else:
        console.print("\n".join(lines), markup=False, highlight=False)
    if not document["sound"]:
        raise typer.Exit(DIFFERENCE)


@journal_app.command()
def export(
    output: Annotated[Path, typer.Argument(help="File to write, - for stdout.")] = Path("-"),
    state: State = DEFAULT_STATE,
    from_seq: Annotated[int, typer.Option(help="First sequence.")] = 1,
    to_seq: Annotated[int | None, typer.Option(help="Last sequence.")] = None,
) -> None:
    """Write the journal as JSON lines."""
    rows = run(export_journal(state, output, from_seq, to_seq))
    errors.print(f"{rows} rows")


@journal_app.command()
def repair(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Make changed tables, views and functions anew around the rows that are there, while nothing runs."""
    print_outcome(run(repair_journal(state)), as_json)


async def repair_journal(state: Path) -> dict[str, Any]:
    """Repair the definitions of the journal of a stopped system.

    Raises:
        UsageError: nothing was run there, or a system runs.
    """
    expect_run(state)
    async with stopped_database(Installation(state)) as dsn:
        done = await journal.repair_journal(dsn)
    names, aside = (
        ", ".join(done.names),
        f"; what was added is in the schema {done.aside}" if done.aside else "",
    )
    text = f"made anew: {names}{aside}" if done.names else "every definition is as it should be"
    return {"repaired": done.names, "aside": done.aside, "text": text}


async def verify_journal(state: Path) -> tuple[dict[str, Any], list[str]]:
    """Verify the journal against itself, its anchors and the tape."""
    expect_run(state)
    async with tape_access(state) as (installation, link):

        async def batches() -> AsyncIterator[Sequence[TapeRecord]]:
            batch: list[TapeRecord] = []
            async for record in history_of(installation, link).records():
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
