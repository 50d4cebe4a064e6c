"""Events: a news item that the operator's own rule waits for, or a jump of a forecast, that a market has not followed yet.

News are somebody's words. Nothing in them says what to buy: the operator's rule does, by the words it waits for, the market it
is for, and what an outcome is worth once they are reported. A forecast's jump counts as far as such forecasts have earned
it, by a record that this strategy keeps itself (``forecast_record.py``), as ``model_edge`` does.
"""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Struct, field
from pydantic import Field

from libs.bounded import keep_newest
from libs.config.section import Section, amount, setting, text, whole
from libs.forecasting.odds import clamp_forecast, clamp_market, from_logit, logit
from libs.indicators.tops import Top
from proto.advisor import AnswerStatus, Forecast
from proto.feed import Market, MarketStatus, News
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND, Nanoseconds, Price
from services.signal.buying import BuyingParams, BuyingStrategy, Probability, Seconds
from services.signal.forecast_record import ForecastRecord
from services.signal.strategy import NO_PROPOSALS

MARKETS_MAX = 20
"""Markets that one rule may be about: a text that fits more was meant otherwise."""
FORECASTS_MAX = 2_000
RULES_MAX = 50
ITEMS_MAX = 500
"""Items that are known, so that one which is read again counts once."""
_WORD = re.compile(r"\w+")
Words = Annotated[str, text(r"^\w[\w ]{1,98}\w$", "words with spaces between", 100)]
Part = Annotated[str, text(r"^.{3,100}$", "3 to 100 characters", 100)]


class NewsRule(Section):
    """A rule for news: these words in an item make this outcome of these markets worth that."""

    words: Words = setting(..., "all of them stand in the item's title or summary, in any order and case")
    market: Part = setting(..., "stands in the market's id or title")
    outcome: Part = setting(..., "the outcome's name")
    fair_value: Probability = setting(..., "what it is worth once the words are reported")


class EventsParams(BuyingParams):
    """Parameters of events; ``config/signal/events.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = BuyingParams.changeable | frozenset(
        ("moved_max", "news_age_max_s", "jump_min", "jump_age_max_s")
    )

    rules: Annotated[tuple[NewsRule, ...], Field(max_length=RULES_MAX)] = setting((), "rules for news")
    sources: tuple[str, ...] = setting((), "news feeds that are believed; none named: none")
    sources_min_count: Annotated[int, whole(1, 10)] = setting(2, "feeds that have to say it")
    news_age_max_s: Seconds = setting(600, "from the first item on a rule is traded on for so long")
    moved_max: Probability = setting(30_000, "a price that has moved further towards it knows already")
    jump_min: Annotated[int, amount(ONE // 100, ONE)] = setting(
        100_000, "how far a forecast has to be from the one before"
    )
    jump_age_max_s: Seconds = setting(120, "a jump is traded on for so long")
    forecast_age_max_s: Seconds = setting(3_600, "an older forecast before is none to jump from")
    outcomes_min_count: Annotated[int, whole(30, 10_000)] = setting(
        100, "ended markets of a family before a forecast may move a price"
    )
    edge_min: Probability = setting(30_000, "smallest edge a contract after the fee, in money")


class Story(Struct):
    """What was reported of a rule: since when, by which feeds, the markets' middle prices of then, and where it was used."""

    at: Nanoseconds
    sources: list[str] = []
    prices: dict[str, Price] = {}
    used: list[str] = []


class Told(Struct, array_like=True):
    """A forecast of a market's first outcome, and the middle price of then."""

    at: Nanoseconds
    forecast: Price
    price: Price


class Jump(Struct, array_like=True):
    """Forecasts before and after, the price before, and how far such forecasts move prices."""

    at: Nanoseconds
    before: Told
    after: Price
    weight: int
    seq: int


class EventsState(ForecastRecord):
    """Stories by rule, items known, newest forecasts and jumps by market."""

    stories: dict[str, Story] = field(default_factory=dict)
    items: dict[str, Nanoseconds] = field(default_factory=dict)
    forecasts: dict[str, Told] = field(default_factory=dict)
    jumps: dict[str, Jump] = field(default_factory=dict)


