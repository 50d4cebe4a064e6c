"""An entry as risk sees it: sized, approved with every check, or refused for what it or its market is."""

import pytest
from pydantic import ValidationError

from libs.machine.machine import Stamp
from proto.execution import OrderStatus
from proto.feed import Answer, FeeSchedule, Gap, MarketStatus, PriceStep, Side
from proto.message import INTEGER_MAX, NAME_CHARACTERS_MAX
from proto.operator import Verb
from proto.risk import Approval, PortfolioReport, Rejection, RiskState, TimeInForce
from proto.units import AMOUNT_MAX, ONE, SECOND
from services.risk.checks import ENTRY_CHECKS
from services.risk.machine import RiskMachine
from tests.support import few_words
from tests.support.risk_world import CASH, HALF_KELLY_QUANTITY, START, RiskWorld, market_of, of


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
    world = RiskWorld(bet_max=50_000)
    approval = world.approve(fair_value=900_000)
    (bet,) = [check for check in approval.checks if check.name == "bet"]
    assert bet.limit == CASH // 20
    assert CASH // 20 - ONE < bet.value <= CASH // 20


@pytest.mark.parametrize("cash", [10_000 * ONE, AMOUNT_MAX])
@pytest.mark.parametrize("price_min", [10_000, 1])
def test_a_price_of_almost_nothing_is_never_sized_beyond_what_a_message_carries(cash: int, price_min: int):
    """Ten thousand dollars buy ten thousand million contracts at a millionth of a dollar each."""
    world = RiskWorld(cash=cash, price_min=price_min, price_max=ONE - 1, max_heat=ONE, max_market=ONE)
    world.send(market_of("A", price_steps=(PriceStep(0, 1),), fees=FeeSchedule()))
    world.book("kalshi:A:yes", 1, 2, AMOUNT_MAX, snapshot=True)
    answer = world.propose(price=1, fair_value=600_000)
    assert answer.quantity == AMOUNT_MAX
    if isinstance(answer, Approval):
        assert world.machine.reserved_exposure() == answer.quantity // ONE


def test_a_check_of_a_figure_beyond_any_integer_shows_the_largest_one():
    world = RiskWorld()
    world.send(market_of("A", fees=FeeSchedule(model="kalshi_quadratic", taker_rate=AMOUNT_MAX)))
    failed = world.reject(price=AMOUNT_MAX, fair_value=AMOUNT_MAX)
    assert max(value for _, value in failed.values()) <= INTEGER_MAX
    answer = world.propose(message_id="", fair_value=ONE)
    assert isinstance(answer, Rejection)


@pytest.mark.parametrize("message_id", ["x" * 5_000, "\u00e9" * 300])
def test_a_proposal_under_a_name_too_long_to_repeat_is_answered(message_id: str):
    assert RiskWorld().approve(message_id=message_id).proposal == message_id[:120]


def test_without_configuration_or_session_nothing_is_said():
    machine = RiskMachine()
    proposal = few_words.proposal(expires_at=START)
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
        ({"answer": Answer.DISPUTED}, {"answer": (0, 2 * ONE)}),
        ({"close_at": 0}, {"time_to_close_s": (120, 0)}),
        ({"expected_end_at": START + 119 * SECOND}, {"time_to_close_s": (120, 119)}),
        ({"expected_end_at": START - SECOND}, {"time_to_close_s": (120, 0)}),
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
    world.send(market_of("A", fees=market_of("A").fees.replace(model="new")))
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
    world = RiskWorld(book_age_max_s=10)
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


def test_a_repeated_message_is_dropped_silently():
    world = RiskWorld()
    world.approve(message_id="t1:signal:5:0")
    with pytest.raises(ValueError, match="not enough values"):
        world.propose("B", message_id="t1:signal:5:0")


def test_a_wrong_configuration_stops_the_machine():
    world = RiskWorld()
    with pytest.raises(ValidationError, match="drawdown_reduce below drawdown_stop"):
        world.configure(drawdown_reduce=500_000, drawdown_stop=400_000)
    with pytest.raises(ValidationError, match="max_bte"):
        world.configure(max_bte=1)


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


def test_a_market_that_has_paid_and_is_open_again_is_not_entered():
    """Until it is resolved anew the books would pay a purchase by the result that was taken back."""
    world = RiskWorld()
    world.hold("A")
    world.send(market_of("A", status=MarketStatus.SETTLED, result="yes"))
    world.settle("A", ONE)
    world.send(market_of("A"))
    world.book("kalshi:A:yes", snapshot=True)
    assert list(world.reject("A")) == ["market_status"]
    assert isinstance(world.propose("B"), Approval)


def test_memory_of_proposals_and_repeats_ends():
    world = RiskWorld(repeat_s=30)
    world.update(world.approve(), OrderStatus.DENIED)
    assert world.machine.state.seen
    assert world.machine.state.repeated_at
    world.clock(120)
    assert world.machine.state.seen == {}
    assert world.machine.state.repeated_at == {}


def test_an_order_that_no_message_can_name_is_not_approved():
    world = RiskWorld()
    world.machine.state.tape = "t" * NAME_CHARACTERS_MAX
    with pytest.raises(ValueError, match="expected an order's name of at most 120"):
        world.propose()
