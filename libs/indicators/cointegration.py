"""Whether one series follows another: a fitted line, and how surely what is left over goes back to it."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from libs.indicators.moving import half_life


class Relation(NamedTuple):
    """``y = alpha + beta · x + residual``: the newest residual, the deviation of all, and whether they go back to 0.

    ``statistic`` is that of Dickey and Fuller (the more negative, the surer); ``half_life`` in steps.
    """

    alpha: float
    beta: float
    residual: float
    deviation: float
    statistic: float
    half_life: float


def relation(y: Sequence[float], x: Sequence[float]) -> Relation | None:
    """Engle and Granger, Co-integration and error correction, 1987: least squares, then Dickey-Fuller on the residuals.

    The residuals' test is Δe_t = ρ·e_{t−1} without a constant (they have none), the statistic ρ by its standard error. ``None``
    where nothing varies, or nothing is left over.

    Raises:
        ValueError: for fewer than ten values, or lengths that differ.
    """
    if len(y) != len(x) or len(y) < 10:
        raise ValueError(f"expected as many values as {len(x)}, at least 10, was {len(y)}")
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    spread = math.fsum((value - mean_x) ** 2 for value in x)
    if spread == 0.0:
        return None
    beta = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    alpha = mean_y - beta * mean_x
    left = [b - alpha - beta * a for a, b in zip(x, y, strict=True)]
    deviation = math.sqrt(math.fsum(value * value for value in left) / len(left))
    square = math.fsum(value * value for value in left[:-1])
    if deviation == 0.0 or square == 0.0:
        return None
    steps = [(before, after - before) for before, after in pairwise(left)]
    rho = math.fsum(before * step for before, step in steps) / square
    noise = math.fsum((step - rho * before) ** 2 for before, step in steps) / (len(steps) - 1)
    statistic = rho / math.sqrt(noise / square) if noise > 0.0 else -math.inf
    return Relation(alpha, beta, left[-1], deviation, statistic, half_life(left))


def critical_value(count: int) -> float:
    """Below it the statistic is by chance one time in twenty, for two series that do not follow each other.

    MacKinnon, Critical values for cointegration tests, 2010, table 2: two variables, a constant, 5 %.
    """
    return -3.33613 - 6.1101 / count - 6.823 / (count * count)
