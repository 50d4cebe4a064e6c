"""The worst loss of a group, against every outcome with every combination of fills."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.feed import PriceStep
from proto.units import ONE
from services.risk.exposure import Leg, WorkingOrder, contract_stake, lone_loss, price_step_at, worst_loss
from tests.support.risk_world import market_of

NAMES = ("A", "B", "C")
instruments = [f"kalshi:{name}:{outcome}" for name in NAMES for outcome in ("yes", "no")]
sizes = st.integers(1, 10).map(lambda n: n * ONE)
cents = st.integers(1, 99)


@st.composite
def holdings(draw):
    name = draw(st.sampled_from(instruments))
    quantity = draw(sizes)
    return Leg(name.rpartition(":")[0], name, quantity, quantity * draw(cents) // 100)


@st.composite
def orders(draw):
    name = draw(st.sampled_from(instruments))
    quantity = draw(sizes)
    return WorkingOrder(
        name.rpartition(":")[0], name, draw(st.booleans()), quantity, quantity * draw(cents) // 100
    )


def brute_force(names, legs, working):
    """Every market pays yes or no, at most one of several pays yes; every order fills or does not."""
    worst = 0
    for winners in product((True, False), repeat=len(names)):
        if len(names) > 1 and sum(winners) > 1:
            continue
        pays = {f"kalshi:{name}:{'yes' if won else 'no'}" for name, won in zip(names, winners, strict=True)}
        for filled in product((True, False), repeat=len(working)):
            money = sum((leg.quantity if leg.instrument in pays else 0) - leg.cost for leg in legs)
            for order, fills in zip(working, filled, strict=True):
                payout = order.quantity if order.instrument in pays else 0
                if fills:
                    money += payout - order.value if order.buys else order.value - payout
            worst = max(worst, -money)
    return worst


@given(st.lists(holdings(), max_size=4), st.lists(orders(), max_size=4))
def test_worst_loss_is_the_worst_of_all_endings(legs, working):
    names = sorted({item.market.removeprefix("kalshi:") for item in (*legs, *working)} | {"A"})
    group = [market_of(name, group="one wins") for name in names]
    assert worst_loss(group, legs, working) == brute_force(names, legs, working)


@given(
    instrument=st.sampled_from(["kalshi:A:yes", "kalshi:A:no", "kalshi:A:maybe"]), quantity=sizes, cent=cents
)
@pytest.mark.parametrize("outcomes", [("yes", "no"), ("yes",), ()])
def test_a_purchase_alone_loses_what_it_would_in_company(outcomes, instrument, quantity, cent):
    market = market_of("A", outcomes=tuple((name, f"kalshi:A:{name}") for name in outcomes))
    cost = quantity * cent // 100
    alone = WorkingOrder("kalshi:A", instrument, True, quantity, cost)
    assert lone_loss(market, instrument, quantity, cost) == worst_loss([market], [], [alone])


def test_a_market_without_outcomes_loses_everything():
    market = market_of("A", outcomes=())
    assert worst_loss([market], [Leg("kalshi:A", "kalshi:A:yes", ONE, 400_000)], []) == 400_000


def test_price_steps_change_with_the_price():
    market = market_of(
        "A", price_steps=(PriceStep(0, 1_000), PriceStep(100_000, 10_000), PriceStep(900_000, 1_000))
    )
    assert [price_step_at(market, price) for price in (0, 99_999, 100_000, 899_999, 900_000)] == [
        1_000,
        1_000,
        10_000,
        10_000,
        1_000,
    ]
    assert price_step_at(market_of("A", price_steps=()), 500_000) == 1


def test_the_stake_of_a_contract_rounds_up():
    assert contract_stake(500_000, 1_750_000) == 517_500
    assert contract_stake(500_000, 1) == 500_001
