"""Chart patterns: drawn ones are found on the candle that completes them, and chance draws no more than is stated."""

import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.indicators.patterns import PATTERN_CANDLES_MIN, Pattern, find_pattern

ZIGZAG = (0.3, -0.3)


def drawn(*points: tuple[int, float], lead: int = 40) -> list[float]:
    """Straight lines between points (candle, height) after a quiet time, with a small zigzag on all but the last candle."""
    found = [points[0][1]] * lead
    for (start, low), (end, high) in pairwise(points):
        found += [low + (high - low) * step / (end - start) for step in range(end - start)]
    found = [value + ZIGZAG[index % 2] for index, value in enumerate(found)]
    return [*found, points[-1][1]]


SHAPES = {
    "inverse head and shoulders": drawn(
        (0, 12), (6, 6), (12, 10), (19, 0), (26, 10), (32, 6), (37, 9.4), (38, 11.5)
    ),
    "double bottom": drawn((0, 10), (8, 0), (16, 6), (24, 0.2), (31, 6), (32, 8)),
    "flag upward": drawn((0, 0), (5, 14), (12, 10), (13, 15)),
    "break of resistance": drawn(
        (0, 0), (6, 10), (12, 2), (18, 10), (24, 5), (30, 10), (35, 7.5), (38, 9.5), (39, 12.5)
    ),
    "range left upward": drawn((0, 0), (12, 12), (40, 12), (41, 15)),
}
DOWNWARD = {
    "inverse head and shoulders": "head and shoulders",
    "double bottom": "double top",
    "flag upward": "flag downward",
    "break of resistance": "break of support",
    "range left upward": "range left downward",
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_drawn_pattern_is_found_on_the_candle_that_completes_it(name: str):
    shape = SHAPES[name]
    found = find_pattern(shape)
    assert found is not None
    assert (found.name, found.side) == (name, 1)
    assert 0 < found.height <= max(shape) - min(shape)
    turned = find_pattern([-value for value in shape])
    assert turned == Pattern(DOWNWARD[name], -1, pytest.approx(found.height))
    assert find_pattern(shape[:-1]) is None, "not before"
    assert find_pattern([*shape, shape[-1] + 0.1]) is None, "and not again"
    # A candle that stays on this side of the line completes nothing.
    assert find_pattern([*shape[:-1], shape[-2]]) is None


def test_nothing_is_found_in_nothing():
    assert find_pattern([]) is None
    assert find_pattern([1.0] * 80) is None
    assert find_pattern([float(index) for index in range(80)]) is None, "a line has no turn and no rest"
    assert find_pattern(SHAPES["flag upward"][-PATTERN_CANDLES_MIN + 1 :]) is None, "too few candles"


CHANCE = {
    "head and shoulders": 1.0,
    "double": 2.5,
    "flag": 2.0,
    "break of": 5.0,
    "range left": 15.0,
}
"""Stated in services/signal/README.md: how often at most a random walk completes each, in a thousand candles and on either side."""


@pytest.mark.soak
def test_random_walks_complete_no_more_than_is_stated(count: Callable[[int, int], int]):
    seeds, candles = count(10, 100), 200
    seen: Counter[tuple[str, int]] = Counter()
    for seed in range(seeds):
        draw, walk = random.Random(seed), [0.0]
        for _ in range(80 + candles):
            walk.append(walk[-1] + draw.gauss(0.0, 1.0))
        for end in range(80, 80 + candles):
            found = find_pattern(walk[end - 80 : end])
            if found is not None:
                seen[next(name for name in CHANCE if name in found.name), found.side] += 1
    for name, most in CHANCE.items():
        for side in (1, -1):
            expected = most * seeds * candles / 1_000
            assert seen[name, side] <= expected + 3 * math.sqrt(expected), name
            assert seeds < 100 or seen[name, side] > 0, f"{name} is never completed"


@given(st.lists(st.floats(-1, 1), min_size=PATTERN_CANDLES_MIN, max_size=100))
def test_a_pattern_depends_on_the_form_and_not_on_its_size(steps: list[float]):
    logs = [math.fsum(steps[: index + 1]) for index in range(len(steps))]
    found = find_pattern(logs)
    turned = find_pattern([-value for value in logs])
    assert (found is None) == (turned is None)
    if found is not None and turned is not None:
        assert found.height > 0.0
    larger = find_pattern([value * 2.0 for value in logs])
    assert (larger is None) == (found is None)
    if larger is not None and found is not None:
        assert (larger.name, larger.side) == (found.name, found.side)
