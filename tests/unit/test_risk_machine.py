import msgspec
import pytest

from libs.machine.machine import Stamp
from proto.execution import NO_APPROVAL, OrderStatus, OrderUpdate
from proto.feed import Gap, MarketStatus, PriceStep, Side
from proto.operator import Verb
from proto.risk import Approval, Pending, PortfolioReport, Rejection, RiskState, TimeInForce
from proto.signal import Proposal
from proto.units import ONE, SECOND
from proto.venue import Account, Correction
from services.risk.checks import ENTRY_CHECKS, EXIT_CHECKS
from services.risk.machine import RiskMachine
from tests.unit.risk_world import CASH, START, RiskWorld, failed_of, market_of, of

# Half-Kelly at fair 0.60, price 0.50, fee 0.0175: (0.6 - 0.5175) / 0.4825 / 2 of 1,000 dollars / 0.5175.
HALF_KELLY_QUANTITY = 165 * ONE


def test_an_entry_is_sized_by_half_kelly_and_approved_with_every_check():
    world = RiskWorld()
    approval = world.approve(message_id="t1:signal:9:0", reason="breakout")
    assert approval.quantity == HALF_KELLY_QUANTITY
    assert approval.order == f"t1-{world.seq}-0"
    assert approval.proposal == "t1:signal:9:0"
    assert approval.time_in_force is TimeInForce.IOC
    assert not approval.reduce_only
    assert approval.expires_at == START + 5 * SECOND
    assert len(approval.checks) == len(ENTRY_CHECKS)
    assert all(check.passed for check in approval.checks)
    assert [check.name for check in approval.checks][:3] == ["price_positive", "price_range", "price_tick"]
    # 165 × 0.50 and the fee of 165 contracts
    assert world.machine.reserved_exposure() == 82_500_000 + 2_887_500


def test_fixed_sizing_and_the_cut_to_max_bet():
    assert RiskWorld(sizing="fixed", fixed_bet=100_000).approve().quantity == 193 * ONE
    world = RiskWorld(max_bet=50_000)
    approval = world.approve(fair_value=900_000)
    (bet,) = [check for check in approval.checks if check.name == "bet"]
    assert bet.limit == CASH // 20
    assert CASH // 20 - ONE < bet.value <= CASH // 20


def test_without_configuration_or_session_nothing_is_said():
    machine = RiskMachine()
    proposal = Proposal(
        strategy="s",
        market="kalshi:A",
        instrument="kalshi:A:yes",
        side=Side.BUY,
        price=1,
        fair_value=1,
        edge=1,
        strength=1,
        expires_at=START,
    )
    assert list(machine.on(proposal, Stamp(1, START, "t:signal:1:0"))) == []
    world = RiskWorld()
    world.machine.state.params = None
    assert world.clock(120) == []
    assert world.machine.headroom() == {}


def test_a_rejection_lists_every_failed_check_with_limit_and_value():
    world = RiskWorld(cash=0)
    world.command(Verb.HALT)
    failed = world.reject("unlisted", price=0, side=Side.SELL, fair_value=0, expires_at=world.now)
    assert failed["price_positive"] == (1, 0)
    assert failed["kill_switch"] == (0, 2 * ONE)
    assert failed["market_status"] == (ONE, -ONE)
    assert set(failed) == {
        "price_positive",
        "price_range",
        "price_collar",
        "instrument",
        "direction",
        "kill_switch",
        "time_to_expiry_s",
        "book_gap",
        "book_age_s",
        "market_status",
        "time_to_close_s",
        "spread",
        "depth",
        "edge",
        "quantity",
        "daily_loss",
    }


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"price": 0}, {"price_positive": (1, 0), "price_range": (10_000, 0)}),
        ({"price": 2 * ONE}, {"price_range": (990_000, 2 * ONE)}),
        ({"price": 505_000}, {"price_tick": (0, 5_000)}),
        ({"price": 560_000}, {"price_collar": (50_000, 65_000)}),
        ({"instrument": "kalshi:B:yes"}, {"instrument": (ONE, 0)}),
        ({"instrument": "kalshi:nowhere:yes"}, {"instrument": (ONE, 0)}),
        ({"side": Side.SELL}, {"direction": (ONE, 0)}),
        ({"fair_value": 520_000}, {"edge": (10_000, 2_500)}),
        ({"fair_value": 500_000}, {"edge": (10_000, 0), "quantity": (ONE, 0)}),
        ({"expires_at": START}, {"time_to_expiry_s": (0, 0)}),
    ],
)
def test_what_is_wrong_with_the_proposal(changes, failed):
    assert failed.items() <= RiskWorld().reject(**changes).items()


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"status": MarketStatus.LISTED}, {"market_status": (ONE, 0)}),
        ({"status": MarketStatus.PAUSED}, {"market_status": (ONE, 2 * ONE)}),
        ({"status": MarketStatus.SETTLED}, {"market_status": (ONE, 6 * ONE)}),
        ({"close_at": START + 119 * SECOND}, {"time_to_close_s": (120, 119)}),
        ({"close_at": 0}, {"time_to_close_s": (120, 0)}),
        ({"price_steps": (PriceStep(0, 1_000), PriceStep(500_000, 30_000))}, {"price_tick": (0, 20_000)}),
        ({"quantity_step": 500 * ONE}, {"quantity": (ONE, 0)}),
    ],
)
def test_what_is_wrong_with_the_market(changes, failed):
    world = RiskWorld()
    world.send(market_of("A", **changes))
    assert failed.items() <= world.reject().items()


