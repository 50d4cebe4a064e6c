"""How large an entry is, by each rule, through the machine."""

from typing import Any

import pytest

from proto.execution import OrderStatus
from proto.risk import Approval
from proto.units import ONE, notional
from tests.support.risk_world import CASH, HALF_KELLY_QUANTITY, RiskWorld, market_of

LOOSE = {"heat_max": ONE, "group_loss_max": ONE, "market_stake_max": ONE, "one_position_per_market": False}
COST = 517_500
"""Of a contract at 0.50 with its fee."""


def grouped(*names: str, bid: int = 190_000, **params: Any) -> RiskWorld:
    """Markets of which one pays, all at the same price."""
    world = RiskWorld(markets=(), **{**LOOSE, **params})
    for name in names:
        world.send(market_of(name, group="one wins"))
        world.book(f"kalshi:{name}:yes", bid=bid, ask=bid + 10_000, snapshot=True)
        world.book(f"kalshi:{name}:no", bid=ONE - bid - 10_000, ask=ONE - bid, snapshot=True)
    return world


def test_a_target_of_volatility_is_met_by_the_stake():
    order = RiskWorld(sizing="volatility", volatility_target=20_000).approve(fair_value=800_000)
    # √(0.8 · 0.2) is 0.4: fifty contracts move by twenty dollars, 2 % of a thousand.
    assert order.quantity == 50 * ONE


def test_the_risk_of_a_trade_is_what_its_stop_loses():
    world = RiskWorld(sizing="risk", risk_per_trade=5_000, risk_stop=100_000)
    order = world.approve()
    # Five cents to the stop and 1.75 cents each way in fees: 58 contracts lose 4.93 of five dollars.
    assert order.quantity == 58 * ONE
    assert 58 * (50_000 + 2 * 17_500) <= 5 * ONE < 59 * (50_000 + 2 * 17_500)


@pytest.mark.parametrize("sizing", ["volatility", "risk"])
def test_without_an_edge_no_rule_bets(sizing):
    assert RiskWorld(sizing=sizing).reject(fair_value=510_000)["quantity"] == (ONE, 0)


@pytest.mark.parametrize("sizing", ["kelly", "fixed", "volatility", "risk"])
def test_every_rule_bets_less_in_a_drawdown(sizing):
    def quantity(drawdown: int) -> int:
        world = RiskWorld(sizing=sizing, drawdown_reduce=100_000, drawdown_stop=300_000)
        world.machine.state.peak_equity = CASH * ONE // (ONE - drawdown)
        return int(world.approve().quantity)

    assert quantity(200_000) == pytest.approx(quantity(0) / 2, abs=2 * ONE)


def test_an_entry_takes_no_more_than_its_share_of_what_is_offered():
    world = RiskWorld(depth_share_max=100_000)
    order = world.approve()
    # A hundred of the thousand that the book offers at its price.
    assert order.quantity == 100 * ONE
    world = RiskWorld(depth_share_max=100_000)
    # Nothing is offered a cent lower.
    assert world.reject(price=490_000)["quantity"] == (ONE, 0)
    world = RiskWorld(depth_share_max=ONE)
    assert world.approve().quantity == HALF_KELLY_QUANTITY


def test_outcomes_that_exclude_each_other_are_larger_together_than_alone():
    sizes = []
    for joint in (False, True):
        world = grouped("A", "B", kelly_joint=joint)
        first = world.hold("A", price=200_000, fair_value=300_000)
        second = world.approve("B", price=200_000, fair_value=300_000)
        sizes.append((first.quantity, second.quantity))
    (alone, separate), (before, together) = sizes
    assert alone == before
    # When B pays, A does not: wealth is less then, and a contract of B is worth more.
    assert together > separate


def test_outcomes_that_come_together_are_smaller_together_than_alone():
    """NO of two markets of which neither is likely: both lose only if nothing else comes, each if its own does."""
    sizes = []
    for joint in (False, True):
        world = grouped("A", "B", kelly_joint=joint)
        world.hold("A", "no", price=810_000, fair_value=900_000)
        sizes.append(world.approve("B", "yes", price=200_000, fair_value=300_000).quantity)
    separate, together = sizes
    # When B's YES pays, A's NO pays as well: a contract of B is worth less then.
    assert 0 < together < separate


def test_a_market_that_is_entered_again_is_topped_up_and_not_doubled():
    for outcome in ("yes", "no"):
        found: list[tuple[int, int]] = []
        for joint in (False, True):
            world = RiskWorld(kelly_joint=joint, kelly_share=ONE, bet_max=ONE, **LOOSE)
            held = world.hold("A", outcome)
            again = world.propose("A", outcome)
            found.append((held.quantity, getattr(again, "quantity", 0)))
        (before, doubled), (same, topped) = found
        assert before == same
        assert doubled > before * 8 // 10
        # All of Kelly is held: there is nothing to add but what rounding and the mark's cent leave.
        assert topped <= before // 10


def test_entries_one_after_the_other_come_to_the_share_of_kelly():
    def held_after(entries: int, share: int) -> int:
        world = RiskWorld(kelly_joint=True, kelly_share=share, bet_max=ONE, **LOOSE)
        total = 0
        for _ in range(entries):
            again = world.propose("A")
            if not isinstance(again, Approval):
                break
            world.fill(again)
            world.update(again, OrderStatus.FILLED, again.quantity)
            total += again.quantity
        return total

    once, often = held_after(1, ONE // 4), held_after(8, ONE // 4)
    # What rounding and the mark's cent leave may be added, and no more.
    assert once <= often <= once * 11 // 10
    assert often < held_after(1, ONE) * 3 // 10


def test_working_orders_count_as_held():
    world = RiskWorld(kelly_joint=True, kelly_share=ONE, bet_max=ONE, **LOOSE)
    first = world.approve("A")
    assert notional(COST, first.quantity) > 150 * ONE
    assert set(world.reject("A")) <= {"quantity"}
