"""The relation of two series: exact on what is exact, and by chance as often as stated."""

import math
import random

import pytest

from libs.indicators.cointegration import critical_value, relation


def walk(draw: random.Random, count: int) -> list[float]:
    found = [0.0]
    for _ in range(count - 1):
        found.append(found[-1] + draw.gauss(0.0, 1.0))
    return found


def test_a_line_with_something_left_over():
    x = [float(index) for index in range(40)]
    left = [1.0 if index % 4 < 2 else -1.0 for index in range(40)]
    found = relation([3.0 + 2.0 * value + over for value, over in zip(x, left, strict=True)], x)
    assert found is not None
    assert (found.alpha, found.beta) == pytest.approx((3.0, 2.0), abs=0.3)
    assert found.residual == pytest.approx(left[-1], abs=0.3)
    assert found.deviation == pytest.approx(1.0, abs=0.05)
    same = relation(x, x)
    assert same is None or same.deviation < 1e-9, "nothing is left over"
    assert relation(x, [1.0] * 40) is None
    with pytest.raises(ValueError, match="at least 10, was 9"):
        relation(x[:9], x[:9])


def test_independent_walks_pass_for_related_one_time_in_twenty():
    draw, count, found = random.Random(5), 90, 0
    for _ in range(600):
        related = relation(walk(draw, count), walk(draw, count))
        found += related is not None and related.statistic < critical_value(count)
    # Three standard errors of a share of 5 % in 600 are 2.7 %.
    assert 0.023 < found / 600 < 0.077


def test_what_goes_back_is_found_with_its_speed():
    draw, found = random.Random(6), 0
    halves: list[float] = []
    for _ in range(50):
        x, left = walk(draw, 90), [0.0]
        for _ in range(89):
            left.append(0.7 * left[-1] + draw.gauss(0.0, 1.0))
        related = relation([1.5 * a + b for a, b in zip(x, left, strict=True)], x)
        assert related is not None
        found += related.statistic < critical_value(90)
        halves.append(related.half_life)
    assert found > 40
    # ln ½ / ln 0.7 = 1.94 steps; a fit of 90 finds it somewhat shorter.
    assert math.fsum(halves) / 50 == pytest.approx(1.94, abs=0.5)
