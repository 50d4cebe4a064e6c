"""``presage logs``: the newest lines of the services' logs, and what follows."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from libs.runtime.layout import StateLayout
from libs.view.wording import clean
from proto.units import SECOND
from tools.cli.tables import time_cell
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, run
from tools.exit_codes import NothingDone, UsageError
from tools.system.installation import expect_run

LINES = 20
FOLLOW_EVERY_S = 0.25
LINE_BYTES = 8_192
"""Looked back for each line that is wanted: a traceback is one line of at most half of it."""
_LEVELS = {"warning": "yellow", "error": "red", "critical": "bold red"}


class Line(NamedTuple):
    """One line of a log, and when it was written (ISO 8601; empty for what a library wrote by itself)."""

    at: str
    service: str
    text: str


def logs(
    service: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE] …", help="Of these; of all without.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", min=0, help="The newest so many of each.")] = LINES,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Show the newest lines of the services' logs, in the order of time; --json shows them as they are."""

    async def work() -> list[Path]:
        expect_run(state, finished_start=False)
        return _files(StateLayout(state), service or [])

    files = run(work())
    found = sorted((line for path in files for line in _newest(path, lines)), key=lambda line: line.at)
    _show(found, as_json=as_json)
    if follow:
        for line in following(files):
            _show([line], as_json=as_json)


def _files(layout: StateLayout, services: Sequence[str]) -> list[Path]:
    known = {path.stem: path for path in sorted(layout.logs.glob("*.log"))}
    if not known:
        raise NothingDone(f"expected logs in {layout.logs}, was none")
    unknown = [name for name in services if name not in known]
    if unknown:
        raise UsageError(f"expected one of {', '.join(known)}, was {unknown[0]!r}")
    return [known[name] for name in services] or list(known.values())


def _newest(path: Path, count: int) -> list[Line]:
    if not count:
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - count * LINE_BYTES))
        rows = file.read().decode(errors="replace").splitlines()
    return [_line(path.stem, row) for row in rows[-count:]]


def following(files: Sequence[Path]) -> Iterator[Line]:
    """Lines as they are written, also after a log was put aside and begins anew."""
    read = {path: (path.stat().st_ino, path.stat().st_size) for path in files}
    while True:
        for path in files:
            if not path.exists():
                continue
            found, (file_number, position) = path.stat(), read[path]
            start = position if found.st_ino == file_number and found.st_size >= position else 0
            if found.st_size <= start:
                read[path] = (found.st_ino, start)
                continue
            with path.open("rb") as file:
                file.seek(start)
                whole, end, _ = file.read().rpartition(b"\n")
            # What follows the last end of a line is not written in full yet.
            read[path] = (found.st_ino, start + len(whole) + len(end))
            for row in whole.decode(errors="replace").splitlines():
                yield _line(path.stem, row)
        time.sleep(FOLLOW_EVERY_S)


def _line(service: str, row: str) -> Line:
    fields = _fields(row)
    return Line(str(fields.get("at", "")), service, row)


def _fields(row: str) -> dict[str, Any]:
    try:
        found = json.loads(row)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _show(lines: Sequence[Line], *, as_json: bool) -> None:
    for line in lines:
        if as_json:
            print(line.text, flush=True)
        else:
            console.print(_for_people(line), soft_wrap=True)


def _for_people(line: Line) -> Text:
    """``03:51:50 risk     live  position 7``; with UTC beside the time where the operator's zone is another."""
    fields = _fields(line.text)
    if not fields:
        return Text.assemble(("         ", ""), (f"{line.service:<10}", "cyan"), clean(line.text))
    level = str(fields.get("level", ""))
    rest = {
        name: value
        for name, value in fields.items()
        if name not in ("at", "level", "service", "logger", "text")
    }
    told = "  ".join(f"{name} {value}" for name, value in rest.items())
    return Text.assemble(
        (f"{_time(line.at)} ", "dim"),
        (f"{line.service:<10}", "cyan"),
        (f"{level} " if level in _LEVELS else "", _LEVELS.get(level, "")),
        clean(str(fields.get("text", ""))),
        (f"  {clean(told)}" if told else "", "dim"),
    )


def _time(written: str) -> str:
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return " " * len("03:51:50")
    return time_cell(int(at.timestamp()) * SECOND)
