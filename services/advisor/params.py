"""Typed parameters of the advisor: sections ``advisor`` and ``advisor.prompts`` of the configuration."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from libs.config.section import Section, amount, setting, text, whole
from proto.units import ONE

Money = Annotated[int, amount(0, 100_000 * ONE)]
Share = Annotated[int, amount(0, ONE)]
Seconds = Annotated[int, whole(1, 86_400)]
Hours = Annotated[int, whole(1, 24 * 31)]
Count = Annotated[int, whole(1, 50)]
Searches = Annotated[int, whole(0, 10)]
ModelName = Annotated[
    str, text(r"^[A-Za-z0-9_./:@-]{1,80}$", "a model's name of letters, digits and any of _ . / : @ -")
]
AnyModelName = Annotated[
    str,
    text(
        r"^[A-Za-z0-9_./:@-]{0,80}$", "a model's name of letters, digits and any of _ . / : @ -, or nothing"
    ),
]
BaseUrl = Annotated[
    str,
    text(
        r"^(https?://[^\s@]+[^\s@/])?$", "an address http(s)://… without user and password, or nothing", 200
    ),
]
RoleName = Literal["base_rate", "technical", "news", "sceptic"]
PROMPTS_MAX = 50
PRICES_MAX = 50
PROMPT_CHARACTERS_MAX = 12_000
"""Of one prompt file: all of the roles fit the message that carries the section."""


class RoleSettings(Section):
    """One role: a prompt, a model, and how much it may search."""

    role: RoleName = setting(..., "what it looks at; the sceptic is asked last and sees the others' numbers")
    version: Annotated[int, whole(1, 1_000)] = setting(
        1, "of its prompt: `config/prompts/<role>.<version>.md`"
    )
    model: AnyModelName = setting("", "another model than the common one")
    searches_max: Searches = setting(0, "web searches an answer may take, where the provider has them")

    @property
    def prompt(self) -> str:
        """The name of its prompt."""
        return f"{self.role}.{self.version}"


class ModelPrice(Section):
    """What a model costs, in money; a model that is not on the list is not asked."""

    model: ModelName = setting(..., "the model's name")
    input: Money = setting(..., "of a million tokens read")
    output: Money = setting(..., "of a million tokens written")
    search: Money = setting(0, "of one web search")


DEFAULT_ROLES = tuple(RoleSettings(role=role) for role in ("base_rate", "technical", "news", "sceptic"))


class AdvisorParams(Section):
    """What models are asked, how often, for how much, and what a forecast may do. ``config/advisor.yaml`` says why."""

    provider: Literal["none", "sandbox", "anthropic", "openai"] = setting(
        "sandbox", "who is asked: nobody, the sandbox's models (only at the sandbox), or a real provider"
    )
    base_url: BaseUrl = setting(
        "", "another address of the provider: any that speaks OpenAI's protocol, with /v1"
    )
    model: ModelName = setting("claude-haiku-5-5", "which model is asked where a role names none")
    influence: Literal["earned", "full"] = setting(
        "earned", "how far a forecast moves the price: as its record allows, or (paper only) all the way"
    )
    cycle_s: Seconds = setting(600, "seconds between two rounds of questions")
    warmup_s: Seconds = setting(45, "seconds of a session before the first: markets and prices come first")
    horizon_hours: Hours = setting(48, "only markets that end within so many hours")
    left_min_s: Seconds = setting(120, "and not within so many seconds: the answer would be late")
    spread_max: Share = setting(100_000, "markets with a wider spread have no price to compare with")
    volume_min: Money = setting(0, "money traded since the feed follows a market that it must have")
    markets_max_count: Count = setting(3, "markets of one round, those that end first")
    answer_s: Annotated[int, whole(1, 600)] = setting(60, "an answer takes at most so long, all in all")
    tokens_max: Annotated[int, whole(64, 16_000)] = setting(800, "tokens that an answer may have")
    calls_max_count: Count = setting(4, "questions under way at a time")
    day_cap: Money = setting(3 * ONE, "money a day (UTC); with what is under way it is never passed")
    month_cap: Money = setting(60 * ONE, "money a month (UTC)")
    outcomes_min_count: Annotated[int, whole(30, 10_000)] = setting(
        100, "ended markets of a family before a forecast may move a price at all"
    )
    forecast_ttl_s: Seconds = setting(900, "a forecast is void after so long")
    roles: Annotated[tuple[RoleSettings, ...], Field(min_length=1, max_length=8)] = setting(
        DEFAULT_ROLES, "who is asked about a market"
    )
    prices: Annotated[tuple[ModelPrice, ...], Field(max_length=PRICES_MAX)] = setting(
        (ModelPrice(model="claude-haiku-5-5", input=ONE, output=5 * ONE, search=10_000),),
        "what models cost; one that is not listed is not asked",
    )

    @model_validator(mode="after")
    def _each_role_once(self) -> "AdvisorParams":
        names = [settings.role for settings in self.roles]
        if len(set(names)) != len(names):
            raise ValueError("expected each role once, was one twice")
        return self

    def model_of(self, role: RoleSettings) -> str:
        """The model that a role asks."""
        return role.model or self.model

    def price_of(self, model: str) -> ModelPrice | None:
        """A model's prices; ``None`` for one that is not listed."""
        return next((price for price in self.prices if price.model == model), None)


class PromptParams(Section):
    """The prompts by name (``news.1``), as their files say."""

    texts: dict[str, str] = setting({}, "name of a prompt → its text")
