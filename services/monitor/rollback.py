"""The hour after a change: looks at what it has done, and its taking back when that is worse than chance explains.

A look asks the evaluator for the time since the change with and without it, both simulated on the same tape. What is judged
is the difference of the two, so that a bad market, which both have, is no reason.
"""

from typing import NamedTuple

from libs.bounded import keep_newest
from libs.changes.book import BARRED_S, REVERT_WITHIN_S
from proto.evaluation import (
    ChangeStep,
    Checkpoint,
    Counterfactual,
    ExitChange,
    Revert,
    Ruling,
    SignalChange,
    Tally,
    Verdict,
)
from proto.message import Message, as_integer
from proto.monitor import Severity
from proto.units import SECOND, as_money, later, show
from services.monitor.board import Board
from services.monitor.state import MonitorState, WatchedChange

LOOKS = ((5, 300), (15, 900), (30, 1_800), (60, 3_300))
"""Minutes and the seconds after the change at which each look begins. The last one begins five minutes early: its verdict
has to be there within the hour in which the acceptance allows a revert."""
ANSWER_S = 300
"""The evaluator simulates an hour of tape in a minute or two, at the lowest priority."""
WATCHED_MAX = 100
"""Changes watched at a time: one a section, and a year of them would not be as many."""

DEVIATIONS = 3
"""A loss up to so many standard deviations is noise. For differences that are as likely gains as losses, a sum beyond
three times the root of their squares has a chance below exp(-9/2) = 1.1 % (V. de la Peña, 1999, "A general class of
exponential inequalities for martingales and ratios"), so four looks revert a harmless change in fewer than one case of 22."""
DIFFERING_MIN = 3
"""Fewer trades that differ prove nothing, whatever the arithmetic says."""
SILENT_MIN = 10
"""So many trades without the change and none with it: it has stopped the strategy."""
TIMES_MAX = 3
"""More than so many times the trades or rejections that were without the change ..."""
MORE_MIN = 30
"""... and so many more."""

REVERTED = "change_reverted"
NOT_REVERTED = "change_not_reverted"
UNCHECKED = "change_unchecked"


class Judgement(NamedTuple):
    """What a look comes to; money in millionths."""

    ruling: Ruling
    reason: str
    loss: int = 0
    limit: int = 0


def judge(found: Counterfactual) -> Judgement:
    """What a change has done, by the time since with and without it."""
    without, changed = found.without, found.changed
    if without is None or changed is None:
        return Judgement(Ruling.UNKNOWN, found.detail or "it could not be simulated")
    loss, limit = without.profit - changed.profit, DEVIATIONS * found.noise
    harm = _harm_to_profit(found, loss, limit) or _harm_beside(without, changed)
    if harm:
        return Judgement(Ruling.REVERT, harm, loss, limit)
    way = f"lost {show(loss)} more" if loss > 0 else f"made {show(-loss)} more"
    text = f"{way} than without it over {found.differing} trades that differ; noise explains {show(limit)}"
    return Judgement(Ruling.KEEP, text, loss, limit)


def _harm_to_profit(found: Counterfactual, loss: int, limit: int) -> str:
    if found.differing < DIFFERING_MIN or loss <= max(limit, 0):
        return ""
    return f"lost {show(loss)} more than without it; noise explains {show(limit)}"


def _harm_beside(without: Tally, changed: Tally) -> str:
    """What a change may break that profit does not show yet."""
    more = changed.errors - without.errors
    # The difference of two counts: its variance is their sum.
    if more > 0 and more * more > DEVIATIONS * DEVIATIONS * (changed.errors + without.errors):
        return f"{changed.errors} orders failed, {without.errors} without it"
    if not changed.trades and without.trades >= SILENT_MIN:
        return f"no trade any more, {without.trades} without it"
    for name in ("trades", "rejections"):
        had, has = getattr(without, name), getattr(changed, name)
        if has > TIMES_MAX * had and has - had >= MORE_MIN:
            return f"{has} {name}, {had} without it"
    return ""


