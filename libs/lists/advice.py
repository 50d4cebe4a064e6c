"""The advisor's forecasts, scores and spend, from the tape."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.forecasting.odds import pool
from libs.lists.reading import Entry
from proto.advisor import AnswerStatus, Forecast, Lesson, ModelAnswer, Question, Score
from proto.message import Message
from proto.units import ONE, SECOND

KINDS: tuple[type[Message], ...] = (Question, ModelAnswer, Forecast, Lesson, Score)
DAY = 86_400 * SECOND


@dataclass
class Advice:
    """What the tape says of the advisor. ``forecasts`` is newest first; ``scores`` has the newest of each forecaster."""

    forecasts: list[tuple[int, Forecast]] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    details: dict[str, int] = field(default_factory=dict)
    days: dict[int, int] = field(default_factory=dict)
    cost_by_model: dict[str, int] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    searches: int = 0
    unanswered: int = 0
    reserved: int = 0
    latency_ms: int = 0

    @property
    def spent(self) -> int:
        """Money, in millionths of a dollar."""
        return sum(self.days.values())

    def document(self) -> dict[str, Any]:
        """As plain data: probabilities as fractions, money in dollars."""
        answers = sum(self.statuses.values())
        return {
            "forecasts": [_forecast(seq, forecast) for seq, forecast in self.forecasts],
            "scores": [_score(score) for score in self.scores],
            "lessons": [lesson.text for lesson in self.lessons],
            "answers": {
                "count": answers,
                "by_status": self.statuses,
                "why_not": self.details,
                "mean_latency_ms": self.latency_ms // answers if answers else 0,
            },
            "spend": {
                "total": self.spent / ONE,
                "by_day": {_day(day): cost / ONE for day, cost in self.days.items()},
                "by_model": {model: cost / ONE for model, cost in self.cost_by_model.items()},
                "reserved": self.reserved / ONE,
                "unanswered": self.unanswered,
                "tokens_in": self.tokens_in,
                "tokens_out": self.tokens_out,
                "searches": self.searches,
            },
        }


def advice_of(entries: Sequence[Entry]) -> Advice:
    """Fold what was read of ``KINDS``, in the order of the tape."""
    found = Advice()
    opened: dict[str, Question] = {}
    scores: dict[tuple[str, str, str], Score] = {}
    forecasts: list[tuple[int, Forecast]] = []
    for record, message in entries:
        if isinstance(message, Question):
            opened[message.question] = message
        elif isinstance(message, ModelAnswer):
            _add_answer(found, message, opened.pop(message.question, None))
        elif isinstance(message, Forecast):
            forecasts.append((record.seq, message))
        elif isinstance(message, Score):
            scores[(message.scope, message.name, message.family)] = message
        elif isinstance(message, Lesson):
            found.lessons.append(message)
    found.forecasts = forecasts[::-1]
    found.scores = sorted(scores.values(), key=lambda score: (score.family, score.scope, score.name))
    found.unanswered = len(opened)
    found.reserved = sum(question.reserve for question in opened.values())
    return found


def _add_answer(found: Advice, answer: ModelAnswer, question: Question | None) -> None:
    if question is None:
        # Nobody asked, or it was answered before: the advisor leaves it out too.
        return
    status = answer.status.value
    found.statuses[status] = found.statuses.get(status, 0) + 1
    if answer.status not in (AnswerStatus.FORECAST, AnswerStatus.SATURATED) and answer.detail:
        why = answer.detail.partition(":")[0]
        found.details[why] = found.details.get(why, 0) + 1
    day = answer.at // DAY
    found.days[day] = found.days.get(day, 0) + answer.cost
    found.cost_by_model[question.model] = found.cost_by_model.get(question.model, 0) + answer.cost
    found.tokens_in += answer.tokens_in
    found.tokens_out += answer.tokens_out
    found.searches += answer.searches
    found.latency_ms += answer.latency_ms


def _day(day: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(day * 86_400, tz=UTC).date().isoformat()


def _forecast(seq: int, forecast: Forecast) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": forecast.at,
        "market": forecast.market,
        "family": forecast.family,
        "status": forecast.status.value,
        "forecast": forecast.forecast / ONE,
        "pooled": pooled_of(forecast) / ONE,
        "price": forecast.price / ONE,
        "probability": forecast.probability / ONE,
        "weight": forecast.weight / ONE,
        "influence": forecast.influence.value,
        "outcomes": forecast.outcomes,
        "roles": [
            {
                "role": role.role,
                "status": role.status.value,
                "probability": role.probability / ONE if role.probability else None,
                "model": role.model,
                "prompt": role.prompt,
                "question": role.question,
            }
            for role in forecast.roles
        ],
        "reasons": forecast.reasons.splitlines(),
    }


def pooled_of(forecast: Forecast) -> int:
    """The roles' pool before it was calibrated, in millionths; 0 where there is no forecast."""
    said = [role.probability for role in forecast.roles if role.probability]
    return pool(said) if forecast.forecast and said else 0


def _score(score: Score) -> dict[str, Any]:
    return {
        "scope": score.scope,
        "name": score.name,
        "family": score.family,
        "markets": score.count,
        "brier": score.brier / ONE,
        "brier_market": score.brier_market / ONE,
        "log_loss": score.loss / ONE,
        "log_loss_market": score.loss_market / ONE,
        "weight": score.weight / ONE,
        "lower_bound": score.lower_bound / ONE,
        "calibration": [
            {
                "said": entry.said / entry.markets / ONE,
                "happened": entry.happened / entry.markets,
                "markets": entry.markets,
            }
            for entry in score.bins
            if entry.markets
        ],
    }
