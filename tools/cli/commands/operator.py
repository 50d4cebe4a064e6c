"""What the operator says: halt, resume and the other commands, and what came of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.keys.signing import OPERATOR_DOMAIN, Signer
from libs.runtime.layout import StateLayout
from libs.tape.connection import Link
from libs.tape.credentials import OPERATOR
from libs.tape.errors import BrokerUnavailable, PublishRefused, TapeError
from proto.operator import Verb
from proto.subjects import MACHINE_ORDER
from tools.cli.halt_file import REASON, write_halt_file
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, print_outcome, run
from tools.exit_codes import UsageError
from tools.system.aftermath import effect_of_halt
from tools.system.installation import running_supervisor, tape_access
from tools.system.operator import OperatorDesk


def halt(
    reason: Annotated[str, typer.Option(help="Why.")] = REASON,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Stop new orders now and cancel working ones. Works without the broker, survives restarts."""
    print_outcome(run(give_halt(state, reason)), as_json)


def resume(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let orders leave again."""
    print_outcome(run(send_command(state, Verb.RESUME)), as_json)


def close_only(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let exits through and nothing else."""
    print_outcome(run(send_command(state, Verb.CLOSE_ONLY)), as_json)


def approve(order: str, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Approve an order that waits for the operator."""
    print_outcome(run(send_command(state, Verb.APPROVE, order=order)), as_json)


def deny(order: str, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Deny an order that waits for the operator."""
    print_outcome(run(send_command(state, Verb.DENY, order=order)), as_json)


def skip(seq: int, machine: str, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let a machine that raised at SEQ go on without that message."""
    print_outcome(run(send_command(state, Verb.SKIP, machine=machine, seq=seq)), as_json)


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
        async with _desk(layout) as (desk, link):
            document["seq"] = seq = await desk.command(Verb.HALT, reason=reason)
            effect = await effect_of_halt(link, seq) if running else None
    except TapeError as e:
        if unwritten is not None:
            raise
        return document | {"text": f"halted by the HALT file; the broker did not answer ({e})"}
    if unwritten is not None:
        held = (
            f"halted: {reason}, by command alone: the HALT file could not be written ({unwritten.strerror})"
        )
        return document | {"text": held}
    if effect is None:
        return document | {"text": f"halted: {reason} (tape sequence {seq}); nothing runs"}
    document["orders"] = {order: status.value for order, status in effect.orders.items()}
    return document | {"text": f"halted: {reason} (tape sequence {seq}); {effect.text()}"}


def _write_file(layout: StateLayout, reason: str) -> OSError | None:
    """Leave the file; who typed the command has it already, who calls this from a program has not."""
    try:
        write_halt_file(str(layout.root), reason)
    except OSError as e:
        return e
    return None


async def send_command(
    state: Path, verb: Verb, *, order: str = "", machine: str = "", seq: int = 0
) -> dict[str, Any]:
    """Give a command that only the operator may give."""
    layout = StateLayout(state)
    if verb is Verb.SKIP and machine not in MACHINE_ORDER:
        raise UsageError(f"expected one of {', '.join(MACHINE_ORDER)}, was {machine!r}")
    async with _desk(layout) as (desk, _):
        stored = await desk.command(verb, order=order, machine=machine, seq=seq)
    if verb is Verb.RESUME:
        layout.halt_file.unlink(missing_ok=True)
    return {"verb": verb.value, "seq": stored, "text": f"{verb.value} given (tape sequence {stored})"}


@asynccontextmanager
async def _desk(layout: StateLayout) -> AsyncIterator[tuple[OperatorDesk, Link]]:
    """Signs and publishes commands; the broker of a stopped system is started for it."""
    known = layout.read_tape()
    if known is None:
        raise UsageError(f"expected a system that was run before in {layout.root}, was none")
    async with tape_access(layout.root, OPERATOR) as (_, link):
        desk = OperatorDesk(link, Signer.load(OPERATOR_DOMAIN, layout.operator_key), str(known["tape"]))
        await desk.start()
        try:
            yield desk, link
        except (BrokerUnavailable, PublishRefused) as e:
            raise type(e)(f"expected the command to be stored, was {e}") from e