def on_change(state: MonitorState, board: Board, change: SignalChange | ExitChange, seq: int) -> None:
    """A machine applied a change, or took it back."""
    if change.step is ChangeStep.APPLIED:
        state.changes[change.proposal] = WatchedChange(change.edit, board.now, seq)
        keep_newest(state.changes, WATCHED_MAX)
    elif change.step in (ChangeStep.REVERTED, ChangeStep.ENDED):
        state.changes.pop(change.proposal, None)
    elif change.step is ChangeStep.REVERT_REFUSED and state.changes.pop(change.proposal, None) is not None:
        text = f"{change.edit.path}: expected to be taken back, was refused: {change.reason}"
        board.notice(NOT_REVERTED, Severity.CRITICAL, change.proposal, text)


def sweep(state: MonitorState, board: Board, seq: int) -> list[Message]:
    """Ask what is due; give up what nobody answered. ``seq`` is where the tape stands."""
    out: list[Message] = []
    for proposal, change in list(state.changes.items()):
        if change.asked_minutes and board.now >= later(change.asked_at, ANSWER_S * SECOND):
            judgement = Judgement(Ruling.UNKNOWN, "the evaluator has not answered")
            out += _rule(state, board, proposal, change.asked_minutes, judgement)
        if change.next_look < len(LOOKS):
            minutes, due_s = LOOKS[change.next_look]
            if board.now >= later(change.at, due_s * SECOND):
                out.append(_look(change, proposal, minutes, board.now, seq))
        elif not change.asked_minutes or board.now > later(change.at, REVERT_WITHIN_S * SECOND):
            state.changes.pop(proposal, None)
    return out


def _look(change: WatchedChange, proposal: str, minutes: int, now: int, seq: int) -> Checkpoint:
    change.next_look += 1
    change.asked_minutes, change.asked_at = minutes, now
    return Checkpoint(
        proposal=proposal, edit=change.edit, minutes=minutes, from_seq=change.seq, to_seq=seq, at=now
    )


def on_counterfactual(state: MonitorState, board: Board, found: Counterfactual) -> list[Message]:
    """The evaluator's answer to a look, also a late one, as long as the change may be taken back."""
    change = state.changes.get(found.proposal)
    asked = [minutes for minutes, _ in LOOKS[: change.next_look]] if change is not None else []
    if change is None or found.minutes not in asked or found.minutes in change.judged:
        return []
    return _rule(state, board, found.proposal, found.minutes, judge(found))


def _rule(
    state: MonitorState, board: Board, proposal: str, minutes: int, judgement: Judgement
) -> list[Message]:
    change = state.changes[proposal]
    if minutes == change.asked_minutes:
        change.asked_minutes = 0
    path = change.edit.path
    if judgement.ruling is Ruling.UNKNOWN:
        board.notice(UNCHECKED, Severity.WARNING, proposal, f"{path} after {minutes} min: {judgement.reason}")
    else:
        change.judged.append(minutes)
    out: list[Message] = [
        Verdict(
            proposal=proposal,
            minutes=minutes,
            ruling=judgement.ruling,
            reason=judgement.reason,
            at=board.now,
            loss=as_money(judgement.loss),
            limit=as_money(judgement.limit),
        )
    ]
    if judgement.ruling is Ruling.REVERT and not change.is_reverting:
        change.is_reverting = True
        board.notice(REVERTED, Severity.WARNING, proposal, f"{path}: {judgement.reason}")
        out.append(
            Revert(
                proposal=proposal,
                edit=change.edit,
                reason=judgement.reason,
                at=board.now,
                barred_until=as_integer(later(board.now, BARRED_S * SECOND)),
            )
        )
    return out


def rebase(state: MonitorState, now: int) -> None:
    """Time starts again earlier: nothing waits for the old time."""
    for change in state.changes.values():
        change.at = min(change.at, now)
        change.asked_at = min(change.asked_at, now)
