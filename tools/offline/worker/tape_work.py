"""What the tape asks of the evaluator, and what it has answered already: read anew now and then, no message is lost."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from libs.archive.history import History
from libs.changes.limits import ChangeLimits, limits_in, refusal_of
from libs.contract.codec import Unreadable, decode
from libs.evaluation.day import DAY_NS
from libs.tape.broker import stream_state
from libs.tape.reader import read_subject
from libs.tape.record import TapeRecord
from proto.advisor import Suggestion
from proto.evaluation import ChangeProposal, Checkpoint, Counterfactual, Finding
from proto.message import Message
from proto.operator import Config
from proto.units import SECOND

OLD_S = 2 * 3_600
"""A checkpoint or a suggestion older than that is nobody's business any more."""
SUGGESTIONS_A_DAY_MAX = 20
"""Measured in one day. Whoever speaks in the advisor's name cannot keep the evaluator busy for ever."""


class Pending(NamedTuple):
    """A message that waits for an answer, and where it stands."""

    record: TapeRecord
    message: Any


class TapeWork:
    """Follows what is asked and answered on the tape."""

    def __init__(self, history: History) -> None:
        self.position = 0
        self.limits: ChangeLimits | None = None
        self.evaluated: set[str] = set()
        """Days with a finding."""
        self._history = history
        self._proposed: set[str] = set()
        self._ruled: set[tuple[str, int]] = set()
        self._taken = (0, 0)
        """A day of the session's time, and how many suggestions were measured in it."""

    async def read(self) -> list[Pending]:
        """What was asked since the last time and has no answer.

        Raises:
            BrokerUnavailable: the broker did not answer; ask again.
        """
        link = self._history.link
        last = int((await stream_state(link.client))["last_seq"])
        if last == self.position:
            return []
        records: list[TapeRecord] = []
        for kind in (Config, Finding, ChangeProposal, Counterfactual, Checkpoint, Suggestion):
            pattern = f"{kind.kind}.eval" if kind is Config else f"{kind.kind}.>"
            records += await read_subject(link, pattern, self.position)
        records.sort(key=lambda record: record.seq)
        waiting = [pending for pending in self._readable(records, last) if self._take(pending.message)]
        self.position = last
        return [pending for pending in waiting if not self.is_answered(pending.message)]

    def _readable(self, records: list[TapeRecord], last: int) -> Iterator[Pending]:
        for record in records:
            if record.seq <= last:
                try:
                    yield Pending(record, decode(record.subject, record.payload))
                except Unreadable:
                    continue

    def _take(self, message: Message) -> bool:
        """Note what a message says; whether it is a question."""
        if isinstance(message, Config):
            self.limits = limits_in(message.document)
        elif isinstance(message, Finding):
            self.evaluated.add(message.day)
        elif isinstance(message, ChangeProposal):
            self._proposed.add(message.proposal)
        elif isinstance(message, Counterfactual):
            self._ruled.add((message.proposal, message.minutes))
        else:
            return True
        return False

    def is_answered(self, message: Message) -> bool:
        """Whether the tape has the answer."""
        if isinstance(message, Checkpoint):
            return (message.proposal, message.minutes) in self._ruled
        return isinstance(message, Suggestion) and message.proposal in self._proposed

    def refusal(self, suggestion: Suggestion, now: int) -> str:
        """Why a suggestion is not measured; "" when it is."""
        if self.limits is None:
            return "expected a list of what may be changed (config/eval.yaml), was none"
        edit = suggestion.edit
        if why := refusal_of(self.limits, edit.path, edit.old, edit.new):
            return why
        # Counted by the clock: what the message says of its day is its sender's word.
        day, count = now // DAY_NS, self._taken[1]
        self._taken = (day, count + 1 if day == self._taken[0] else 1)
        if self._taken[1] > SUGGESTIONS_A_DAY_MAX:
            return f"expected at most {SUGGESTIONS_A_DAY_MAX} suggestions in a day, was another"
        return ""

    @staticmethod
    def is_old(message: Any, now: int) -> bool:
        """Whether nobody waits for the answer any more."""
        return bool(now - message.at > OLD_S * SECOND)
