"""What became of proposed changes: the queue before the operator, and his decisions as examples for the next prompt. Pure.

An example is a setting, two numbers, what was measured and what came of it. No reason goes with it, neither the model's nor
the operator's: what one of them wrote is no part of what the next model is told.
"""

from libs.bounded import keep_newest
from libs.changes.limits import AmountRange, ChangeLimits
from proto.advisor import Suggestion
from proto.evaluation import ChangeProposal, ChangeStep, ExitChange, SignalChange
from proto.operator import Command, Verb
from proto.units import SECOND, Nanoseconds, show
from services.advisor.evidence import plain_line
from services.advisor.state import Proposed, QueueState

WAITING_MAX = 500
"""Proposals that wait for the operator: each waits a day, and twenty a day are measured."""
EXAMPLES_MAX = 20
"""Of the operator's decisions, the newest: a prompt has room for them, and older ones were about another system."""
UNMEASURED_MAX = 100
UNMEASURED_S = 86_400
"""A suggestion that was not measured within a day will not be."""

ACCEPTED, REJECTED, EXPIRED = "accepted", "rejected", "expired"
WORDS = {
    ACCEPTED: "accepted",
    REJECTED: "rejected",
    ChangeStep.REVERTED: "accepted, and taken back within the hour because it did harm",
}
"""What a model is told of each outcome."""


def on_suggestion(queue: QueueState, suggestion: Suggestion, now: Nanoseconds) -> None:
    """A change was suggested: the evaluator is to measure it."""
    queue.unmeasured[suggestion.proposal] = now
    keep_newest(queue.unmeasured, UNMEASURED_MAX)


def on_proposal(queue: QueueState, proposal: ChangeProposal) -> None:
    """The evaluator has measured a change, or says why not; said again, it counts once."""
    queue.unmeasured.pop(proposal.proposal, None)
    if proposal.proposal in queue.waiting or proposal.proposal in queue.decided:
        return
    without, changed = proposal.without, proposal.changed
    measured = without is not None and changed is not None
    queue.waiting[proposal.proposal] = Proposed(
        path=proposal.edit.path,
        old=proposal.edit.old,
        new=proposal.edit.new,
        expires_at=proposal.expires_at,
        gain=changed.profit - without.profit if without is not None and changed is not None else None,
        differing=proposal.differing if measured else 0,
    )
    keep_newest(queue.waiting, WAITING_MAX)


def on_command(queue: QueueState, command: Command, now: Nanoseconds) -> None:
    """The operator decides."""
    expire(queue, now)
    outcome = {Verb.ACCEPT: ACCEPTED, Verb.REJECT: REJECTED}.get(command.verb)
    if outcome is not None and command.proposal in queue.waiting:
        _decide(queue, command.proposal, outcome)


def on_change(queue: QueueState, event: SignalChange | ExitChange) -> None:
    """A machine applied an accepted change, refused it, or took it back."""
    queue.steps[event.step] = queue.steps.get(event.step, 0) + 1
    held = queue.decided.get(event.proposal)
    if held is None or held.outcome != ACCEPTED:
        return
    if event.step is ChangeStep.REVERTED:
        held.outcome = event.step
    elif event.step is ChangeStep.REFUSED:
        # Nothing came of it, and it may be accepted again.
        held.outcome = ""
        queue.waiting[event.proposal] = queue.decided.pop(event.proposal)


def expire(queue: QueueState, now: Nanoseconds) -> None:
    """What waited too long waits no more."""
    for name in overdue(queue, now):
        # That nobody looked in time says nothing of the change: no example.
        del queue.waiting[name]
        _count(queue, EXPIRED)


def overdue(queue: QueueState, now: Nanoseconds) -> list[str]:
    """Proposals whose time is over and that nobody has looked at since."""
    return [name for name, held in queue.waiting.items() if held.expires_at <= now]


def _decide(queue: QueueState, name: str, outcome: str) -> None:
    held = queue.waiting.pop(name)
    held.outcome = outcome
    queue.decided[name] = held
    keep_newest(queue.decided, EXAMPLES_MAX)
    _count(queue, outcome)


def _count(queue: QueueState, outcome: str) -> None:
    queue.outcomes[outcome] = queue.outcomes.get(outcome, 0) + 1


def examples(queue: QueueState, limits: ChangeLimits | None) -> list[str]:
    """A line for each decision, newest first; only of settings that are still on the list."""
    lines = []
    for held in reversed(queue.decided.values()):
        found = limits.range_of(held.path) if limits is not None else None
        if found is None:
            continue
        write = show if isinstance(found, AmountRange) else str
        gain = "not measured" if held.gain is None else f"measured {show(held.gain)} dollars"
        lines.append(
            plain_line(
                f"{held.path} from {write(held.old)} to {write(held.new)}, {gain} over {held.differing} "
                f"decisions that differ: {WORDS.get(held.outcome, held.outcome)}"
            )
        )
    return lines


def unmeasured_s(queue: QueueState, now: Nanoseconds) -> float:
    """For how long the oldest suggestion has waited for the evaluator; 0 without one. In seconds."""
    waited = [now - at for at in queue.unmeasured.values() if 0 <= now - at < UNMEASURED_S * SECOND]
    return max(waited, default=0) / SECOND
