"""What an approval reserves until its order has ended."""

import pytest

from proto.execution import NO_APPROVAL, OrderStatus, OrderUpdate
from proto.units import ONE
from proto.venue import Correction
from tests.support.risk_world import CASH, RiskWorld


@pytest.mark.parametrize(
    "status", [s for s in OrderStatus if s not in ("filled", "canceled", "expired", "rejected", "denied")]
)
def test_only_terminal_states_release(status):
    world = RiskWorld()
    order = world.approve()
    before = world.machine.reserved_exposure()
    world.update(order, status)
    assert world.machine.reserved_exposure() == before > 0


@pytest.mark.parametrize("status", ["canceled", "expired", "rejected", "denied"])
def test_terminal_states_release(status):
    world = RiskWorld()
    world.update(world.approve(), OrderStatus(status))
    assert world.machine.reserved_exposure() == 0
    assert world.machine.state.reservations == {}


@pytest.mark.parametrize("fill_first", [True, False])
def test_a_fill_moves_the_reservation_into_the_position_in_either_order(fill_first):
    world = RiskWorld()
    order = world.approve()
    at_stake = world.machine.exposure()
    if fill_first:
        world.fill(order)
        assert world.machine.reserved_exposure() == 0
        world.update(order, OrderStatus.FILLED, order.quantity)
    else:
        world.update(order, OrderStatus.FILLED, order.quantity)
        assert world.machine.exposure() == at_stake
        world.fill(order)
    assert world.machine.state.reservations == {}
    assert world.machine.exposure() == 82_500_000


def test_a_repeated_fill_counts_once():
    world = RiskWorld()
    order = world.approve()
    world.fill(order, 100 * ONE)
    world.fill_count -= 1
    world.fill(order, 100 * ONE)
    assert world.machine.state.reservations[order.order].remaining == 65 * ONE


def test_a_correction_takes_the_position_back():
    world = RiskWorld()
    order = world.hold()
    world.send(Correction(correction_id="c", fill_id="fill:kalshi:1", order=order.order))
    assert world.machine.exposure() == 0
    assert world.machine.state.portfolio.cash == CASH


def test_settlement_drops_what_a_settled_market_still_waited_for():
    world = RiskWorld()
    order = world.approve()
    world.update(order, OrderStatus.FILLED, order.quantity)
    assert world.machine.reserved_exposure() > 0
    world.settle("A", ONE)
    assert world.machine.state.reservations == {}


def test_an_order_of_a_lost_approval_is_reserved_at_its_worst_until_it_ended():
    world = RiskWorld()
    reserved = world.machine.reserved_exposure()
    lost = world.approve()
    other = RiskWorld()
    submitted = OrderUpdate(
        order=lost.order,
        status=OrderStatus.SUBMITTED,
        instrument=lost.instrument,
        market=lost.market,
        strategy=lost.strategy,
        remaining=lost.quantity,
        reason=NO_APPROVAL,
    )
    other.send(submitted)
    assert other.machine.reserved_exposure() == reserved + lost.quantity
    other.send(submitted.replace(status=OrderStatus.CANCELED, reason=""))
    assert other.machine.reserved_exposure() == reserved
