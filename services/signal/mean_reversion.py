"""Mean reversion: a reference price left its Bollinger band in a market that has gone back before, and is expected to."""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from libs.config.section import amount, setting, whole
from libs.indicators.moving import bollinger, half_life, relative_strength
from libs.indicators.statistics import to_millionths
from proto.signal import Evidence
from proto.units import ONE, SECOND
from services.signal.reference import CandleCount, ReferenceParams, ReferenceStrategy, View, Watched

Percent = Annotated[int, whole(1, 99)]


class MeanReversionParams(ReferenceParams):
    """Parameters of mean reversion; ``config/signal/mean_reversion.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = ReferenceParams.changeable | frozenset(
        ("deviations", "rsi_low_percent", "rsi_high_percent", "volatility_ratio_max", "horizon_candle_count")
    )

    band_count: CandleCount = setting(20, "closed candles of the band")
    deviations: Annotated[int, amount(ONE // 10, 10 * ONE)] = setting(
        2 * ONE, "how many deviations from its middle the band ends"
    )
    rsi_count: Annotated[int, whole(2, 50)] = setting(14, "candles of the relative strength index")
    rsi_low_percent: Percent = setting(30, "an index at or below is oversold")
    rsi_high_percent: Percent = setting(70, "an index at or above is overbought")
    recent_count: Annotated[int, whole(2, 50)] = setting(5, "candles of the newest volatility")
    volatility_ratio_max: Annotated[int, amount(ONE // 10, 10 * ONE)] = setting(
        1_500_000,
        "newest volatility by that of the band: above it something has happened that does not go back",
    )
    half_life_max_count: Annotated[int, whole(1, 100)] = setting(
        5, "candles: a distance from the mean that takes longer to halve is no reversion"
    )
    horizon_candle_count: Annotated[int, whole(1, 100)] = setting(
        10, "candles for which the view is held at most"
    )


class MeanReversion(ReferenceStrategy[MeanReversionParams]):
    """Expects the price to go back to the band's middle at the speed at which it has gone back lately."""

    name: ClassVar[str] = "mean_reversion"
    params_type = MeanReversionParams

    def judge(self, watched: Watched, prices: Sequence[float]) -> None:
        """Outside the band, overbought or oversold, in quiet times, and in a price that does go back."""
        params = self.params
        needed = max(params.band_count, params.rsi_count, params.recent_count) + 1
        if len(prices) < needed:
            watched.side, watched.view = 0, None
            return
        logs = [math.log(price) for price in prices]
        band = bollinger(logs, params.band_count)
        distance = logs[-1] - band.middle
        index = relative_strength(prices[-needed:], params.rsi_count)
        outside = abs(distance) > band.deviation * params.deviations / ONE
        side = -1 if index >= params.rsi_high_percent else 1 if index <= params.rsi_low_percent else 0
        if not outside or not side or distance * side >= 0.0 or self._is_restless(logs):
            return
        halves = half_life(logs[-params.band_count :])
        if not 0.0 < halves <= params.half_life_max_count:
            return
        watched.side = side
        watched.view = View(
            until=self.now + params.horizon_candle_count * params.candle_s * SECOND,
            reason="oversold" if side > 0 else "overbought",
            strength=min(ONE, to_millionths(abs(distance) / band.deviation / 4.0)),
            target=math.exp(band.middle),
            half_life_s=halves * params.candle_s,
            evidence=[
                Evidence("rsi", to_millionths(index)),
                Evidence("deviations", to_millionths(distance / band.deviation)),
                Evidence("middle", round(math.exp(band.middle))),
                Evidence("half_life_s", to_millionths(halves * params.candle_s)),
            ],
        )

    def _is_restless(self, logs: Sequence[float]) -> bool:
        """Whether the newest candles vary more than the band's by too much: news, not noise."""
        params = self.params
        steps = [after - before for before, after in itertools.pairwise(logs)]
        recent = _root_mean_square(steps[-params.recent_count :])
        whole_band = _root_mean_square(steps[-params.band_count :])
        return recent * ONE > whole_band * params.volatility_ratio_max


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))
