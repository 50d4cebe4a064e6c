"""What risk holds an account to: stakes, positions, rates, money, the day's loss and the drawdown."""

import pytest

from libs.machine.machine import Stamp
from proto.execution import OrderStatus
from proto.feed import FeedClock
from proto.operator import Verb
from proto.risk import Approval, Rejection, RiskState
from proto.units import ONE, SECOND
from proto.venue import Account
from tests.support.risk_world import CASH, HALF_KELLY_QUANTITY, START, RiskWorld, market_of


def test_stakes_in_market_all_and_group_are_limited():
    world = RiskWorld(market_stake_max=50_000, group_loss_max=60_000, heat_max=70_000)
    failed = world.reject()
    cost = 82_500_000 + 2_887_500
    assert failed == {
        "market_stake": (50 * ONE, cost),
        "heat": (70 * ONE, cost),
        "group_loss": (60 * ONE, cost),
    }


def test_a_market_counts_its_position_and_its_working_orders():
    world = RiskWorld(
        one_position_per_market=False, market_stake_max=120_000, heat_max=ONE, group_loss_max=ONE
    )
    order = world.approve()
    assert set(world.reject()) == {"market_stake"}
    world.fill(order)
    world.update(order, OrderStatus.FILLED, order.quantity)
    assert world.reject()["market_stake"][1] > 82_500_000 + 80 * ONE


def test_the_group_counts_what_cannot_win_together():
    world = RiskWorld(markets=(), group_loss_max=120_000, heat_max=ONE)
    for name in ("A", "B"):
        world.send(market_of(name, group="one wins"))
        for outcome in ("yes", "no"):
            world.book(f"kalshi:{name}:{outcome}", snapshot=True)
    world.hold("A", "yes")
    # Both can lose together: 82.5 paid and 85.3875 to pay.
    failed = world.reject("B", "yes")
    assert set(failed) == {"group_loss"}
    assert failed["group_loss"][1] > 150 * ONE
    # NO of B loses only when B wins, and then A loses too; when B loses, NO pays.
    assert "group_loss" in world.reject("B", "no")


def test_opposites_across_a_group_can_cover_each_other():
    """NO of A and NO of B: at most one of the two loses."""
    world = RiskWorld(markets=(), group_loss_max=90_000, heat_max=ONE)
    for name in ("A", "B"):
        world.send(market_of(name, group="one wins"))
        world.book(f"kalshi:{name}:no", snapshot=True)
    first = world.hold("A", "no")
    second = world.approve("B", "no")
    (check,) = [check for check in second.checks if check.name == "group_loss"]
    # Only B's market decides: lose A's cost and B's, or win one of them.
    assert check.value < (first.quantity + second.quantity) // 2


def test_one_position_per_market_forbids_both_outcomes():
    world = RiskWorld()
    world.hold("A", "yes")
    assert world.reject("A", "yes") == {"market_positions_count": (0, 1)}
    assert world.reject("A", "no") == {"market_positions_count": (0, 1)}


def test_otherwise_only_the_opposite_outcome_is_forbidden():
    world = RiskWorld(one_position_per_market=False, heat_max=ONE)
    world.hold("A", "yes")
    assert world.reject("A", "no") == {"market_positions_count": (0, 1)}
    world.approve("A", "yes")
    # A working order of one outcome counts like a position.
    world.approve("B", "no")
    assert world.reject("B", "yes") == {"market_positions_count": (0, 1)}


def test_concurrent_positions_count_working_orders():
    world = RiskWorld(positions_max_count=2, heat_max=ONE)
    world.hold("A")
    world.approve("B")
    assert world.reject("C") == {"positions_count": (2, 3)}
    assert world.machine.headroom()["positions_count"] == 0


def test_cooldown_after_an_approval_and_after_a_close():
    world = RiskWorld(cooldown_s=60)
    order = world.approve()
    world.update(order, OrderStatus.EXPIRED)
    world.clock(59)
    assert world.reject() == {"cooldown_s": (60, 59)}
    world.clock(1)
    order = world.hold()
    world.clock(100)
    closing = world.exit(quantity=order.quantity)
    world.fill(closing)
    world.clock(30)
    assert world.reject() == {"cooldown_s": (60, 30)}


def test_order_rate_counts_a_sliding_window():
    world = RiskWorld(order_rate_max_count=2, order_rate_window_s=60, heat_max=ONE)
    for name in ("A", "B"):
        world.update(world.approve(name), OrderStatus.DENIED)
        world.clock(20)
    assert world.reject("C") == {"order_rate_count": (2, 3)}
    world.clock(20)
    world.approve("C")


def test_the_same_order_is_not_repeated():
    world = RiskWorld(repeat_s=30)
    world.update(world.approve(), OrderStatus.DENIED)
    world.clock(29)
    assert world.reject() == {"repeat_s": (30, 29)}
    world.approve(price=490_000)


def test_balance_counts_what_open_orders_reserved():
    world = RiskWorld(
        heat_max=ONE, group_loss_max=ONE, bet_max=ONE, market_stake_max=ONE, sizing="fixed", fixed_bet=600_000
    )
    first = world.approve("A")
    failed = world.reject("B")
    assert set(failed) == {"balance", "heat"}
    limit, value = failed["balance"]
    assert limit == CASH - world.machine.reserved_exposure() < value
    world.update(first, OrderStatus.CANCELED)
    world.approve("B")


