"""Averages, MACD, RSI, bands and half-lives, each worked out by hand."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.indicators.digital import Outlook, digital_fair_value
from libs.indicators.moving import (
    bollinger,
    exponential_averages,
    half_life,
    macd,
    relative_strength,
    simple_average,
)
from proto.units import ONE

PRICES = st.lists(st.floats(1.0, 1e6), min_size=36, max_size=60)


def test_averages():
    assert simple_average([1, 2, 3, 6], 3) == pytest.approx(11 / 3)
    # Begun with (1 + 2 + 3)/3 = 2, then α = 1/2: 2 + (6 − 2)/2 = 4, 4 + (0 − 4)/2 = 2.
    assert exponential_averages([1, 2, 3, 6, 0], 3) == [2.0, 4.0, 2.0]


def test_macd_of_a_straight_line_is_its_slope_times_half_the_difference():
    found = macd([100 + 3 * n for n in range(60)], 12, 26, 9)
    assert found.line == pytest.approx(3 * (26 - 12) / 2)
    assert found.histogram == pytest.approx(0.0, abs=1e-9)
    assert found.histogram_before == pytest.approx(0.0, abs=1e-9)


def test_relative_strength_by_wilder():
    # Four changes +2, −1, +1, 0 with a window of 2: gain 1, ½·1+½·1 = 1, ½; loss ½, ¼, ⅛.
    assert relative_strength([10, 12, 11, 12, 12], 2) == pytest.approx(100 * 0.5 / 0.625)
    assert relative_strength([5.0] * 20, 14) == 50.0
    assert relative_strength(list(range(1, 20)), 14) == 100.0


def test_band():
    assert bollinger([9, 1, 3, 5, 7], 4) == pytest.approx((4.0, math.sqrt(5.0)))


def test_half_life_of_an_autoregression():
    draw, value, values = random.Random(5), 0.0, []
    for _ in range(20_000):
        value = 0.8 * value + draw.gauss(0, 1)
        values.append(value)
    assert half_life(values) == pytest.approx(math.log(0.5) / math.log(0.8), rel=0.05)
    assert half_life([float(n % 2) for n in range(50)]) == 0.0
    assert half_life([3.0] * 10) == math.inf


@given(PRICES)
def test_bounds(values: list[float]):
    assert 0.0 <= relative_strength(values, 14) <= 100.0
    assert min(values) * 0.999 <= simple_average(values, 10) <= max(values) * 1.001
    assert half_life(values) >= 0.0
    # Nothing looks ahead: a later price changes no earlier average.
    assert exponential_averages(values[:-1], 10) == exponential_averages(values, 10)[:-1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: simple_average([1.0], 2),
        lambda: exponential_averages([1.0], 2),
        lambda: macd([1.0] * 34, 12, 26, 9),
        lambda: relative_strength([1.0, 2.0], 2),
        lambda: half_life([1.0, 2.0]),
    ],
)
def test_too_few_values(call):
    with pytest.raises(ValueError, match="expected at least"):
        call()


def test_an_outlook_moves_the_mean_and_scales_the_variance():
    spot, sigma, left = 80_000 * ONE, 0.0001, 400.0
    deviation = sigma * 20.0
    strike = 80_000 * ONE * math.exp(0.001)
    plain = digital_fair_value(spot, strike, sigma, left)
    assert digital_fair_value(spot, strike, sigma, left, 0.0, Outlook()) == plain
    # The expected move reaches the strike: Φ(−√v/2).
    moved = digital_fair_value(spot, strike, sigma, left, 0.0, Outlook(0.001))
    assert moved == pytest.approx(ONE * 0.5 * (1 + math.erf(-deviation / 2 / math.sqrt(2))), abs=1)
    # A quarter of the variance doubles the distance in deviations, but for the term of half the variance.
    narrow = digital_fair_value(spot, strike, sigma, left, 0.0, Outlook(0.0, 0.25))
    d2 = (-0.001 - deviation**2 / 8) / (deviation / 2)
    assert narrow == pytest.approx(ONE * 0.5 * (1 + math.erf(d2 / math.sqrt(2))), abs=1)
    assert digital_fair_value(spot, strike, 0.0, left, 0.0, Outlook(0.002)) == ONE
