"""How two runs over the same inputs differ: decisions with their reasons, and profit by what caused it."""

from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from math import isqrt
from typing import Any

from libs.view.check_words import check_words
from libs.view.moment import moment
from proto.units import ONE, SECOND, show
from tools.offline.what_if.outcome import Decision, Flow, Outcome

NO_DECISION = "no proposal"
LISTED_MAX = 1_000
"""Differing decisions written out; all are counted."""

PAIRED_NS = 2 * SECOND
"""Apart in time, two decisions on one instrument are about the same thing if it is no more than this."""

NOT_MADE = "entries not made"
ADDED = "entries added"
SIZE = "entries of another size"
PRICE = "entries at another price"
EXITS = "exits"
FEES = "fees"
OTHER = "other"
CAUSES = (NOT_MADE, ADDED, SIZE, PRICE, EXITS, FEES, OTHER)


Pair = tuple[str, Decision | None, Decision | None]
"""A proposal's id, and what was decided on it in the baseline and with the change."""


def differing_decisions(baseline: Outcome, changed: Outcome) -> list[Pair]:
    """Proposals on which the two decided otherwise, in the order of their first decision.

    One that stands elsewhere with the change has another id: it is paired with the next one of its strategy,
    instrument and side that only the other has, if both were decided within ``PAIRED_NS``.
    """
    pairs: list[Pair] = []
    alone: dict[tuple[str, str, str], deque[tuple[str, Decision]]] = {}
    for proposal, after in changed.decisions.items():
        if proposal not in baseline.decisions:
            alone.setdefault(_topic(after), deque()).append((proposal, after))
    for proposal, before in baseline.decisions.items():
        found = changed.decisions.get(proposal)
        pairs.append((proposal, before, found or _partner(before, alone)))
    for left in alone.values():
        pairs += [(proposal, None, after) for proposal, after in left]
    pairs = [pair for pair in pairs if _text(pair[1]) != _text(pair[2])]
    return sorted(pairs, key=lambda pair: min(d.at_ns for d in pair[1:] if d is not None))


def _topic(decision: Decision) -> tuple[str, str, str]:
    return decision.strategy, decision.instrument, decision.side


def _partner(
    before: Decision, alone: dict[tuple[str, str, str], deque[tuple[str, Decision]]]
) -> Decision | None:
    waiting = alone.get(_topic(before), deque())
    passed = []
    partner = None
    while waiting and partner is None and waiting[0][1].at_ns <= before.at_ns + PAIRED_NS:
        proposal, after = waiting.popleft()
        if after.at_ns >= before.at_ns - PAIRED_NS:
            partner = after
        else:
            passed.append((proposal, after))
    waiting.extendleft(reversed(passed))
    return partner


def _text(decision: Decision | None) -> str:
    return decision.text if decision else ""


def decision_document(
    proposal: str, before: Decision | None, after: Decision | None, baseline: Outcome, changed: Outcome
) -> dict[str, Any]:
    """One difference as plain data. ``seq`` is the place of the recorded decision, 0 without one."""
    known = before or after
    assert known is not None
    return {
        "at": moment(known.at_ns),
        "seq": before.seq if before else 0,
        "proposal": proposal,
        "strategy": known.strategy,
        "market": known.market,
        "instrument": known.instrument,
        "baseline": before.text if before else NO_DECISION,
        "changed": after.text if after else NO_DECISION,
        "why": {"baseline": _why(before, after, baseline), "changed": _why(after, before, changed)},
    }


def _why(decision: Decision | None, other: Decision | None, outcome: Outcome) -> list[str]:
    """The checks that tell: those that failed, on either side, with this side's figures; then what came of it."""
    if decision is None:
        return ["the strategy or the exit proposed nothing here"]
    telling = {check.name for side in (decision, other) if side for check in side.checks if not check.passed}
    words = [check_words(check) for check in decision.checks if check.name in telling]
    if decision.order:
        words.append(
            f"order {decision.order}: {show(outcome.filled.get(decision.order, 0))} filled, simulated"
        )
    return words


def profit_by_cause(baseline: Outcome, changed: Outcome) -> dict[str, int]:
    """The difference in profit, by what caused it, in millionths of a dollar: the parts add up to all of it.

    Each instrument's part has one cause, the first that holds: entries of one side alone, other quantities, other
    prices, other exits. Fees are a cause of their own.
    """
    parts = dict.fromkeys(CAUSES, 0)
    for instrument in dict.fromkeys([*baseline.flows, *changed.flows]):
        before, after = baseline.flows.get(instrument, Flow()), changed.flows.get(instrument, Flow())
        gross = after.money - before.money + changed.value_of(instrument) - baseline.value_of(instrument)
        parts[FEES] -= after.fees - before.fees
        if gross:
            parts[_cause(before, after)] += gross
    return parts


def _cause(before: Flow, after: Flow) -> str:
    if bool(before.entries) != bool(after.entries):
        return NOT_MADE if before.entries else ADDED
    if sum(quantity for quantity, _ in before.entries) != sum(quantity for quantity, _ in after.entries):
        return SIZE
    if sum(money for _, money in before.entries) != sum(money for _, money in after.entries):
        return PRICE
    return EXITS if before.exits != after.exits else OTHER


def trade_differences(baseline: Outcome, changed: Outcome) -> list[int]:
    """What each trade that is not the same in both made more with the change, in millionths of a dollar.

    The trades of an instrument are paired in their order; one that only one side has counts in full, one that is open at
    the end as it is valued then.
    """
    before, after = baseline.results(), changed.results()
    pairs = (
        pair
        for instrument in dict.fromkeys([*before, *after])
        for pair in zip_longest(before.get(instrument, ()), after.get(instrument, ()), fillvalue=0)
    )
    return [made - had for had, made in pairs if made != had]


def noise_of(differences: Sequence[int]) -> int:
    """The standard deviation of their sum, were each as likely a gain as a loss: the root of the sum of squares."""
    return isqrt(sum(difference * difference for difference in differences))


def comparison(baseline: Outcome, changed: Outcome) -> dict[str, Any]:
    """Everything in which ``changed`` differs, as plain data; money in dollars."""
    before, after = baseline.figures(), changed.figures()
    differing = differing_decisions(baseline, changed)
    trades = trade_differences(baseline, changed)
    return {
        "outcome": after.document(),
        "profit_difference": (after.profit - before.profit) / ONE,
        "profit_by_cause": {
            cause: part / ONE for cause, part in profit_by_cause(baseline, changed).items() if part
        },
        "trades_differing": len(trades),
        "noise": noise_of(trades) / ONE,
        "decisions_differing": len(differing),
        "decisions": [decision_document(*found, baseline, changed) for found in differing[:LISTED_MAX]],
    }
