"""Checks whose limits are off unless set: each is the only one that fails, none stands in an exit's way."""

from typing import Any

import pytest

from proto.execution import OrderStatus
from proto.exit import ExitReason
from proto.feed import Payoff
from proto.operator import Verb
from proto.risk import Approval, RiskState, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Account, Correction
from services.risk.desk_checks import DESK_CHECKS, checks_set
from services.risk.params import RiskParams
from tests.support.risk_world import START, RiskWorld, market_of

LOOSE = {"heat_max": ONE, "group_loss_max": ONE, "positions_max_count": 100, "one_position_per_market": False}
BTC, ETH = "coinbase:BTC-USD", "coinbase:ETH-USD"
HOUR = 3_600
START_HOUR = START // (HOUR * SECOND) % 24


def world_of(*names: str, venue: str = "kalshi", **params: Any) -> RiskWorld:
    world = RiskWorld(markets=(), **{**LOOSE, **params})
    for name in names:
        add(world, name)
    return world


def add(world: RiskWorld, name: str, **changes: Any) -> None:
    world.send(market_of(name, **changes))
    for outcome in ("yes", "no"):
        world.book(f"kalshi:{name}:{outcome}", snapshot=True)


def lose(world: RiskWorld, name: str, reason: ExitReason = ExitReason.STOP_LOSS) -> None:
    """Buy and sell a cent lower."""
    bought = world.hold(name)
    sold = world.exit(name, quantity=bought.quantity, reason=reason, time_in_force=TimeInForce.IOC)
    assert isinstance(sold, Approval)
    world.fill(sold)
    world.update(sold, OrderStatus.FILLED, sold.quantity)


def test_with_its_limits_off_no_check_is_made_or_listed():
    assert checks_set(RiskParams()) == ()
    order = RiskWorld().approve()
    assert order.checks[-1].name == "balance"


def test_a_check_that_is_set_is_listed_when_it_passes():
    world = world_of("A", venue_stake_max=900_000)
    assert world.approve().checks[-1] == ("venue_stake", 900 * ONE, 85_387_500, True)


def test_a_market_must_have_been_open_for_long_enough():
    world = world_of(market_age_min_s=86_400)
    add(world, "A", open_at=START - 86_399 * SECOND)
    add(world, "B")
    assert world.reject("A") == {"market_age_s": (86_400, 86_399)}
    assert world.reject("B") == {"market_age_s": (86_400, 0)}
    world.clock(1)
    world.approve("A")


@pytest.mark.parametrize(
    ("first", "end", "trades"),
    [
        (START_HOUR, START_HOUR + 1, True),
        (START_HOUR + 1, START_HOUR + 3, False),
        (START_HOUR, START_HOUR - 1, True),
        (START_HOUR + 1, START_HOUR, False),
    ],
)
def test_entries_are_made_at_certain_hours(first, end, trades):
    world = world_of("A", hour_first=first, hour_end=end)
    if trades:
        world.approve()
    else:
        assert world.reject() == {"trading_hours": (first * ONE, START_HOUR * ONE)}


def test_no_hours_are_no_hours():
    with pytest.raises(ValueError, match="expected hour_end other than hour_first, was 5 for both"):
        RiskParams(hour_first=5, hour_end=5)


def test_stakes_at_a_venue_count_positions_and_working_orders():
    world = world_of("A", "B", "C", venue_stake_max=250_000)
    world.hold("A")
    order = world.approve("B")
    failed = world.reject("C")
    assert set(failed) == {"venue_stake"}
    assert failed["venue_stake"][1] > 82_500_000 + 2 * 80 * ONE
    world.update(order, OrderStatus.EXPIRED)
    world.approve("C")


def test_stakes_on_one_coin_leave_other_coins_alone():
    world = world_of(asset_stake_max=150_000)
    for name, underlying in (("A", BTC), ("B", "binance:BTCUSDT"), ("C", ETH), ("D", "")):
        add(world, name, underlying=underlying)
    world.hold("A")
    assert set(world.reject("B")) == {"asset_stake"}
    world.approve("C")
    order = world.approve("D")
    assert order.checks[-1] == ("asset_stake", order.checks[-1].limit, 0, True)


