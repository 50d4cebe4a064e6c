"""State of the advisor machine. Everything in it is bounded: see the constants beside the fields."""

from typing import Any

from msgspec import Struct, field

from libs.changes.limits import ChangeLimits
from libs.forecasting.calibration import Calibrator
from libs.forecasting.score import ScoreCard
from libs.forecasting.weight import Learner
from libs.indicators.tops import Tops
from libs.indicators.volatility import ReturnSampler
from proto.advisor import AnswerStatus, Question
from proto.evaluation import Edit
from proto.feed import Market
from proto.units import Money, Nanoseconds, Price
from services.advisor.news import NewsItem
from services.advisor.params import AdvisorParams
from services.advisor.spend import Spend

MARKETS_MAX = 5_000
"""Markets known at a time; a feed follows a few hundred."""
LEARNERS_MAX = 500
"""Families times rosters; the oldest are forgotten, and have to earn again."""
CARDS_MAX = 2_000
LESSONS_KEPT = 20
"""Lessons a family; a question carries the newest ten."""
FAMILIES_MAX = 200
LAST_MAX = 5_000
"""Markets with a forecast and without an end."""
DONE_MAX = 500
"""Answered questions remembered, so that none is asked twice."""
FAILURES_MAX = 3
FAILURES_WINDOW_S = 600
PAUSE_S = 900
"""A provider that fails three times in ten minutes is left alone for a quarter of an hour."""


class OpenQuestion(Struct):
    """A question without an answer. ``is_stored``: it was read back from the tape, so the shell may ask it."""

    question: Question
    is_stored: bool = False


class RoleAnswer(Struct):
    """What a role said of a market in this round; ``sources``: feeds and hosts that it rests on."""

    question: str
    prompt: str
    model: str
    status: AnswerStatus = AnswerStatus.FAILED
    probability: Price | None = None
    reasons: str = ""
    sources: list[str] = []


class Round(Struct):
    """The questions about one market in one cycle; ``waiting`` are those without an answer."""

    market: str
    family: str
    roster: str
    end_at: Nanoseconds
    has_asked_sceptic: bool = False
    waiting: list[str] = []
    answers: dict[str, RoleAnswer] = {}


class LastForecast(Struct, array_like=True):
    """The newest pooled forecast of a market that has not ended, with what each role said."""

    family: str
    forecast: Price
    price: Price
    roles: dict[str, Price]


class DayFindings(Struct):
    """The findings of a day: lines for the model, and their names."""

    lines: list[str] = []
    names: list[str] = []


class Proposed(Struct):
    """A measured change: from ``old`` to ``new``, as the section has them.

    ``gain`` is the difference in profit on its day, in millionths; ``None`` when it could not be measured. ``outcome`` is
    empty while it waits.
    """

    path: str
    old: int
    new: int
    expires_at: Nanoseconds
    gain: Money | None = None
    differing: int = 0
    outcome: str = ""


class QueueState(Struct):
    """Proposed changes on their way, and the newest that the operator has decided on.

    ``unmeasured``: suggestions that the evaluator has not measured, and since when. ``outcomes`` and ``steps`` count what
    came of proposals and what machines did with changes.
    """

    unmeasured: dict[str, Nanoseconds] = {}
    waiting: dict[str, Proposed] = {}
    decided: dict[str, Proposed] = {}
    outcomes: dict[str, int] = {}
    steps: dict[str, int] = {}


class ProposingState(Struct):
    """Sections as they were configured and the changes in force on them; findings by day; questions and their day.

    ``bars``: path and direction → until when nothing is suggested that way.
    """

    limits: ChangeLimits | None = None
    sections: dict[str, dict[str, Any]] = {}
    active: dict[str, Edit] = {}
    days: dict[str, DayFindings] = {}
    asked: dict[str, str] = {}
    bars: dict[str, Nanoseconds] = {}
    queue: QueueState = field(default_factory=QueueState)
    refused: int = 0
    """Changes of answers that were left out."""


class AdvisorState(Struct):
    """All the machine knows."""

    params: AdvisorParams | None = None
    prompts: dict[str, str] = {}
    is_live_money: bool = False
    tape: str = ""
    started_at: Nanoseconds = 0
    cycle_at: Nanoseconds = 0
    tops: Tops = field(default_factory=Tops)
    markets: dict[str, Market] = {}
    volumes: dict[str, Money] = {}
    underlyings: dict[str, ReturnSampler] = {}
    spend: Spend = field(default_factory=Spend)
    open: dict[str, OpenQuestion] = {}
    done: dict[str, int] = {}
    rounds: dict[str, Round] = {}
    last: dict[str, LastForecast] = {}
    learners: dict[str, Learner] = {}
    calibrators: dict[str, Calibrator] = {}
    cards: dict[str, ScoreCard] = {}
    lessons: dict[str, list[str]] = {}
    news: dict[str, NewsItem] = {}
    proposing: ProposingState = field(default_factory=ProposingState)
    failures: list[Nanoseconds] = []
    paused_until: Nanoseconds = 0
    why_idle: str = ""
