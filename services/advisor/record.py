"""What forecasts were worth: weights, scores and lessons, from markets that have ended."""

from collections.abc import Iterable

from libs.bounded import cut, keep_newest
from libs.forecasting.calibration import Calibrator
from libs.forecasting.families import family_of
from libs.forecasting.odds import clamp_market, log_loss
from libs.forecasting.score import ScoreCard
from libs.forecasting.weight import Learner
from proto.advisor import Lesson, Score, ScoreBin
from proto.feed import Market
from proto.message import Message, as_name, as_text
from proto.units import ONE, Nanoseconds, Price
from services.advisor.evidence import plain_line
from services.advisor.state import (
    CARDS_MAX,
    FAMILIES_MAX,
    LAST_MAX,
    LEARNERS_MAX,
    LESSONS_KEPT,
    AdvisorState,
    LastForecast,
)

POOLED, CALIBRATED, ROLE, SOURCE = "pooled", "calibrated", "role", "source"
_BETWEEN = "|"


def family_in(state: AdvisorState, market: Market) -> str:
    """The family of a market: that of its first forecast, whatever becomes of its times later."""
    last = state.last.get(market.market)
    return last.family if last is not None else as_name(family_of(market))


def learner_of(state: AdvisorState, family: str, roster: str) -> Learner:
    """The weight of a roster in a family; a new one begins without any."""
    key = f"{family}{_BETWEEN}{roster}"
    learner = state.learners.get(key)
    if learner is None:
        learner = state.learners[key] = Learner()
        keep_newest(state.learners, LEARNERS_MAX)
    return learner


def calibrator_of(state: AdvisorState, family: str, roster: str) -> Calibrator:
    """How sure a roster may be in a family; a new one is taken at its word."""
    key = f"{family}{_BETWEEN}{roster}"
    calibrator = state.calibrators.get(key)
    if calibrator is None:
        calibrator = state.calibrators[key] = Calibrator()
        keep_newest(state.calibrators, LEARNERS_MAX)
    return calibrator


def note_calibrated(
    state: AdvisorState, market: str, family: str, calibrated: tuple[str, Price], price: Price
) -> None:
    """Remember what a roster's forecast was made of by calibration (roster, probability), until the outcome."""
    roster, probability = calibrated
    _card(state, CALIBRATED, roster, family).add(market, probability, price)


def note_forecast(
    state: AdvisorState,
    market: str,
    family: str,
    pooled: tuple[str, Price],
    roles: Iterable[tuple[str, str, Price]],
    price: Price,
) -> None:
    """Remember a pooled forecast (roster, probability) and its roles' (role, name, probability) until the outcome."""
    roster, forecast = pooled
    _card(state, POOLED, roster, family).add(market, forecast, price)
    said: dict[str, Price] = {}
    for role, name, probability in roles:
        said[role] = probability
        _card(state, ROLE, name, family).add(market, probability, price)
    state.last.pop(market, None)
    state.last[market] = LastForecast(family, forecast, price, said)
    keep_newest(state.last, LAST_MAX)


def note_sources(
    state: AdvisorState, market: str, family: str, sources: Iterable[tuple[str, Price]], price: Price
) -> None:
    """Remember what was forecast with each source (a feed, a host) at hand, until the outcome."""
    for name, probability in sources:
        _card(state, SOURCE, name, family).add(market, probability, price)


def settle(
    state: AdvisorState, market: Market, now: Nanoseconds, outcomes_min: int, *, happened: bool
) -> list[Message]:
    """Learn from an outcome; the lesson and the scores that changed. Nothing for a market without forecasts."""
    last = state.last.pop(market.market, None)
    if last is None:
        return []
    family = last.family
    for held in _learning(state, family):
        held.settle(market.market, happened=happened)
    out: list[Message] = [_lesson(state, market, last, now, happened=happened)]
    for key, card in state.cards.items():
        scope, name, of_family = key.split(_BETWEEN)
        if of_family == family and card.settle(market.market, happened=happened):
            out.append(_score(state, (scope, name, family), card, now, outcomes_min))
    return out


def drop(state: AdvisorState, market: str) -> None:
    """Forget a market that ended without an outcome."""
    last = state.last.pop(market, None)
    if last is None:
        return
    for held in _learning(state, last.family):
        held.drop(market)
    for key, card in state.cards.items():
        if key.endswith(f"{_BETWEEN}{last.family}"):
            card.drop(market)


def _learning(state: AdvisorState, family: str) -> list[Learner | Calibrator]:
    """All that learns from an outcome of a family."""
    rows: list[tuple[str, Learner | Calibrator]] = [*state.learners.items(), *state.calibrators.items()]
    return [held for key, held in rows if key.startswith(f"{family}{_BETWEEN}")]


def _card(state: AdvisorState, scope: str, name: str, family: str) -> ScoreCard:
    key = _BETWEEN.join((scope, name.replace(_BETWEEN, " "), family))
    card = state.cards.get(key)
    if card is None:
        card = state.cards[key] = ScoreCard()
        keep_newest(state.cards, CARDS_MAX)
    return card


def _score(
    state: AdvisorState, which: tuple[str, str, str], card: ScoreCard, now: Nanoseconds, outcomes_min: int
) -> Score:
    scope, name, family = which
    learner = state.learners.get(f"{family}{_BETWEEN}{name}") if scope == POOLED else None
    count = card.count
    return Score(
        scope=scope,
        name=as_name(name),
        family=family,
        at=now,
        count=count,
        brier=card.brier // count,
        brier_market=card.brier_market // count,
        loss=card.loss // count,
        loss_market=card.loss_market // count,
        weight=0 if learner is None else learner.weight(outcomes_min),
        lower_bound=0 if learner is None else round(learner.lower_bound() * ONE),
        bins=tuple(ScoreBin(entry.count, entry.said, entry.happened) for entry in card.bins),
    )


def _lesson(
    state: AdvisorState, market: Market, last: LastForecast, now: Nanoseconds, *, happened: bool
) -> Lesson:
    family = last.family
    outcome = ONE if happened else 0
    best = min(last.roles, key=lambda role: (abs(last.roles[role] - outcome), role), default="")
    came = "it happened" if happened else "it did not happen"
    nearest = f"; nearest: {best} with {_percent(last.roles[best])}" if best else ""
    # The market's price stays out of it: the words become part of later questions.
    text = f"{cut(plain_line(market.title), 200)}: said {_percent(last.forecast)}, {came}{nearest}"
    lessons = state.lessons.pop(family, [])
    state.lessons[family] = [*lessons, text][-LESSONS_KEPT:]
    keep_newest(state.lessons, FAMILIES_MAX)
    gain = log_loss(clamp_market(last.price), happened=happened) - log_loss(last.forecast, happened=happened)
    return Lesson(
        market=market.market,
        family=family,
        title=as_text(market.title),
        happened=happened,
        forecast=last.forecast,
        price=last.price,
        gain=round(gain * ONE),
        at=now,
        best_role=best,
        text=as_text(text),
    )


def _percent(probability: Price) -> str:
    return f"{probability * 100 / ONE:.0f} %"
