"""Signed skips: with which message the operator lets a machine that raised go on without it."""

from collections.abc import Iterable

from libs.contract.codec import Unreadable, decode
from libs.keys.signing import Verifier
from libs.machine.input_gate import InputGate
from libs.tape.record import TapeRecord
from proto.operator import Command, Verb

OPERATOR_PATTERN = "operator.>"
"""What ``skip_in`` must be shown: sessions too, for they say on which tape a command is good."""


def gate(verifier: Verifier, tape: str) -> InputGate:
    """A gate for operator messages alone; ``tape`` counts until the first session that is read."""
    watcher = InputGate(verifier)
    watcher.state.timeline.tape = tape
    return watcher


def skip_in(record: TapeRecord, watcher: InputGate) -> Command | None:
    """The skip in a record, if it is one and its signature, nonce and expiry hold."""
    try:
        event = decode(record.subject, record.payload)
        accepted = watcher.accept(record, event)
    except Unreadable:
        return None
    if accepted is None or not isinstance(event, Command) or event.verb is not Verb.SKIP:
        return None
    return event


def skips_of(records: Iterable[TapeRecord], verifier: Verifier, tape: str) -> dict[str, set[int]]:
    """Machine → sequences that the operator let it skip, of all operator messages in order."""
    watcher = gate(verifier, tape)
    skips: dict[str, set[int]] = {}
    for record in records:
        command = skip_in(record, watcher)
        if command is not None:
            skips.setdefault(command.machine, set()).add(command.seq)
    return skips