def test_stakes_in_one_family_leave_other_families_alone():
    world = world_of(family_stake_max=150_000)
    for name, minutes in (("A", 15), ("B", 15), ("C", 60)):
        times = {"open_at": START, "close_at": START + minutes * 60 * SECOND}
        add(world, name, underlying=BTC, **times)
    world.hold("A")
    assert set(world.reject("B")) == {"family_stake"}
    world.approve("C")


def test_stakes_of_one_strategy_leave_other_strategies_alone():
    world = world_of("A", "B", "C", strategy_stake_max=150_000)
    world.hold("A", strategy="momentum")
    assert set(world.reject("B", strategy="momentum")) == {"strategy_stake"}
    world.hold("B", strategy="macd")
    assert set(world.reject("C", strategy="macd")) == {"strategy_stake"}


def test_a_position_of_two_strategies_is_split_by_what_each_bought():
    world = world_of("A", strategy_stake_max=150_000)
    first, second = world.hold("A", strategy="momentum"), world.hold("A", strategy="macd")
    instrument = first.instrument
    assert world.machine.state.lots == {instrument: {"momentum": first.quantity, "macd": second.quantity}}
    sold = world.exit(quantity=first.quantity + ONE)
    world.fill(sold)
    assert world.machine.state.lots == {instrument: {"macd": second.quantity - ONE}}
    # What no strategy is known to have bought counts for each.
    world.machine.state.lots = {}
    assert set(world.reject("A", strategy="a third")) == {"strategy_stake"}


def test_what_moves_together_is_counted_together():
    above = {"payoff": Payoff.ABOVE}
    world = world_of(correlated_stake_max=150_000, sizing="fixed", fixed_bet=100_000)
    for name, underlying in (("A", BTC), ("B", BTC), ("C", ETH)):
        add(world, name, underlying=underlying, **above)
    world.hold("A")
    failed = world.reject("B")
    assert set(failed) == {"correlated_stake"}
    # 100 and 100 dollars at 0.8: the root of 10,000 + 10,000 + 16,000 is 190, at half of fees.
    assert failed["correlated_stake"][1] == pytest.approx(188 * ONE, rel=0.02)
    # The other side of the same price covers, another coin adds its square alone.
    assert world.approve("B", "no").checks[-1].value == pytest.approx(63 * ONE, rel=0.05)
    world = world_of(correlated_stake_max=150_000, sizing="fixed", fixed_bet=100_000)
    for name, underlying in (("A", BTC), ("C", ETH)):
        add(world, name, underlying=underlying, **above)
    world.hold("A")
    assert world.approve("C").checks[-1].value == pytest.approx(140 * ONE, rel=0.02)


@pytest.mark.parametrize(
    ("limit", "check"), [("var_max", "value_at_risk"), ("shortfall_max", "expected_shortfall")]
)
def test_the_tail_counts_positions_by_their_outcomes_and_orders_as_lost(limit, check):
    world = world_of("A", "B", "C", **{limit: 300_000})
    order = world.approve("A")
    assert order.checks[-1] == (check, 300 * ONE, 85_387_500, True)
    world.fill(order)
    world.update(order, OrderStatus.FILLED, order.quantity)
    # At the bid of 0.49: the loss of 165 contracts if the half that is no certainty comes.
    assert getattr(world.machine.state, check) == 165 * 490_000
    world.update(world.approve("B"), OrderStatus.EXPIRED)
    world.hold("B")
    world.approve("C")
    assert set(world.reject("C")) == {check}


def test_a_tail_is_measured_anew_by_the_clock_and_kept_in_snapshots():
    world = world_of("A", "B", var_max=200_000)
    world.hold("A")
    before = world.machine.state.value_at_risk
    world.book("kalshi:A:yes", bid=980_000, ask=990_000)
    assert world.machine.state.value_at_risk == before
    world.restarted()
    world.approve("B")
    world.clock(61)
    assert world.machine.state.value_at_risk == 165 * 980_000
    world.book("kalshi:A:yes", bid=992_000, ask=996_000)
    world.clock(61)
    # An ending less likely than one in a hundred is beyond the confidence.
    assert world.machine.state.value_at_risk == 0
    world.settle("A", ONE)
    assert world.machine.state.value_at_risk == 0


