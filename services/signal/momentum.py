"""Crypto momentum: the price of a coin breaks out, and a binary market on it has not followed yet."""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Struct, field

from libs.config.section import amount, setting, whole
from libs.exchange.fees import fee_estimate
from libs.indicators.candles import Candle
from libs.indicators.digital import bound_of, is_priced, is_raised_by_price, payoff_fair_value
from libs.indicators.grid import price_max, price_step
from libs.indicators.statistics import mean_and_deviation, to_millionths, zscore
from libs.indicators.tops import Top
from libs.indicators.volatility import ReturnSampler
from proto.feed import Market, MarketStatus, Payoff, Side, Trade
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND, Nanoseconds, Price, later
from services.signal.strategy import NO_PROPOSALS
from services.signal.underlying import (
    Probability,
    Seconds,
    UnderlyingParams,
    UnderlyingState,
    UnderlyingStrategy,
)

Ratio = Annotated[int, amount(1, 100 * ONE)]

FIRST_NAMES, SECOND_NAMES = ("yes", "up"), ("no", "down")
"""What markets call the outcome that their payoff describes, and the other."""
FAIR_VALUE_AGE_MAX = SECOND
"""A fair value is computed again when the spot moved or a second passed: time decays slowly."""


class MomentumParams(UnderlyingParams):
    """Parameters of the strategy; ``config/signal/momentum.yaml`` explains the choice of the defaults."""

    changeable: ClassVar[frozenset[str]] = UnderlyingParams.changeable | frozenset(
        ("z_min", "z_full", "slippage_ticks")
    )
    order: ClassVar[tuple[str, ...]] = (
        *(
            "repeat_interval_s",
            "change_interval_s",
            "underlyings",
            "candle_s",
            "candle_count",
            "lag_s",
            "sample_s",
        ),
        *(
            "volatility_window_s",
            "warmup_s",
            "silence_max_s",
            "spot_age_max_s",
            "z_min",
            "z_full",
            "edge_min",
        ),
        *(
            "price_min",
            "price_max",
            "slippage_ticks",
            "time_to_close_min_s",
            "time_to_close_max_s",
            "expires_s",
        ),
    )

    underlyings: tuple[str, ...] = setting(
        ("coinbase:BTC-USD", "binance:BTCUSDT"), "reference instruments whose breakouts are followed"
    )
    candle_s: Seconds = setting(300, "length of the candles whose returns are the z-score's yardstick")
    candle_count: Annotated[int, whole(2, 1000)] = setting(20, "returns whose deviation is the yardstick")
    lag_s: Seconds = setting(
        60, "how far markets trail the underlying; breakouts are looked for over it and over a candle"
    )
    silence_max_s: Seconds = setting(
        60,
        "a longer pause in the underlying's trades starts its statistics afresh",
        former="silence_s_max",
    )
    spot_age_max_s: Seconds = setting(10, "an older spot price is not traded on", former="spot_age_s_max")
    z_min: Ratio = setting(2 * ONE, "breakout threshold, in standard deviations")
    z_full: Ratio = setting(3 * ONE, "where the strength reaches 1, in standard deviations")
    edge_min: Probability = setting(
        10_000, "smallest edge a contract after the fee, in money", former="min_edge"
    )
    price_min: Probability = setting(
        50_000, "asks below are left alone, where a tick or a basis point decides the outcome"
    )
    slippage_ticks: Annotated[int, whole(0, 10)] = setting(
        0, "ticks above the ask it would still pay", former="slippage_tick_count"
    )
    time_to_close_min_s: Seconds = setting(
        120, "least time to the market's close; at least its settlement average", former="left_s_min"
    )
    time_to_close_max_s: Seconds = setting(3_600, "longest time to the market's close", former="left_s_max")


class Track(Struct):
    """Statistics of one underlying. ``z`` is its breakout in millionths of a deviation, 0 if none."""

    sampler: ReturnSampler
    returns: list[float] = []
    last_candle_at: Nanoseconds = 0
    mean: float = 0.0
    deviation: float = 0.0
    z: int = 0


