"""Value at risk and expected shortfall against every ending listed by hand, and against a finer quadrature."""

import itertools
import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.portfolio import tail
from libs.portfolio.tail import Bet, Ending, nodes, tail_of
from proto.units import ONE

money = st.integers(-500, 500).map(lambda value: value * ONE)
LEVEL = 990_000


@st.composite
def bets(draw):
    weights = draw(st.lists(st.integers(1, 50), min_size=1, max_size=4))
    total = sum(weights)
    chances = [weight * ONE // total for weight in weights]
    chances[0] += ONE - sum(chances)
    return Bet(tuple(Ending(chance, draw(money)) for chance in chances))


def by_listing(held, share):
    """Both figures from all combinations of endings, worst first."""
    cases = [
        (sum(e.loss for e in endings), math.prod(e.probability / ONE for e in endings))
        for endings in itertools.product(*[bet.endings for bet in held])
    ]
    left, mean, quantile = share, 0.0, 0
    for loss, chance in sorted(cases, reverse=True):
        mean += loss * min(chance, left) / share
        left -= chance
        quantile = loss
        if left <= 1e-12:
            break
    return max(quantile, 0), max(mean, 0.0)


@given(st.lists(bets(), max_size=4), st.sampled_from([900_000, 950_000, LEVEL]))
def test_independent_bets_are_all_their_endings_together(held, confidence):
    value_at_risk, shortfall = by_listing(held, 1 - confidence / ONE)
    found = tail_of(held, confidence, 500_000)
    assert found.value_at_risk == value_at_risk
    assert found.expected_shortfall == pytest.approx(max(shortfall, value_at_risk), abs=10_000)
    worst = sum(max(ending.loss for ending in bet.endings) for bet in held)
    assert found.value_at_risk <= found.expected_shortfall <= max(worst, 0) + 1


def ladder(count: int, direction: int = 1) -> list[Bet]:
    """Bets of a hundred dollars on one coin, each won by half."""
    half = ONE // 2
    ends = (Ending(half, -100 * ONE), Ending(half, 100 * ONE))
    return [Bet(ends, "btc", direction)] * count


def test_bets_on_one_asset_lose_together_and_opposite_ones_do_not():
    apart = tail_of(ladder(8), LEVEL, 0)
    together = tail_of(ladder(8), LEVEL, 800_000)
    mixed = tail_of([*ladder(4), *ladder(4, -1)], LEVEL, 800_000)
    assert mixed.value_at_risk <= apart.value_at_risk < together.value_at_risk == 800 * ONE
    assert mixed.expected_shortfall < apart.expected_shortfall
    assert together.expected_shortfall == 800 * ONE
    # What no direction is known of is independent.
    assert tail_of(ladder(8, 0), LEVEL, 800_000) == apart


@pytest.mark.parametrize("correlation", [0, 300_000, 800_000])
def test_eleven_values_of_the_factor_say_what_many_do(correlation):
    found = tail_of(ladder(10), LEVEL, correlation)
    loading, rest = math.sqrt(correlation / ONE), math.sqrt(1 - correlation / ONE)
    steps = [(index + 0.5) / 1_000 for index in range(1_000)]
    chances = [NormalDist().cdf(loading * NormalDist().inv_cdf(step) / rest) for step in steps]
    losses = {}
    for wins in range(11):
        chance = sum(math.comb(10, wins) * p**wins * (1 - p) ** (10 - wins) for p in chances) / len(chances)
        losses[1_000 - 200 * wins] = chance
    left, shortfall = 0.01, 0.0
    for loss in sorted(losses, reverse=True):
        shortfall += loss * min(left, losses[loss])
        left -= losses[loss]
        if left <= 0:
            break
    assert found.value_at_risk == loss * ONE
    assert found.expected_shortfall == pytest.approx(shortfall / 0.01 * ONE, rel=0.02)


def test_a_perfect_correlation_and_certain_endings_are_no_error():
    sure = Bet((Ending(ONE, -ONE), Ending(0, ONE)), "btc", 1)
    assert tail_of([sure], LEVEL, ONE).value_at_risk == 0
    assert tail_of([], LEVEL, ONE) == (0, 0)
    assert tail_of(ladder(3), LEVEL, ONE).value_at_risk == 300 * ONE


def test_what_is_put_on_a_grid_is_rounded_up():
    """Every sum is another value: twice as many as are kept."""
    sizes = [ONE * 3**index + index for index in range(12)]
    held = [Bet((Ending(ONE // 2, -size), Ending(ONE // 2, size))) for size in sizes]
    exact, _ = by_listing(held, 0.01)
    found = tail_of(held, LEVEL, 0).value_at_risk
    step = 2 * sum(sizes) // tail.VALUES_MAX + 1
    assert exact <= found <= exact + len(sizes) * step


def test_the_quadrature_integrates_a_normal_factor():
    for power, moment in ((0, 1), (1, 0), (2, 1), (3, 0), (4, 3), (6, 15), (20, 654_729_075)):
        assert sum(weight * value**power for value, weight in nodes()) == pytest.approx(
            moment, abs=1e-9, rel=1e-9
        )
    assert len(nodes()) == tail.NODES
