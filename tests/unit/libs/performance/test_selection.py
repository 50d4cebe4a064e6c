"""The formulas by hand, and what they say of noise and of a planted edge."""

import math
from random import Random
from statistics import NormalDist

import pytest

from libs.performance.selection import (
    best_by_luck,
    deflated_ratio,
    overfitting,
    plateau,
    probabilistic_ratio,
    ratio,
)

HALVES = [1.0, -0.5] * 10
"""Mean 0.25, deviation √(0.5625·20/19)."""


def test_a_ratio_by_hand():
    assert ratio(HALVES) == pytest.approx(0.25 / math.sqrt(0.5625 * 20 / 19))
    assert ratio([2.0, 2.0, 2.0]) == 0.0
    assert ratio([]) == ratio([1.0]) == 0.0


def test_the_probability_of_a_ratio_by_hand():
    # Two values equally often: no skew, and a kurtosis of 1, so the root below is of 1 − 0 + 0.
    value = 0.25 / math.sqrt(0.5625 * 20 / 19)
    assert probabilistic_ratio(HALVES).value == pytest.approx(NormalDist().cdf(value * math.sqrt(19)))
    assert probabilistic_ratio(HALVES, value).value == pytest.approx(0.5)
    # Skewed: values 4 and −1 at 1 to 4 have mean 0, so 5 and 0 have mean 1, deviation 2, skewness 1.5 and kurtosis 3.25.
    skewed = [5.0, 0.0, 0.0, 0.0, 0.0] * 4
    s = 1 / (2 * math.sqrt(20 / 19))
    by_hand = NormalDist().cdf(s * math.sqrt(19) / math.sqrt(1 - 1.5 * s + 2.25 / 4 * s * s))
    assert probabilistic_ratio(skewed).value == pytest.approx(by_hand)


def test_too_little_has_a_reason_and_no_number():
    assert probabilistic_ratio(HALVES[:19]).reason == "19 periods, below 20: too few"
    assert probabilistic_ratio([0.0] * 30).value is None
    assert overfitting([HALVES]).value is None
    assert overfitting([HALVES[:10], HALVES[:10]]).value is None


def test_the_best_by_luck():
    # Φ⁻¹(1/2) = 0 and Φ⁻¹(1 − 1/(2e)) = 0.90045 for two trials, weighted by 0.57722.
    assert best_by_luck(1.0, 2) == pytest.approx(0.5772157 * NormalDist().inv_cdf(1 - 1 / (2 * math.e)))
    assert best_by_luck(0.1, 1) == 0.0
    # The mean of the best of ten standard normal values is 1.5388 (tables of order statistics); the formula is near it.
    assert best_by_luck(1.0, 10) == pytest.approx(1.5388, abs=0.05)
    assert best_by_luck(2.0, 10) == pytest.approx(2 * best_by_luck(1.0, 10))


def test_more_trials_make_the_same_result_less_probable():
    random = Random(1)
    trials = [[random.gauss(0.15, 1) for _ in range(100)] for _ in range(20)]
    few, many = deflated_ratio(trials[:2], 0).value, deflated_ratio(trials, 0).value
    assert few is not None
    assert many is not None
    assert many < few


def test_the_same_trial_twice_is_neither_better_nor_worse():
    # Whichever is chosen has the mean rank (1.5 of 3, so 0.5): that counts as lost, as in the source (λ ≤ 0).
    assert overfitting([HALVES, HALVES]).value == 1.0


def test_what_is_better_everywhere_is_not_overfitted():
    random = Random(2)
    noise = [[random.gauss(0, 1) for _ in range(120)] for _ in range(9)]
    planted = [value + 1.0 for value in noise[0]]
    assert overfitting([*noise, planted]).value == 0.0


def test_opposites_are_overfitted_by_construction():
    # One makes money in the first half, the other in the second: the best of most choices is the worse one outside.
    random = Random(3)
    first = [random.gauss(1 if place < 60 else -1, 0.1) for place in range(120)]
    second = [random.gauss(-1 if place < 60 else 1, 0.1) for place in range(120)]
    value = overfitting([first, second]).value
    assert value is not None
    assert value > 0.9


def test_a_plateau_by_hand():
    assert plateau(10.0, [8.0, 4.0, 6.0]).value == pytest.approx(0.6)
    assert plateau(0.0, [1.0]).reason == "no profit"
    assert plateau(1.0, []).reason == "no neighbour"
