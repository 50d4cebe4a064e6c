"""Model edge: buys what a pooled model forecast makes cheap, as far as such forecasts have earned it here.

The advisor says what a forecast is worth, but the advisor's process talks to the internet. So this strategy keeps a record
of its own: it weighs the advisor's raw pool against the price it sees itself, by the same rule, and learns from the
outcomes it reads itself. Somebody who writes forecasts in the advisor's name earns nothing by saying that he has.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Struct, field

from libs.bounded import keep_newest
from libs.config.section import setting, whole
from libs.forecasting.odds import clamp_forecast
from libs.indicators.tops import Top
from proto.advisor import AnswerStatus, Forecast
from proto.feed import Market, MarketStatus
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND, Nanoseconds, Price, later
from services.signal.buying import BuyingParams, BuyingStrategy, Probability, Seconds
from services.signal.forecast_record import ForecastRecord
from services.signal.strategy import NO_PROPOSALS

FORECASTS_MAX = 2_000
"""Markets with a forecast; the advisor asks about a few at a time."""


class ModelEdgeParams(BuyingParams):
    """Parameters of model edge; ``config/signal/model_edge.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = BuyingParams.changeable | frozenset(("forecast_age_max_s",))

    influence: Literal["earned", "full"] = setting(
        "earned", "how far a forecast moves the price: as its record here allows, or (paper only) all the way"
    )
    edge_min: Probability = setting(50_000, "smallest edge a contract after the fee, in money")
    forecast_age_max_s: Seconds = setting(900, "an older forecast is not traded on, whatever it says itself")
    time_to_close_min_s: Seconds = setting(60, "least time to the market's close")
    outcomes_min_count: Annotated[int, whole(30, 10_000)] = setting(
        100, "ended markets of a family before a forecast may move a price"
    )


class Held(Struct, array_like=True):
    """The newest forecast of a market: fair value of its first outcome, and what it rests on."""

    fair: Price
    pool: Price
    price: Price
    weight: int
    seq: int
    until: Nanoseconds


class ModelEdgeState(ForecastRecord):
    """Forecasts by market, and what such forecasts were worth."""

    forecasts: dict[str, Held] = field(default_factory=dict)


class ModelEdge(BuyingStrategy[ModelEdgeParams, ModelEdgeState]):
    """Buys the side of a market that its weighed forecast puts above the ask, by at least the least edge after the fee."""

    name: ClassVar[str] = "model_edge"
    params_type = ModelEdgeParams
    state_type = ModelEdgeState

    def on_forecast(self, forecast: Forecast, seq: int) -> Sequence[Proposal]:
        market = self.market(forecast.market)
        if market is None or len(market.outcomes) != 2 or forecast.status is not AnswerStatus.FORECAST:
            self.state.forecasts.pop(forecast.market, None)
            return NO_PROPOSALS
        top = self.top(market.outcomes[0].instrument)
        if top is None or top.bid is None or top.ask is None or not forecast.forecast:
            return NO_PROPOSALS
        price = (top.bid + top.ask) // 2
        pool = clamp_forecast(forecast.forecast)
        weighed = self.state.learner(forecast).commit(
            market.market, pool, price, self.params.outcomes_min_count
        )
        is_full = self.params.influence == "full"
        until = min(forecast.expires_at, later(self.now, self.params.forecast_age_max_s * SECOND))
        held = Held(
            pool if is_full else weighed.probability,
            pool,
            price,
            ONE if is_full else weighed.weight,
            seq,
            until,
        )
        self.state.forecasts.pop(market.market, None)
        self.state.forecasts[market.market] = held
        keep_newest(self.state.forecasts, FORECASTS_MAX)
        return [p for outcome in market.outcomes for p in self._evaluate(market, outcome.instrument, held)]

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        if top.ask is None or not self.state.forecasts:
            return NO_PROPOSALS
        market = self.market_of(instrument)
        held = None if market is None else self.state.forecasts.get(market.market)
        if market is None or held is None:
            return NO_PROPOSALS
        return self._evaluate(market, instrument, held)

    def on_market(self, market: Market) -> Sequence[Proposal]:
        if market.status is not MarketStatus.SETTLED:
            return NO_PROPOSALS
        self.state.forecasts.pop(market.market, None)
        self.state.settle(market)
        return NO_PROPOSALS

    def why_not_priced(self, market: Market) -> str:
        return "" if len(market.outcomes) == 2 else "it has not two outcomes"

    def _evaluate(self, market: Market, instrument: str, held: Held) -> Sequence[Proposal]:
        if not held.weight or self.now >= held.until:
            return NO_PROPOSALS
        is_first = instrument == market.outcomes[0].instrument
        evidence = (
            Evidence("forecast", held.pool if is_first else ONE - held.pool),
            Evidence("price_then", held.price if is_first else ONE - held.price),
            Evidence("weight", held.weight),
            Evidence("forecast_seq", held.seq * ONE),
        )
        fair = held.fair if is_first else ONE - held.fair
        return self.buy(market, instrument, fair, held.weight, "model forecast", evidence)
