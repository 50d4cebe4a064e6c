"""What the operator says: halt, resume and the other commands."""

from pathlib import Path
from typing import Any

from libs.keys.signing import OPERATOR_DOMAIN, Signer
from libs.runtime.layout import StateLayout
from libs.tape.credentials import OPERATOR
from libs.tape.errors import BrokerUnavailable, PublishRefused, TapeError
from proto.operator import Verb
from proto.subjects import MACHINE_ORDER
from tools.cli.exit_codes import UsageError
from tools.system.installation import tape_access
from tools.system.operator import OperatorDesk


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
            raise type(e)(f"expected the command to be stored, was {e}") from e