class Fair(Struct, array_like=True):
    """The fair value of a market's yes (or up), as computed ``at`` for ``spot``."""

    at: Nanoseconds
    spot: Price
    yes: Price


class MomentumState(UnderlyingState):
    """Tracks by underlying, open markets by underlying, breakouts now on, fair values by market."""

    tracks: dict[str, Track] = field(default_factory=dict)
    breakouts: dict[str, int] = field(default_factory=dict)
    fairs: dict[str, Fair] = field(default_factory=dict)


class Momentum(UnderlyingStrategy[MomentumParams, MomentumState]):
    """Buys the side of a binary market that a breakout of its underlying has made too cheap.

    z is the underlying's move in standard deviations, the larger of two: over the last candle length and
    over the markets' usual lag. Its yardstick is the mean and deviation of the last ``candle_count`` candle
    returns; until there are as many, realised volatility by the root-of-time rule, without drift. A shorter
    move is measured against the yardstick scaled by √time.
    """

    name: ClassVar[str] = "momentum"
    params_type = MomentumParams
    state_type = MomentumState

    # ── the underlying ─────────────────────────────────────────────────────────────────────────────

    def on_candle(self, instrument: str, candle: Candle) -> Sequence[Proposal]:
        track = self._track(instrument)
        if candle.start_at != track.last_candle_at + self.params.candle_s * SECOND:
            track.returns.clear()
        track.last_candle_at = candle.start_at
        track.returns.append(math.log(candle.last / candle.first))
        del track.returns[: -self.params.candle_count]
        complete = len(track.returns) == self.params.candle_count
        track.mean, track.deviation = mean_and_deviation(track.returns) if complete else (0.0, 0.0)
        return NO_PROPOSALS

    def on_trade(self, trade: Trade) -> Sequence[Proposal]:
        underlying = trade.instrument
        if underlying not in self.params.underlyings:
            return NO_PROPOSALS
        track = self._track(underlying)
        moved = trade.price != track.sampler.price
        sampled = track.sampler.add(self.now, trade.price)
        if not (moved or sampled):
            return NO_PROPOSALS
        track.z = self._breakout(track)
        if not track.z:
            self.state.breakouts.pop(underlying, None)
            return NO_PROPOSALS
        self.state.breakouts[underlying] = track.z
        proposals: list[Proposal] = []
        for name in self.state.markets.get(underlying, ()):
            market = self.market(name)
            if market is not None and market.underlying == underlying:
                proposals.extend(self._evaluate(market, track))
        return proposals

    def sampler_of(self, underlying: str) -> ReturnSampler:
        return self._track(underlying).sampler

    def _track(self, underlying: str) -> Track:
        track = self.state.tracks.get(underlying)
        if track is None:
            track = Track(self.new_sampler(max(self.params.volatility_window_s, self.params.candle_s)))
            self.state.tracks[underlying] = track
        return track

    def _breakout(self, track: Track) -> int:
        """The move in millionths of a standard deviation; 0 below the threshold or while warming up."""
        params = self.params
        if track.sampler.span_s < params.warmup_s:
            return 0
        candle_deviation = track.deviation or track.sampler.deviation(params.candle_s)
        z = 0
        for horizon_s in (params.candle_s, params.lag_s):
            move, covered_s = track.sampler.move(horizon_s)
            share = covered_s / params.candle_s
            score = to_millionths(zscore(move, track.mean * share, candle_deviation * math.sqrt(share)))
            z = score if abs(score) > abs(z) else z
        return z if abs(z) >= params.z_min else 0

    def why_not_priced(self, market: Market) -> str:
        reason = super().why_not_priced(market)
        if reason or market.underlying in self.state.tracks:
            return reason
        return f"no price of {market.underlying} has come: does its venue follow the pair?"

    # ── the markets ────────────────────────────────────────────────────────────────────────────────

    def on_market(self, market: Market) -> Sequence[Proposal]:
        if market.status is MarketStatus.SETTLED:
            self.state.fairs.pop(market.market, None)
        return super().on_market(market)

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        if not self.state.breakouts or top.ask is None:
            return NO_PROPOSALS
        market = self.market_of(instrument)
        if market is None or market.underlying not in self.state.breakouts:
            return NO_PROPOSALS
        track = self.state.tracks[market.underlying]
        if instrument != self._favoured(market, track):
            return NO_PROPOSALS
        return self._evaluate(market, track)

    @staticmethod
    def _favours_first(market: Market, track: Track) -> bool:
        """Whether the breakout makes the outcome that the payoff describes more likely."""
        return (track.z > 0) == is_raised_by_price(market, track.sampler.price)

    def _favoured(self, market: Market, track: Track) -> str:
        """The instrument that the breakout makes more likely to pay; empty if the market has none."""
        if not is_priced(market):
            return ""
        names = FIRST_NAMES if self._favours_first(market, track) else SECOND_NAMES
        for outcome in market.outcomes:
            if outcome.name in names:
                return outcome.instrument
        return ""

    def _evaluate(self, market: Market, track: Track) -> Sequence[Proposal]:
        """Propose the side the breakout favours if its ask leaves enough edge."""
        params = self.params
        instrument = self._favoured(market, track)
        top = self.top(instrument)
        if top is None or top.ask is None or not params.price_min <= top.ask <= params.price_max:
            return NO_PROPOSALS
        if not self.may_propose(instrument) or not self.is_tradable(market, track.sampler):
            return NO_PROPOSALS
        yes = self._fair_yes(market, track)
        fair_value = yes if self._favours_first(market, track) else ONE - yes
        step = price_step(market, top.ask)
        price = min(top.ask + params.slippage_ticks * step, price_max(market))
        edge = fair_value - price - fee_estimate(market.fees, price, ONE)
        if edge < params.edge_min:
            return NO_PROPOSALS
        return (self._proposal(market, track, instrument, price, fair_value, edge),)

    def _fair_yes(self, market: Market, track: Track) -> Price:
        spot = track.sampler.price
        fair = self.state.fairs.get(market.market)
        if fair is not None and fair.spot == spot and 0 <= self.now - fair.at < FAIR_VALUE_AGE_MAX:
            return fair.yes
        left_s = (market.ends_at - self.now) / SECOND
        yes = payoff_fair_value(market, spot, track.sampler.deviation(1), left_s)
        self.state.fairs[market.market] = Fair(self.now, spot, yes)
        return yes

    def _proposal(
        self, market: Market, track: Track, instrument: str, price: Price, fair_value: Price, edge: int
    ) -> Proposal:
        params = self.params
        left_s = (market.ends_at - self.now) // SECOND
        return Proposal(
            strategy=self.name,
            market=market.market,
            instrument=instrument,
            side=Side.BUY,
            price=price,
            fair_value=fair_value,
            edge=edge,
            strength=min(ONE, abs(track.z) * ONE // params.z_full),
            expires_at=later(self.now, params.expires_s * SECOND),
            reason="breakout up" if track.z > 0 else "breakout down",
            evidence=(
                Evidence("z", track.z),
                Evidence("sigma_candle", to_millionths(track.sampler.deviation(params.candle_s))),
                Evidence("spot", track.sampler.price),
                *_bounds(market),
                Evidence("left_s", left_s * ONE),
            ),
        )


def _bounds(market: Market) -> tuple[Evidence, ...]:
    """The figures that the result is compared with, in millionths."""
    named = (("floor", market.floor), ("cap", market.cap))
    if market.payoff is Payoff.ABOVE:
        return (Evidence("strike", int(bound_of(market, market.floor))),)
    return tuple(Evidence(name, int(bound_of(market, bound))) for name, bound in named if bound is not None)
