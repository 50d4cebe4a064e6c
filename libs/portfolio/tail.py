"""Value at risk and expected shortfall of bets that end at one of a few values each: by enumeration, not by history.

A binary's price series says nothing of its end, where it jumps to 0 or 1. So the distribution of profit and loss is built
from the endings: each bet (a market, or a group of which one market pays) has a few, with their probabilities, and
distributions are added by convolution. Bets on the price of one asset move together: their probabilities are conditioned
on a common normal factor (one-factor Gaussian copula; O. Vasicek, "Loan portfolio value", 2002), of which evenly spaced
values are weighed by the normal density. Bets on different assets, or on none, are independent.

Losses are rounded up to a grid where there are too many values to keep, and the results are rounded up. What remains is
the error of the sum over the factor (``STEP_SHARE``) and what ``CHANCE_MIN`` leaves out: where the chance of a loss is
nearer to the confidence than that, the value at risk may be the next lower loss.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from statistics import NormalDist
from typing import Final, NamedTuple

from proto.units import ONE

FACTOR_MAX: Final = 6
"""The common factor is summed from minus that to that: beyond lie two in a thousand million."""
STEP: Final = 0.25
"""Between two of its values, halved as often as ``STEP_SHARE`` asks."""
STEP_SHARE: Final = 0.55
"""As the factor moves, the chance of a bet turns from high to low within √((1 − correlation) / correlation): of that a
step is at most so much. Then no probability of ten equal bets is wrong by 0.00001."""
CORRELATION_MAX: Final = 0.999
"""More is counted as so much: it takes 769 values of the factor, where 0.8 takes 49."""
VALUES_MAX: Final = 2_000
"""Values a distribution keeps; more are rounded up to a grid of so many steps."""
CHANCE_MIN: Final = 1e-9
"""What is less likely than that is left out of a distribution between two bets."""
_NORMAL: Final = NormalDist()

Distribution = dict[int, float]
"""Loss in millionths of a dollar → its probability."""


class Ending(NamedTuple):
    """One way a bet can end: its probability in millionths, and the loss then (a profit is below nothing)."""

    probability: int
    loss: int


class Bet(NamedTuple):
    """The endings of one bet. ``asset``: whose price decides, empty for none.

    ``direction``: 1 if the first of two endings comes when that price rises, -1 when it falls, 0 if it cannot be said.
    """

    endings: tuple[Ending, ...]
    asset: str = ""
    direction: int = 0


class Tail(NamedTuple):
    """The loss that is not passed with the given confidence, and the mean of the losses in the rest of the cases."""

    value_at_risk: int
    expected_shortfall: int


def tail_of(bets: Iterable[Bet], confidence: int, correlation: int) -> Tail:
    """The tail of all bets together, in millionths of a dollar, at least 0.

    Args:
        bets: what is held; each ends independently of the others but for the factor of its asset.
        confidence: in millionths, 990_000 for 99 %.
        correlation: of two bets on one asset's price, in millionths.
    """
    by_asset: dict[str, list[Bet]] = {}
    alone: list[Bet] = []
    for bet in bets:
        if bet.asset and bet.direction and len(bet.endings) == 2:
            by_asset.setdefault(bet.asset, []).append(bet)
        else:
            alone.append(bet)
    total: Distribution = {0: 1.0}
    for bet in alone:
        total = _add(total, [(ending.loss, ending.probability / ONE) for ending in bet.endings])
    for together in by_asset.values():
        total = _add(total, list(_on_one_asset(together, correlation / ONE).items()))
    return _tail(total, 1 - confidence / ONE)


def _on_one_asset(bets: Sequence[Bet], correlation: float) -> Distribution:
    mixed: Distribution = {}
    correlation = min(correlation, CORRELATION_MAX)
    loading, rest = math.sqrt(correlation), math.sqrt(1 - correlation)
    thresholds = [_threshold(bet) for bet in bets]
    for node, weight in nodes(step_for(correlation)):
        part: Distribution = {0: 1.0}
        for bet, threshold in zip(bets, thresholds, strict=True):
            first, second = bet.endings
            chance = _NORMAL.cdf((threshold + loading * bet.direction * node) / rest)
            part = _add(part, [(first.loss, chance), (second.loss, 1 - chance)])
        for loss, chance in part.items():
            mixed[loss] = mixed.get(loss, 0.0) + weight * chance
    return _on_grid(mixed)


def _threshold(bet: Bet) -> float:
    """The value of a normal variable below which the first ending comes."""
    return _NORMAL.inv_cdf(min(max(bet.endings[0].probability / ONE, 1e-6), 1 - 1e-6))


def _add(left: Distribution, right: Sequence[tuple[int, float]]) -> Distribution:
    total: Distribution = {}
    for loss, chance in left.items():
        for more, likely in right:
            if (both := chance * likely) > CHANCE_MIN:
                total[loss + more] = total.get(loss + more, 0.0) + both
    return _on_grid(total)


def _on_grid(values: Distribution) -> Distribution:
    if len(values) <= VALUES_MAX:
        return values
    low = min(values)
    step = -(-(max(values) - low) // VALUES_MAX)
    found: Distribution = {}
    for loss, chance in values.items():
        place = low - (low - loss) // step * step
        found[place] = found.get(place, 0.0) + chance
    return found


def _tail(values: Distribution, share: float) -> Tail:
    """The worst ``share`` of the cases: its best loss, and its mean."""
    left, weighed, quantile = share, 0.0, 0
    # What was left out as too unlikely is no case: the rest is made whole.
    whole = math.fsum(values.values()) or 1.0
    for quantile in sorted(values, reverse=True):
        chance = values[quantile] / whole
        weighed += quantile * min(chance, left)
        left -= chance
        if left <= 1e-12:
            break
    mean = weighed / share if share > 0 else float(quantile)
    return Tail(max(quantile, 0), max(math.ceil(mean - 1e-3), quantile, 0))


def step_for(correlation: float) -> float:
    """How far apart the factor's values are."""
    step = STEP
    while correlation and step > STEP_SHARE * math.sqrt((1 - correlation) / correlation):
        step /= 2
    return step


@cache
def nodes(step: float) -> tuple[tuple[float, float], ...]:
    """Evenly spaced values of a standard normal factor and their weights, which are 1 together."""
    count = round(FACTOR_MAX / step)
    values = [index * step for index in range(-count, count + 1)]
    densities = [_NORMAL.pdf(value) for value in values]
    whole = math.fsum(densities)
    return tuple((value, density / whole) for value, density in zip(values, densities, strict=True))
