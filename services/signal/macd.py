"""MACD: the difference of two exponential averages of a reference price turns, and its trend is expected to go on a while."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from libs.config.section import amount, setting, whole
from libs.indicators.moving import macd
from libs.indicators.statistics import to_millionths
from proto.signal import Evidence
from proto.units import ONE, SECOND
from services.signal.reference import (
    Ratio,
    ReferenceParams,
    ReferenceStrategy,
    View,
    Watched,
    slope_significance,
)


class MacdParams(ReferenceParams):
    """Parameters of MACD; ``config/signal/macd.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = ReferenceParams.changeable | frozenset(
        ("persistence", "significance_min", "horizon_candle_count")
    )

    fast_count: Annotated[int, whole(2, 40)] = setting(12, "candles of the fast average")
    slow_count: Annotated[int, whole(3, 60)] = setting(26, "candles of the slow average, more than the fast")
    signal_count: Annotated[int, whole(2, 30)] = setting(9, "candles of the average of their difference")
    persistence: Annotated[int, amount(0, ONE)] = setting(
        300_000, "share of the trend's slope that is expected to go on"
    )
    significance_min: Ratio = setting(ONE, "a slope below so many of its standard errors is none")
    horizon_candle_count: Annotated[int, whole(1, 100)] = setting(
        5, "candles for which the slope is expected to go on after the turn"
    )


class MacdTrend(ReferenceStrategy[MacdParams]):
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
        if slope * side <= 0.0 or significance * ONE < params.significance_min:
            # Against the trend, or in none: a turn that only ends a view.
            watched.view = None
            return
        watched.view = View(
            until=self.now + params.horizon_candle_count * params.candle_s * SECOND,
            reason="MACD turned up" if side > 0 else "MACD turned down",
            strength=min(ONE, to_millionths(significance / 3.0)),
            drift=slope * params.persistence / ONE / params.candle_s,
            evidence=[
                Evidence("macd", round(found.line)),
                Evidence("histogram", round(found.histogram)),
                Evidence("slope_candle", to_millionths(slope)),
                Evidence("significance", to_millionths(significance)),
            ],
        )
