"""What the operator says: halt, resume and the other commands, and what came of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.keys.signing import OPERATOR_DOMAIN, Signer, UnusableKey, Verifier
from libs.lists.orders import KINDS, OrderList
from libs.lists.reading import read_kinds, read_window
from libs.lists.waiting import waiting_orders
from libs.operator.aftermath import (
    answer_to_decision,
    effect_of_flatten,
    effect_of_halt,
    have_acted,
    outcome_of,
)
from libs.operator.desk import OperatorDesk
from libs.operator.halt_file import REASON, write_halt_file
from libs.runtime.layout import StateLayout
from libs.tape.broker import LOOK_TIMEOUT_S, stream_state
from libs.tape.connection import Link
from libs.tape.credentials import OPERATOR
from libs.tape.errors import BrokerUnavailable, PublishRefused, TapeError
from libs.view.names import candidates, matching_orders, short_id
from libs.view.wording import sign_of
from proto.operator import Command, Verb
from proto.subjects import MACHINE_ORDER
from tools.cli.commands.status import read_status
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, print_outcome, run
from tools.exit_codes import FAILED, NothingDone, UsageError
from tools.lists.positions import read_holdings
from tools.system.installation import Installation, expect_run, running_supervisor, tape_access
from tools.view.keys import REASON as KEY_REASON


def halt(
    reason: Annotated[str, typer.Option(help="Why.")] = REASON,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Stop new orders now and cancel working ones. Works without the broker, survives restarts."""
    print_outcome(run(give_halt(state, reason)), as_json)


