"""Figures of returns, each worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.performance.returns import (
    DAY,
    DAYS_MIN,
    EquityPoint,
    annual_return,
    calmar,
    daily_returns,
    deepest_drawdown,
    sharpe,
    sortino,
    total_return,
)
from proto.units import ONE

T0 = 20_000 * DAY


def equity(*values: int, deposits: int = 100) -> list[EquityPoint]:
    """One point at noon of each day; dollars."""
    return [
        EquityPoint(T0 + number * DAY + DAY // 2, value * ONE, deposits * ONE)
        for number, value in enumerate(values)
    ]


def test_the_loss_of_the_first_day_counts() -> None:
    days = daily_returns(equity(90, 99))
    assert [day.value for day in days] == pytest.approx([-0.1, 0.1])
    assert [day.profit for day in days] == [-10 * ONE, 9 * ONE]
    assert total_return(days).value == pytest.approx(-0.01)


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss() -> None:
    points = [
        EquityPoint(T0, 100 * ONE, 100 * ONE),
        EquityPoint(T0 + DAY, 150 * ONE, 150 * ONE),
        EquityPoint(T0 + 2 * DAY, 60 * ONE, 50 * ONE),
    ]
    days = daily_returns(points)
    assert [day.value for day in days] == pytest.approx([0.0, 0.0, 10 / 150])
    assert deepest_drawdown(points).depth == 0.0


def test_a_day_without_a_point_earned_nothing() -> None:
    points = [equity(100)[0], equity(100, 0, 0, 110)[3]]
    assert [day.value for day in daily_returns(points)] == pytest.approx([0.0, 0.0, 0.0, 0.1])


def test_a_series_that_only_rises_is_a_series_of_returns() -> None:
    days = daily_returns(equity(*(100 * 3**number for number in range(3))))
    assert [day.value for day in days] == pytest.approx([0.0, 2.0, 2.0])
    assert total_return(days).value == pytest.approx(8.0)


def test_ratios_of_alternating_days() -> None:
    # Twenty days of +2 % and −1 % in turn: mean 0.5 %, deviation 1.5 %·√(20/19), downside √(0.0001/2).
    values, level = [], 100.0
    for number in range(20):
        level *= 1.02 if number % 2 == 0 else 0.99
        values.append(level)
    points = [
        EquityPoint(T0 + number * DAY, round(value * ONE), 100 * ONE) for number, value in enumerate(values)
    ]
    days = daily_returns(points)
    deviation = 0.015 * math.sqrt(20 / 19)
    ratio = 0.005 / deviation
    figure = sharpe(days)
    assert figure.value == pytest.approx(ratio * math.sqrt(365), rel=1e-6)
    margin = 1.959964 * math.sqrt((1 + ratio**2 / 2) / 20) * math.sqrt(365)
    assert (figure.low, figure.high) == pytest.approx(
        (ratio * math.sqrt(365) - margin, ratio * math.sqrt(365) + margin), rel=1e-6
    )
    assert sortino(days).value == pytest.approx(0.005 / math.sqrt(0.0001 / 2) * math.sqrt(365), rel=1e-6)
    annual = (1.02 * 0.99) ** (10 * 365 / 20) - 1
    assert annual_return(days).value == pytest.approx(annual, rel=1e-5)
    drawdown = deepest_drawdown(points)
    assert drawdown.depth == pytest.approx(0.01, rel=1e-5)
    assert calmar(days, drawdown).value == pytest.approx(annual / 0.01, rel=1e-4)


def test_what_has_no_number_has_a_reason() -> None:
    few = daily_returns(equity(*[100] * (DAYS_MIN - 1)))
    for figure in (sharpe(few), sortino(few), annual_return(few)):
        assert figure.value is None
        assert figure.reason == "19 days, below 20: too few"
    flat = daily_returns(equity(*[100] * DAYS_MIN))
    assert sharpe(flat).reason == "every day returned the same"
    assert sortino(flat).reason == "no day lost"
    assert calmar(flat, deepest_drawdown(equity(100, 100))).reason == "the account never fell"
    assert total_return([]).reason == "no day with money in the account"


def test_the_deepest_fall_has_its_dates() -> None:
    points = equity(110, 99, 105, 88, 120)
    fall = deepest_drawdown(points)
    assert fall.depth == pytest.approx(0.2)
    assert fall.amount == 22 * ONE
    assert (fall.peak_at, fall.trough_at, fall.recovered_at) == (points[0].at, points[3].at, points[4].at)
    assert deepest_drawdown(points[:4]).recovered_at == 0


def test_a_fall_at_the_first_point_counts() -> None:
    assert deepest_drawdown(equity(80, 90)).depth == pytest.approx(0.2)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40))
def test_figures_are_finite_or_say_why(values: list[int]) -> None:
    points = equity(*values)
    days, fall = daily_returns(points), deepest_drawdown(points)
    for figure in (
        total_return(days),
        annual_return(days),
        sharpe(days),
        sortino(days),
        calmar(days, fall),
    ):
        assert (figure.value is None) == bool(figure.reason)
        assert figure.value is None or math.isfinite(figure.value)
    assert 0.0 <= fall.depth <= 1.0
    if 0 not in values[:-1]:
        # A day that begins with nothing is left out.
        assert sum(day.profit for day in days) == points[-1].equity - points[-1].deposits
