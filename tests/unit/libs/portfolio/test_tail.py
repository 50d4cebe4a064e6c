"""Value at risk and expected shortfall against every ending listed by hand, and against a finer sum over the factor."""

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


def by_fine_sum(count: int, chance: float, correlation: float, step: float = 0.02) -> list[float]:
    """Chance of so many losses among equal bets on one coin, by a much finer sum over the factor."""
    normal = NormalDist()
    loading, rest, threshold = math.sqrt(correlation), math.sqrt(1 - correlation), normal.inv_cdf(chance)
    found = [0.0] * (count + 1)
    for index in range(round(-8 / step), round(8 / step) + 1):
        wins = normal.cdf((threshold + loading * index * step) / rest)
        weight = normal.pdf(index * step) * step
        for lost in range(count + 1):
            found[lost] += weight * math.comb(count, lost) * (1 - wins) ** lost * wins ** (count - lost)
    return found


@pytest.mark.parametrize("correlation", [0, 300_000, 800_000, 900_000, 970_000])
@pytest.mark.parametrize("chance", [500_000, 900_000, 950_000, 970_000, 980_000, 990_000])
def test_the_factor_is_summed_finely_enough(chance, correlation):
    bet = Bet((Ending(chance, 0), Ending(ONE - chance, ONE)), "btc", 1)
    found = tail_of([bet] * 10, LEVEL, correlation)
    left, shortfall = 0.01, 0.0
    chances = by_fine_sum(10, chance / ONE, correlation / ONE)
    for lost in range(10, -1, -1):
        shortfall += lost * min(left, chances[lost])
        left -= chances[lost]
        if left <= 0:
            break
    assert found.value_at_risk == lost * ONE
    assert found.expected_shortfall == pytest.approx(shortfall / 0.01 * ONE, rel=0.001)


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


@pytest.mark.parametrize("correlation", [0, 0.8, 0.9, 1])
def test_the_values_of_the_factor_are_those_of_a_normal_one(correlation):
    found = nodes(tail.step_for(min(correlation, tail.CORRELATION_MAX)))
    for power, moment in ((0, 1), (1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        assert sum(weight * value**power for value, weight in found) == pytest.approx(moment, abs=2e-4)
    assert len(found) == {0: 49, 0.8: 49, 0.9: 97, 1: 769}[correlation]