def test_an_unknown_fee_formula_leaves_no_edge():
    world = RiskWorld()
    world.send(market_of("A", fees=msgspec.structs.replace(market_of("A").fees, model="new")))
    assert "quantity" in world.reject()


def test_a_gapped_book_is_not_traded_on_until_a_snapshot():
    world = RiskWorld()
    world.quote("kalshi:A:yes", 490_000, 500_000, skip=1)
    assert world.reject() == {"book_gap": (0, ONE)}
    world.book("kalshi:A:yes")
    assert world.reject() == {"book_gap": (0, ONE)}
    world.book("kalshi:A:yes", snapshot=True)
    world.approve()


@pytest.mark.parametrize("instrument", ["kalshi:A:yes", ""])
def test_a_gap_message_stops_the_instrument_or_the_whole_venue(instrument):
    world = RiskWorld()
    world.send(Gap(venue="kalshi", at=world.now, reason="reconnect", instrument=instrument))
    assert world.reject("A") == {"book_gap": (0, ONE)}
    if instrument:
        world.approve("B")
    else:
        assert world.reject("B") == {"book_gap": (0, ONE)}


def test_a_new_session_needs_new_snapshots():
    world = RiskWorld()
    world.session()
    assert world.reject() == {"book_gap": (0, ONE)}


def test_a_stale_book_is_refused_by_tape_time():
    world = RiskWorld(book_age_s_max=10)
    world.clock(10)
    world.approve()
    world.clock(0.5)
    assert world.reject("B") == {"book_age_s": (10, 11)}


def test_a_one_sided_or_thin_or_wide_book_is_refused():
    world = RiskWorld()
    world.book("kalshi:A:yes", bid=0)
    assert {"price_collar", "spread", "depth"} == set(world.reject("A"))
    world.book("kalshi:B:yes", size=499 * ONE)
    assert world.reject("B") == {"depth": (500 * ONE, 499 * ONE)}
    world.book("kalshi:C:yes", bid=470_000)
    assert world.reject("C") == {"spread": (20_000, 30_000)}
    world.configure(spread_max=100_000)
    world.approve("C")


def test_stakes_in_market_all_and_group_are_limited():
    world = RiskWorld(max_market=50_000, max_group=60_000, max_heat=70_000)
    failed = world.reject()
    cost = 82_500_000 + 2_887_500
    assert failed == {
        "market_stake": (50 * ONE, cost),
        "heat": (70 * ONE, cost),
        "group_loss": (60 * ONE, cost),
    }


def test_a_market_counts_its_position_and_its_working_orders():
    world = RiskWorld(one_position_per_market=False, max_market=120_000, max_heat=ONE, max_group=ONE)
    order = world.approve()
    assert set(world.reject()) == {"market_stake"}
    world.fill(order)
    world.update(order, OrderStatus.FILLED, order.quantity)
    assert world.reject()["market_stake"][1] > 82_500_000 + 80 * ONE


def test_the_group_counts_what_cannot_win_together():
    world = RiskWorld(markets=(), max_group=120_000, max_heat=ONE)
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
    world = RiskWorld(markets=(), max_group=90_000, max_heat=ONE)
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
    world = RiskWorld(one_position_per_market=False, max_heat=ONE)
    world.hold("A", "yes")
    assert world.reject("A", "no") == {"market_positions_count": (0, 1)}
    world.approve("A", "yes")
    # A working order of one outcome counts like a position.
    world.approve("B", "no")
    assert world.reject("B", "yes") == {"market_positions_count": (0, 1)}


