"""The stake added to what is held, against the closed form for outcomes that exclude each other."""

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from libs.sizing.joint import JointOutcome, added_stake
from libs.sizing.kelly import kelly_fraction
from proto.units import ONE

WEALTH = 10**12
prices = st.integers(10_000, ONE - 10_000)


def closed_form(bets: list[tuple[int, int]]) -> list[Fraction]:
    """Fractions of wealth for outcomes of which at most one comes: (probability, cost) in millionths each."""
    chances = [Fraction(p, ONE) for p, _ in bets]
    costs = [Fraction(c, ONE) for _, c in bets]
    ratio, taken = Fraction(1), list[int]()
    for index in sorted(range(len(bets)), key=lambda i: -chances[i] / costs[i]):
        if chances[index] <= ratio * costs[index] or sum(costs[i] for i in (*taken, index)) >= 1:
            break
        taken.append(index)
        ratio = (1 - sum((chances[i] for i in taken), Fraction(0))) / (
            1 - sum((costs[i] for i in taken), Fraction(0))
        )
    return [chances[i] - ratio * costs[i] if i in taken else Fraction(0) for i in range(len(bets))]


def around(bets: list[tuple[int, int]], stakes: list[Fraction], index: int) -> list[JointOutcome]:
    """All endings with every bet but one made."""
    spent = sum(stake for i, stake in enumerate(stakes) if i != index)
    endings = []
    for i, (chance, cost) in enumerate(bets):
        paid = stakes[i] * ONE / cost if i != index else Fraction(0)
        endings.append(JointOutcome(chance, int((1 - spent + paid) * WEALTH), i == index))
    rest = ONE - sum(chance for chance, _ in bets)
    return [*endings, JointOutcome(rest, int((1 - spent) * WEALTH), pays=False)]


@st.composite
def events(draw):
    count = draw(st.integers(2, 5))
    weights = draw(st.lists(st.integers(1, 100), min_size=count + 1, max_size=count + 1))
    chances = [weight * ONE // sum(weights) for weight in weights[:count]]
    shift = draw(st.lists(st.integers(-40, 20), min_size=count, max_size=count))
    return [
        (p, min(max(p * (100 + s) // 100, 1_000), 990_000)) for p, s in zip(chances, shift, strict=True) if p
    ]


@given(events())
def test_each_bet_beside_all_others_is_that_of_the_closed_form(bets):
    stakes = closed_form(bets)
    for index, (_, cost) in enumerate(bets):
        if sum(stakes) - stakes[index] > Fraction(99, 100):
            continue
        found = added_stake(around(bets, stakes, index), cost, WEALTH) / WEALTH
        assert abs(found - float(stakes[index])) < 1e-4, (bets, index)


@given(prices, prices)
def test_alone_it_is_kellys_stake(fair_value, cost):
    endings = [
        JointOutcome(fair_value, WEALTH, pays=True),
        JointOutcome(ONE - fair_value, WEALTH, pays=False),
    ]
    assert abs(added_stake(endings, cost, WEALTH) - kelly_fraction(fair_value, cost, ONE) * ONE) <= 2 * ONE


@given(prices, prices, st.integers(0, WEALTH // 2), st.booleans())
def test_no_other_stake_grows_faster(fair_value, cost, held, same):
    """What is held pays with the new bet or against it."""
    first, second = (held, 0) if same else (0, held)
    endings = [
        JointOutcome(fair_value, WEALTH // 2 + first, pays=True),
        JointOutcome(ONE - fair_value, WEALTH // 2 + second, pays=False),
    ]

    def growth(stake):
        return sum(
            p / ONE * math.log(w + stake * ((ONE - cost) / cost if pays else -1)) for p, w, pays in endings
        )

    best = added_stake(endings, cost, WEALTH // 4)
    assert 0 <= best <= WEALTH // 4
    for other in (best // 2, best + WEALTH // 1000, min(best * 2, WEALTH // 4)):
        if other <= min(WEALTH // 4, endings[1].wealth - 1):
            assert growth(other) <= growth(best) + 1e-9


def test_what_makes_no_sense_is_nothing():
    sure = [JointOutcome(ONE, WEALTH, pays=True)]
    assert added_stake(sure, 500_000, WEALTH) == WEALTH
    assert (
        added_stake(sure, 0, WEALTH)
        == added_stake(sure, ONE, WEALTH)
        == added_stake([], 500_000, WEALTH)
        == 0
    )
    assert added_stake([JointOutcome(1, 0, pays=False), *sure], 500_000, WEALTH) == 0
