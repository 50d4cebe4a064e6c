"""The gate between the tape and a machine: what is let through, and as what.

Live runners and replay use the same gate, so a replay reaches the same verdicts. It decodes, drops
what a producer had already said, and checks signatures; nothing a forger writes gets past it unmarked.
"""

from functools import lru_cache

import msgspec

from libs.bounded import clip, keep_newest
from libs.contract.codec import Unreadable
from libs.keys.signing import APPROVAL_DOMAIN, OPERATOR_DOMAIN, Verifier
from libs.keys.verbs import verb_of
from libs.machine.claims import approval_in
from libs.machine.machine import Stamp
from libs.machine.timeline import Timeline
from libs.tape.record import ID_HEADER, KEY_ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.execution import Claim
from proto.ids import MessageId, parse_message_id
from proto.message import Message
from proto.operator import Command, Config, Session
from proto.risk import Approval

_SIGNED = f"{Approval.kind}."
_CHECKED = frozenset((Approval, Claim, Session, Config, Command))
_SPEAKS_AS = {"paper": "venue"}
_SHELL = "-shell"
_FEED = "feed"
AHEAD_MAX = 1_000
"""How far the number in a message id may be ahead of the message's own sequence. A machine's cause never
is, a shell's counter only while publishes are retried. It bounds what a forged id can silence."""
NONCES_MAX = 10_000
"""Operator nonces remembered; older ones have expired long before as many commands were given."""


class InputGateState(msgspec.Struct):
    """What the gate remembers: time, each producer's high-water mark, nonces seen."""

    timeline: Timeline = msgspec.field(default_factory=Timeline)
    marks: dict[str, tuple[str, int, int]] = msgspec.field(default_factory=dict)
    nonces: dict[str, int] = msgspec.field(default_factory=dict)


def is_shell(producer: str) -> bool:
    """Whether a producer counts its messages itself; the index of its ids is then the term in which it leads."""
    return producer.endswith(_SHELL) or producer == _FEED


def speaker(producer: str) -> str:
    """First token of the subjects that a producer (a machine, or ``{service}-shell``) publishes on."""
    return _SPEAKS_AS.get(producer) or producer.removesuffix(_SHELL)


@lru_cache(maxsize=64)
def _prefix(producer: str) -> str:
    return f"{speaker(producer)}."


