"""How sure a forecaster may be: what it says, put on the scale of what came. Learned from outcomes, one at a time. Pure.

``logit c = a + b · logit f``: a shift for one who leans to a side, a slope for one who is surer than right (b < 1) or not
sure enough (b > 1). The form is Platt's (Probabilistic Outputs for Support Vector Machines, 1999); learning it online
is Gupta and Ramdas's (Online Platt Scaling with Calibeating, 2023). The step after each outcome is Newton's on the log
loss with a normal prior around a = 0, b = 1, whose curvature is summed up: the approximation by a normal distribution
of Spiegelhalter and Lauritzen (Sequential updating of conditional probabilities, 1990).

It moves nothing until it has earned that, as a weight has to: what it would have said before each outcome must have been
better than what was said, by a one-sided 95 % lower bound of the mean gain in log loss. A market counts once, by the mean
of the log-odds that were forecast for it.
"""

import math

from msgspec import Struct

from libs.bounded import keep_newest
from libs.forecasting.odds import clamp_forecast, from_logit, log_loss, logit
from libs.forecasting.weight import CONFIDENCE
from proto.units import ONE, Price

OUTCOMES_MIN = 50
"""Ended markets before a forecast is moved: two figures from fewer are noise."""
PRIOR_DEVIATION = 0.5
"""Of shift and slope before any outcome: a forecaster whose slope is 2, or who leans by 12 per cent at one half, is rare."""
SHIFT_MAX = 2.0
SLOPE_MAX = 3.0
"""From 0: who is always wrong says nothing here, and is not read as his own opposite."""
OPEN_MAX = 2_000
"""Markets with forecasts and without an outcome; beyond it the oldest teaches nothing."""


class Said(Struct, array_like=True):
    """Forecasts of one market without an outcome: how many, and the sum of their log-odds."""

    count: int = 0
    log_odds: float = 0.0


class Calibrator(Struct):
    """Shift and slope of one forecaster in one family, with what is known of them (the precision matrix of a and b)."""

    outcomes: int = 0
    gain: float = 0.0
    gain_squares: float = 0.0
    shift: float = 0.0
    slope: float = 1.0
    shift_precision: float = 1.0 / PRIOR_DEVIATION**2
    slope_precision: float = 1.0 / PRIOR_DEVIATION**2
    shared_precision: float = 0.0
    open: dict[str, Said] = {}

    @property
    def is_active(self) -> bool:
        """Whether it has earned to move forecasts."""
        n = self.outcomes
        if n < OUTCOMES_MIN:
            return False
        mean = self.gain / n
        variance = max(0.0, self.gain_squares - n * mean * mean) / (n - 1)
        return mean - CONFIDENCE * math.sqrt(variance / n) > 0.0

    def calibrate(self, forecast: Price) -> Price:
        """What a forecast of this forecaster is worth; as it is while too little is known. Within what is believed."""
        held = clamp_forecast(forecast)
        return self._moved(held) if self.is_active else held

    def _moved(self, forecast: Price) -> Price:
        return clamp_forecast(from_logit(self.shift + self.slope * logit(forecast)))

    def add(self, market: str, forecast: Price) -> None:
        """Remember a forecast, as it was said, until its market ends."""
        said = self.open.setdefault(market, Said())
        said.count += 1
        said.log_odds += logit(clamp_forecast(forecast))
        keep_newest(self.open, OPEN_MAX)

    def settle(self, market: str, *, happened: bool) -> None:
        """Learn from an outcome; a market without forecasts changes nothing."""
        said = self.open.pop(market, None)
        if said is None:
            return
        self.outcomes += 1
        x = said.log_odds / said.count
        forecast = clamp_forecast(from_logit(x))
        gain = log_loss(forecast, happened=happened) - log_loss(self._moved(forecast), happened=happened)
        self.gain += gain
        self.gain_squares += gain * gain
        probability = from_logit(self.shift + self.slope * x) / ONE
        certainty = probability * (1.0 - probability)
        self.shift_precision += certainty
        self.shared_precision += certainty * x
        self.slope_precision += certainty * x * x
        error = (1.0 if happened else 0.0) - probability
        determinant = self.shift_precision * self.slope_precision - self.shared_precision**2
        shift = error * (self.slope_precision - self.shared_precision * x) / determinant
        slope = error * (self.shift_precision * x - self.shared_precision) / determinant
        self.shift = min(max(self.shift + shift, -SHIFT_MAX), SHIFT_MAX)
        self.slope = min(max(self.slope + slope, 0.0), SLOPE_MAX)

    def drop(self, market: str) -> None:
        """Forget a market that ended without an outcome."""
        self.open.pop(market, None)
