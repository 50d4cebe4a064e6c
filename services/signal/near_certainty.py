"""Near certainty: buys what is nearly decided, ends soon, and still sells below what it is worth.

What an outcome is worth comes from the underlying: markets that a final price decides (the digital option of momentum).
Venues name a result only once trading is over, so a market that is decided has nothing to buy. With ``forecasts: require`` a model has to agree.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Struct

from libs.bounded import keep_newest
from libs.config.section import amount, setting, whole
from libs.exchange.fees import fee_estimate
from libs.indicators.candles import Candle
from libs.indicators.digital import is_priced, payoff_fair_value
from libs.indicators.tops import Top
from libs.indicators.volatility import ReturnSampler
from proto.advisor import AnswerStatus, Forecast
from proto.feed import Market, MarketStatus, Side, Trade
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND, Nanoseconds, Price, later
from services.signal.strategy import NO_PROPOSALS, Strategy, StrategyParams

TRACKS_MAX = 200
"""Underlyings followed."""
FORECASTS_MAX = 2_000
Probability = Annotated[int, amount(0, ONE)]
Seconds = Annotated[int, whole(1, 86_400)]


class NearCertaintyParams(StrategyParams):
    """Parameters of near certainty; ``config/signal/near_certainty.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = StrategyParams.changeable | frozenset(
        (
            "fair_min",
            "fair_max",
            "edge_min",
            "edge_max",
            "time_to_close_min_s",
            "time_to_close_max_s",
            "volatility_factor",
            "spot_age_max_s",
            "expires_s",
        )
    )

    fair_min: Probability = setting(900_000, "an outcome worth less is not nearly certain")
    fair_max: Probability = setting(
        990_000, "no outcome is taken for worth more, whatever the model of its price says"
    )
    edge_min: Probability = setting(15_000, "smallest edge a contract after the fee, in money")
    edge_max: Probability = setting(
        100_000, "a larger one is no gift: somebody knows what the model of the price does not"
    )
    time_to_close_min_s: Seconds = setting(
        90, "least time to the close; at least the market's settlement average"
    )
    time_to_close_max_s: Seconds = setting(1_800, "longest time to the close")
    forecasts: Literal["ignore", "require"] = setting(
        "ignore", "`require`: only where the advisor's newest forecast of the market agrees"
    )
    sample_s: Seconds = setting(5, "sampling step of the realised volatility")
    volatility_window_s: Seconds = setting(900, "window of the realised volatility")
    volatility_factor: Annotated[int, amount(ONE, 10 * ONE)] = setting(
        1_500_000,
        "the measured volatility times this: near certainty lives in the tails, which are fatter than normal",
    )
    warmup_s: Seconds = setting(120, "seconds of samples before the first proposal")
    spot_age_max_s: Seconds = setting(10, "an older spot price is not traded on")
    silence_max_s: Seconds = setting(
        60, "a longer pause in the underlying's trades starts its statistics afresh"
    )
    expires_s: Seconds = setting(5, "lifetime of a proposal")


class Said(Struct, array_like=True):
    """The advisor's newest forecast of a market's first outcome."""

    probability: Price
    until: Nanoseconds


class NearCertaintyState(Struct):
    """Statistics by underlying, forecasts by market."""

    tracks: dict[str, ReturnSampler] = {}
    forecasts: dict[str, Said] = {}


