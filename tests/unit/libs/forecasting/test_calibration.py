"""Calibration learned online: it finds how sure somebody is, keeps order and bounds, and is silent while it knows little."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.forecasting.calibration import OUTCOMES_MIN, SHIFT_MAX, SLOPE_MAX, Calibrator
from libs.forecasting.odds import FORECAST_MAX, FORECAST_MIN, from_logit, log_loss, logit
from proto.units import ONE

PRICES = st.integers(0, ONE)
GRID = range(0, ONE + 1, 50_000)


def learned(shift: float, slope: float, count: int, seed: int) -> tuple[Calibrator, float, float]:
    """A forecaster whose truth is ``shift + slope · what it says``; its mean loss as said, and as calibrated before."""
    chance, calibrator = random.Random(seed), Calibrator()
    said = calibrated = 0.0
    for number in range(count):
        forecast = from_logit(chance.gauss(0.0, 1.5))
        forecast = min(max(forecast, FORECAST_MIN), FORECAST_MAX)
        happened = chance.random() * ONE < from_logit(shift + slope * logit(forecast))
        said += log_loss(forecast, happened=happened)
        calibrated += log_loss(calibrator.calibrate(forecast), happened=happened)
        calibrator.add(str(number), forecast)
        calibrator.settle(str(number), happened=happened)
    return calibrator, said / count, calibrated / count


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 0.3), (0.7, 1.0), (-0.4, 0.5), (0.0, 1.8)])
def test_who_is_too_sure_or_leans_to_a_side_is_found_out(shift: float, slope: float):
    calibrator, said, calibrated = learned(shift, slope, 2_000, seed=3)
    assert calibrator.shift == pytest.approx(shift, abs=0.2)
    assert calibrator.slope == pytest.approx(slope, abs=0.2)
    assert calibrated < said - 0.01


def test_who_is_calibrated_loses_next_to_nothing():
    _, said, calibrated = learned(0.0, 1.0, 2_000, seed=4)
    assert calibrated <= said + 0.005


def test_who_is_always_wrong_ends_as_saying_nothing_and_not_as_his_opposite():
    calibrator, _, _ = learned(0.0, -2.0, 1_000, seed=5)
    assert calibrator.slope == 0.0
    assert len({calibrator.calibrate(forecast) for forecast in GRID}) == 1


@given(st.lists(st.tuples(PRICES, st.booleans()), max_size=150))
def test_whatever_comes_order_and_bounds_hold(rows: list[tuple[int, bool]]):
    calibrator = Calibrator()
    for number, (forecast, happened) in enumerate(rows):
        calibrator.add(str(number), forecast)
        calibrator.settle(str(number), happened=happened)
        assert abs(calibrator.shift) <= SHIFT_MAX
        assert 0.0 <= calibrator.slope <= SLOPE_MAX
        assert math.isfinite(calibrator.shared_precision)
    found = [calibrator.calibrate(forecast) for forecast in GRID]
    assert found == sorted(found)
    assert all(FORECAST_MIN <= value <= FORECAST_MAX for value in found)
    if len(rows) < OUTCOMES_MIN:
        assert found == [min(max(forecast, FORECAST_MIN), FORECAST_MAX) for forecast in GRID]


def test_a_market_counts_once_and_a_void_one_not_at_all():
    often, once = Calibrator(), Calibrator()
    for _ in range(9):
        often.add("a", 800_000)
    once.add("a", 800_000)
    for calibrator in (often, once):
        calibrator.settle("a", happened=False)
        calibrator.settle("a", happened=False)
    assert (often.outcomes, often.shift) == (1, pytest.approx(once.shift))
    once.add("b", 700_000)
    once.drop("b")
    once.settle("b", happened=True)
    assert (once.outcomes, once.open) == (1, {})
