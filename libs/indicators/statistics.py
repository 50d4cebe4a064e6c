"""Small statistics in floats. Results are rounded to integers before anything is decided on them."""

import math
from collections.abc import Sequence

from proto.units import ONE

_SQRT_2 = math.sqrt(2.0)


def normal_cdf(x: float) -> float:
    """P(Z ≤ x) of the standard normal distribution: (1 + erf(x/√2))/2."""
    return 0.5 * (1.0 + math.erf(x / _SQRT_2))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n − 1).

    Raises:
        ValueError: for fewer than two values.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"expected at least 2 values, was {count}")
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, math.sqrt(variance)


def zscore(value: float, mean: float, deviation: float) -> float:
    """How many deviations ``value`` lies from ``mean``; 0 when nothing varies."""
    return (value - mean) / deviation if deviation > 0.0 else 0.0


def to_millionths(value: float) -> int:
    """Round a statistic to the integer grid that decisions use, half to even."""
    return round(value * ONE)
