"""The first trade comes within a minute of a world's beginning: for every seed, at every time of the day.

Played in the world's own time through the real machines: nothing here depends on the speed of a machine.
"""

import random
import statistics

import pytest

from proto.units import SECOND
from tests.support.shown_world import ShownWorld

HOUR_S = 1_779_000_000 // 3600 * 3600
PATIENCE_S = 120
BEGINNINGS_S = (0, 299, 715, 840, 1_700, 2_690, 3_100)
"""Seconds past an hour: far from the end of a window, and just before that of 5, 10 and 15 minutes."""


def first_fill_s(seed: int, past_hour_s: int, seen_after_s: float, **more: bool) -> float:
    return ShownWorld(seed, (HOUR_S + past_hour_s) * SECOND, seen_after_s, **more).first_fill_s(PATIENCE_S)


@pytest.mark.parametrize("seen_after_s", [6.0, 30.0], ids=lambda s: f"seen-after-{s:.0f}-s")
def test_the_first_fill_comes_soon_after_the_machines_see_the_world(seen_after_s):
    """A start takes some seconds, more on a busy machine: what happened meanwhile is known from the history."""
    waited = [
        first_fill_s(seed, past_hour_s, seen_after_s) - seen_after_s
        for seed, past_hour_s in enumerate(BEGINNINGS_S)
    ]
    assert max(waited) < 20, waited
    assert statistics.median(waited) < 5, waited


@pytest.mark.parametrize("past_hour_s", [3_481, 3_525, 3_575])
def test_nor_do_windows_that_all_end_with_the_hour_keep_it_away(past_hour_s):
    """Polymarket's have no time left to trade then; Kalshi's began with the world."""
    waited = [first_fill_s(seed, past_hour_s, 8.0) for seed in range(4)]
    # An order that came too late lets its market rest for a minute, and there is just one.
    assert sorted(waited)[-2] < 60, waited
    assert max(waited) < 100, waited


def test_without_the_past_nothing_is_traded_before_enough_was_seen():
    assert first_fill_s(7, 77, 8.0, history=False) > 8 + 120


def test_an_ordinary_world_may_wait_for_its_first_jump():
    assert first_fill_s(5, 77, 8.0, lively=False) > 30


@pytest.mark.soak
def test_hardly_any_beginning_takes_longer_than_a_minute(count):
    draw = random.Random(11)
    cases = [
        (draw.randrange(2**31), draw.randrange(3_600), draw.uniform(5, 35)) for _ in range(count(6, 2_000))
    ]
    waited = [first_fill_s(*case) for case in cases]
    assert sum(found > 60 for found in waited) <= max(1, len(waited) / 50), sorted(
        zip(waited, cases, strict=True)
    )[-5:]
