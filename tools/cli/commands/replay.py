"""``presage replay``: the tape once more, or a what-if over it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from libs.archive.history import History
from libs.config.load import parse_sets
from libs.contract.codec import Unreadable, decode
from libs.contract.plain import to_document
from libs.keys.signing import Verifier
from libs.machine.skips import OPERATOR_PATTERN, gate, skips_of
from libs.machine.snapshots import SnapshotStore
from libs.tape.record import TapeRecord
from proto.message import Message
from proto.service import Started
from proto.subjects import MACHINE_ORDER
from tools.cli.commands.tape import history_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, Sets, State, console, emit, run
from tools.exit_codes import DIFFERENCE, UsageError
from tools.offline.replay import Replay, TapeHistory
from tools.offline.what_if import WhatIf, compare, is_input
from tools.system.composition import DEFAULT_STRATEGIES
from tools.system.installation import Installation, tape_access


def replay(
    state: State = DEFAULT_STATE,
    from_: Annotated[str, typer.Option("--from", help="Sequence or UTC time (2026-05-13T21:51:30).")] = "",
    to: Annotated[str, typer.Option("--to", help="Sequence or UTC time.")] = "",
    machine: Annotated[list[str] | None, typer.Option(help="Only this machine; may be repeated.")] = None,
    set_: Sets = None,
    break_: Annotated[
        str, typer.Option("--break", help="Stop where this holds: kind=risk.rejection market=…")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Run every machine again over the tape and compare the bytes; with --set, what would have been."""

    async def work() -> dict[str, Any]:
        request = ReplayRequest(state, from_, to, machine or [], parse_sets(set_ or []), break_)
        return await run_replay(request, visible=sys.stderr.isatty() and not as_json)

    document = run(work())
    if as_json:
        emit(document)
    else:
        print_replay(console, document)
    if document.get("difference"):
        raise typer.Exit(DIFFERENCE)


@dataclass
class ReplayRequest:
    """What ``presage replay`` was asked for."""

    state: Path
    from_: str = ""
    to: str = ""
    machines: Sequence[str] = ()
    changes: Mapping[str, str] | None = None
    break_on: str = ""


async def run_replay(request: ReplayRequest, *, visible: bool = False) -> dict[str, Any]:
    """Replay a tape, or run a what-if over it."""
    unknown = [m for m in request.machines if m not in MACHINE_ORDER]
    if unknown:
        raise UsageError(f"expected machines of {', '.join(MACHINE_ORDER)}, was {unknown[0]!r}")
    condition = _condition(request.break_on)
    async with tape_access(request.state) as (installation, link):
        tape = history_of(installation, link)
        _, newest = await tape.bounds()
        first = await _sequence(tape, request.from_, 1)
        last = await _sequence(tape, request.to, newest)
        if first > last:
            raise UsageError(f"expected --from before --to, was {first} and {last}")
        with Progress(console=Console(stderr=True), transient=True, disable=not visible) as bar:
            task = bar.add_task("replay", total=last)

            def step(seq: int) -> None:
                bar.update(task, completed=seq)

            if request.changes:
                return await _what_if(installation, tape, request.changes, last, step)
            return await _replay(installation, tape, request, (first, last), condition, step)


async def _replay(
    installation: Installation,
    tape: History,
    request: ReplayRequest,
    window: tuple[int, int],
    condition: Callable[[TapeRecord, Message], bool] | None,
    step: Callable[[int], None],
) -> dict[str, Any]:
    verifier = Verifier.load(installation.layout.public_keys)
    history = await _history(installation, tape, verifier)
    first_held, _ = await tape.bounds()
    raised_at: list[tuple[str, int]] = []
    while True:
        engine = Replay(
            verifier,
            tuple(m for m in MACHINE_ORDER if not request.machines or m in request.machines),
            installation.layout.read_run().strategies or DEFAULT_STRATEGIES,
            condition,
            raised_at,
        )
        start = engine.start(installation.layout.root, history, max(window[0], first_held))
        if start < first_held:
            text = f"expected a snapshot before {first_held}, where the tape and its archive begin, was none"
            raise UsageError(text)
        await _feed(engine, tape, start, window[1], step)
        if engine.skipping is None:
            break
        # The machine raised here, as it did live: begin again without this input.
        raised_at.append(engine.skipping)
    engine.finish()
    return _replay_document(engine, start, window[1])