def test_markets_of_one_group_have_their_tail_together():
    world = world_of(var_max=900_000)
    for name in ("A", "B"):
        add(world, name, group="one wins")
    first, second = world.hold("A", "no"), world.hold("B", "no")
    # At most one of the two loses, and the other pays for both.
    assert world.machine.state.value_at_risk == 0
    for name in ("A", "B"):
        add(world, name)
    world.clock(61)
    assert world.machine.state.value_at_risk == (first.quantity + second.quantity) * 490_000 // ONE


def test_a_position_that_nobody_knows_an_end_of_may_be_lost():
    world = world_of("A", var_max=900_000)
    order = world.hold("A")
    world.send(market_of("A", outcomes=()))
    world.clock(61)
    assert world.machine.state.value_at_risk == order.quantity * 490_000 // ONE


def test_an_entry_is_paid_from_the_cash_of_its_venue():
    world = world_of("A", "B", venue_cash_apart=True)
    world.send(Account(account_id="other", venue="polymarket", deposit=9_000 * ONE, at=START))
    world.send(Account(account_id="out", venue="kalshi", deposit=-900 * ONE, at=START))
    failed = world.reject("A")
    assert set(failed) == {"venue_cash"}
    assert failed["venue_cash"][0] == 100 * ONE
    world.send(Account(account_id="in", venue="kalshi", deposit=1_700 * ONE, at=START))
    order = world.approve("A")
    assert world.reject("B")["venue_cash"][0] == 1_800 * ONE - world.machine.reserved_exposure()
    world.fill(order, fee=ONE)
    world.send(Correction(correction_id="c", fill_id="fill:kalshi:1", order=order.order))
    world.settle("A", ONE)
    state = world.machine.state
    assert state.cash_by_venue == {"kalshi": 1_800 * ONE, "polymarket": 9_000 * ONE}
    assert sum(state.cash_by_venue.values()) == state.portfolio.cash


@pytest.mark.parametrize("known", [{"polymarket": 9_000 * ONE}, {}])
def test_a_venue_of_which_no_deposit_is_known_pays_nothing(known):
    world = world_of("A", venue_cash_apart=True)
    world.send(Account(account_id="other", venue="polymarket", deposit=9_000 * ONE, at=START))
    world.machine.state.cash_by_venue = known
    assert world.reject("A")["venue_cash"][0] == 0


def test_on_paper_all_venues_have_one_cash():
    world = RiskWorld(markets=(), cash=0, venue_cash_apart=True, **LOOSE)
    world.machine.state.portfolio.accounts = {}
    world.machine.state.cash_by_venue = {}
    world.send(Account(account_id="start", venue="paper", deposit=1_000 * ONE, at=START))
    add(world, "A")
    world.hold("A")
    assert world.machine.state.cash_by_venue == {"paper": world.machine.state.portfolio.cash}
    add(world, "B")
    order = world.approve("B")
    assert order.checks[-1].limit == world.machine.state.portfolio.cash


def test_an_entry_that_meets_an_exit_of_our_own_is_refused():
    world = world_of("A", self_trade_refused=True)
    order = world.hold("A")
    resting = world.exit(price=510_000, quantity=order.quantity)
    world.approve("A", price=500_000)
    world.book("kalshi:A:yes", bid=500_000, ask=510_000)
    assert world.reject("A", price=510_000, fair_value=700_000) == {"self_trade": (0, order.quantity)}
    world.update(resting, OrderStatus.CANCELED)
    world.approve("A", price=510_000, fair_value=700_000)


def test_an_entry_that_meets_a_purchase_of_the_other_outcome_is_refused():
    world = world_of("A", self_trade_refused=True)
    order = world.approve("A", "yes", price=500_000)
    assert world.reject("A", "no", price=500_000) == {
        "self_trade": (0, order.quantity),
        "market_positions_count": (0, 1),
    }
    assert set(world.reject("A", "no", price=490_000)) == {"market_positions_count"}


