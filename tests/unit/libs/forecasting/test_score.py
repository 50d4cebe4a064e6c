"""Scores beside values worked out by hand."""

import math

import pytest

from libs.forecasting.score import OPEN_MAX, ScoreCard
from proto.units import ONE


def test_a_score_is_what_is_worked_out_by_hand():
    card = ScoreCard()
    card.add("a", 800_000, 500_000)
    card.add("b", 300_000, 500_000)
    assert card.settle("a", happened=True)
    assert card.settle("b", happened=False)
    assert not card.settle("b", happened=False)
    assert card.count == 2
    assert card.brier == 40_000 + 90_000
    assert card.brier_market == 2 * 250_000
    assert card.loss == pytest.approx((-math.log(0.8) - math.log(0.7)) * ONE, abs=2)
    assert card.loss_market == pytest.approx(2 * math.log(2) * ONE, abs=2)
    assert (card.bins[8].count, card.bins[8].said, card.bins[8].happened) == (1, 800_000, 1)
    assert (card.bins[3].count, card.bins[3].happened) == (1, 0)


def test_forecasts_of_one_market_count_once_by_their_mean():
    card = ScoreCard()
    card.add("a", 800_000, 500_000)
    card.add("a", 600_000, 500_000)
    card.settle("a", happened=True)
    assert card.count == 1
    assert card.brier == (40_000 + 160_000) // 2
    assert card.bins[7].said == 700_000


def test_markets_without_an_outcome_are_bounded():
    card = ScoreCard()
    for number in range(OPEN_MAX + 3):
        card.add(f"m{number}", 500_000, 500_000)
    assert len(card.open) == OPEN_MAX
    assert not card.settle("m0", happened=True)
