"""MACD: the difference of two exponential averages of a reference price turns, and its trend is expected to go on a while."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from libs.config.section import setting, whole
from libs.indicators.moving import macd
from proto.signal import Evidence
from services.signal.reference import Watched
from services.signal.trend import TrendParams, TrendStrategy, slope_significance


class MacdParams(TrendParams):
    """Parameters of MACD; ``config/signal/macd.yaml`` gives the reason of each default."""

    fast_count: Annotated[int, whole(2, 40)] = setting(12, "candles of the fast average")
    slow_count: Annotated[int, whole(3, 60)] = setting(26, "candles of the slow average, more than the fast")
    signal_count: Annotated[int, whole(2, 30)] = setting(9, "candles of the average of their difference")


class MacdTrend(TrendStrategy[MacdParams]):
    """Expects a share of the trend to go on when the histogram changes its sign in the direction of the line."""

    name: ClassVar[str] = "macd"
    params_type = MacdParams

    def judge(self, watched: Watched, prices: Sequence[float]) -> None:
        """A turn fires once, on the closed candle at which the histogram changes its sign."""
        params = self.params
        fast, slow = sorted((params.fast_count, params.slow_count))
        if fast == slow or len(prices) < slow + params.signal_count + 1:
            watched.side, watched.view = 0, None
            return
        found = macd(prices, fast, slow, params.signal_count)
        side = (found.histogram > 0) - (found.histogram < 0)
        if found.histogram_before * side >= 0.0:
            return
        watched.side = side
        # An exponential average of n candles trails a straight line by (n − 1)/2 of them, so the difference of two is the
        # line's slope a candle times (slow − fast)/2.
        slope = 2.0 * found.line / (slow - fast) / prices[-1]
        significance = slope_significance(prices[-1 - slow :], slope, slow)
        reason = "MACD turned up" if side > 0 else "MACD turned down"
        seen = (Evidence("macd", round(found.line)), Evidence("histogram", round(found.histogram)))
        self.follow(watched, side, slope, significance, reason, seen)