def test_concurrent_positions_count_working_orders():
    world = RiskWorld(max_positions_count=2, max_heat=ONE)
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
    world = RiskWorld(order_rate_count=2, order_rate_window_s=60, max_heat=ONE)
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


def test_a_repeated_message_is_dropped_silently():
    world = RiskWorld()
    world.approve(message_id="t1:signal:5:0")
    with pytest.raises(ValueError, match="not enough values"):
        world.propose("B", message_id="t1:signal:5:0")


def test_balance_counts_what_open_orders_reserved():
    world = RiskWorld(
        max_heat=ONE, max_group=ONE, max_bet=ONE, max_market=ONE, sizing="fixed", fixed_bet=600_000
    )
    first = world.approve("A")
    failed = world.reject("B")
    assert set(failed) == {"balance", "heat"}
    limit, value = failed["balance"]
    assert limit == CASH - world.machine.reserved_exposure() < value
    world.update(first, OrderStatus.CANCELED)
    world.approve("B")


def test_the_days_loss_stops_the_day_and_midnight_lifts_it():
    world = RiskWorld(daily_loss=50_000)
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
    world = RiskWorld(daily_loss=ONE, drawdown_reduce=20_000, drawdown_stop=100_000, max_heat=ONE)
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


# ── the kill switch ──


def test_halt_blocks_entries_and_exits_and_survives_sessions_and_restarts():
    world = RiskWorld()
    order = world.hold("A")
    world.command(Verb.HALT)
    world.session()
    world.restarted()
    for name in ("A", "B"):
        world.book(f"kalshi:{name}:yes", snapshot=True)
    assert set(world.reject("B")) == {"kill_switch"}
    assert failed_of(world.exit(quantity=order.quantity)) == {"kill_switch": (ONE, 2 * ONE)}
    # Close-only does not loosen a halt.
    world.command(Verb.CLOSE_ONLY)
    assert "kill_switch" in failed_of(world.exit(quantity=order.quantity))
    world.command(Verb.RESUME)
    assert isinstance(world.exit(quantity=order.quantity), Approval)
    world.approve("B")


def test_close_only_lets_exits_through():
    world = RiskWorld()
    order = world.hold("A")
    world.command(Verb.CLOSE_ONLY)
    assert world.reject("B") == {"kill_switch": (0, ONE)}
    assert isinstance(world.exit(quantity=order.quantity), Approval)


def test_a_session_can_start_halted():
    world = RiskWorld()
    world.session(halted=True)
    world.session()
    assert world.machine.risk_state() is RiskState.HALTED


# ── autonomy ──


def test_alerts_places_nothing():
    world = RiskWorld(autonomy="alerts")
    assert world.reject() == {"autonomy": (ONE, 0)}


def test_semi_waits_for_the_operator_and_checks_again():
    world = RiskWorld(autonomy="semi", pending_ttl_s=60)
    pending = world.propose(message_id="t1:signal:7:0")
    assert isinstance(pending, Pending)
    assert world.machine.reserved_exposure() > 0
    world.clock(30)
    (approval,) = world.command(Verb.APPROVE, pending.order)
    assert isinstance(approval, Approval)
    assert approval.order == f"t1-{world.seq}-0"
    assert approval.proposal == "t1:signal:7:0"
    assert approval.quantity == pending.quantity
    # Approved once: the id waits no more.
    assert world.command(Verb.APPROVE, pending.order) == []
    assert len(world.machine.state.reservations) == 1


def test_an_approval_by_the_operator_passes_the_checks_of_its_moment():
    world = RiskWorld(autonomy="semi")
    pending = world.propose()
    world.quote("kalshi:A:yes", 490_000, 500_000, skip=3)
    (rejection,) = world.command(Verb.APPROVE, pending.order)
    assert failed_of(rejection) == {"book_gap": (0, ONE)}
    assert world.machine.reserved_exposure() == 0