class InputGate:
    """Turns records into events for one machine. Not pure (it verifies), but deterministic.

    ``shared``: several machines at the same place ask about each record one after the other, and get the
    one verdict.
    """

    def __init__(self, verifier: Verifier, state: InputGateState | None = None) -> None:
        self.state = state or InputGateState()
        self.shared = False
        self._verifier = verifier
        self._judged: TapeRecord | None = None
        self._stamp = Stamp(0, 0)
        self._new = False
        self._refusal: Unreadable | None = None

    @property
    def tape(self) -> str:
        """Id of the tape as the current session says it; empty before the first session."""
        return self.state.timeline.tape

    def accept(
        self, record: TapeRecord, event: Message, repeats: tuple[type[Message], ...] = ()
    ) -> Stamp | None:
        """The stamp for a decoded record, or ``None`` if a machine must not see it.

        ``repeats``: kinds that the machine wants to see again when they were said before.

        Raises:
            Unreadable: an operator message without a valid signature, by a key that may not say it, expired, or
                repeated; a message id that its producer cannot have given.
        """
        if record is not self._judged or not self.shared:
            self._judged = record
            self._refusal = None
            try:
                self._judge(record, event)
            except Unreadable as e:
                self._refusal = e
        if self._new:
            return self._stamp
        if self._refusal is not None:
            raise self._refusal
        return self._stamp if type(event) in repeats else None

    def _judge(self, record: TapeRecord, event: Message) -> None:
        self._new = False
        seq, subject, headers, _, stored_at_ns = record
        message_id = headers.get(ID_HEADER, "")
        verified = type(event) not in _CHECKED or self._verified(record, event)
        timeline = self.state.timeline
        self._new = new = not verified or self._is_new(seq, subject, message_id)
        now = timeline.observe(event, stored_at_ns) if new else timeline.now
        self._stamp = Stamp(seq, now, message_id, verified, timeline.apart > 0)

    def _verified(self, record: TapeRecord, event: Message) -> bool:
        if isinstance(event, Approval):
            return self._approval_verified(record)
        if isinstance(event, Claim):
            return self._claim_verified(record, event)
        if isinstance(event, Session | Config | Command):
            self._check_operator(record, event)
        return True

    def is_word_of(self, producer: str, record: TapeRecord) -> bool:
        """Whether a record can be a producer's: on its subjects, and signed where a signature is due.

        The broker checks who publishes on which subject, but an id is only a header: without this check
        any service could speak, and be silenced, in the name of another.
        """
        if record.subject.partition(".")[0] != speaker(producer):
            return False
        return not record.subject.startswith(_SIGNED) or self._approval_verified(record)

    def _is_new(self, seq: int, subject: str, message_id: str) -> bool:
        """Whether an id is above its producer's mark, which it then becomes; ids of other forms always are."""
        parsed = parse_message_id(message_id)
        if parsed is None:
            return True
        tape, producer, cause, index = parsed
        if not subject.startswith(_prefix(producer)):
            raise Unreadable(f"expected an id of the subject's own service, was {clip(message_id, 120)!r}")
        if cause > seq + AHEAD_MAX or (index > seq + AHEAD_MAX and is_shell(producer)):
            raise Unreadable(f"expected an id not ahead of the tape, was {clip(message_id, 120)!r}")
        marks = self.state.marks
        mark = marks.get(producer)
        if mark is not None and not self._rises(parsed, mark):
            return False
        marks[producer] = (tape, cause, index)
        return True

    def _rises(self, parsed: MessageId, mark: tuple[str, int, int]) -> bool:
        tape, cause, index = mark
        if parsed[0] == tape:
            if parsed[3] != index and is_shell(parsed[1]):
                # A shell of a later term speaks now; one that lost its lease and does not know it yet speaks no more.
                return parsed[3] > index
            return parsed[2] > cause or (parsed[2] == cause and parsed[3] > index)
        # A shell's numbers begin anew with an epoch. What a machine still had to say of the epoch before comes
        # first: once a producer has spoken in the present one, an earlier one's word can only be a repetition.
        return tape != self.tape

    def _approval_verified(self, record: TapeRecord) -> bool:
        """Whether risk signed it, for the epoch that its id names: an earlier one's is genuine, if too late."""
        parsed = parse_message_id(record.message_id)
        return self._verifier.verify(
            APPROVAL_DOMAIN,
            parsed.tape if parsed is not None else self.tape,
            record.subject,
            record.message_id,
            record.payload,
            record.headers.get(SIGNATURE_HEADER, ""),
            record.headers.get(KEY_ID_HEADER, ""),
            record.seq,
        )

    def _claim_verified(self, record: TapeRecord, claim: Claim) -> bool:
        tape = claim.order.partition("-")[0]
        if not self._verifier.verify(
            APPROVAL_DOMAIN,
            tape,
            claim.approval_subject,
            claim.message_id,
            claim.payload,
            claim.signature,
            claim.key_id,
            record.seq,
        ):
            return False
        return approval_in(claim) is not None

    def _check_operator(self, record: TapeRecord, event: Session | Config | Command) -> None:
        tape = event.tape if isinstance(event, Session) else self.tape
        signature = record.headers.get(SIGNATURE_HEADER, "")
        key_id = record.headers.get(KEY_ID_HEADER, "")
        if not self._verifier.verify(
            OPERATOR_DOMAIN,
            tape,
            record.subject,
            record.message_id,
            record.payload,
            signature,
            key_id,
            record.seq,
        ):
            raise Unreadable("expected an operator's signature, was none that verifies")
        verb = verb_of(event)
        if not self._verifier.may_say(key_id, verb):
            raise Unreadable(f"expected a key that may say {verb}, was {clip(key_id, 60)}")
        if record.stored_at_ns > event.expires_at:
            raise Unreadable("expected an operator message in time, was stored after its expiry")
        if event.nonce in self.state.nonces:
            raise Unreadable("expected a fresh nonce, was one used before")
        self.state.nonces[event.nonce] = record.seq
        keep_newest(self.state.nonces, NONCES_MAX)
