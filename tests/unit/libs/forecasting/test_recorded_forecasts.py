"""On real predictions, fed in the order of their times: who is worse than the market ends with no weight, and costs nothing."""

from pathlib import Path

import pytest

from bench.forecasts import SHADOW, Outcome, outcomes
from libs.forecasting.weight import REGRET_MAX
from proto.units import ONE

pytestmark = pytest.mark.recorded


@pytest.fixture(scope="module")
def found(recordings: Path) -> dict[str, Outcome]:
    if not (recordings / SHADOW).is_file():
        pytest.skip(f"no recorded forecasts: expected {recordings / SHADOW}")
    return {outcome.name: outcome for outcome in outcomes(recordings)}


def test_nobody_ever_lost_more_to_the_market_than_the_bound(found: dict[str, Outcome]):
    assert len(found) == 20
    for outcome in found.values():
        assert outcome.peak <= REGRET_MAX, outcome.name


def test_the_recorded_models_are_the_ones_that_were_recorded(found: dict[str, Outcome]):
    together = found["all nine as one"]
    assert together.markets == 2_832
    figures = [round(value, 4) for value in (together.brier, together.brier_market)]
    assert figures == [0.2859, 0.2470]
    assert round(together.loss, 3) == 0.783
    assert round(together.loss_market, 3) == 0.687


def test_seven_models_worse_than_the_market_end_without_a_weight(found: dict[str, Outcome]):
    models = list(found.values())[:9]
    worse = [outcome for outcome in models if outcome.brier > outcome.brier_market]
    assert len(worse) == 7
    assert {outcome.weight for outcome in worse} == {0}
    assert found["all nine as one"].weight == 0


def test_the_one_that_is_better_earns_a_weight_and_six_forecasts_do_not(found: dict[str, Outcome]):
    better = found["GBM_LATE_15M"]
    assert better.markets == 201
    assert better.weight > ONE // 2
    assert better.total < 0
    assert found["RESOLUTION_SNIPER"].markets == 6
    assert found["RESOLUTION_SNIPER"].weight == 0


@pytest.mark.parametrize("venue", ["", ", Kalshi"])
def test_made_up_forecasters_on_real_windows_get_what_they_are_worth(found: dict[str, Outcome], venue: str):
    for name in ("copies the price", "noise", "systematically wrong"):
        assert found[f"{name}{venue}"].weight == 0
        assert found[f"{name}{venue}"].total == 0
    for name in ("near perfect", "good"):
        assert found[f"{name}{venue}"].weight > ONE // 2
        assert found[f"{name}{venue}"].total < -1
