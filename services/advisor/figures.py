"""The figures that the advisor's health report and metrics show of its machine's state. Pure."""

from typing import Any

from libs.forecasting.score import ScoreCard
from proto.evaluation import ChangeStep
from proto.units import ONE, Nanoseconds
from services.advisor import decided
from services.advisor.params import AdvisorParams
from services.advisor.record import POOLED
from services.advisor.spend import Spend
from services.advisor.state import AdvisorState, QueueState


def figures_of(state: AdvisorState, now: Nanoseconds) -> dict[str, Any]:
    """Money in dollars; scores and weights as fractions."""
    params, spend = state.params, state.spend
    weights = _weights(state)
    return {
        "provider": params.provider if params else "none",
        "idle": state.why_idle,
        "open": len(state.open),
        "spent": spend.total / ONE,
        "spent_day": spend.day_spent / ONE,
        "spent_month": spend.month_spent / ONE,
        "reserved": sum(spend.reserved.values()) / ONE,
        "cap_used": _cap_used(spend, params),
        "paused": now < state.paused_until,
        "brier": _brier(state.cards),
        "scored": sum(card.count for card in _pooled(state.cards)),
        "weights": sum(weight > 0 for weight in weights.values()),
        "weight": weights,
        "queue": _queue(state.proposing.queue, now),
    }


def _queue(queue: QueueState, now: Nanoseconds) -> dict[str, Any]:
    """Proposals before the operator, what became of the others, and what machines did with changes. Times in seconds."""
    late = len(decided.overdue(queue, now))
    outcomes = {
        name: queue.outcomes.get(name, 0) for name in (decided.ACCEPTED, decided.REJECTED, decided.EXPIRED)
    }
    outcomes[decided.EXPIRED] += late
    return {
        "waiting": len(queue.waiting) - late,
        "outcomes": outcomes,
        "steps": {step.value: queue.steps.get(step, 0) for step in ChangeStep},
        "unmeasured_s": decided.unmeasured_s(queue, now),
    }


def _pooled(cards: dict[str, ScoreCard]) -> list[ScoreCard]:
    return [card for key, card in cards.items() if key.startswith(f"{POOLED}|")]


def _weights(state: AdvisorState) -> dict[str, float]:
    """Family → the highest weight that a roster has earned in it; families whose forecasts have an outcome."""
    least = state.params.outcomes_min_count if state.params is not None else 1
    found: dict[str, float] = {}
    for key, learner in state.learners.items():
        if learner.outcomes:
            family = key.partition("|")[0]
            found[family] = max(found.get(family, 0.0), learner.weight(least) / ONE)
    return found


def _cap_used(spend: Spend, params: AdvisorParams | None) -> float:
    """The part of the day's or the month's cap that is spent or held back, whichever is more."""
    if params is None:
        return 0.0
    held = sum(spend.reserved.values())
    parts = ((spend.day_spent, params.day_cap), (spend.month_spent, params.month_cap))
    return max((min(1.0, (spent + held) / cap) if cap else 1.0) for spent, cap in parts)


def _brier(cards: dict[str, ScoreCard]) -> dict[str, float]:
    """The mean Brier scores of the pooled forecasts and of the market's price; nothing before a market has ended."""
    pooled = _pooled(cards)
    count = sum(card.count for card in pooled)
    if not count:
        return {}
    return {
        "forecast": sum(card.brier for card in pooled) / count / ONE,
        "market": sum(card.brier_market for card in pooled) / count / ONE,
    }
