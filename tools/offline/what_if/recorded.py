"""Where each output of the machines stands on a tape, and how long it took to get there.

One pass before the branches run: whether an output of theirs is on the tape can only be said by who knows what comes.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from statistics import median_low
from typing import NamedTuple

from libs.contract.codec import Unreadable, decode, decode_as
from libs.machine.input_gate import InputGate, speaker
from libs.tape.record import TapeRecord
from proto.advisor import ModelAnswer
from proto.execution import Claim, Unclaimed
from proto.ids import parse_message_id
from proto.operator import Mode, Session
from proto.risk import Approval
from proto.units import MILLISECOND
from tools.offline.recorded_answers import RecordedAnswers

CAUSES_KEPT = 1 << 16
"""Messages whose storing time is remembered. An output that came later than that was held up by a crash: it says
nothing about how long its kind takes."""
DELAYS_KEPT_MAX = 10_000
"""Delays of one kind: more do not move their median."""
DELAY_UNKNOWN_NS = MILLISECOND
"""For a session without a single output: what the hop over the broker takes on a quiet machine."""

_OPERATOR = "operator."
_FEED = "feed."


class StoredOutput(NamedTuple):
    """An output of a machine on the tape."""

    seq: int
    digest: bytes
    stored_at_ns: int


class StoredClaim(NamedTuple):
    """The copy of a claim on the tape; ``digest`` is that of the approval in it."""

    seq: int
    digest: bytes
    stored_at_ns: int


def kind_of(subject: str) -> str:
    """The first two tokens of a subject."""
    return ".".join(subject.split(".", 2)[:2])


def digest_of(subject: str, payload: bytes) -> bytes:
    """What two equal outputs have in common."""
    return hashlib.blake2b(b"%b\x00%b" % (subject.encode(), payload), digest_size=16).digest()


class Pace:
    """How fast outputs got onto the tape in one session, which begins at ``first``.

    In lockstep nothing comes from outside before all that an input causes is stored: such a session has an order
    and no delays.
    """

    def __init__(self, first: int, *, is_played: bool) -> None:
        self.first = first
        self._is_played = is_played
        self._overtaken = False
        self._delays: dict[tuple[str, str], list[int]] = {}
        self._medians: dict[tuple[str, str], int] = {}

    def add(self, kind: str, cause_kind: str, delay_ns: int, *, overtaken: bool) -> None:
        """Take one output; ``overtaken``: something from outside came between it and its cause."""
        self._overtaken = self._overtaken or overtaken
        for key in ((kind, cause_kind), (kind, ""), ("", "")):
            found = self._delays.setdefault(key, [])
            if len(found) < DELAYS_KEPT_MAX:
                found.append(max(delay_ns, 0))

    @property
    def is_lockstep(self) -> bool:
        """Whether it was played input by input."""
        return self._is_played and not self._overtaken and bool(self._delays)

    def delay_ns(self, kind: str, cause_kind: str) -> int:
        """From the storing of a cause to that of an output: the median of that kind, else of all."""
        for key in ((kind, cause_kind), (kind, ""), ("", "")):
            if key not in self._medians and key in self._delays:
                self._medians[key] = median_low(self._delays[key])
            if key in self._medians:
                return self._medians[key]
        return DELAY_UNKNOWN_NS

    def document(self) -> dict[str, float]:
        """Kind → its delay in milliseconds."""
        kinds = sorted({kind for kind, _ in self._delays if kind})
        return {kind: round(self.delay_ns(kind, "") / MILLISECOND, 3) for kind in kinds}


class RecordedTape:
    """Feed it the records of a tape in order; then ask.

    ``gate`` says which approvals are risk's own and which sessions are the operator's.
    """

    def __init__(self, machines: Sequence[str], gate: InputGate) -> None:
        self.paces: list[Pace] = [Pace(0, is_played=False)]
        self.claims: dict[str, StoredClaim] = {}
        self.unclaimed: dict[str, list[int]] = {}
        self.approvals: dict[str, bytes] = {}
        """Order → digest of its approval."""
        self.answers = RecordedAnswers()
        self.counts: Counter[str] = Counter()
        """Machine → its outputs."""
        self.last_place: dict[str, tuple[int, int]] = {}
        """Machine → cause and index of its last output on the tape."""
        self._gate = gate
        self._prefixes = {name: f"{speaker(name)}." for name in machines}
        self._outputs: dict[tuple[str, str, int], list[StoredOutput]] = {}
        self._marks: dict[str, tuple[str, int, int]] = {}
        self._stored: list[tuple[int, str, int]] = [(0, "", 0)] * CAUSES_KEPT
        self._last_feed_seq = 0

    # ── the pass before ──

    def add(self, record: TapeRecord) -> None:
        """Take one record."""
        seq, subject = record.seq, record.subject
        self._stored[seq % CAUSES_KEPT] = (seq, subject, record.stored_at_ns)
        if subject.startswith(_FEED):
            self._last_feed_seq = seq
        elif subject.startswith(_OPERATOR):
            self._add_operator(record)
        elif subject.startswith(Claim.kind):
            self._add_claim(record)
        elif subject.startswith(f"{ModelAnswer.kind}."):
            self._add_answer(record)
        elif (machine := self.machine_of(record)) is not None:
            self._add_output(machine, record)
        elif subject.startswith(Unclaimed.kind):
            self.unclaimed.setdefault(subject.rpartition(".")[2], []).append(seq)

    def _add_operator(self, record: TapeRecord) -> None:
        try:
            event = decode(record.subject, record.payload)
            if self._gate.accept(record, event) is None:
                return
        except Unreadable:
            return
        if isinstance(event, Session):
            self.paces.append(Pace(record.seq, is_played=event.mode is Mode.PLAYBACK))

    def _add_claim(self, record: TapeRecord) -> None:
        try:
            claim = decode_as(Claim, record.payload)
        except Unreadable:
            return
        digest = digest_of(claim.approval_subject, claim.payload)
        self.claims.setdefault(claim.order, StoredClaim(record.seq, digest, record.stored_at_ns))
        self._measure(record)

    def _add_answer(self, record: TapeRecord) -> None:
        with suppress(Unreadable):
            self.answers.add(decode_as(ModelAnswer, record.payload))

    def _add_output(self, machine: str, record: TapeRecord) -> None:
        parsed = parse_message_id(record.message_id)
        assert parsed is not None
        mark = self._marks.get(machine)
        if mark is not None and mark[0] == parsed.tape and (parsed.cause, parsed.index) <= mark[1:]:
            return
        if not self._gate.is_word_of(machine, record):
            return
        self._marks[machine] = (parsed.tape, parsed.cause, parsed.index)
        digest = digest_of(record.subject, record.payload)
        stored = StoredOutput(record.seq, digest, record.stored_at_ns)
        self._outputs.setdefault((machine, parsed.tape, parsed.cause), []).append(stored)
        self.counts[machine] += 1
        place = (parsed.cause, parsed.index)
        self.last_place[machine] = max(self.last_place.get(machine, (0, 0)), place)
        if record.subject.startswith(Approval.kind):
            self.approvals[record.subject.rpartition(".")[2]] = digest
        self._measure(record)

    def _measure(self, record: TapeRecord) -> None:
        pace = self.paces[-1]
        cause = record.cause
        seq, subject, stored_at_ns = self._stored[cause % CAUSES_KEPT]
        if seq != cause or cause < max(pace.first, 1):
            return
        delay_ns = record.stored_at_ns - stored_at_ns
        overtaken = self._last_feed_seq > cause
        pace.add(kind_of(record.subject), kind_of(subject), delay_ns, overtaken=overtaken)

    # ── what the branches ask ──

    def machine_of(self, record: TapeRecord) -> str | None:
        """Whose output a record says it is; ``None`` for what comes from outside the machines."""
        parsed = parse_message_id(record.message_id)
        if parsed is None:
            return None
        prefix = self._prefixes.get(parsed.producer)
        return parsed.producer if prefix is not None and record.subject.startswith(prefix) else None

    def outputs_of(self, machine: str, tape: str, cause: int) -> Sequence[StoredOutput]:
        """What a machine said to the input with that sequence, in order."""
        return self._outputs.get((machine, tape, cause), ())

    def pace_from(self, seq: int) -> Pace | None:
        """The pace of the session that begins at a sequence; ``None`` where none begins."""
        return next((pace for pace in self.paces if pace.first == seq), None)

    def pace_at(self, seq: int) -> Pace:
        """The pace of the session that a sequence is in."""
        return next(pace for pace in reversed(self.paces) if pace.first <= seq)
