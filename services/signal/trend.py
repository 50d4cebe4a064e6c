"""What strategies share that expect a trend of a reference price to go on for a while."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, TypeVar

from libs.config.section import amount, setting, whole
from libs.indicators.statistics import mean_and_deviation, to_millionths
from proto.signal import Evidence
from proto.units import ONE, SECOND
from services.signal.reference import Ratio, ReferenceParams, ReferenceStrategy, View, Watched


class TrendParams(ReferenceParams):
    """Parameters of every strategy that follows a trend."""

    changeable: ClassVar[frozenset[str]] = ReferenceParams.changeable | frozenset(
        ("persistence", "significance_min", "horizon_candle_count")
    )

    persistence: Annotated[int, amount(0, ONE)] = setting(
        300_000, "share of the trend's slope that is expected to go on"
    )
    significance_min: Ratio = setting(ONE, "a slope below so many of its standard errors is none")
    horizon_candle_count: Annotated[int, whole(1, 100)] = setting(
        5, "candles for which the slope is expected to go on after the signal"
    )


Params = TypeVar("Params", bound=TrendParams)


class TrendStrategy(ReferenceStrategy[Params]):
    """Base: a subclass finds in ``judge`` when a trend began, and how steep it is."""

    def follow(
        self,
        watched: Watched,
        side: int,
        slope: float,
        significance: float,
        reason: str,
        seen: tuple[Evidence, ...],
    ) -> None:
        """Expect a share of a slope (of log prices, a candle) to go on, if it points to ``side`` and is more than noise.

        Otherwise there is no view any more: the signal only ended the one before.
        """
        params = self.params
        if slope * side <= 0.0 or significance * ONE < params.significance_min:
            watched.view = None
            return
        watched.view = View(
            until=self.now + params.horizon_candle_count * params.candle_s * SECOND,
            reason=reason,
            strength=min(ONE, to_millionths(significance / 3.0)),
            drift=slope * params.persistence / ONE / params.candle_s,
            evidence=[
                *seen,
                Evidence("slope_candle", to_millionths(slope)),
                Evidence("significance", to_millionths(significance)),
            ],
        )


def slope_significance(prices: Sequence[float], slope: float, count: int) -> float:
    """A slope of log prices a candle by its standard error: ``|slope| · √count / σ``, σ that of the candles' returns.

    The mean of ``count`` independent returns scatters by ``σ/√count``. 0 where nothing varies.
    """
    returns = [math.log(after / before) for before, after in pairwise(prices)]
    deviation = mean_and_deviation(returns)[1]
    return abs(slope) * math.sqrt(count) / deviation if deviation > 0.0 else 0.0
