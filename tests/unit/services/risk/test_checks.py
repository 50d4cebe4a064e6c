"""Each check alone: it compares what it says it compares, and no fact makes it raise."""

import ast
import inspect

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.feed import Answer
from proto.units import AMOUNT_MAX, ONE
from services.risk import checks, facts
from services.risk.checks import ENTRY_CHECKS, EXIT_CHECKS, EntryFacts, ExitFacts
from services.risk.params import RiskParams

amounts = st.integers(-AMOUNT_MAX, AMOUNT_MAX)
sizes = st.integers(0, AMOUNT_MAX)
moments = st.integers(0, 2**62)
maybe_prices = st.none() | st.integers(0, ONE)

ORDER = {
    "params": st.just(RiskParams()),
    "now": moments,
    "price": sizes,
    "quantity": sizes,
    "expires_at": moments,
    "known": st.booleans(),
    "kill_switch": st.sampled_from([checks.ACTIVE, checks.CLOSE_ONLY, checks.HALTED]),
    "status": st.sampled_from([checks.STATUS_UNKNOWN, *checks.STATUS_LEVELS.values()]),
    "price_step": st.integers(1, ONE),
}
entries = st.builds(
    EntryFacts,
    **ORDER,
    buys=st.booleans(),
    fair_value=sizes,
    bid=maybe_prices,
    ask=maybe_prices,
    depth=sizes,
    book_at=moments,
    gapped=st.booleans(),
    ends_at=moments,
    expected_end_at=moments,
    answer=st.sampled_from([*checks.ANSWER_LEVELS.values()]),
    cost=sizes,
    quantity_least=sizes,
    fee=sizes,
    equity=amounts,
    available=amounts,
    market_stake=sizes,
    total_stake=sizes,
    group_loss=sizes,
    day_equity=amounts,
    day_loss=sizes,
    drawdown=st.integers(0, 2 * ONE),
    position_count=st.integers(0, 100),
    conflict_count=st.integers(0, 100),
    approved_count=st.integers(0, 100),
    rested_at=moments,
    repeated_at=moments,
)


def passed(result: checks.CheckResult) -> bool:
    return result[3]


exits = st.builds(ExitFacts, **ORDER, position=sizes, closing=sizes)


@given(entries)
def test_no_entry_makes_a_check_raise_or_a_failure_look_like_a_pass(entry):
    for check in ENTRY_CHECKS:
        _, limit, value, ok = check(entry)
        assert type(ok) is bool
        assert type(limit) is int
        assert type(value) is int


@given(exits)
def test_no_exit_makes_a_check_raise(order):
    for check in EXIT_CHECKS:
        assert type(passed(check(order))) is bool


@given(entries)
def test_a_missing_side_of_the_book_never_passes(entry):
    entry.bid = None
    assert not passed(checks.spread(entry))
    assert not passed(checks.price_collar(entry))


@given(exits)
def test_reduce_only_passes_exactly_when_all_of_it_fits(order):
    assert passed(checks.reduce_only(order)) == (order.closing + order.quantity <= order.position)


@given(entries)
def test_money_limits_pass_exactly_within_their_share_of_equity(entry):
    equity = max(entry.equity, 0)
    params = entry.params
    assert passed(checks.bet(entry)) == (entry.cost * ONE <= equity * params.bet_max)
    assert passed(checks.heat(entry)) == ((entry.total_stake + entry.cost) * ONE <= equity * params.heat_max)
    assert passed(checks.group_loss(entry)) == (entry.group_loss * ONE <= equity * params.group_loss_max)


def test_the_facts_of_an_entry_are_given_in_the_order_of_their_names():
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(facts.entry_facts)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "EntryFacts"
    ]
    names = [[ast.unparse(argument) for argument in call.args] for call in calls]
    assert names == [list(EntryFacts.__struct_fields__)]


def test_every_check_is_in_a_list_under_a_name_of_its_own():
    listed = {check.__name__ for check in (*ENTRY_CHECKS, *EXIT_CHECKS)}
    defined = {
        name
        for name, function in vars(checks).items()
        if inspect.isfunction(function) and function.__module__ == checks.__name__ and name[0] != "_"
    }
    assert defined == listed
    for table in (ENTRY_CHECKS, EXIT_CHECKS):
        assert len(set(table)) == len(table)


