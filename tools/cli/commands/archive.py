"""``presage archive``: which part of the record is sealed in files, and whether it is as it was written."""

from typing import Any

import typer
from rich.table import Table

from libs.archive.archive import Archive
from libs.runtime.layout import StateLayout
from proto.units import SECOND
from tools.cli.tables import time_cell, time_heading
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit
from tools.exit_codes import DIFFERENCE
from tools.system.installation import expect_run

archive_app = typer.Typer(no_args_is_help=True, add_completion=False, help="The whole record, in files.")
DAY_S = 86_400


@archive_app.command("list")
def list_segments(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List the sealed segments, and what a day takes."""
    document = archive_document(_archive(state))
    if as_json:
        emit(document)
        return
    table = Table("first", "last", time_heading("from"), time_heading("to"), "bytes", "hash", box=None)
    for row in document["segments"]:
        times = (time_cell(row["first_at"]), time_cell(row["last_at"]))
        table.add_row(
            str(row["first"]), str(row["last"]), *times, f"{row['bytes']:,}", f"{row['digest'][:16]}…"
        )
    console.print(table)
    console.print(f"{document['bytes']:,} bytes; {document['bytes_a_day']:,} a day", highlight=False)


@archive_app.command()
def verify(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Read every segment again: whole, as it was written, following the one before."""
    archive = _archive(state)
    findings = archive.verify()
    if as_json:
        emit({"sound": not findings, "segments": len(archive.segments), "findings": findings_of(findings)})
    elif not findings:
        console.print(f"[green]sound[/]: {len(archive.segments)} segments, {archive.first} to {archive.last}")
    for finding in () if as_json else findings:
        console.print(f"[red]damaged[/] {finding.text}", highlight=False)
    if findings:
        raise typer.Exit(DIFFERENCE)


def findings_of(findings: Any) -> list[dict[str, str]]:
    """Findings as plain data."""
    return [finding._asdict() for finding in findings]


def archive_document(archive: Archive) -> dict[str, Any]:
    """What an archive holds, as plain data. Times are nanoseconds."""
    infos = [segment.info for segment in archive.segments]
    rows = [
        {
            "first": info.first,
            "last": info.last,
            "first_at": info.first_at,
            "last_at": info.last_at,
            "bytes": info.size,
            "tape": info.tape,
            "digest": info.digest,
        }
        for info in infos
    ]
    seconds = (infos[-1].last_at - infos[0].first_at) / SECOND if infos else 0.0
    size = sum(info.size for info in infos)
    return {"segments": rows, "bytes": size, "bytes_a_day": round(size * DAY_S / seconds) if seconds else 0}


def _archive(state: Any) -> Archive:
    expect_run(state)
    return Archive(StateLayout(state).archive)
