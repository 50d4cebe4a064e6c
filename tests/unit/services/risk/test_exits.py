"""An exit as risk sees it: it passes where an entry would not, and closes no more than is there."""

import pytest

from proto.execution import OrderStatus
from proto.feed import Side
from proto.risk import Approval, TimeInForce
from proto.units import ONE, SECOND
from services.risk.checks import EXIT_CHECKS
from tests.support.risk_world import HALF_KELLY_QUANTITY, START, RiskWorld, failed_of


def test_an_exit_passes_whatever_entry_limits_say():
    world = RiskWorld()
    order = world.hold()
    world.configure(
        autonomy="alerts",
        bet_max=0,
        market_stake_max=0,
        heat_max=0,
        group_loss_max=0,
        positions_max_count=0,
        order_rate_max_count=0,
        cooldown_s=86_400,
        repeat_s=86_400,
        daily_loss_max=0,
        depth_min=10**12,
        time_to_close_min_s=86_400,
    )
    world.book("kalshi:A:yes", bid=0, ask=0)
    world.quote("kalshi:A:yes", None, None, skip=5)
    approval = world.exit(quantity=order.quantity, price=10_000)
    assert isinstance(approval, Approval)
    assert approval.reduce_only
    assert approval.quantity == order.quantity
    assert approval.time_in_force is TimeInForce.GTC
    assert len(approval.checks) == len(EXIT_CHECKS)
    assert world.machine.reserved_exposure() == 0


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"price": 0}, {"price_positive": (1, 0), "price_range": (ONE - 1, 0)}),
        ({"price": ONE}, {"price_range": (ONE - 1, ONE)}),
        ({"price": 495_000}, {"price_tick": (0, 5_000)}),
        ({"quantity": 0}, {"quantity": (1, 0)}),
        ({"side": Side.BUY}, {"position": (1, 0), "reduce_only": (0, ONE)}),
        ({"instrument": "kalshi:A:no"}, {"position": (1, 0), "reduce_only": (0, ONE)}),
        ({"market": "B", "instrument": "kalshi:A:yes"}, {"instrument": (ONE, 0)}),
        ({"quantity": HALF_KELLY_QUANTITY + ONE}, {"reduce_only": (165 * ONE, 166 * ONE)}),
        ({"expires_at": START}, {"time_to_expiry_s": (0, 0)}),
    ],
)
def test_what_an_exit_can_be_refused_for(changes, failed):
    world = RiskWorld()
    world.hold()
    assert failed_of(world.exit(**changes)) == failed


def test_reduce_only_is_closed_over_working_unknown_and_filled():
    world = RiskWorld()
    order = world.hold()
    target = world.exit(quantity=order.quantity)
    world.update(target, OrderStatus.UNKNOWN)
    assert set(failed_of(world.exit(quantity=ONE))) == {"reduce_only"}
    world.fill(target, 100 * ONE)
    assert set(failed_of(world.exit(quantity=ONE))) == {"reduce_only"}
    # Canceled with 100 filled: the other 65 are free again.
    world.update(target, OrderStatus.CANCELED, 100 * ONE)
    assert isinstance(world.exit(quantity=65 * ONE), Approval)
    assert set(failed_of(world.exit(quantity=ONE))) == {"reduce_only"}


def test_a_gtd_exit_keeps_its_own_expiry():
    world = RiskWorld()
    world.hold()
    gtd = world.exit(time_in_force=TimeInForce.GTD, expires_at=world.now + 900 * SECOND)
    assert gtd.expires_at == world.now + 900 * SECOND
    assert world.exit().expires_at == world.now + 5 * SECOND