def test_denied_and_lapsed_orders_are_released():
    world = RiskWorld(autonomy="semi", pending_ttl_s=10)
    pending = world.propose()
    (rejection,) = world.command(Verb.DENY, pending.order)
    assert failed_of(rejection) == {"operator": (ONE, 0)}
    pending = world.propose()
    assert of(world.clock(9), Rejection) == []
    (rejection,) = of(world.clock(1), Rejection)
    assert failed_of(rejection) == {"time_to_expiry_s": (0, 0)}
    assert world.command(Verb.APPROVE, pending.order) == []
    assert world.machine.state.reservations == {}


def test_an_expired_wait_is_not_approved_even_before_the_clock_says_so():
    world = RiskWorld(autonomy="semi", pending_ttl_s=10)
    pending = world.propose()
    world.now += 10 * SECOND
    (rejection,) = world.command(Verb.APPROVE, pending.order)
    assert "time_to_expiry_s" in failed_of(rejection)


def test_exits_wait_only_when_told_to():
    world = RiskWorld()
    order = world.hold()
    world.configure(autonomy="semi")
    assert isinstance(world.exit(), Approval)
    world.configure(autonomy="semi", exits_wait=True)
    pending = world.exit(quantity=order.quantity - ONE)
    assert isinstance(pending, Pending)
    # What waits counts: together they take the whole position.
    assert failed_of(world.exit()) == {"reduce_only": (order.quantity, order.quantity + ONE)}
    (approval,) = world.command(Verb.APPROVE, pending.order)
    assert approval.reduce_only


# ── exits ──


def test_an_exit_passes_whatever_entry_limits_say():
    world = RiskWorld()
    order = world.hold()
    world.configure(
        autonomy="alerts",
        max_bet=0,
        max_market=0,
        max_heat=0,
        max_group=0,
        max_positions_count=0,
        order_rate_count=0,
        cooldown_s=86_400,
        repeat_s=86_400,
        daily_loss=0,
        depth_min=10**12,
        time_to_close_s_min=86_400,
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


# ── reservations ──


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


# ── books and memory ──


def test_a_report_each_minute_of_tape_time():
    world = RiskWorld()
    world.hold()
    reports = [report for _ in range(180) for report in of(world.clock(), PortfolioReport)]
    # The first clock reports at once, then each full minute; START is on a minute.
    assert [report.at - START for report in reports] == [1 * SECOND, *(k * 60 * SECOND for k in (1, 2, 3))]
    last = reports[-1]
    assert last.cash == CASH - 82_500_000
    assert last.equity == last.cash + 165 * 490_000
    assert last.exposure == 82_500_000
    assert last.exposure_limit == last.equity // 4
    assert last.positions == 1
    assert last.digest == world.machine.state.portfolio.digest()
    assert last.state is RiskState.ACTIVE


def test_settled_markets_are_forgotten_but_not_before_the_position_is_paid():
    world = RiskWorld()
    world.hold("A")
    world.send(market_of("A", status=MarketStatus.SETTLED, result="yes"))
    world.send(market_of("B", status=MarketStatus.SETTLED, result="no"))
    world.clock(60)
    state = world.machine.state
    assert "kalshi:A" in state.markets
    assert "kalshi:B" not in state.markets
    assert "kalshi:B:no" not in state.books
    world.settle("A", ONE)
    world.clock(60)
    assert list(state.markets) == ["kalshi:C"]
    assert set(state.market_of.values()) == {"kalshi:C"}


def test_memory_of_proposals_and_repeats_ends():
    world = RiskWorld(repeat_s=30)
    world.update(world.approve(), OrderStatus.DENIED)
    assert world.machine.state.seen
    assert world.machine.state.repeated_at
    world.clock(120)
    assert world.machine.state.seen == {}
    assert world.machine.state.repeated_at == {}


def test_an_empty_bid_side_does_not_wipe_out_equity():
    world = RiskWorld()
    world.hold()
    world.clock()
    world.book("kalshi:A:yes", bid=0, ask=0)
    world.clock()
    assert world.machine.state.day_loss <= 165 * 10_000


def test_a_wrong_configuration_stops_the_machine():
    world = RiskWorld()
    with pytest.raises(msgspec.ValidationError, match="drawdown_reduce below drawdown_stop"):
        world.configure(drawdown_reduce=500_000, drawdown_stop=400_000)
    with pytest.raises(msgspec.ValidationError, match="max_bte"):
        world.configure(max_bte=1)


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
    other.send(msgspec.structs.replace(submitted, status=OrderStatus.CANCELED, reason=""))
    assert other.machine.reserved_exposure() == reserved
