"""``presage tape``: messages of a tape, decoded; of a state directory, or of any broker that has the streams."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.bounded import clip
from libs.config.environment import Environment
from libs.lists.reading import read_markets
from libs.runtime.layout import StateLayout
from libs.tape.connection import Link
from libs.view.wording import clean
from tools.cli.report import TECHNICAL_FIELDS, value_words
from tools.cli.tables import Names, time_cell, unit_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, errors, run
from tools.exit_codes import NothingDone, UsageError
from tools.offline.tape_listing import Listed, Wanted, following, newest
from tools.offline.tape_time import boundary
from tools.system.installation import Installation, running_supervisor, tape_access
from tools.system.remote import RemoteTape, remote_history

LIMIT = 20
FIELD_CHARACTERS_MAX = 60
LEFT_OUT = (*TECHNICAL_FIELDS, "checks", "evidence")
"""Fields that one line has no room for, or that explain nothing; all are in the JSON."""

Nats = Annotated[
    str,
    typer.Option(
        "--nats",
        help="Not of the state directory: of the broker at this address. It is read as its user `viewer`.",
    ),
]
ArchiveFolder = Annotated[
    Path | None, typer.Option("--archive", help="With --nats: folder of the segments of that tape.")
]
From = Annotated[str, typer.Option("--from", help="Sequence or UTC time (2026-05-13T21:51:30).")]
To = Annotated[str, typer.Option("--to", help="Sequence or UTC time.")]


def history_of(installation: Installation, link: Link) -> History:
    """The whole tape of a state directory."""
    return History(link, Archive(installation.layout.archive))


@asynccontextmanager
async def history_at(state: Path, nats: str, archive: Path | None) -> AsyncIterator[History]:
    """The tape at a broker that is named, or of a state directory.

    Raises:
        UsageError: an archive is named without a broker, or the address is none.
    """
    if archive is not None and not nats:
        raise UsageError("expected --archive with --nats, was alone: a state directory has its own")
    if nats:
        async with remote_history(RemoteTape(nats, archive)) as history:
            yield history
    else:
        async with tape_access(state) as (installation, link):
            yield history_of(installation, link)


def tape(  # noqa: PLR0913, PLR0917 - a command line's options are its parameters
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="Only these subjects; * stands for a token, > for the rest; may be repeated."),
    ] = None,
    market: Annotated[str, typer.Option(help="Only markets with this in their name or id.")] = "",
    order: Annotated[
        str, typer.Option(help="Only messages that name this order, by its long or short id.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0: all.")] = LIMIT,
    from_: From = "",
    to: To = "",
    nats: Nats = "",
    archive: ArchiveFolder = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Show messages of the tape, decoded, the newest last; --json writes one object a line."""

    async def work() -> None:
        if follow and to:
            raise UsageError("expected --follow without --to, was with it")
        if follow and not (nats or Environment.read().nats_url or running_supervisor(StateLayout(state))):
            raise NothingDone(f"expected a system that runs in {state}, whose tape goes on, was none")
        async with history_at(state, nats, archive) as history:
            held, last = await history.bounds()
            first = max(held, await boundary(history, from_, held))
            end = min(last, await boundary(history, to, last))
            names = Names(await read_markets(history))
            wanted = Wanted(
                tuple(subject or ()),
                order,
                (lambda of, instrument: names.has(market, of, instrument)) if market else None,
            )
            unit = "$" if nats else unit_of(state)
            found = await newest(history, wanted, (first, end), limit)
            for listed in found:
                _show(listed, names, unit, as_json=as_json)
            if not as_json:
                errors.print(f"{len(found)} of the tape from {held:,} to {last:,}", style="dim")
            if follow:
                async for listed in following(history, last, wanted):
                    _show(listed, names, unit, as_json=as_json)

    run(work())


def _show(listed: Listed, names: Names, unit: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(listed.document()), flush=True)
    else:
        console.print(_for_people(listed, names, unit), soft_wrap=True)


def _for_people(listed: Listed, names: Names, unit: str) -> Text:
    """``  1234 14:03:59 feed.quote.…  Bitcoin above 97,000 YES  bid $0.45  bid size 100 contracts``."""
    record = listed.record
    text = Text.assemble(
        (f"{record.seq:>8} ", "bold"),
        (f"{time_cell(record.stored_at_ns)} ", "dim"),
        (clean(record.subject), "cyan"),
    )
    if listed.message is None:
        return text.append(f"  unreadable, {len(record.payload)} bytes: {clean(listed.reason)}", "red")
    fields = dict(listed.document()["payload"])
    instrument = str(fields.get("instrument", ""))
    if instrument:
        text.append(f"  {names.of(instrument)}")
        fields = {name: value for name, value in fields.items() if name not in ("instrument", "market")}
    of_market = instrument.count(":") == 2
    for name, value in fields.items():
        if name not in LEFT_OUT:
            words = value_words(
                name, value, unit if of_market or not instrument else "$", of_market=of_market
            )
            text.append(f"  {name.replace('_', ' ')} ", "dim").append(clip(words, FIELD_CHARACTERS_MAX))
    return text