GOOD = EntryFacts(
    params=RiskParams(),
    now=10**18,
    price=500_000,
    quantity=100 * ONE,
    expires_at=10**18 + 1,
    known=True,
    kill_switch=checks.ACTIVE,
    status=ONE,
    price_step=10_000,
    buys=True,
    fair_value=600_000,
    bid=490_000,
    ask=500_000,
    depth=1_000 * ONE,
    book_at=10**18,
    gapped=False,
    ends_at=2 * 10**18,
    expected_end_at=0,
    answer=0,
    cost=51_750_000,
    quantity_least=ONE,
    fee=1_750_000,
    equity=1_000 * ONE,
    available=1_000 * ONE,
    market_stake=0,
    total_stake=0,
    group_loss=51_750_000,
    day_equity=1_000 * ONE,
    day_loss=0,
    drawdown=0,
    position_count=0,
    conflict_count=0,
    approved_count=0,
    rested_at=0,
    repeated_at=0,
)
BAD = [
    (checks.price_positive, {"price": 0}),
    (checks.price_range, {"price": 995_000}),
    (checks.price_tick, {"price": 500_001}),
    (checks.price_collar, {"price": 545_001}),
    (checks.instrument, {"known": False}),
    (checks.direction, {"buys": False}),
    (checks.kill_switch, {"kill_switch": checks.CLOSE_ONLY}),
    (checks.autonomy, {"params": RiskParams(autonomy="alerts")}),
    (checks.expiry, {"expires_at": 10**18}),
    (checks.book_gap, {"gapped": True}),
    (checks.book_age, {"book_at": 10**18 - 10 * 10**9 - 1}),
    (checks.market_status, {"status": 2 * ONE}),
    (checks.answer, {"answer": checks.ANSWER_LEVELS[Answer.PROPOSED]}),
    (checks.answer, {"answer": checks.ANSWER_LEVELS[Answer.DISPUTED]}),
    (checks.time_to_close, {"ends_at": 0}),
    (checks.time_to_close, {"ends_at": 10**18 + 120 * 10**9 - 1}),
    (checks.spread, {"bid": 470_000}),
    (checks.spread, {"bid": 510_000}),
    (checks.depth, {"depth": 500 * ONE - 1}),
    (checks.edge, {"fair_value": 527_499}),
    (checks.quantity, {"quantity": ONE - 1}),
    (checks.bet, {"cost": 200 * ONE + 1}),
    (checks.market_stake, {"market_stake": 500 * ONE}),
    (checks.heat, {"total_stake": 200 * ONE}),
    (checks.group_loss, {"group_loss": 250 * ONE + 1}),
    (checks.daily_loss, {"day_loss": 300 * ONE}),
    (checks.drawdown, {"drawdown": 400_000}),
    (checks.positions, {"position_count": 5}),
    (checks.market_positions, {"conflict_count": 1}),
    (checks.cooldown, {"rested_at": 10**18 - 60 * 10**9 + 1}),
    (checks.repeat, {"repeated_at": 10**18 - 30 * 10**9 + 1}),
    (checks.order_rate, {"approved_count": 10}),
    (checks.balance, {"available": 51_749_999}),
]


def test_a_good_entry_passes_all():
    assert [check.__name__ for check in ENTRY_CHECKS if not passed(check(GOOD))] == []


@pytest.mark.parametrize(("check", "changes"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_check_fails_just_beyond_its_limit(check, changes):
    assert not passed(check(msgspec.structs.replace(GOOD, **changes)))


@pytest.mark.parametrize("expected_end_at", [10**18 - 10**15, 10**18 + 1])
def test_a_market_without_a_close_trades_past_its_expected_end(expected_end_at):
    entry = msgspec.structs.replace(GOOD, ends_at=0, expected_end_at=expected_end_at)
    assert passed(checks.time_to_close(entry))


def test_every_entry_check_has_a_case_that_fails_it():
    assert {check for check, _ in BAD} == set(ENTRY_CHECKS)