def test_the_days_loss_stops_the_day_and_midnight_lifts_it():
    world = RiskWorld(daily_loss_max=50_000)
    world.clock()
    world.hold("A")
    world.book("kalshi:A:yes", bid=100_000, ask=110_000)
    world.clock()
    assert world.reject("B")["daily_loss"][1] == 165 * 400_000
    # A recovery within the day does not lift it.
    world.book("kalshi:A:yes", bid=490_000)
    world.clock()
    assert set(world.reject("B")) == {"daily_loss"}
    assert world.machine.risk_state() is RiskState.CLOSE_ONLY
    world.send(market_of("B", close_at=START + 10**6 * SECOND))
    world.clock(86_400)
    world.book("kalshi:B:yes")
    world.approve("B")


def test_drawdown_shrinks_sizes_then_stops_until_resume():
    world = RiskWorld(daily_loss_max=ONE, drawdown_reduce=20_000, drawdown_stop=100_000, heat_max=ONE)
    world.clock()
    world.hold("A")
    world.book("kalshi:A:yes", bid=120_000, ask=130_000)  # equity 937.3: 6 % down, half of the way
    world.clock()
    assert world.machine.risk_state() is RiskState.REDUCED
    reduced = world.approve("B")
    assert 0.4 * HALF_KELLY_QUANTITY < reduced.quantity < 0.6 * HALF_KELLY_QUANTITY
    world.fill(reduced)
    world.book("kalshi:A:yes", bid=10_000, ask=20_000)
    world.book("kalshi:B:yes", bid=10_000, ask=20_000)
    world.clock()
    assert {"drawdown", "quantity"} <= set(world.reject("C"))
    assert world.machine.risk_state() is RiskState.CLOSE_ONLY
    world.command(Verb.RESUME)
    world.approve("C")


def test_deposits_are_neither_profit_nor_loss():
    world = RiskWorld()
    world.clock()
    world.send(Account(account_id="out", venue="kalshi", deposit=-CASH // 2, at=world.now))
    world.clock()
    assert world.machine.state.day_loss == 0
    assert world.machine.state.peak_equity == CASH // 2
    world.approve()


def test_an_empty_bid_side_does_not_wipe_out_equity():
    world = RiskWorld()
    world.hold()
    world.clock()
    world.book("kalshi:A:yes", bid=0, ask=0)
    world.clock()
    assert world.machine.state.day_loss <= 165 * 10_000


# ── the venue's least sizes, and what is below its lot ──


def test_what_is_below_the_lot_counts_neither_as_a_position_nor_as_heat() -> None:
    """Five markets sold out but for half a cent together: the sixth entry passes, and so does a second into the first."""
    world = RiskWorld(markets=tuple("ABCDEF"), positions_max_count=5, quantity_min=ONE)
    for name in "ABCDE":
        order = world.approve(name)
        world.fill(order, quantity=5_012_345)
        world.update(order, OrderStatus.FILLED, 5_012_345)
        sale = world.exit(name, quantity=5_010_000)
        assert isinstance(sale, Approval)
        world.fill(sale, quantity=5_010_000)
        world.update(sale, OrderStatus.FILLED, 5_010_000)
        world.clock()
    machine = world.machine
    assert len(machine.state.portfolio.open) == 5
    assert (machine.exposure(), machine.headroom()["positions_count"]) == (0, 5)
    assert isinstance(world.propose("F"), Approval)
    assert isinstance(world.propose("A"), Approval)


@pytest.mark.parametrize(("resting", "least"), [("gtc", 5 * ONE), ("ioc", 2 * ONE)])
def test_an_entry_is_at_least_what_the_venue_takes(resting: str, least: int) -> None:
    """At a price of 0.50, one dollar is two contracts."""
    world = RiskWorld(order_time_in_force=resting, bet_max=1, quantity_min=0)
    world.send(market_of("A", quantity_min=5 * ONE, taker_notional_min=ONE))
    answer = world.propose("A")
    assert isinstance(answer, Rejection)
    assert {c.name: c.limit for c in answer.failed}["quantity"] == least


@pytest.mark.parametrize(("ask", "least"), [(110_000, 5 * ONE), (100_000, 10 * ONE), (90_000, 10 * ONE)])
def test_what_may_rest_and_reaches_the_offer_is_worth_what_trades_at_once(ask: int, least: int) -> None:
    world = RiskWorld(order_time_in_force="gtc", bet_max=1, quantity_min=0)
    world.send(market_of("A", quantity_min=5 * ONE, taker_notional_min=ONE))
    world.quote("kalshi:A:yes", ask - 10_000, ask)
    answer = world.propose("A", price=100_000, fair_value=300_000)
    assert isinstance(answer, Rejection)
    assert {c.name: c.limit for c in answer.failed}["quantity"] == least


def test_what_a_cooldown_could_still_hold_back_is_remembered_and_no_more() -> None:
    world = RiskWorld()
    world.approve("A")
    world.clock(3_600)
    assert "kalshi:A" in world.machine.state.rested_at
    world.clock(7 * 86_400)
    world.clock(60)
    assert not world.machine.state.rested_at


def test_a_clock_that_jumps_lets_exits_alone_through_until_the_operator_resumes() -> None:
    world = RiskWorld()
    order = world.approve("A")
    world.fill(order, quantity=10 * ONE)
    world.update(order, OrderStatus.FILLED, 10 * ONE)
    world.machine.on(FeedClock(at=world.now), Stamp(world.seq, world.now, is_doubtful=True))
    world.clock()
    refused = world.propose("B")
    assert isinstance(refused, Rejection)
    assert [check.name for check in refused.failed] == ["kill_switch"]
    assert world.machine.risk_state() is RiskState.CLOSE_ONLY
    assert isinstance(world.exit("A", quantity=10 * ONE), Approval)
    world.command(Verb.RESUME)
    assert isinstance(world.propose("C"), Approval)
