"""The equity curve: every level has words of its own, whole, and within the picture."""

import re

import pytest

from libs.view.history import EquityPoint
from proto.units import ONE, SECOND
from services.console.charts import LEFT, equity

CHARACTER_WIDTH_MAX = 7.2
"""Of a digit at eleven pixels, in the widest of the fonts that are named."""


@pytest.mark.parametrize("level", [10_000 * ONE, -9_000_000 * ONE, 0])
@pytest.mark.parametrize("change", [0, 1, 5_000, 12_000, 900 * ONE])
def test_levels_are_told_apart_and_whole(level: int, change: int):
    points = [EquityPoint(minute * 60 * SECOND, level + change * minute) for minute in range(2)]
    svg = equity(points, "$")
    words = re.findall(r'text-anchor="end">([^<]*\$[^<]*)<', svg)
    assert words
    assert len(set(words)) == len(words)
    assert all(len(text) * CHARACTER_WIDTH_MAX <= LEFT - 8 for text in words)
