"""Moving-average cross: a fast average of a reference price crosses a slow one, and the trend is expected to go on a while."""

import math
from collections.abc import Sequence
from typing import ClassVar

from libs.config.section import setting
from libs.indicators.moving import simple_average
from proto.signal import Evidence
from services.signal.reference import CandleCount, Watched
from services.signal.trend import TrendParams, TrendStrategy, slope_significance


class MaCrossParams(TrendParams):
    """Parameters of the cross; ``config/signal/ma_cross.yaml`` gives the reason of each default."""

    fast_count: CandleCount = setting(10, "closed candles of the fast average")
    slow_count: CandleCount = setting(30, "closed candles of the slow average")


class MaCross(TrendStrategy[MaCrossParams]):
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
        reason = "fast average above slow" if side > 0 else "fast average below slow"
        seen = (Evidence("fast", round(fast)), Evidence("slow", round(slow)))
        self.follow(watched, side, slope, significance, reason, seen)
