"""What strategies share that follow reference prices: the prices' volatility, and the markets that pay on each."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, TypeVar

from msgspec import Struct, field

from libs.config.section import amount, setting, whole
from libs.indicators.candles import Candle
from libs.indicators.digital import PRICED, is_priced
from libs.indicators.volatility import ReturnSampler
from proto.feed import Market, MarketStatus
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.strategy import NO_PROPOSALS, Strategy, StrategyParams

Probability = Annotated[int, amount(0, ONE)]
Seconds = Annotated[int, whole(1, 86_400)]


class UnderlyingParams(StrategyParams):
    """Parameters of every strategy that follows a reference price."""

    changeable: ClassVar[frozenset[str]] = StrategyParams.changeable | frozenset(
        (
            "edge_min",
            "price_min",
            "price_max",
            "time_to_close_min_s",
            "time_to_close_max_s",
            "spot_age_max_s",
            "expires_s",
        )
    )

    underlyings: tuple[str, ...] = setting(
        ("coinbase:BTC-USD", "binance:BTCUSDT"), "reference instruments that are watched"
    )
    candle_s: Seconds = setting(60, "length of the candles")
    sample_s: Seconds = setting(5, "sampling step of the realised volatility")
    volatility_window_s: Seconds = setting(900, "window of the realised volatility")
    warmup_s: Seconds = setting(120, "seconds of samples before the first proposal")
    silence_max_s: Seconds = setting(
        60, "a longer pause in the underlying's trades starts its volatility afresh"
    )
    spot_age_max_s: Seconds = setting(10, "an older spot price is not traded on")
    edge_min: Probability = setting(10_000, "smallest edge a contract after the fee, in money")
    price_min: Probability = setting(50_000, "asks below are left alone")
    price_max: Probability = setting(950_000, "asks above are left alone")
    time_to_close_min_s: Seconds = setting(
        120, "least time to the market's close; at least its settlement average"
    )
    time_to_close_max_s: Seconds = setting(3_600, "longest time to the market's close")
    expires_s: Seconds = setting(5, "lifetime of a proposal")


class UnderlyingState(Struct):
    """Open markets by underlying."""

    markets: dict[str, list[str]] = field(default_factory=dict)


Params = TypeVar("Params", bound=UnderlyingParams)
State = TypeVar("State", bound=UnderlyingState)


class UnderlyingStrategy(Strategy[Params, State]):
    """Base: a subclass keeps a sampler for each reference price and says what it makes of it."""

    def sampler_of(self, underlying: str) -> ReturnSampler:
        """The returns of a reference price, made at its first mention."""
        raise NotImplementedError

    def new_sampler(self, window_s: int) -> ReturnSampler:
        """A sampler of as many returns as ``window_s`` has."""
        params = self.params
        return ReturnSampler(params.sample_s, max(1, window_s // params.sample_s), params.silence_max_s)

    def candle_interval_s(self, instrument: str) -> int:
        return self.params.candle_s if instrument in self.params.underlyings else 0

    def on_past(self, instrument: str, candle: Candle) -> None:
        if instrument not in self.params.underlyings:
            return
        sampler = self.sampler_of(instrument)
        ended_at = candle.start_at + SECOND
        # What trades have told already is left out, unless they were those of a later session: time began again.
        if ended_at > sampler.at or sampler.at > self.now:
            sampler.add(ended_at, candle.last)

    def on_market(self, market: Market) -> Sequence[Proposal]:
        names = self.state.markets.setdefault(market.underlying, [])
        if market.status is MarketStatus.SETTLED:
            if market.market in names:
                names.remove(market.market)
        elif market.market not in names and market.underlying in self.params.underlyings:
            names.append(market.market)
        if not names:
            del self.state.markets[market.underlying]
        return NO_PROPOSALS

    def why_not_priced(self, market: Market) -> str:
        if market.payoff not in PRICED:
            return f"a payoff of kind {market.payoff.value!r} is not priced"
        if not market.underlying:
            return "it has no reference price"
        if market.underlying not in self.params.underlyings:
            return f"{market.underlying} is not among its underlyings"
        return ""

    def is_tradable(self, market: Market, sampler: ReturnSampler) -> bool:
        """Whether a market is open, priced, neither too near its close nor too far, and its spot price fresh."""
        params = self.params
        left = market.ends_at - self.now
        left_min = max(params.time_to_close_min_s, market.settlement_average_s) * SECOND
        return (
            market.status is MarketStatus.OPEN
            and is_priced(market)
            and left_min <= left <= params.time_to_close_max_s * SECOND
            and self.now - sampler.at <= params.spot_age_max_s * SECOND
        )
