"""Probabilities as log-odds: pooling forecasts, and moving the market's price towards one.

Probabilities are millionths outside, floats inside; every result is rounded before anything is decided on it.
"""

import math
from collections.abc import Sequence

from proto.units import ONE, Price

FORECAST_MIN, FORECAST_MAX = 20_000, 980_000
"""A forecaster is not believed to know more than this: a claim beyond it costs without a bound when it is wrong."""
MARKET_MIN, MARKET_MAX = 1_000, 999_000
"""The market's price is believed as far as a tick reaches."""


def clamp_forecast(probability: Price) -> Price:
    """Bring a forecaster's probability to where it can be pooled."""
    return min(max(probability, FORECAST_MIN), FORECAST_MAX)


def is_saturated(probability: Price) -> bool:
    """Whether a probability stands at a bound: a limit, not knowledge."""
    return not FORECAST_MIN < probability < FORECAST_MAX


def clamp_market(price: Price) -> Price:
    """Bring the market's price to where its log-odds are finite."""
    return min(max(price, MARKET_MIN), MARKET_MAX)


def logit(probability: Price) -> float:
    """Log-odds of a probability strictly between 0 and 1 (millionths)."""
    return math.log(probability / (ONE - probability))


def from_logit(log_odds: float) -> Price:
    """The probability of log-odds, rounded to a millionth and kept off 0 and 1."""
    return min(max(round(ONE / (1.0 + math.exp(-log_odds))), 1), ONE - 1)


def pool(probabilities: Sequence[Price]) -> Price:
    """The mean of the log-odds of forecasts, as a probability: the logarithmic opinion pool with equal weights.

    Genest and Zidek, Combining Probability Distributions, 1986. Each is clamped first.

    Raises:
        ValueError: for no forecast.
    """
    if not probabilities:
        raise ValueError("expected at least one forecast, was none")
    return from_logit(math.fsum(logit(clamp_forecast(p)) for p in probabilities) / len(probabilities))


def shrink(market: Price, forecast: Price, weight: float) -> Price:
    """``logit p = logit m + w · (logit f − logit m)``: the market's price, moved towards a forecast by ``weight``."""
    start = logit(clamp_market(market))
    return from_logit(start + weight * (logit(clamp_forecast(forecast)) - start))


def log_loss(probability: Price, *, happened: bool) -> float:
    """Logarithmic loss in nats of a probability strictly between 0 and 1."""
    return -math.log((probability if happened else ONE - probability) / ONE)
