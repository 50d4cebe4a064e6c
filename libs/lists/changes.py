"""Proposed changes and what became of them: a fold of the tape, for commands and the console."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from libs.archive.history import History
from libs.changes.limits import SECTION, ChangeLimits, limits_in
from libs.lists.reading import Entry, read_kinds
from proto.evaluation import ChangeProposal, ChangeStep, ExitChange, Revert, SignalChange, Tally, Verdict
from proto.operator import Command, Config, Verb
from proto.units import ONE

KINDS = (ChangeProposal, Command, SignalChange, ExitChange, Verdict, Revert)

WAITING = "waiting"
EXPIRED = "expired"
ACCEPTED = "accepted"
"""By the operator, and no machine has answered."""
REJECTED = "rejected"
APPLIED = "applied"
REFUSED = "refused"
"""By the machine; it may be accepted again."""
REVERTED = "reverted"
ENDED = "ended"
OPEN = (WAITING, REFUSED)
"""States in which a proposal can be accepted."""

_STATES = {
    ChangeStep.APPLIED: APPLIED,
    ChangeStep.REFUSED: REFUSED,
    ChangeStep.REVERTED: REVERTED,
    ChangeStep.ENDED: ENDED,
}


@dataclass(slots=True)
class ChangeRow:
    """A proposal with its newest state. ``seq`` is its own place on the tape, ``decided_seq`` that of the decision."""

    seq: int
    proposal: ChangeProposal
    state: str = WAITING
    reason: str = ""
    decided_seq: int = 0
    verdicts: list[Verdict] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As plain data; values as they stand in the section (amounts in millionths), money in dollars."""
        proposal, edit = self.proposal, self.proposal.edit
        return {
            "proposal": proposal.proposal,
            "state": self.state,
            "reason_of_state": self.reason,
            "path": edit.path,
            "section": edit.section,
            "section_hash": edit.section_hash,
            "old": edit.old,
            "new": edit.new,
            "day": proposal.day,
            "reason": proposal.reason,
            "findings": [found.finding for found in proposal.findings],
            "model": proposal.model,
            "prompt": proposal.prompt,
            "measured": proposal.is_measured,
            "without": _tally(proposal.without),
            "changed": _tally(proposal.changed),
            "differing": proposal.differing,
            "detail": proposal.detail,
            "at": proposal.at,
            "expires_at": proposal.expires_at,
            "seq": self.seq,
            "decided_seq": self.decided_seq,
            "verdicts": [
                {
                    "minutes": verdict.minutes,
                    "ruling": verdict.ruling.value,
                    "reason": verdict.reason,
                    "loss": verdict.loss / ONE,
                    "limit": verdict.limit / ONE,
                    "at": verdict.at,
                }
                for verdict in self.verdicts
            ],
        }


def _tally(tally: Tally | None) -> dict[str, Any] | None:
    if tally is None:
        return None
    return tally.model_dump() | {"profit": tally.profit / ONE, "drawdown": tally.drawdown / ONE}


class ChangeQueue:
    """Rows by proposal, oldest first; ``add`` the messages of ``KINDS`` in the order of the tape."""

    def __init__(self) -> None:
        self.rows: dict[str, ChangeRow] = {}

    def extend(self, entries: Iterable[Entry]) -> "ChangeQueue":
        """Add what was read."""
        for record, message in entries:
            self.add(record.seq, message)
        return self

    def add(self, seq: int, message: Any) -> None:
        """Add one message. A proposal that is said again counts as it was said first."""
        if isinstance(message, ChangeProposal):
            self.rows.setdefault(message.proposal, ChangeRow(seq, message))
            return
        row = self.rows.get(getattr(message, "proposal", ""))
        if row is None:
            return
        if isinstance(message, Command):
            self._decide(row, seq, message)
        elif isinstance(message, SignalChange | ExitChange):
            row.state = _STATES.get(message.step, row.state)
            row.reason = message.reason
        elif isinstance(message, Verdict):
            row.verdicts.append(message)

    @staticmethod
    def _decide(row: ChangeRow, seq: int, command: Command) -> None:
        if row.state not in OPEN:
            return
        if command.verb is Verb.ACCEPT:
            row.state, row.reason, row.decided_seq = ACCEPTED, "", seq
        elif command.verb is Verb.REJECT:
            row.state, row.reason, row.decided_seq = REJECTED, command.reason, seq

    def expire(self, now_ns: int) -> "ChangeQueue":
        """Mark what waited too long; ``now_ns`` is the session's time."""
        for row in self.rows.values():
            if row.state == WAITING and row.proposal.expires_at <= now_ns:
                row.state = EXPIRED
        return self


async def read_changes(history: History, now_ns: int) -> ChangeQueue:
    """Every proposed change of the tape, of archive and window as one.

    Raises:
        BrokerUnavailable: the broker did not answer.
        ArchiveDamaged: a segment cannot be read.
    """
    return ChangeQueue().extend((await read_kinds(history, KINDS)).entries).expire(now_ns)


async def read_limits(history: History) -> ChangeLimits:
    """What may be changed, as the newest session says; nothing without one."""
    newest = ChangeLimits(amounts={}, counts={})
    for _, message in (await read_kinds(history, (Config,))).entries:
        if message.section == SECTION:
            newest = limits_in(message.document) or newest
    return newest
