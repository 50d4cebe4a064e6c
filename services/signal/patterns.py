"""Patterns: a chart pattern was completed in a reference price, and a share of its height is expected as a move.

What a pattern is, is defined in ``libs/indicators/patterns.py``; that prices follow one is what its users say, and no finding.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from libs.config.section import amount, setting, whole
from libs.indicators.patterns import PATTERN_CANDLES_MIN, find_pattern
from libs.indicators.statistics import to_millionths
from proto.signal import Evidence
from proto.units import ONE
from services.signal.reference import Watched
from services.signal.trend import TrendParams, TrendStrategy, slope_significance


class PatternsParams(TrendParams):
    """Parameters of patterns; ``config/signal/patterns.yaml`` gives the reason of each default."""

    window_count: Annotated[int, whole(PATTERN_CANDLES_MIN, 100)] = setting(
        80, "closed candles in which a pattern is looked for"
    )
    persistence: Annotated[int, amount(0, ONE)] = setting(
        200_000, "share of the pattern's height that is expected as a move"
    )
    horizon_candle_count: Annotated[int, whole(1, 100)] = setting(
        10, "candles in which that move is expected"
    )


class Patterns(TrendStrategy[PatternsParams]):
    """Expects a share of a completed pattern's height to follow in its direction."""

    name: ClassVar[str] = "patterns"
    params_type = PatternsParams

    def judge(self, watched: Watched, prices: Sequence[float]) -> None:
        """A pattern fires once: on the closed candle that completes it."""
        params = self.params
        if len(prices) < params.window_count:
            # A hole in the candles: half a pattern is none.
            watched.side, watched.view = 0, None
            return
        newest = prices[-params.window_count :]
        found = find_pattern([math.log(price) for price in newest])
        if found is None:
            return
        watched.side = found.side
        slope = found.side * found.height / params.horizon_candle_count
        significance = slope_significance(newest, slope, params.horizon_candle_count)
        seen = (Evidence("height", to_millionths(found.height)),)
        self.follow(watched, found.side, slope, significance, found.name, seen)