def resume(
    to_close_only: Annotated[
        bool, typer.Option("--close-only", help="Let exits through and nothing else: entries stay stopped.")
    ] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """End a halt or close-only: let orders leave again."""
    print_outcome(run(give_resume(state, to_close_only=to_close_only)), as_json)


def close_only(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let exits through and nothing else."""
    print_outcome(run(give_close_only(state)), as_json)


OrderName = Annotated[str, typer.Argument(metavar="ID", help="As `presage pending` shows it.")]


def approve(order: OrderName, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Approve an order that waits for you; say what risk, execution and the venue made of it."""
    print_decision(run(decide(state, Verb.APPROVE, order)), as_json)


def deny(order: OrderName, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Deny an order that waits for you."""
    print_decision(run(decide(state, Verb.DENY, order)), as_json)


def print_decision(document: dict[str, Any], as_json: bool) -> None:
    """Print what came of a command; exit 1 when what was asked for did not happen."""
    print_outcome(document, as_json)
    if not document["done"]:
        raise typer.Exit(FAILED)


def flatten(
    instrument: Annotated[
        str, typer.Argument(metavar="[INSTRUMENT]", help="As `presage positions` shows it.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every position.")] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Leave a position now, or all: targets are cancelled, the rest is sold at the bid. Entries go on."""
    print_decision(run(give_flatten(state, instrument, everything=everything)), as_json)


def skip(seq: int, machine: str, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let a machine that raised at SEQ go on without that message."""
    print_outcome(run(give_skip(state, seq, machine)), as_json)


async def give_halt(state: Path, reason: str) -> dict[str, Any]:
    """The HALT file first: it closes the gate without any broker; then the command on the tape.

    Raises:
        UsageError: there is no such directory.
        OSError, TapeError: neither the file nor the command could be stored.
    """
    layout = StateLayout(state)
    if not layout.exists:
        raise UsageError(f"expected a state directory, was {state}")
    unwritten = _write_file(layout, reason)
    document: dict[str, Any] = {"halted": True, "seq": None, "orders": {}}
    if layout.read_tape() is None:
        return document | {"text": f"halted: {reason}; nothing was run here yet"}
    running = running_supervisor(layout)
    try:
        async with operator_desk(layout) as (desk, link):
            document["seq"] = seq = await give(desk, Verb.HALT, reason=reason)
            effect = await effect_of_halt(link, seq) if running else None
    except (TapeError, UnusableKey) as e:
        if unwritten is not None:
            raise
        why = "the broker did not answer" if isinstance(e, TapeError) else "no command could be signed"
        return document | {"text": f"halted by the HALT file; {why} ({e})"}
    if unwritten is not None:
        held = (
            f"halted: {reason}, by command alone: the HALT file could not be written ({unwritten.strerror})"
        )
        return document | {"text": held}
    if effect is None:
        return document | {"text": f"halted: {reason} (tape sequence {seq}); nothing runs"}
    document["orders"] = {order: status.value for order, status in effect.orders.items()}
    return document | {"text": f"halted: {reason} (tape sequence {seq}); {effect.text()}"}


def halt_of(state: Path) -> Callable[[], Awaitable[str]]:
    """What a key of the view gives, and answers: the same halt as the command's."""

    async def give_it() -> str:
        return str((await give_halt(state, KEY_REASON))["text"])

    return give_it


def _write_file(layout: StateLayout, reason: str) -> OSError | None:
    """Leave the file; who typed the command has it already, who calls this from a program has not."""
    try:
        write_halt_file(str(layout.root), reason)
    except OSError as e:
        return e
    return None


async def give_resume(state: Path, *, to_close_only: bool = False) -> dict[str, Any]:
    """End a halt; on request close-only takes its place, without a moment in which an entry may leave."""
    layout = StateLayout(state)
    running = running_supervisor(layout)
    async with operator_desk(layout) as (desk, link):
        seq = await give(desk, Verb.RESUME, close_only=to_close_only)
        layout.halt_file.unlink(missing_ok=True)
        acted = await have_acted(link, seq) if running else False
    document = {"verb": Verb.RESUME.value, "seq": seq, "close_only": to_close_only}
    given = "resumed, for exits only" if to_close_only else "resumed"
    if not running:
        return document | {"text": f"{given} (tape sequence {seq}); nothing runs"}
    found = (await read_status(state))["orders"] if acted else "risk and execution have not read it yet"
    return document | {"orders": found, "text": f"{given} (tape sequence {seq}); orders: {found}"}


async def give_close_only(state: Path) -> dict[str, Any]:
    """Let exits through and nothing else.

    Raises:
        NothingDone: everything is halted: a halt stops exits too, and a resume would end both.
    """
    layout = StateLayout(state)
    async with operator_desk(layout) as (desk, link):
        if layout.halt_file.exists() or await _is_halted(History(link, Archive(layout.archive))):
            raise NothingDone(
                "expected no halt, was halted: exits are stopped too;"
                " presage resume --close-only lets them through, and nothing else"
            )
        seq = await give(desk, Verb.CLOSE_ONLY)
    return {
        "verb": Verb.CLOSE_ONLY.value,
        "seq": seq,
        "text": f"close-only (tape sequence {seq}): exits go, no entry does",
    }


async def _is_halted(history: History) -> bool:
    """Whether the last of the operator's words on the tape was a halt, however long ago."""
    turns = (Verb.HALT, Verb.RESUME)
    verbs = [m.verb for _, m in (await read_window(history.link, (Command,))).entries if m.verb in turns]
    if not verbs:
        verbs = [m.verb for _, m in (await read_kinds(history, (Command,))).entries if m.verb in turns]
    return bool(verbs) and verbs[-1] is Verb.HALT


async def give_skip(state: Path, seq: int, machine: str) -> dict[str, Any]:
    """Let a machine leave one message out.

    Raises:
        UsageError: there is no such machine, or no such message on the tape.
    """
    if machine not in MACHINE_ORDER:
        raise UsageError(f"expected one of {', '.join(MACHINE_ORDER)}, was {machine!r}")
    async with operator_desk(StateLayout(state)) as (desk, link):
        last_seq = int((await stream_state(link.client, timeout_s=LOOK_TIMEOUT_S))["last_seq"])
        if not 0 < seq <= last_seq:
            raise UsageError(f"expected a sequence of the tape, 1 to {last_seq}, was {seq}")
        stored = await give(desk, Verb.SKIP, machine=machine, seq=seq)
    text = (
        f"{machine} leaves message {seq} out (tape sequence {stored}); presage status says whether it goes on"
    )
    return {"verb": Verb.SKIP.value, "seq": stored, "text": text}


async def give_flatten(state: Path, name: str, *, everything: bool = False) -> dict[str, Any]:
    """Leave a position, or all, and wait for what comes of it. ``done``: whether nothing is left of them.

    Raises:
        NothingDone: nothing runs, or there is no such position.
        UsageError: neither a position nor all, both, or more than one may be meant.
    """
    if bool(name) == everything:
        raise UsageError("expected the instrument of a position, or --all")
    layout = StateLayout(state)
    expect_run(state)
    if not running_supervisor(layout):
        raise NothingDone(f"expected a running system in {layout.root}, was none: nothing could sell")
    async with operator_desk(layout) as (desk, link):
        history = History(link, Archive(layout.archive))
        held = [row.instrument for row in (await read_holdings(Installation(state), history)).rows]
        found = [row for row in held if everything or row == name] or [row for row in held if name in row]
        if not found:
            raise NothingDone("expected an open position, was none (presage positions lists them)")
        if len(found) > 1 and not everything:
            raise UsageError(f"expected one position, was {candidates(found)}")
        seq = await give(desk, Verb.FLATTEN, instrument="" if everything else found[0])
        effect = await effect_of_flatten(link, seq)
    stages = {instrument: stage.value for instrument, stage in effect.stages.items()}
    done = effect.acted and not effect.open
    text = f"flatten (tape sequence {seq}): {effect.text()}"
    if layout.halt_file.exists():
        text += "; orders are halted, and exits with them: presage resume --close-only lets them leave"
    return {"verb": Verb.FLATTEN.value, "seq": seq, "done": done, "positions": stages, "text": text}


async def decide(state: Path, verb: Verb, name: str) -> dict[str, Any]:
    """Approve or deny an order that waits, and wait for what comes of it. ``done``: whether it happened.

    Raises:
        NothingDone: nothing runs, or no such order waits.
        UsageError: more than one may be meant.
    """
    layout = StateLayout(state)
    expect_run(state)
    if not running_supervisor(layout):
        raise NothingDone(f"expected a running system in {layout.root}, was none: no order waits")
    async with operator_desk(layout) as (desk, link):
        rows, _ = await waiting_orders(link)
        found = matching_orders(name, [row.order for row in rows])
        if not found:
            raise NothingDone(await _why_not(link, name, len(rows)))
        if len(found) > 1:
            raise UsageError(f"expected one order, was {candidates(map(short_id, found))}")
        row = next(row for row in rows if row.order == found[0])
        seq = await give(desk, verb, order=row.order)
        answer = await answer_to_decision(link, seq, row.proposal)
    unit = sign_of(layout.money_file.read_text()) if layout.money_file.exists() else "$"
    done, text = outcome_of(answer, verb, short_id(row.order), unit)
    return {"verb": verb.value, "seq": seq, "done": done, "text": text} | answer.document()


async def _why_not(link: Link, name: str, waiting: int) -> str:
    """Why an order cannot be decided on."""
    reading = await read_window(link, KINDS)
    rows = OrderList().add(reading.entries).rows
    known = matching_orders(name, rows)
    if len(known) != 1:
        return f"expected an order that waits, was {name!r}: {waiting} wait (presage pending lists them)"
    row = rows[known[0]]
    became = f" as {short_id(row.became)}" if row.became else ""
    because = f": {row.reason}" if row.reason else ""
    return f"expected an order that waits, was {short_id(row.order)}, which is {row.status}{became}{because}"


@asynccontextmanager
async def operator_desk(layout: StateLayout) -> AsyncIterator[tuple[OperatorDesk, Link]]:
    """Signs and publishes commands; the broker of a stopped system is started for it."""
    known = layout.read_tape()
    if known is None:
        raise UsageError(f"expected a system that was run before in {layout.root}, was none")
    async with tape_access(layout.root, OPERATOR) as (_, link):
        signer = Signer.load(OPERATOR_DOMAIN, layout.operator_key)
        desk = OperatorDesk(link, signer, str(known["tape"]), Verifier.load(layout.public_keys))
        await desk.start()
        yield desk, link


async def give(desk: OperatorDesk, verb: Verb, **fields: Any) -> int:
    """Put a command on the tape; the sequence it was stored at."""
    try:
        return await desk.command(verb, **fields)
    except (BrokerUnavailable, PublishRefused) as e:
        raise type(e)(f"expected the command to be stored, was {e}") from e
