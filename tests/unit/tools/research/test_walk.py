"""Walk-forward: windows that never overlap their embargo, worthless strategies called worthless, an edge found."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.research.walk import Window, walk_forward, windows_of

PERIODS, TRIALS = 240, 8


def family(seed: int, edge: float = 0.0) -> list[list[float]]:
    """Trials of bets at even money with a fee, seldom taken; one of them has an edge."""
    random = Random(seed)
    trials = []
    for number in range(TRIALS):
        chance = 0.5 + (edge if number == 3 else 0.0)
        bets = [random.random() < 0.6 for _ in range(PERIODS)]
        trials.append([(1.0 if random.random() < chance else -1.0) - 0.01 if bet else 0.0 for bet in bets])
    return trials


def walked(trials):
    return walk_forward(trials, windows_of(PERIODS, 4, 3))


@given(
    periods=st.integers(1, 500),
    count=st.integers(1, 20),
    embargo=st.integers(0, 50),
    anchored=st.booleans(),
)
def test_what_is_tested_comes_after_the_embargo(periods, count, embargo, anchored):
    windows = windows_of(periods, count, embargo, anchored=anchored)
    tested = [place for window in windows for place in range(window.test_from, window.test_to)]
    assert len(set(tested)) == len(tested)
    assert all(0 <= place < periods for place in tested)
    for window in windows:
        assert 0 <= window.train_from < window.train_to == window.test_from - embargo
        assert not anchored or window.train_from == 0


def test_windows_by_hand():
    assert windows_of(100, 4, 5) == [
        Window(0, 15, 20, 40),
        Window(20, 35, 40, 60),
        Window(40, 55, 60, 80),
        Window(60, 75, 80, 100),
    ]


def test_the_choice_is_made_on_the_past_alone():
    good_then_bad = [1.0, 2.0] * 10 + [-1.0, -2.0] * 10
    bad_then_good = [-value for value in good_then_bad]
    walk = walk_forward([good_then_bad, bad_then_good], [Window(0, 20, 20, 40)])
    assert walk.steps[0].chosen == 0
    assert sum(walk.outside) == -30.0
    assert "made nothing" in " ".join(walk.objections())


def test_who_traded_nothing_is_not_chosen():
    walk = walk_forward([[0.0] * 40, [0.0] * 40], [Window(0, 20, 20, 40)])
    assert walk.steps[0].chosen == -1
    assert walk.outside == [0.0] * 20
    assert walk.objections()


@pytest.mark.soak
def test_random_strategies_are_worthless_and_an_edge_is_found(count):
    seeds = range(count(20, 100))
    believed = [seed for seed in seeds if not walked(family(seed)).objections()]
    assert len(believed) <= len(seeds) // 10
    found = [seed for seed in seeds if not walked(family(seed, edge=0.25)).objections()]
    assert len(found) >= len(seeds) * 9 // 10


def test_the_document_is_plain():
    document = walked(family(1)).document()
    assert document["trials"] == TRIALS
    assert document["edge_found"] is False
    assert document["objections"]
