import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.sizing.kelly import (
    HALF,
    drawdown_scale,
    kelly_fraction,
    quantity_for_stake,
    risk_fraction,
    volatility_fraction,
)
from proto.units import AMOUNT_MAX, ONE, notional

prices = st.integers(1, ONE - 1)
shares = st.integers(1, ONE)


@pytest.mark.parametrize(
    ("fair_value", "cost", "share", "expected"),
    [
        (600_000, 500_000, ONE, 200_000),  # (0.6 - 0.5) / 0.5
        (600_000, 500_000, HALF, 100_000),
        (550_000, 450_000, HALF, 90_909),  # 0.1 / 0.55 / 2, rounded down
        (ONE, 900_000, ONE, ONE),  # certain: everything
        (500_000, 500_000, ONE, 0),
        (499_999, 500_000, ONE, 0),
        (ONE + 1, 500_000, ONE, 0),  # no probability
        (600_000, 0, ONE, 0),
        (600_000, -1, ONE, 0),
        (ONE, ONE, ONE, 0),
    ],
)
def test_known_fractions(fair_value, cost, share, expected):
    assert kelly_fraction(fair_value, cost, share) == expected


@given(prices, prices)
def test_full_kelly_maximises_expected_log_growth(fair_value, cost):
    """No neighbouring stake grows faster: the formula against its own definition."""
    fraction = kelly_fraction(fair_value, cost, ONE)
    if fraction == 0:
        assert fair_value <= cost or (fair_value - cost) * ONE < ONE - cost
        return

    def growth(stake):
        p, c = fair_value / ONE, cost / ONE
        return p * math.log1p(stake * (1 - c) / c) + (1 - p) * math.log1p(-stake)

    best = growth((fraction + 0.5) / ONE)
    for step in (-0.05, -0.01, 0.01, 0.05):
        other = fraction / ONE + step
        if 0 <= other < 1:
            assert growth(other) <= best + 1e-9


@given(prices, prices, shares)
def test_a_share_never_stakes_more_than_the_whole_and_never_more_than_equity(fair_value, cost, share):
    part = kelly_fraction(fair_value, cost, share)
    assert 0 <= part <= kelly_fraction(fair_value, cost, ONE) <= ONE


@given(
    st.integers(0, 10**13), prices, st.sampled_from([0, 1, 10_000, ONE, 5 * ONE]), st.integers(0, 100 * ONE)
)
def test_quantity_fits_stake_lot_and_minimum(stake, cost, step, minimum):
    quantity = quantity_for_stake(stake, cost, step, minimum)
    assert quantity >= 0
    assert quantity == 0 or quantity >= minimum
    assert quantity % max(step, 1) == 0
    assert cost * quantity <= stake * ONE
    assert quantity <= AMOUNT_MAX
    # The next lot would not have fitted, unless the minimum said no.
    bigger = quantity + max(step, 1)
    assert cost * bigger > stake * ONE or bigger > AMOUNT_MAX or bigger < minimum or quantity == 0
    if quantity == 0:
        largest = min(stake * ONE // cost, AMOUNT_MAX)
        largest -= largest % max(step, 1)
        assert largest < max(minimum, 1)


def test_a_size_costs_no_more_than_the_stake_after_rounding():
    quantity = quantity_for_stake(100 * ONE, 330_000, ONE, ONE)
    assert quantity == 303 * ONE
    assert notional(330_000, quantity) == 99_990_000


@given(st.integers(-ONE, 2 * ONE), st.integers(0, ONE), st.integers(1, ONE))
def test_drawdown_scale_falls_from_one_to_zero(drawdown, reduce_from, gap):
    stop_at = reduce_from + gap
    scale = drawdown_scale(drawdown, reduce_from, stop_at)
    assert 0 <= scale <= ONE
    assert (scale == ONE) >= (drawdown <= reduce_from)
    assert (scale == 0) >= (drawdown >= stop_at)
    assert drawdown_scale(drawdown + 1, reduce_from, stop_at) <= scale


def test_drawdown_scale_is_half_in_the_middle():
    assert drawdown_scale(200_000, 100_000, 300_000) == 500_000


@given(prices, prices, st.integers(1, 100_000))
def test_a_target_of_volatility_is_the_outcomes_standard_deviation(fair_value, cost, target):
    fraction = volatility_fraction(fair_value, cost, target)
    if fair_value <= cost:
        assert fraction == 0
        return
    p = fair_value / ONE
    deviation = fraction / cost * math.sqrt(p * (1 - p))
    assert fraction == ONE or deviation == pytest.approx(target / ONE, rel=0.01, abs=1 / cost)
    assert volatility_fraction(ONE, cost, target) == ONE


@given(prices, prices, st.integers(1, ONE))
@example(999_999, 500_000, 20_000)
@example(900_001, 500_000, 1_000)
def test_a_stake_by_volatility_is_never_larger_than_the_exact_one(fair_value, cost, target):
    fraction = volatility_fraction(fair_value, cost, target)
    # fraction ≤ target · cost / √variance, without a root.
    assert fraction**2 * fair_value * (ONE - fair_value) <= (target * cost) ** 2


@given(prices, st.integers(0, 20_000), st.integers(0, 200_000), st.integers(1, 50_000))
def test_a_stake_by_risk_loses_that_at_the_stop(price, fee, stop, risk):
    cost = price + fee
    fraction = risk_fraction(ONE, cost, price, risk, stop)
    if cost >= ONE or not (stop or fee):
        assert fraction == 0
        return
    loss = min(price * stop / ONE + 2 * fee, cost)
    assert fraction == ONE or fraction / cost * loss <= risk + 1
    assert risk_fraction(cost, cost, price, risk, stop) == 0
