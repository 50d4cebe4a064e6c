"""What is left of the best of many: the Sharpe ratio against luck, and the probability that the choice was overfitted.

Ratios here are of one period (mean by standard deviation of its profits), not of a year: how many periods a year has is of no
matter to whether there is an edge. Periods are taken as independent of one another, which flatters what holds positions over
many of them.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist, fmean, median, stdev

from libs.performance.figure import Figure, known, undefined

PERIODS_MIN = 20
"""Periods below which no statement is made; below, the error of a ratio is larger than the ratio."""
EULER_MASCHERONI = 0.5772156649015329
BLOCKS_MAX = 12
"""Blocks of the cross-validation: 924 ways to choose half of them."""
BLOCK_PERIODS_MIN = 2
NORMAL = NormalDist()

Profits = Sequence[float]
"""Profits of one trial, one a period."""


def ratio(profits: Profits) -> float:
    """Mean by standard deviation (n − 1) of a period's profits; 0 where nothing varies: nothing was traded."""
    if len(profits) < 2:
        return 0.0
    deviation = stdev(profits)
    mean = fmean(profits)
    return 0.0 if deviation <= abs(mean) * 1e-12 else mean / deviation


def probabilistic_ratio(profits: Profits, benchmark: float = 0.0) -> Figure:
    """The probability that the true ratio is above ``benchmark``, with skew and fat tails taken into account.

    ``Φ((S − S*)·√(n − 1) / √(1 − γ₃·S + (γ₄ − 1)/4·S²))``, γ₃ and γ₄ the skewness and kurtosis of the profits (Bailey and López
    de Prado, The Sharpe Ratio Efficient Frontier, 2012).
    """
    count = len(profits)
    if count < PERIODS_MIN:
        return undefined(count, f"{count} periods, below {PERIODS_MIN}: too few")
    value = ratio(profits)
    if not value:
        return undefined(count, "no profit varied")
    skewness, kurtosis = _shape(profits)
    spread = 1 - skewness * value + (kurtosis - 1) / 4 * value * value
    if spread <= 0:
        return undefined(count, "too skewed for the approximation")
    return known(NORMAL.cdf((value - benchmark) * math.sqrt(count - 1) / math.sqrt(spread)), count)


def _shape(profits: Profits) -> tuple[float, float]:
    """Skewness and kurtosis (3 for the normal distribution), by the moments of the sample."""
    mean = fmean(profits)
    second = fmean([(value - mean) ** 2 for value in profits])
    third = fmean([(value - mean) ** 3 for value in profits])
    fourth = fmean([(value - mean) ** 4 for value in profits])
    return third / second**1.5, fourth / second**2


def best_by_luck(deviation: float, trials: int) -> float:
    """The ratio that the best of ``trials`` worthless ones is expected to have, theirs scattered by ``deviation``.

    ``σ·((1 − γ)·Φ⁻¹(1 − 1/N) + γ·Φ⁻¹(1 − 1/(N·e)))`` (Bailey and López de Prado, The Deflated Sharpe Ratio, 2014).
    """
    if trials < 2:
        return 0.0
    one = NORMAL.inv_cdf(1 - 1 / trials)
    other = NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return deviation * ((1 - EULER_MASCHERONI) * one + EULER_MASCHERONI * other)


def deflated_ratio(trials: Sequence[Profits], chosen: int) -> Figure:
    """The probability that the chosen trial is better than the best of as many worthless ones (the same source)."""
    ratios = [ratio(profits) for profits in trials]
    deviation = stdev(ratios) if len(ratios) > 1 else 0.0
    return probabilistic_ratio(trials[chosen], best_by_luck(deviation, len(trials)))


def overfitting(trials: Sequence[Profits]) -> Figure:
    """The probability that what is best on one half of the time is below the median on the other half.

    Combinatorially symmetric cross-validation: the periods are cut into an even number of blocks; for each choice of half of
    them the trial with the best ratio there is ranked by its ratio in the rest. The share of choices in which its rank is in
    the lower half (Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest Overfitting, 2015).
    """
    periods = min((len(profits) for profits in trials), default=0)
    blocks = min(BLOCKS_MAX, periods // BLOCK_PERIODS_MIN // 2 * 2)
    if len(trials) < 2:
        return undefined(len(trials), "one trial: nothing was chosen")
    if periods < PERIODS_MIN or blocks < 2:
        return undefined(periods, f"{periods} periods, below {PERIODS_MIN}: too few")
    sums = [[_block(profits, number, blocks) for number in range(blocks)] for profits in trials]
    every = range(blocks)
    lost = total = 0
    for inside in combinations(every, blocks // 2):
        outside = [number for number in every if number not in inside]
        trained = [_ratio_of(row, inside) for row in sums]
        tested = [_ratio_of(row, outside) for row in sums]
        best = max(range(len(trials)), key=trained.__getitem__)
        lost += _rank(tested, best) <= 0.5
        total += 1
    return known(lost / total, total)


_Block = tuple[int, float, float]
"""Periods, sum of profits, sum of their squares."""


def _block(profits: Profits, number: int, blocks: int) -> _Block:
    size = len(profits) // blocks
    part = profits[number * size : (number + 1) * size]
    return len(part), math.fsum(part), math.fsum(value * value for value in part)


def _ratio_of(blocks: Sequence[_Block], chosen: Sequence[int]) -> float:
    count = total = squares = 0.0
    for number in chosen:
        block = blocks[number]
        count += block[0]
        total += block[1]
        squares += block[2]
    variance = (squares - total * total / count) / (count - 1)
    return 0.0 if variance <= 1e-9 * squares / count else total / count / math.sqrt(variance)


def _rank(values: Sequence[float], place: int) -> float:
    """The relative rank of a value, between 0 and 1; among equals the mean one."""
    own = values[place]
    below = sum(value < own for value in values)
    equal = sum(value == own for value in values)
    return (below + (equal + 1) / 2) / (len(values) + 1)


def plateau(value: float, neighbours: Sequence[float]) -> Figure:
    """The median of what the neighbouring settings made by what this one made; below 0.5 it is a spike."""
    if not neighbours:
        return undefined(0, "no neighbour")
    if value <= 0:
        return undefined(len(neighbours), "no profit")
    return known(median(neighbours) / value, len(neighbours))
