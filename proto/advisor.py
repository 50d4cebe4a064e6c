"""What the advisor asks, what models answer, and what it makes of it. Probabilities are of the market's first outcome."""

from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from proto.evaluation import Edit, FindingId
from proto.message import Integer, Message, Name, Rows, Text, Word, token
from proto.units import Money, Nanoseconds, Price

PASSAGE_CHARACTERS_MAX = 16_384
"""Of a question's text and of a model's answer as it came: four bytes a character still fit a message."""
Passage = Annotated[str, Field(title="Passage", max_length=PASSAGE_CHARACTERS_MAX)]
"""A longer text."""
REASONS_MAX = 5
"""Reasons of one answer."""
REASONS_CHARACTERS_MAX = 2_560
"""Of all of them: a few sentences each."""
Reasons = Annotated[str, Field(title="Reasons", max_length=REASONS_CHARACTERS_MAX)]
"""Reasons in a model's words, one a line: shown, never obeyed, and never put before another model."""
SOURCES_MAX = 10
"""Sources of one answer."""
SHORT_CHARACTERS_MAX = 200
Short = Annotated[str, Field(title="Short", max_length=SHORT_CHARACTERS_MAX)]
"""An address, a model's name or a few words: a message may carry a hundred rows of them."""


class AnswerStatus(Word):
    """What came of a question. Only a forecast counts; the other states say why there is none."""

    FORECAST = "forecast"
    ABSTAIN = "abstain"
    """The model says that it cannot tell."""
    REFUSED = "refused"
    """The provider or the model would not answer."""
    FAILED = "failed"
    """No usable answer: late, cut, not of the schema, lost; ``detail`` says which."""
    CONTAMINATED = "contaminated"
    """It looked at a prediction market: what it says is the price, not knowledge."""
    SATURATED = "saturated"
    """At the bound of what a forecaster is believed to know: a limit, not a figure."""


class Influence(Word):
    """What a forecast may do to the market's price."""

    EARNED = "earned"
    """As much as its record against the market has earned."""
    FULL = "full"
    """The forecast as it is: on paper, to see what it would have done."""


class Question(Message):
    """A question to a model, in one role, about one market. ``question`` is the hash of all that the model is told.

    ``prompt`` names the instructions (role and version) in the section ``advisor.prompts`` of the configuration;
    ``text`` is the rest of what the model sees. ``reserve`` is the most it may cost, held back until the answer.
    """

    kind: ClassVar[str] = "advisor.question"

    question: Name
    market: Name
    family: Name
    role: Name
    prompt: Name
    provider: Name
    model: Name
    text: Passage
    tokens_max: Integer
    reserve: Money
    at: Nanoseconds
    answer_by: Nanoseconds
    searches_max: Integer = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.market), token(self.role))


class Source(NamedTuple):
    """Where an answer looked: an address, and the words it took from there."""

    address: Short
    quote: Short = ""


class ModelAnswer(Message):
    """What came of a question: a fact, whatever became of it. Unknown figures are 0.

    ``cost`` is what was paid by the price table, in money; ``calls`` how many requests left. ``raw`` is the answer as
    it came, cut to what a message carries. ``low`` and ``high`` enclose what the model thinks possible.
    """

    kind: ClassVar[str] = "advisor.answer"

    question: Name
    market: Name
    role: Name
    status: AnswerStatus
    at: Nanoseconds
    model: Short = ""
    probability: Price | None = None
    low: Price | None = None
    high: Price | None = None
    reasons: Reasons = ""
    sources: Rows[Source] = ()
    raw: Passage = ""
    detail: Text = ""
    tokens_in: Integer = 0
    tokens_out: Integer = 0
    searches: Integer = 0
    cost: Money = 0
    latency_ms: Integer = 0
    calls: Integer = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.market), token(self.role))


class RoleForecast(NamedTuple):
    """What one role said: its question, prompt, model, status, and probability (0 without one)."""

    role: Name
    question: Name
    prompt: Name
    model: Short
    status: AnswerStatus
    probability: Price = 0


class Forecast(Message):
    """The pooled forecast of a market, and what it makes of the market's price.

    ``forecast`` is the roles' pool, calibrated where their record allows it, ``price`` the market's at the same moment, ``probability`` the price moved by
    ``weight`` (millionths) towards the forecast: that, and nothing else, is meant for trading. ``status`` other than
    forecast: ``probability`` is the price. ``roster`` names roles, prompts and models: a new one starts without weight.
    """

    kind: ClassVar[str] = "advisor.forecast"

    market: Name
    instrument: Name
    family: Name
    roster: Name
    status: AnswerStatus
    influence: Influence
    at: Nanoseconds
    expires_at: Nanoseconds
    probability: Price = 0
    forecast: Price = 0
    price: Price = 0
    weight: Integer = 0
    outcomes: Integer = 0
    roles: Rows[RoleForecast] = ()
    reasons: Reasons = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.market),)


class Lesson(Message):
    """A market with a forecast has ended: what was said, what came, and which role was nearest.

    ``gain`` is the forecast's log loss against the market's, in millionths of a nat: positive when it was better.
    """

    kind: ClassVar[str] = "advisor.lesson"

    market: Name
    family: Name
    title: Text
    happened: bool
    forecast: Price
    price: Price
    gain: Integer
    at: Nanoseconds
    best_role: Text = ""
    text: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.family), token(self.market))


class ScoreBin(NamedTuple):
    """A tenth of the scale: how many markets were forecast in it, the sum of what was said, how many happened."""

    markets: Integer
    said: Integer
    happened: Integer


class Score(Message):
    """The record of one forecaster in one family after another outcome, beside the market's at the same moments.

    ``scope``: pooled, calibrated, role or source; ``name``: the roster, the role's prompt and model, or the source's host. Brier
    score and log loss are means over markets, in millionths.
    """

    kind: ClassVar[str] = "advisor.score"

    scope: Name
    name: Name
    family: Name
    at: Nanoseconds
    count: Integer = 0
    brier: Integer = 0
    brier_market: Integer = 0
    loss: Integer = 0
    loss_market: Integer = 0
    weight: Integer = 0
    lower_bound: Integer = 0
    bins: Rows[ScoreBin] = ()

    def key(self) -> tuple[str, ...]:
        return (token(self.scope), token(self.name), token(self.family))


class Suggestion(Message):
    """A change that a model proposes for a day's findings, checked and not yet measured: the evaluator's to measure.

    ``question`` is the hash of what the model was told.
    """

    kind: ClassVar[str] = "advisor.change"

    proposal: Name
    edit: Edit
    day: Name
    reason: Text
    at: Nanoseconds
    findings: Rows[FindingId] = ()
    model: Short = ""
    prompt: Text = ""
    question: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.proposal),)