class NearCertainty(Strategy[NearCertaintyParams, NearCertaintyState]):
    """Buys an outcome that is worth at least ``fair_min`` and sells below it by at least ``edge_min`` after the fee."""

    name: ClassVar[str] = "near_certainty"
    params_type = NearCertaintyParams
    state_type = NearCertaintyState

    # ── the underlying ─────────────────────────────────────────────────────────────────────────────

    def on_trade(self, trade: Trade) -> Sequence[Proposal]:
        track = self.state.tracks.get(trade.instrument)
        if track is not None:
            track.add(self.now, trade.price)
        return NO_PROPOSALS

    def on_past(self, instrument: str, candle: Candle) -> None:
        track = self.state.tracks.get(instrument)
        ended_at = candle.start_at + SECOND
        if track is not None and candle.last > 0 and (ended_at > track.at or track.at > self.now):
            track.add(ended_at, candle.last)

    def on_market(self, market: Market) -> Sequence[Proposal]:
        if market.status is MarketStatus.SETTLED:
            self.state.forecasts.pop(market.market, None)
        elif market.underlying and market.underlying not in self.state.tracks:
            params = self.params
            keep = max(1, params.volatility_window_s // params.sample_s)
            self.state.tracks[market.underlying] = ReturnSampler(params.sample_s, keep, params.silence_max_s)
            keep_newest(self.state.tracks, TRACKS_MAX)
        return NO_PROPOSALS

    def on_forecast(self, forecast: Forecast, seq: int) -> Sequence[Proposal]:  # noqa: ARG002
        forecasts = self.state.forecasts
        forecasts.pop(forecast.market, None)
        if forecast.status in (AnswerStatus.FORECAST, AnswerStatus.SATURATED) and forecast.forecast:
            forecasts[forecast.market] = Said(forecast.forecast, forecast.expires_at)
            keep_newest(forecasts, FORECASTS_MAX)
        return NO_PROPOSALS

    def why_not_priced(self, market: Market) -> str:
        if is_priced(market):
            return ""
        return f"a payoff of kind {market.payoff.value!r} is not priced"

    # ── the markets ────────────────────────────────────────────────────────────────────────────────

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        params = self.params
        ask = top.ask
        if ask is None or not params.fair_min - params.edge_max <= ask <= params.fair_max - params.edge_min:
            return NO_PROPOSALS
        market = self.market_of(instrument)
        if market is None or market.status is not MarketStatus.OPEN or len(market.outcomes) != 2:
            return NO_PROPOSALS
        fair = self._fair_value(market, instrument)
        if fair is None or fair < params.fair_min or not self.may_propose(instrument):
            return NO_PROPOSALS
        fair = min(fair, params.fair_max)
        edge = fair - ask - fee_estimate(market.fees, ask, ONE)
        if not params.edge_min <= edge <= params.edge_max or not self._is_agreed(market, instrument):
            return NO_PROPOSALS
        return (self._proposal(market, instrument, ask, fair, edge),)

    def _fair_value(self, market: Market, instrument: str) -> Price | None:
        """What an outcome is worth; ``None`` where nobody can say or it does not end soon."""
        params, now = self.params, self.now
        left = market.ends_at - now
        left_min = max(params.time_to_close_min_s, market.settlement_average_s) * SECOND
        track = self.state.tracks.get(market.underlying)
        if (
            not is_priced(market)
            or not left_min <= left <= params.time_to_close_max_s * SECOND
            or track is None
            or track.span_s < params.warmup_s
            or not 0 <= now - track.at <= params.spot_age_max_s * SECOND
        ):
            return None
        sigma = track.deviation(1) * params.volatility_factor / ONE
        if sigma <= 0:
            # A price that has not moved at all is that of a feed that is stuck, not a certainty.
            return None
        first = payoff_fair_value(market, track.price, sigma, left / SECOND)
        return first if instrument == market.outcomes[0].instrument else ONE - first

    def _is_agreed(self, market: Market, instrument: str) -> bool:
        if self.params.forecasts == "ignore":
            return True
        said = self.state.forecasts.get(market.market)
        if said is None or self.now >= said.until:
            return False
        is_first = instrument == market.outcomes[0].instrument
        return (said.probability if is_first else ONE - said.probability) >= self.params.fair_min

    def _proposal(self, market: Market, instrument: str, ask: Price, fair: Price, edge: int) -> Proposal:
        said = self.state.forecasts.get(market.market)
        is_first = instrument == market.outcomes[0].instrument
        evidence = [Evidence("left_s", max(market.ends_at - self.now, 0) // SECOND * ONE)]
        if said is not None and self.now < said.until:
            evidence.append(Evidence("forecast", said.probability if is_first else ONE - said.probability))
        return Proposal(
            strategy=self.name,
            market=market.market,
            instrument=instrument,
            side=Side.BUY,
            price=ask,
            fair_value=fair,
            edge=edge,
            strength=fair,
            expires_at=later(self.now, self.params.expires_s * SECOND),
            reason="nearly certain",
            evidence=tuple(evidence),
        )
