"""``presage backup`` and ``presage restore``: a copy of everything that cannot be made again, and the way back."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from tools.backup.backup import Tell, make_backup
from tools.backup.manifest import Manifest
from tools.backup.repository import repository_of
from tools.backup.restore import restore_backup, verify_backup
from tools.backup.retention import backups_in, load_manifest, prune
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, print_outcome, run
from tools.exit_codes import UsageError

MEGABYTE = 1_000_000

Place = Annotated[
    str,
    typer.Argument(metavar="PLACE", help="A folder, or an object store (s3://bucket/prefix, gs://, az://)."),
]


def backup(
    place: Place,
    keep: Annotated[
        int, typer.Option(min=0, help="Then remove all but the newest so many backups; 0: none is removed.")
    ] = 0,
    list_: Annotated[bool, typer.Option("--list", help="Make none: say which there are.")] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Copy tape, ledger, archive, journal, snapshots and encrypted keys, also while the system trades."""

    async def work() -> dict[str, Any]:
        repository = repository_of(place)
        if list_:
            found = [_row(load_manifest(repository, name)) for name in backups_in(repository)]
            rows = [f"{row['name']}  tape to {row['last_seq']:,}  {_size(row['bytes'])}" for row in found]
            return {"backups": found, "text": "\n".join(rows) or f"no backup in {place}"}
        with _progress(as_json=as_json) as tell:
            manifest = await make_backup(state, repository, tell)
        removed = prune(repository, keep, time.time_ns()) if keep else []
        text = [f"{manifest.name}: tape {manifest.tape} to {manifest.last_seq:,}, {_size(manifest.size)}"]
        if manifest.left_out:
            text.append(f"left out, as they are not encrypted: {', '.join(manifest.left_out)}")
        if removed:
            text.append(f"removed: {', '.join(removed)}")
        return {**_row(manifest), "removed": removed, "text": "\n".join(text)}

    print_outcome(run(work()), as_json)


def restore(
    place: Place,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which backup; the newest without.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Restore nothing: read and verify every file.")
    ] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty state directory; its next start is halted, with new signing keys."""

    async def work() -> dict[str, Any]:
        repository = repository_of(place)
        wanted = name or next(reversed(backups_in(repository)), "")
        if not wanted:
            raise UsageError(f"expected a backup in {place}, was none")
        with _progress(as_json=as_json) as tell:
            if check:
                manifest = await verify_backup(repository, wanted, tell)
                return {**_row(manifest), "text": f"{wanted}: every file is as it was written"}
            restored = await restore_backup(repository, wanted, state, tell)
        manifest = restored.manifest
        text = (
            f"{wanted}: tape to {manifest.last_seq:,} is in {state}; presage replay --state {state} compares it."
            " The next start is halted: see what the venues say, then presage resume"
        )
        return {**_row(manifest), "keys": restored.keys, "text": text}

    print_outcome(run(work()), as_json)


def _row(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "made_at": manifest.made_at,
        "tape": manifest.tape,
        "first_seq": manifest.first_seq,
        "last_seq": manifest.last_seq,
        "bytes": manifest.size,
        "segments": len(manifest.segments),
        "journal_rows": next((table.rows for table in manifest.tables if table.name == "entry"), 0),
        "left_out": manifest.left_out,
    }


def _size(count: int) -> str:
    return f"{count / MEGABYTE:,.1f} MB"


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Tell]:
    """A bar on stderr, where there is a terminal."""
    visible = sys.stderr.isatty() and not as_json
    with Progress(console=Console(stderr=True), transient=True, disable=not visible) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield tell
