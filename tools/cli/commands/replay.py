"""``presage replay``: the tape once more, or a what-if over it."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from libs.archive.history import History
from libs.keys.signing import Verifier
from libs.runtime.replay_note import note_replay
from libs.tape.record import TapeRecord
from proto.message import Message
from proto.subjects import MACHINE_ORDER
from tools.cli.commands.tape import ArchiveFolder, From, Nats, To, history_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, run
from tools.cli.what_if_table import print_what_if
from tools.exit_codes import DIFFERENCE, UsageError
from tools.offline.place import ReplayPlace
from tools.offline.replay_run import first_reachable, read_history, replay_document, replay_window
from tools.offline.tape_time import boundary
from tools.offline.what_if.run import what_if
from tools.offline.what_if.variants import Variant, variants_of
from tools.system.composition import DEFAULT_STRATEGIES
from tools.system.installation import Installation, tape_access
from tools.system.remote import RemoteTape, remote_access


def replay(  # noqa: PLR0913, PLR0917 - a command line's options are its parameters
    state: State = DEFAULT_STATE,
    from_: From = "",
    to: To = "",
    machine: Annotated[list[str] | None, typer.Option(help="Only this machine; may be repeated.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="What if: a change (risk.bet_max=0.01), or several values (risk.bet_max=0.01,0.02)."
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="What if: a change of the variant with that name (small:risk.bet_max=0.01)."),
    ] = None,
    break_: Annotated[
        str, typer.Option("--break", help="Stop where this holds: kind=risk.rejection market=…")
    ] = "",
    nats: Nats = "",
    keys: Annotated[
        Path | None, typer.Option(help="With --nats: file of the public keys, STATE/keys/public.json.")
    ] = None,
    archive: ArchiveFolder = None,
    strategy: Annotated[
        list[str] | None, typer.Option(help="With --nats: of a strategy that is not built in, module:Class.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run every machine again over the tape and compare the bytes; with --set or --variant, what would have been."""

    async def work() -> dict[str, Any]:
        variants = variants_of(set_ or [], variant or [])
        named = (keys, archive, *(strategy or ()))
        if not nats and any(named):
            raise UsageError("expected --keys, --archive and --strategy with --nats, was without it")
        remote = RemoteTape(nats, archive, keys, strategy or ()) if nats else None
        request = ReplayRequest(state, from_, to, machine or [], variants, break_, remote)
        return await run_replay(request, visible=sys.stderr.isatty() and not as_json)

    document = run(work())
    if as_json:
        emit(document)
    else:
        print_replay(console, document)
    if document.get("difference") or any(v["decisions_differing"] for v in document.get("variants", ())):
        raise typer.Exit(DIFFERENCE)


@dataclass
class ReplayRequest:
    """What ``presage replay`` was asked for."""

    state: Path
    from_: str = ""
    to: str = ""
    machines: Sequence[str] = ()
    variants: Sequence[Variant] = ()
    break_on: str = ""
    remote: RemoteTape | None = None
    """A tape at a broker elsewhere, instead of the state directory's."""

    @asynccontextmanager
    async def place(self) -> AsyncIterator[tuple[ReplayPlace, History]]:
        """Whose tape it is, and the tape."""
        if self.remote is not None:
            async with remote_access(self.remote) as (place, history):
                yield place, history
        else:
            async with tape_access(self.state) as (installation, link):
                yield installation, history_of(installation, link)


async def run_replay(request: ReplayRequest, *, visible: bool = False) -> dict[str, Any]:
    """Replay a tape, or run a what-if over it."""
    unknown = [m for m in request.machines if m not in MACHINE_ORDER]
    if unknown:
        raise UsageError(f"expected machines of {', '.join(MACHINE_ORDER)}, was {unknown[0]!r}")
    if request.variants and (request.machines or request.break_on):
        raise UsageError("expected a what-if of all machines to its end, was one with --machine or --break")
    condition = _condition(request.break_on)
    async with request.place() as (place, tape):
        held, newest = await tape.bounds()
        first = await boundary(tape, request.from_, 1)
        last = min(await boundary(tape, request.to, newest), newest)
        strategies = place.layout.read_run().strategies or DEFAULT_STRATEGIES
        history = await read_history(place, tape, Verifier.load(place.layout.public_keys))
        if request.variants and not request.from_:
            first = first_reachable(place, history, held, strategies)
        if first > last:
            raise UsageError(f"expected --from before --to, was {first} and {last}")
        with Progress(console=Console(stderr=True), transient=True, disable=not visible) as bar:
            task = bar.add_task("replay", total=last)

            def tell(what: str, done: int, total: int) -> None:
                bar.update(task, description=what, completed=done, total=total)

            if request.variants:
                return await what_if(place, tape, history, request.variants, (first, last), tell)
            engine, start = await replay_window(
                place,
                tape,
                history,
                (first, last),
                strategies,
                machines=tuple(m for m in MACHINE_ORDER if not request.machines or m in request.machines),
                break_on=condition,
                tell=partial(tell, "replay"),
            )
            document = replay_document(engine, start, last)
            if isinstance(place, Installation) and condition is None:
                note_replay(place.layout.replay_file, document)
            return document


def _condition(text: str) -> Callable[[TapeRecord, Message], bool] | None:
    """``--break``: ``field=value`` pairs that must all hold; ``kind``, ``seq`` or fields of the message."""
    if not text:
        return None
    pairs = [part.partition("=") for part in text.split()]
    bad = [left for left, sign, _ in pairs if not sign]
    if bad:
        raise UsageError(f"expected --break as field=value pairs, was {bad[0]!r}")

    def holds(record: TapeRecord, message: Message) -> bool:
        known = {"kind": message.kind, "seq": str(record.seq), "subject": record.subject}
        return all(str(known.get(name, getattr(message, name, None))) == value for name, _, value in pairs)

    return holds


def print_replay(console: Console, document: Mapping[str, Any]) -> None:
    """A replay's result for people."""
    if "simulated" in document:
        print_what_if(console, document)
        return
    for start in document["starts"][:20]:
        adopted = ", adopted" if start["adopted"] else ""
        console.print(
            f"[dim]{start['seq']}: {start['machine']} started, version {start['version']}{adopted}[/]"
        )
    for row in document["left_out"]:
        console.print(f"not compared up to {row['to']}: {row['machine']}, {row['text']}")
    for row in document["skipped"]:
        console.print(f"skipped, as the operator said: {row['seq']}, {row['machine']}")
    difference = document["difference"]
    if difference is None:
        console.print(
            f"[green]identical[/]: {document['messages']} messages, {document['compared']} outputs compared"
        )
        if document["unstored"]:
            console.print(
                f"not compared: {document['unstored']} outputs behind the last one that their machine stored"
            )
    else:
        console.print(
            f"[red]difference[/] at {difference['seq']}, {difference['machine']}: {difference['text']}"
        )
        table = Table("field", "stored", "recomputed")
        for row in difference["fields"]:
            table.add_row(row["field"], str(row["stored"]), str(row["recomputed"]))
        console.print(table)
    if "break" in document:
        console.print_json(data=document["break"], default=str)
