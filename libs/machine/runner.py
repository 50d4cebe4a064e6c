"""One machine with its books: position, outputs on their way, and the comparison with the tape.

A runner does no I/O. It takes records in order, hands out what has to be published, and checks its own
outputs when they come back on the tape: an output that was recomputed must equal the stored one.
"""

import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from libs.bounded import clip
from libs.contract.codec import encode
from libs.keys.signing import Signer
from libs.machine.errors import Diverged, Failed
from libs.machine.input_gate import InputGate, speaker
from libs.machine.machine import Machine
from libs.tape.record import (
    BUILD_HEADER,
    CAUSE_HEADER,
    ID_HEADER,
    KEY_ID_HEADER,
    ROOT_HEADER,
    SIGNATURE_HEADER,
    TapeRecord,
)
from proto.ids import MessageId, parse_message_id
from proto.message import Message
from proto.operator import Command, Verb
from proto.risk import Approval

OUTPUTS_OPEN_MAX = 200_000
"""Outputs not yet seen on the tape. More means that publishing has stopped for good: fail, loudly."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a machine, ready to be published."""

    cause: int
    index: int
    subject: str
    payload: bytes
    headers: dict[str, str]
    message: Message


class Effect(NamedTuple):
    """All outputs of one cause, with the input that caused them."""

    record: TapeRecord
    event: Message
    outputs: list[Output]


class MachineRunner:
    """Runs one machine over the tape.

    ``open_outputs`` holds what was computed and not yet seen on the tape, ``ready`` what is to be
    published, in order of cause. ``verified_to`` is the position before which outputs were settled
    already (a snapshot's, or an adoption's).
    """

    def __init__(
        self, machine: Machine, input_gate: InputGate, build: str, signer: Signer | None = None
    ) -> None:
        self.machine = machine
        self.input_gate = input_gate
        self.position = 0
        self.verified_to = 0
        self.digest = ""
        self.open_outputs: dict[tuple[int, int], Output] = {}
        self.ready: deque[Effect] = deque()
        self.skips: set[int] = set()
        self.confirmed = 0
        self.confirmed_to = (0, 0)
        self.stopped: Diverged | Failed | None = None
        self.mismatch: Output | None = None
        self.repeats: tuple[type[Message], ...] = tuple(getattr(machine, "reads_repeats", ()))
        self.handlers = {kind: machine.handler(kind) for kind in machine.reads}
        self.prefix = f"{speaker(machine.name)}."
        self._build = build
        self._signer = signer

    @property
    def name(self) -> str:
        return self.machine.name

    def take(self, record: TapeRecord, event: Message | None) -> None:
        """Take the next record; ``event`` is ``None`` for one that could not be read.

        Raises:
            Diverged, Failed: the machine has stopped; the position stays before this record.
            Unreadable: an operator message that does not verify; the position moves on.
        """
        seq, subject, _, _, _ = record
        if seq <= self.position:
            return
        # Most of the tape is others' word; only what stands on own subjects can be an own output.
        if subject.startswith(self.prefix):
            self.confirm(record)
        if event is None:
            self.position = seq
            return
        try:
            stamp = self.input_gate.accept(record, event, self.repeats)
        except ValueError:
            self.position = seq
            raise
        if stamp is not None:
            kind = type(event)
            if kind is Command:
                self._note_skip(event)  # type: ignore[arg-type]
            handle = self.handlers.get(kind)
            if handle is not None and (not self.skips or seq not in self.skips):
                try:
                    outputs = handle(event, stamp)
                except Exception as e:
                    raise self.failed(record, e) from e
                if outputs:
                    self.emit(record, event, outputs)
        self.position = seq

    def failed(self, record: TapeRecord, error: Exception) -> Failed:
        """The machine has raised at this record, and stops for good."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = (
            f"{type(error).__name__}: {error} in {where.name} (line {where.lineno}) at sequence {record.seq}"
        )
        self.stopped = Failed(self.name, record.seq, clip(text, 400))
        return self.stopped

    def _note_skip(self, command: Command) -> None:
        if command.verb is Verb.SKIP and command.machine == self.name:
            self.skips.add(command.seq)

    def emit(self, record: TapeRecord, event: Message, messages: Sequence[Message]) -> None:
        """Note what the machine said to an input: to be published, and compared with the tape."""
        if record.seq <= self.verified_to:
            # Adopted: the tape's word stands for what was said until there, nothing is said again.
            return
        tape = self.input_gate.tape
        root = record.root or record.seq
        outputs: list[Output] = []
        for index, message in enumerate(messages):
            payload = encode(message)
            subject = message.subject()
            message_id = str(MessageId(tape, self.name, record.seq, index))
            headers = {
                ID_HEADER: message_id,
                CAUSE_HEADER: str(record.seq),
                ROOT_HEADER: str(root),
                BUILD_HEADER: self._build,
            }
            if self._signer is not None and isinstance(message, Approval):
                headers[SIGNATURE_HEADER] = self._signer.sign(tape, subject, message_id, payload)
                headers[KEY_ID_HEADER] = self._signer.key_id
            output = Output(record.seq, index, subject, payload, headers, message)
            self.open_outputs[(record.seq, index)] = output
            outputs.append(output)
        self.ready.append(Effect(record, event, outputs))
        if len(self.open_outputs) > OUTPUTS_OPEN_MAX:
            self.stopped = Failed(self.name, record.seq, f"expected at most {OUTPUTS_OPEN_MAX} open outputs")
            raise self.stopped

    def confirm(self, record: TapeRecord) -> None:
        """Compare an own output on the tape with the one recomputed here.

        Its id may name an earlier epoch than the session: what a torn tail left unsaid is said after it.
        """
        parsed = parse_message_id(record.message_id)
        if parsed is None or parsed.producer != self.name:
            return
        if parsed.cause <= self.verified_to or not self.input_gate.is_word_of(self.name, record):
            return
        place = (parsed.cause, parsed.index)
        mine = self.open_outputs.get(place)
        if mine is not None and mine.headers[ID_HEADER] == record.message_id:
            del self.open_outputs[place]
            self._compare(mine, place, record)
        elif place > self.confirmed_to:
            self._diverge(
                record, f"the tape holds {record.subject} as {record.message_id}, recomputed was nothing"
            )

    def _compare(self, mine: Output, place: tuple[int, int], record: TapeRecord) -> None:
        if mine.payload != record.payload or mine.subject != record.subject:
            self.mismatch = mine
            self._diverge(
                record, f"recomputed {mine.subject} differs from {record.subject} at {record.message_id}"
            )
        self.confirmed += 1
        self.confirmed_to = max(self.confirmed_to, place)
        if self.ready and self.ready[0].record.seq <= mine.cause:
            self._drop_confirmed(mine.cause)

    def _drop_confirmed(self, cause: int) -> None:
        """Forget effects that need no publishing any more, because the tape has all their outputs."""
        while self.ready and self.ready[0].record.seq <= cause:
            effect = self.ready[0]
            if any((o.cause, o.index) in self.open_outputs for o in effect.outputs):
                return
            self.ready.popleft()

    def _diverge(self, record: TapeRecord, text: str) -> None:
        self.stopped = Diverged(self.name, record.seq, text)
        raise self.stopped
