"""What the commands do, apart from parsing arguments and printing."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from libs.machine.codec import Unreadable, decode
from libs.machine.skips import OPERATOR_PATTERN, gate, skips_of
from libs.runtime.layout import StateLayout
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import OPERATOR
from libs.tape.errors import BrokerUnavailable, PublishRefused, TapeError
from libs.tape.reader import TapeReader, read_subject
from libs.tape.record import TapeRecord
from libs.tape.signing import OPERATOR_DOMAIN, Signer, Verifier
from libs.tape.snapshots import SnapshotStore
from proto.message import Message
from proto.operator import Verb
from proto.service import Started
from proto.subjects import MACHINE_ORDER, SERVICES
from tools.composition import DEFAULT_STRATEGIES
from tools.installation import Installation, running_supervisor, tape_access
from tools.journal import (
    anchors_on_tape,
    verification_document,
    verification_lines,
)
from tools.journal import (
    export_journal as export_rows,
)
from tools.journal import (
    verify_journal as verify_rows,
)
from tools.operator import OperatorDesk
from tools.replay import History, Replay, WhatIf, compare, is_input
from tools.servers import DISK_FULL
from tools.up import UsageError
from tools.watch import Reports
from tools.why import Tape
from tools.why import document as why_document

REPORT_PATIENCE_S = 1.5
COMMAND_PATIENCE_S = 2.0
READ_WAIT_S = 1.0
FEED_SILENT_S = 10
"""As long as risk lets a book be old (``book_age_s_max``): then it refuses every entry."""


# --- reading a tape -------------------------------------------------------------------------------


async def records(link: Link, first: int = 1, last: int | None = None) -> AsyncIterator[TapeRecord]:
    """The records of a tape from ``first`` (or where the window begins) to ``last`` (or its end now)."""
    state = await stream_state(link.client)
    if not state["messages"]:
        return
    first = max(first, int(state["first_seq"]))
    end = int(state["last_seq"]) if last is None else min(last, int(state["last_seq"]))
    reader = TapeReader(link, first - 1)
    try:
        while reader.position < end:
            for record in await reader.next_batch(READ_WAIT_S):
                if record.seq > end:
                    return
                yield record
    finally:
        await reader.close()


# --- operator -------------------------------------------------------------------------------------


async def halt(state: Path, reason: str) -> dict[str, Any]:
    """The HALT file first: it closes the gate without any broker; then the command on the tape."""
    layout = StateLayout(state)
    if not layout.exists:
        raise UsageError(f"expected a state directory, was {state}")
    try:
        layout.halt_file.write_text(reason)
    except OSError:
        # On a full disk the file is there, without the reason. If it is not, this says so.
        layout.halt_file.touch()
    try:
        seq = await _command(layout, Verb.HALT, reason=reason)
    except TapeError as e:
        return {"halted": True, "seq": None, "text": f"halted by file; the broker did not answer ({e})"}
    return {"halted": True, "seq": seq, "text": f"halted: {reason} (tape sequence {seq})"}


async def give(
    state: Path, verb: Verb, *, order: str = "", machine: str = "", seq: int = 0
) -> dict[str, Any]:
    """Give a command that only the operator may give."""
    layout = StateLayout(state)
    if verb is Verb.SKIP and machine not in MACHINE_ORDER:
        raise UsageError(f"expected one of {', '.join(MACHINE_ORDER)}, was {machine!r}")
    stored = await _command(layout, verb, order=order, machine=machine, seq=seq)
    if verb is Verb.RESUME:
        layout.halt_file.unlink(missing_ok=True)
    return {"verb": verb.value, "seq": stored, "text": f"{verb.value} given (tape sequence {stored})"}


async def _command(layout: StateLayout, verb: Verb, **fields: Any) -> int:
    """Sign and publish a command; the broker of a stopped system is started for it."""
    known = layout.read_tape()
    if known is None:
        raise UsageError(f"expected a system that was run before in {layout.root}, was none")
    async with tape_access(layout.root, OPERATOR) as (_, link):
        desk = OperatorDesk(link, Signer.load(OPERATOR_DOMAIN, layout.operator_key), str(known["tape"]))
        await desk.start()
        try:
            return await desk.command(verb, **fields)
        except (BrokerUnavailable, PublishRefused) as e:
            raise TapeError(f"expected the command to be stored, was {e}") from e


# --- status ---------------------------------------------------------------------------------------


async def status(state: Path) -> dict[str, Any]:
    """Who runs, how each service is, and whether new orders may leave."""
    layout = StateLayout(state)
    if not layout.was_run:
        raise UsageError(f"expected a system that was run before in {state}, was none")
    pid = running_supervisor(layout)
    halted = layout.halt_file.read_text() if layout.halt_file.exists() else ""
    document: dict[str, Any] = {"running": bool(pid), "supervisor_pid": pid, "halted": halted, "services": {}}
    if pid:
        document |= await _live_status(layout)
        servers = layout.servers_file
        document["servers"] = json.loads(servers.read_text()) if servers.exists() else {}
    document["orders"] = _orders_state(document)
    return document


async def _live_status(layout: StateLayout) -> dict[str, Any]:
    run = layout.read_run()
    link = Link("status")
    try:
        await link.open(run.broker_url, "console", layout.password("console"), patience_s=COMMAND_PATIENCE_S)
    except BrokerUnavailable:
        return {"broker": "gone"}
    reports = Reports()
    try:
        await reports.listen(link)
        await reports.wait_for(lambda latest: all(s in latest for s in SERVICES), REPORT_PATIENCE_S)
        tape = await stream_state(link.client)
    except BrokerUnavailable:
        return {"broker": "gone"}
    finally:
        await link.close()
    services = {s: reports.latest.get(s, {"state": "missing"}) for s in SERVICES}
    return {"broker": "up", "tape_last_seq": tape["last_seq"], "services": services}


def _orders_state(document: Mapping[str, Any]) -> str:
    """Whether new orders may leave, in a word, and if not why."""
    if not document["running"]:
        return "stopped"
    if document["halted"]:
        return f"halted: {document['halted']}"
    if document.get("broker") == "gone":
        return "no new orders: broker gone"
    servers: Mapping[str, Any] = document.get("servers", {})
    if servers.get("broker", "up") != "up":
        return f"no new orders: broker {servers['broker']}"
    if servers.get("database") == DISK_FULL:
        return f"no new orders: database {DISK_FULL}"
    services: Mapping[str, Any] = document["services"]
    down = [name for name, report in services.items() if report.get("state") != "live"]
    if down:
        return f"no new orders: {', '.join(down)} not live"
    gate = services.get("execution", {}).get("gate", "open")
    if gate != "open":
        return f"no new orders: {gate}"
    silent_s = services.get("feed", {}).get("silent_s", 0)
    return "open" if silent_s < FEED_SILENT_S else f"no new orders: feed silent for {silent_s} s"


def print_status(console: Console, document: Mapping[str, Any]) -> None:
    """The status as a table."""
    table = Table("service", "state", "position", "dead", "detail", box=None)
    for name, report in document["services"].items():
        style = "green" if report.get("state") == "live" else "red"
        row = (str(report.get(key, "")) for key in ("position", "dead", "detail"))
        table.add_row(name, f"[{style}]{report.get('state')}[/]", *row)
    console.print(f"orders: {document['orders']}", style="bold", highlight=False)
    if document["services"]:
        console.print(table)


# --- why and replay -------------------------------------------------------------------------------


async def why(state: Path, name: str) -> list[dict[str, Any]]:
    """The chain of causes of ``name``; empty when the tape does not know it."""
    tape = Tape()
    async with tape_access(state) as (_, link):
        async for record in records(link):
            tape.add(record)
        return why_document(await tape.chain(name, lambda seq: records(link, seq, seq)))


@dataclass
class ReplayRequest:
    """What ``presage replay`` was asked for."""

    state: Path
    from_: str = ""
    to: str = ""
    machines: Sequence[str] = ()
    changes: Mapping[str, str] | None = None
    break_on: str = ""


async def replay(request: ReplayRequest, *, visible: bool = False) -> dict[str, Any]:
    """Replay a tape, or run a what-if over it."""
    unknown = [m for m in request.machines if m not in MACHINE_ORDER]
    if unknown:
        raise UsageError(f"expected machines of {', '.join(MACHINE_ORDER)}, was {unknown[0]!r}")
    condition = _condition(request.break_on)
    async with tape_access(request.state) as (installation, link):
        first = await _sequence(link, request.from_, 1)
        last = await _sequence(link, request.to, int((await stream_state(link.client))["last_seq"]))
        if first > last:
            raise UsageError(f"expected --from before --to, was {first} and {last}")
        with Progress(console=Console(stderr=True), transient=True, disable=not visible) as bar:
            task = bar.add_task("replay", total=last)

            def step(seq: int) -> None:
                bar.update(task, completed=seq)

            if request.changes:
                return await _what_if(installation, link, request.changes, last, step)
            return await _replay(installation, link, request, (first, last), condition, step)


async def _replay(
    installation: Installation,
    link: Link,
    request: ReplayRequest,
    window: tuple[int, int],
    condition: Callable[[TapeRecord, Message], bool] | None,
    step: Callable[[int], None],
) -> dict[str, Any]:
    verifier = Verifier.load(installation.layout.public_keys)
    history = await _history(installation, link, verifier)
    first_held = int((await stream_state(link.client))["first_seq"])
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
            text = f"expected a snapshot before {first_held}, where the tape's window begins, was none"
            raise UsageError(text)
        await _feed(engine, link, start, window[1], step)
        if engine.skipping is None:
            break
        # The machine raised here, as it did live: begin again without this input.
        raised_at.append(engine.skipping)
    engine.finish()
    return _replay_document(engine, start, window[1])


async def _feed(engine: Replay, link: Link, first: int, last: int, step: Callable[[int], None]) -> None:
    """Run the window, then look behind it for outputs of its last inputs."""
    async for record in records(link, first, last):
        if not engine.take(record):
            return
        if engine.messages % 1000 == 0:
            step(record.seq)
    if not engine.waiting:
        return
    async for record in records(link, last + 1):
        if not engine.confirm(record) or not engine.waiting:
            return


async def _history(installation: Installation, link: Link, verifier: Verifier) -> History:
    starts: list[tuple[int, Started]] = []
    for record in await read_subject(link, f"*.{Started.kind}"):
        try:
            start = decode(record.subject, record.payload)
        except Unreadable:
            continue
        if isinstance(start, Started):
            starts.append((record.seq, start))
    tape = installation.layout.read_run().tape
    skips = skips_of(await read_subject(link, OPERATOR_PATTERN), verifier, tape)
    digests: dict[int, str] = {}
    for machine in MACHINE_ORDER:
        for snapshot in SnapshotStore(installation.layout.root / "snapshots", machine).newest_first():
            if snapshot.seq not in digests:
                found = [r async for r in records(link, snapshot.seq, snapshot.seq) if r.seq == snapshot.seq]
                digests[snapshot.seq] = found[0].digest() if found else ""
    return History(starts, skips, lambda snapshot: digests.get(snapshot.seq) == snapshot.digest)


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
            "message": msgspec.to_builtins(event, enc_hook=str),
            "state": {name: engine.state_of(name) for name in engine.machines},
        }
    return document


async def _what_if(
    installation: Installation, link: Link, changes: Mapping[str, str], last: int, step: Callable[[int], None]
) -> dict[str, Any]:
    run = installation.layout.read_run()
    strategies = run.strategies or DEFAULT_STRATEGIES
    baseline, changed = WhatIf({}, strategies), WhatIf(changes, strategies)
    watcher = gate(Verifier.load(installation.layout.public_keys), run.tape)
    async for record in records(link, 1, last):
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


async def _sequence(link: Link, text: str, default: int) -> int:
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
    async for record in records(link):
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


# --- journal --------------------------------------------------------------------------------------


async def verify_journal(state: Path) -> tuple[dict[str, Any], list[str]]:
    """Verify the journal against itself, its anchors and the tape."""
    async with tape_access(state) as (installation, link):

        async def batches() -> AsyncIterator[Sequence[TapeRecord]]:
            batch: list[TapeRecord] = []
            async for record in records(link):
                batch.append(record)
                if len(batch) == 1000:
                    yield batch
                    batch = []
            yield batch

        anchors = await anchors_on_tape(batches())
        dsn, started = await _database(installation)
        try:
            path = installation.layout.journal / "anchors.jsonl"
            result = await verify_rows(dsn, path, anchors, batches())
        finally:
            if started:
                installation.database.stop()
    return verification_document(result), verification_lines(result)


async def export_journal(state: Path, output: Path, from_seq: int, to_seq: int | None) -> int:
    """Export the journal to a file, or to stdout for ``-``."""
    installation = Installation(state)
    dsn, started = await _database(installation)
    try:
        if str(output) == "-":
            return await export_rows(dsn, sys.stdout.buffer, from_seq=from_seq, to_seq=to_seq)
        with output.open("wb") as file:
            return await export_rows(dsn, file, from_seq=from_seq, to_seq=to_seq)
    finally:
        if started:
            installation.database.stop()


async def _database(installation: Installation) -> tuple[str, bool]:
    """The database's address, and whether it was started for this command."""
    if running_supervisor(installation.layout):
        return installation.layout.read_run().database_url, False
    return await installation.start_database(), not installation.external_database