class Events(BuyingStrategy[EventsParams, EventsState]):
    """Buys what a reported event or a jump of a forecast makes worth more, where the price has not followed yet."""

    name: ClassVar[str] = "events"
    params_type = EventsParams
    state_type = EventsState

    # ── news ───────────────────────────────────────────────────────────────────────────────────────

    def on_news(self, news: News) -> Sequence[Proposal]:
        items = self.state.items
        if news.source not in self.params.sources or news.item in items:
            return NO_PROPOSALS
        items[news.item] = self.now
        keep_newest(items, ITEMS_MAX)
        words = frozenset(_WORD.findall(f"{news.title} {news.summary}".casefold()))
        made: list[Proposal] = []
        for rule in self.params.rules:
            if all(word in words for word in rule.words.casefold().split()):
                story = self._report(rule, news.source)
                for name in story.prices:
                    made += self._on_story(rule, story, name)
        return made

    def _report(self, rule: NewsRule, source: str) -> Story:
        """Add a feed to a rule's story; a story begins with the prices of then."""
        key = _key(rule)
        story = self.state.stories.get(key)
        if story is None or not 0 <= self.now - story.at <= self.params.news_age_max_s * SECOND:
            story = self.state.stories[key] = Story(self.now, prices=self._prices(rule))
        if source not in story.sources:
            story.sources.append(source)
        keep_newest(self.state.stories, RULES_MAX)
        return story

    def _prices(self, rule: NewsRule) -> dict[str, Price]:
        """The middle prices of the markets that a rule is about; none where it fits too many to have been meant."""
        part = rule.market.casefold()
        found = {
            name: middle
            for name, market in self.view.markets.items()
            if (part in name.casefold() or part in market.title.casefold())
            and (middle := self.middle(market)) is not None
        }
        return found if len(found) <= MARKETS_MAX else {}

    def _on_story(self, rule: NewsRule, story: Story, name: str) -> Sequence[Proposal]:
        params, market = self.params, self.market(name)
        is_told = len(story.sources) >= params.sources_min_count
        is_new = 0 <= self.now - story.at <= params.news_age_max_s * SECOND
        names = [row.name for row in market.outcomes] if market is not None else []
        if market is None or not is_told or not is_new or name in story.used or rule.outcome not in names:
            return NO_PROPOSALS
        index = names.index(rule.outcome)
        seen = (Evidence("sources", len(story.sources) * ONE),)
        made = self._unless_moved(market, index, story.prices[name], rule.fair_value, ONE, "reported", seen)
        if made:
            # One story is one reason, however often the price comes by.
            story.used.append(name)
        return made

    # ── forecasts ──────────────────────────────────────────────────────────────────────────────────

    def on_forecast(self, forecast: Forecast, seq: int) -> Sequence[Proposal]:
        market = self.market(forecast.market)
        price = self.middle(market) if market is not None else None
        forecasts, jumps = self.state.forecasts, self.state.jumps
        before = forecasts.pop(forecast.market, None)
        jumps.pop(forecast.market, None)
        is_one = forecast.status is AnswerStatus.FORECAST and forecast.forecast
        if market is None or price is None or not is_one:
            return NO_PROPOSALS
        after, params = clamp_forecast(forecast.forecast), self.params
        weight = (
            self.state.learner(forecast).commit(market.market, after, price, params.outcomes_min_count).weight
        )
        forecasts[market.market] = Told(self.now, after, price)
        keep_newest(forecasts, FORECASTS_MAX)
        if before is None or self.now - before.at > params.forecast_age_max_s * SECOND:
            return NO_PROPOSALS
        if weight and abs(after - before.forecast) >= params.jump_min:
            jumps[market.market] = Jump(self.now, before, after, weight, seq)
            keep_newest(jumps, FORECASTS_MAX)
            return self._on_jump(market, jumps[market.market])
        return NO_PROPOSALS

    def _on_jump(self, market: Market, jump: Jump) -> Sequence[Proposal]:
        """The price of before is expected to move by the jump, as far as such forecasts move prices."""
        before = jump.before
        if not 0 <= self.now - jump.at <= self.params.jump_age_max_s * SECOND:
            return NO_PROPOSALS
        step = (logit(jump.after) - logit(before.forecast)) * jump.weight / ONE
        first = from_logit(logit(clamp_market(before.price)) + step)
        index = 0 if step > 0 else 1
        seen = (
            Evidence("forecast_before", ONE - before.forecast if index else before.forecast),
            Evidence("forecast", ONE - jump.after if index else jump.after),
            Evidence("weight", jump.weight),
            Evidence("forecast_seq", jump.seq * ONE),
        )
        fair_value = ONE - first if index else first
        return self._unless_moved(
            market, index, before.price, fair_value, jump.weight, "forecast jumped", seen
        )

    # ── both ───────────────────────────────────────────────────────────────────────────────────────

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:  # noqa: ARG002 - the middle of the first counts
        state, market = self.state, self.market_of(instrument)
        if market is None or not (state.stories or state.jumps):
            return NO_PROPOSALS
        jump = state.jumps.get(market.market)
        made = list(self._on_jump(market, jump)) if jump is not None else []
        for rule in self.params.rules:
            story = state.stories.get(_key(rule))
            if story is not None and market.market in story.prices:
                made += self._on_story(rule, story, market.market)
        return made

    def on_market(self, market: Market) -> Sequence[Proposal]:
        if market.status is MarketStatus.SETTLED:
            self.state.settle(market)
            self.state.forecasts.pop(market.market, None)
            self.state.jumps.pop(market.market, None)
        return NO_PROPOSALS

    def why_not_priced(self, market: Market) -> str:
        return "" if len(market.outcomes) == 2 else "it has not two outcomes"

    def _unless_moved(
        self,
        market: Market,
        index: int,
        then: Price,
        fair_value: Price,
        strength: int,
        reason: str,
        seen: tuple[Evidence, ...],
    ) -> Sequence[Proposal]:
        """Buy an outcome, unless its price has gone there already since ``then``."""
        now = self.middle(market)
        if now is None or (then - now if index else now - then) > self.params.moved_max:
            return NO_PROPOSALS
        seen = (*seen, Evidence("price_then", ONE - then if index else then))
        return self.buy(market, market.outcomes[index].instrument, fair_value, strength, reason, seen)


def _key(rule: NewsRule) -> str:
    """What a rule is known by while it stands as it is."""
    return f"{rule.words}|{rule.market}|{rule.outcome}"
