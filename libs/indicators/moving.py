"""Moving averages and what is made of them, over closed candles. Floats: their results are rounded before they decide.

Every function takes prices oldest first and looks at what it is given only, so nothing can look ahead.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple


def simple_average(values: Sequence[float], count: int) -> float:
    """Mean of the newest ``count`` values.

    Raises:
        ValueError: there are fewer.
    """
    _expect(values, count)
    return math.fsum(values[-count:]) / count


def exponential_averages(values: Sequence[float], count: int) -> list[float]:
    """The exponential average after each value from the ``count``-th on, with α = 2/(count + 1).

    Begun with the mean of the first ``count`` values: begun with the first value alone, it leans to it for long.

    Raises:
        ValueError: there are fewer values.
    """
    _expect(values, count)
    average = math.fsum(values[:count]) / count
    alpha = 2.0 / (count + 1)
    averages = [average]
    for value in values[count:]:
        average += alpha * (value - average)
        averages.append(average)
    return averages


class Macd(NamedTuple):
    """Fast less slow average, and that line less its own average; and the histogram one candle before."""

    line: float
    histogram: float
    histogram_before: float


def macd(values: Sequence[float], fast: int, slow: int, signal: int) -> Macd:
    """Moving average convergence and divergence (Appel, Technical Analysis: Power Tools for Active Investors, 2005).

    Raises:
        ValueError: for fewer than ``slow + signal`` values.
    """
    _expect(values, slow + signal)
    slow_line = exponential_averages(values, slow)
    fast_line = exponential_averages(values, fast)[slow - fast :]
    line = [quick - late for quick, late in zip(fast_line, slow_line, strict=True)]
    signals = exponential_averages(line, signal)
    return Macd(line[-1], line[-1] - signals[-1], line[-2] - signals[-2])


def relative_strength(values: Sequence[float], count: int) -> float:
    """The relative strength index in [0, 100] with Wilder's smoothing (New Concepts in Technical Trading Systems, 1978).

    Mean gain and loss begin with the mean of the first ``count`` changes, then (mean · (count − 1) + change)/count. 50 where
    nothing changed.

    Raises:
        ValueError: for fewer than ``count + 1`` values.
    """
    _expect(values, count + 1)
    changes = [after - before for before, after in itertools.pairwise(values)]
    gain = math.fsum(max(change, 0.0) for change in changes[:count]) / count
    loss = math.fsum(max(-change, 0.0) for change in changes[:count]) / count
    for change in changes[count:]:
        gain = (gain * (count - 1) + max(change, 0.0)) / count
        loss = (loss * (count - 1) + max(-change, 0.0)) / count
    return 50.0 if gain + loss == 0.0 else 100.0 * gain / (gain + loss)


class Band(NamedTuple):
    """A moving average and the standard deviation of the values about it."""

    middle: float
    deviation: float


def bollinger(values: Sequence[float], count: int) -> Band:
    """Mean and population deviation of the newest ``count`` values (Bollinger on Bollinger Bands, 2001).

    Raises:
        ValueError: there are fewer.
    """
    middle = simple_average(values, count)
    return Band(middle, math.sqrt(math.fsum((value - middle) ** 2 for value in values[-count:]) / count))


def half_life(values: Sequence[float]) -> float:
    """How many steps a distance from the mean takes to halve, by a first-order autoregression; infinite where it does not.

    φ of x_t − m = φ (x_{t−1} − m) by least squares, then ln ½ / ln φ; 0 where φ ≤ 0 (it is gone within a step).

    Raises:
        ValueError: for fewer than three values.
    """
    _expect(values, 3)
    mean = math.fsum(values) / len(values)
    apart = [value - mean for value in values]
    square = math.fsum(value * value for value in apart[:-1])
    if square == 0.0:
        return math.inf
    phi = math.fsum(before * after for before, after in itertools.pairwise(apart)) / square
    if phi <= 0.0:
        return 0.0
    return math.inf if phi >= 1.0 else math.log(0.5) / math.log(phi)


def _expect(values: Sequence[float], count: int) -> None:
    if len(values) < count or count < 1:
        raise ValueError(f"expected at least {count} values, was {len(values)}")
