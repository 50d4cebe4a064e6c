"""Moving-average cross: a fast average of a reference price crosses a slow one, and the trend is expected to go on a while."""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from libs.config.section import amount, setting, whole
from libs.indicators.moving import simple_average
from libs.indicators.statistics import to_millionths
from proto.signal import Evidence
from proto.units import ONE, SECOND
from services.signal.reference import (
    CandleCount,
    Ratio,
    ReferenceParams,
    ReferenceStrategy,
    View,
    Watched,
    slope_significance,
)


class MaCrossParams(ReferenceParams):
    """Parameters of the cross; ``config/signal/ma_cross.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = ReferenceParams.changeable | frozenset(
        ("persistence", "significance_min", "horizon_candle_count")
    )

    fast_count: CandleCount = setting(10, "closed candles of the fast average")
    slow_count: CandleCount = setting(30, "closed candles of the slow average")
    persistence: Annotated[int, amount(0, ONE)] = setting(
        300_000, "share of the trend's slope that is expected to go on"
    )
    significance_min: Ratio = setting(ONE, "a slope below so many of its standard errors is none")
    horizon_candle_count: Annotated[int, whole(1, 100)] = setting(
        5, "candles for which the slope is expected to go on after the cross"
    )


class MaCross(ReferenceStrategy[MaCrossParams]):
    """Expects a share of the slope of the fast average to go on, from a cross until the horizon or the opposite cross."""

    name: ClassVar[str] = "ma_cross"
    params_type = MaCrossParams

    def judge(self, watched: Watched, prices: Sequence[float]) -> None:
        """A cross fires once: on the first closed candle after which the fast average is on the other side."""
        params = self.params
        if len(prices) < max(params.slow_count, params.fast_count) + 1:
            # A hole in the candles: what was before it says nothing about a cross.
            watched.side, watched.view = 0, None
            return
        fast = simple_average(prices, params.fast_count)
        slow = simple_average(prices, params.slow_count)
        side = (fast > slow) - (fast < slow)
        crossed = side * watched.side < 0
        watched.side = side or watched.side
        if not crossed:
            return
        # The slope of the fast average over its own window, a candle.
        slope = math.log(prices[-1] / prices[-1 - params.fast_count]) / params.fast_count
        newest = prices[-1 - params.slow_count :]
        significance = slope_significance(newest, slope, params.fast_count)
        if slope * side <= 0.0 or significance * ONE < params.significance_min:
            watched.view = None
            return
        drift = slope * params.persistence / ONE / params.candle_s
        watched.view = View(
            until=self.now + params.horizon_candle_count * params.candle_s * SECOND,
            reason="fast average above slow" if side > 0 else "fast average below slow",
            strength=min(ONE, to_millionths(significance / 3.0)),
            drift=drift,
            evidence=[
                Evidence("fast", round(fast)),
                Evidence("slow", round(slow)),
                Evidence("slope_candle", to_millionths(slope)),
                Evidence("significance", to_millionths(significance)),
            ],
        )