async def _feed(engine: Replay, tape: History, first: int, last: int, step: Callable[[int], None]) -> None:
    """Run the window, then look behind it for outputs of its last inputs."""
    async for record in tape.records(first, last):
        if not engine.handle(record):
            return
        if engine.messages % 1000 == 0:
            step(record.seq)
    if not engine.waiting:
        return
    async for record in tape.records(last + 1):
        if not engine.confirm(record) or not engine.waiting:
            return


async def _history(installation: Installation, tape: History, verifier: Verifier) -> TapeHistory:
    starts: list[tuple[int, Started]] = []
    for record in await tape.read_subject(f"*.{Started.kind}"):
        try:
            start = decode(record.subject, record.payload)
        except Unreadable:
            continue
        if isinstance(start, Started):
            starts.append((record.seq, start))
    epoch = installation.layout.read_run().tape
    skips = skips_of(await tape.read_subject(OPERATOR_PATTERN), verifier, epoch)
    digests: dict[int, str] = {}
    for machine in MACHINE_ORDER:
        for snapshot in SnapshotStore(installation.layout.root / "snapshots", machine).newest_first():
            if snapshot.seq not in digests:
                found = await tape.at(snapshot.seq)
                digests[snapshot.seq] = found.digest() if found is not None else ""
    return TapeHistory(starts, skips, lambda snapshot: digests.get(snapshot.seq) == snapshot.digest)


def _replay_document(engine: Replay, first: int, last: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "identical": engine.difference is None,
        "from": first,
        "to": last,
        "messages": engine.messages,
        "compared": engine.compared,
        "machines": list(engine.machines),
        "starts": [
            {
                "seq": seq,
                "machine": start.machine,
                "version": start.version,
                "build": start.build,
                "adopted": start.adopted,
            }
            for seq, start in engine.starts
        ],
        "left_out": engine.left_out,
        "skipped": [{"machine": machine, "seq": seq} for machine, seq in engine.raised_at],
        "difference": engine.difference.document() if engine.difference else None,
    }
    if engine.broke_at is not None:
        record, event = engine.broke_at
        document["break"] = {
            "seq": record.seq,
            "subject": record.subject,
            "message": to_document(event),
            "state": {name: engine.state_of(name) for name in engine.machines},
        }
    return document


async def _what_if(
    installation: Installation,
    tape: History,
    changes: Mapping[str, str],
    last: int,
    step: Callable[[int], None],
) -> dict[str, Any]:
    run = installation.layout.read_run()
    strategies = run.strategies or DEFAULT_STRATEGIES
    baseline, changed = WhatIf({}, strategies), WhatIf(changes, strategies)
    watcher = gate(Verifier.load(installation.layout.public_keys), run.tape)
    async for record in tape.records(1, last):
        if not is_input(record.subject):
            continue
        try:
            message = decode(record.subject, record.payload)
            if watcher.accept(record, message) is None:
                continue
        except Unreadable:
            continue
        baseline.feed(message)
        changed.feed(message)
        step(record.seq)
    if changed.unused:
        raise UsageError(f"expected a tape that configures {changed.unused[0]}, was one without")
    return compare(baseline, changed) | {"set": dict(changes)}


async def _sequence(tape: History, text: str, default: int) -> int:
    """A sequence, given as such or as a UTC time of the session."""
    if not text:
        return default
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as e:
        raise UsageError(f"expected a sequence or a UTC time, was {text!r}") from e
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    at = int(moment.timestamp() * 1e9)
    async for record in tape.records():
        if record.subject.startswith(("feed.", "monitor.clock")):
            try:
                message = decode(record.subject, record.payload)
            except Unreadable:
                continue
            if getattr(message, "at", 0) >= at:
                return record.seq
    return default


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
        _print_what_if(console, document)
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


def _print_what_if(console: Console, document: Mapping[str, Any]) -> None:
    console.print(f"what if {document['set']} (simulated on the paper venue, baseline and change alike)")
    table = Table("", "baseline", "changed")
    for name, before in document["baseline"].items():
        table.add_row(name, str(before), str(document["changed"][name]))
    console.print(table)
    for row in document["decisions"][:20]:
        console.print(f"{row['instrument']}: {row['baseline']} → {row['changed']}", markup=False)
    console.print(
        f"{document['decisions_differing']} decisions differ, profit by {document['profit_difference']:+.2f}"
    )