def test_losses_in_a_row_make_entries_rest():
    world = world_of("A", "B", loss_streak_max_count=2, loss_streak_rest_s=600)
    lose(world, "A")
    lose(world, "A")
    assert world.reject("B") == {"loss_streak_count": (2, 2)}
    world.clock(600)
    lose(world, "B")
    # The one that was let through was lost too.
    assert world.reject("B") == {"loss_streak_count": (2, 3)}
    world.command(Verb.RESUME)
    world.approve("B")


def test_a_win_ends_a_row_of_losses_and_what_the_operator_flattens_is_none():
    world = world_of("A", "B", loss_streak_max_count=1)
    lose(world, "A", ExitReason.FLATTEN)
    assert world.machine.state.loss_streak == 0
    world.hold("B")
    world.settle("B", 0)
    assert set(world.reject("A")) == {"loss_streak_count"}
    world.configure(**LOOSE)
    world.hold("A")
    world.settle("A", ONE)
    assert world.machine.state.loss_streak == 0


def test_a_fill_far_outside_the_book_stops_entries_until_resume():
    world = world_of("A", "B", anomaly_stop=True)
    order = world.approve("A")
    world.fill(order, price=380_000)
    assert world.reject("B") == {"anomaly": (0, ONE)}
    assert world.machine.risk_state() is RiskState.CLOSE_ONLY
    assert isinstance(world.exit("A", quantity=order.quantity), Approval)
    world.restarted()
    assert world.reject("B") == {"anomaly": (0, ONE)}
    world.command(Verb.RESUME)
    world.approve("B")


def test_a_fill_beyond_its_approval_stops_entries():
    world = world_of("A", "B", anomaly_stop=True, anomaly_excess_max=2 * ONE)
    order = world.approve("A")
    world.fill(order, quantity=order.quantity + 2 * ONE)
    world.update(world.approve("B"), OrderStatus.EXPIRED)
    world.fill(order, quantity=ONE)
    assert world.reject("B") == {"anomaly": (0, 2 * ONE)}


def test_a_sudden_loss_stops_entries_and_a_slow_one_does_not():
    world = world_of("A", "B", anomaly_stop=True, anomaly_loss_max=20_000, anomaly_window_s=60)
    world.hold("A")
    for bid in (480_000, 370_000, 260_000):
        world.book("kalshi:A:yes", bid=bid, ask=bid + 10_000)
        world.clock(61)
        assert world.machine.state.anomaly == 0
    world.send(Account(account_id="out", venue="kalshi", deposit=-500 * ONE, at=START))
    world.clock(1)
    assert world.machine.state.anomaly == 0
    world.book("kalshi:A:yes", bid=190_000, ask=200_000)
    assert world.reject("B") == {"anomaly": (0, 3 * ONE)}


def test_no_check_here_is_asked_about_an_exit():
    strict = {
        "market_age_min_s": 86_400,
        "hour_first": START_HOUR + 1,
        "hour_end": START_HOUR,
        "venue_stake_max": 0,
        "asset_stake_max": 0,
        "family_stake_max": 0,
        "strategy_stake_max": 0,
        "correlated_stake_max": 0,
        "var_max": 0,
        "shortfall_max": 0,
        "venue_cash_apart": True,
        "self_trade_refused": True,
        "loss_streak_max_count": 1,
        "anomaly_stop": True,
    }
    assert len(checks_set(RiskParams(**strict))) == len(DESK_CHECKS)
    world = world_of()
    add(world, "A", underlying=BTC)
    lose(world, "A")
    order = world.hold("A")
    world.configure(**LOOSE, **strict)
    world.machine.state.anomaly = 1
    world.machine.state.cash_by_venue = {"kalshi": 0}
    failed = world.reject("A")
    assert {check.__name__ for check, _ in DESK_CHECKS} - {"self_trade"} == {
        name.removesuffix("_s").removesuffix("_count") for name in failed
    }
    assert isinstance(world.exit("A", quantity=order.quantity), Approval)
