"""Reasons to leave that are off unless set: each alone, through the machine, with a twin from each snapshot."""

from typing import Any

import pytest
from pydantic import ValidationError

from proto.exit import PositionStage
from proto.feed import FeeSchedule, Gap, Market, Outcome, Side
from proto.operator import Command, Verb
from proto.risk import TimeInForce
from proto.signal import Proposal
from proto.units import ONE, SECOND
from proto.venue import Account, Fill
from services.exit.params import ExitParams
from tests.support.exit_world import CENT, HUNDRED, MARKET, START, YES, World, opened

FAR = {"first_target": 900_000, "rest_target": 900_000, "stop_loss": 900_000, "decay_s": 86_400}
"""Nothing else that could make it leave; the targets are at 0.95."""
FAMILY_MARKET = MARKET.model_copy(update={"underlying": "coinbase:BTC-USD", "open_at": START})


def patient(price: int = 50, market: Market = MARKET, **params: Any) -> World:
    """A hundred contracts bought at ``price`` cents, in a world with no other reason to leave."""
    return opened(price, market, **{**FAR, **params})


def reason_of(world: World) -> str:
    return world.stages[-1].reason if world.stages[-1].stage is PositionStage.CLOSING else ""


def sells(world: World) -> None:
    """Its targets end, and all of it is sold at once, for the reason it was told to leave for."""
    for _ in range(4):
        world.work()
    assert world.position == 0
    _, proposal = world.proposals[-1]
    assert proposal.time_in_force is TimeInForce.IOC
    assert proposal.reason.value == world.stages[-1].reason
    assert world.stages[-1].stage is PositionStage.CLOSED


def test_a_trailing_stop_follows_the_highest_bid_once_it_is_armed():
    world = patient(trailing_stop=50_000, trailing_from=100_000)
    for bid in (54, 45, 54):
        world.quote(bid * CENT)
    assert reason_of(world) == ""
    for bid in (60, 58):
        world.quote(bid * CENT)
    assert reason_of(world) == ""
    # 3 cents are 5 % of 60.
    world.quote(57 * CENT)
    assert reason_of(world) == "trailing_stop"
    sells(world)


def test_a_trailing_stop_believes_no_bid_of_a_gapped_book():
    world = patient(trailing_stop=50_000, trailing_from=100_000)
    world.put(Gap(venue="kalshi", at=world.now, reason="lost", instrument=YES))
    world.quote(80 * CENT)
    world.quote(60 * CENT)
    assert reason_of(world) == ""


def test_a_trailing_stop_keeps_the_ticks_of_a_stop():
    world = patient(price=10, trailing_stop=10_000, trailing_from=0)
    world.quote(12 * CENT)
    world.quote(11 * CENT)
    assert reason_of(world) == ""
    world.quote(10 * CENT)
    assert reason_of(world) == "trailing_stop"


TABLE = [{"age_s": 0, "gain": 100_000}, {"age_s": 60, "gain": 40_000}, {"age_s": 600, "gain": 0}]


def test_an_older_position_is_content_with_less():
    world = patient(profit_by_age=TABLE)
    world.quote(54 * CENT)
    world.advance(59)
    assert reason_of(world) == ""
    world.advance(1)
    assert reason_of(world) == "profit_by_age"
    sells(world)


def test_a_young_position_leaves_at_the_first_gain():
    world = patient(profit_by_age=TABLE)
    world.quote(55 * CENT)
    assert reason_of(world) == "profit_by_age"


def test_profit_by_age_is_after_the_fees_of_both_ways():
    fees = FeeSchedule(model="kalshi_quadratic", taker_rate=70_000)
    world = patient(market=MARKET.model_copy(update={"fees": fees}), profit_by_age=TABLE)
    world.advance(600)
    world.quote(53 * CENT)
    # 1.75 and 1.7437 cents of fees: three cents of gain are a loss.
    assert reason_of(world) == ""
    world.quote(54 * CENT)
    assert reason_of(world) == "profit_by_age"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"age_s": 5, "gain": 0}], "expected the first age_s of profit_by_age to be 0, was 5"),
        ([{"age_s": 0, "gain": 0}, {"age_s": 0, "gain": 0}], "expected rising ages"),
        (
            [{"age_s": 0, "gain": 0}, {"age_s": 1, "gain": 1}],
            "expected gains in profit_by_age that do not rise",
        ),
    ],
)
def test_a_table_that_is_none_is_refused(rows, message):
    with pytest.raises(ValidationError, match=message):
        ExitParams.model_validate({"profit_by_age": rows})


def test_a_family_of_markets_has_its_own_time():
    stops = [{"family": "btc-", "after_s": 600}, {"family": "event-", "after_s": 60}]
    world = patient(market=FAMILY_MARKET, time_stops=stops)
    world.advance(599)
    assert reason_of(world) == ""
    world.advance(1)
    assert reason_of(world) == "time_stop"
    sells(world)


def test_a_family_that_is_not_in_the_table_stays():
    world = patient(market=FAMILY_MARKET, time_stops=[{"family": "eth-", "after_s": 60}])
    world.advance(600)
    assert reason_of(world) == ""


def proposal(instrument: str, strategy: str = "s") -> Proposal:
    return Proposal(
        strategy=strategy,
        market=MARKET.market,
        instrument=instrument,
        side=Side.BUY,
        price=50 * CENT,
        fair_value=60 * CENT,
        edge=10 * CENT,
        strength=ONE,
        expires_at=START + 86_400 * SECOND,
    )


def test_a_reversed_signal_makes_its_own_position_leave():
    world = patient(reversal="exit")
    for harmless in (proposal(YES), proposal("kalshi:M:no", strategy="another")):
        world.put(harmless)
    assert reason_of(world) == ""
    world.put(proposal("kalshi:M:no"))
    assert reason_of(world) == "reversal"
    sells(world)


def test_a_reversed_signal_changes_nothing_unless_set():
    world = patient()
    assert world.put(proposal("kalshi:M:no")) == []


def test_a_book_that_nothing_proves_is_left_at_its_newest_bid():
    world = patient(stale_exit_s=120)
    world.advance(100)
    world.quote(48 * CENT)
    world.advance(1)
    world.put(Gap(venue="kalshi", at=world.now, reason="lost", instrument=YES))
    # A quote after a gap proves nothing, but it is the newest price.
    world.advance(100)
    assert reason_of(world) == ""
    world.advance(20)
    assert reason_of(world) == "stale_book"
    sells(world)


def test_a_stop_of_the_system_is_no_silence_of_a_book():
    world = patient(stale_exit_s=120)
    world.quote(48 * CENT)
    world.advance(1)
    world.now += 300 * SECOND
    world.open_session()
    world.advance(119)
    assert reason_of(world) == ""
    world.advance(1)
    assert reason_of(world) == "stale_book"


def test_a_position_of_an_older_snapshot_has_the_age_of_its_first_look():
    world = patient(profit_by_age=TABLE)
    held = world.machine.state.held[YES]
    held.opened_at = 0
    world.quote(52 * CENT)
    assert (reason_of(world), held.opened_at) == ("", world.now)


def test_what_is_held_to_settlement_leaves_by_no_rule_of_prices():
    rules = {"trailing_stop": 50_000, "trailing_from": 0, "profit_by_age": TABLE, "reversal": "exit"}
    world = patient(hold_to_settlement=["s"], **rules)
    for bid in (70, 60, 58):
        world.quote(bid * CENT)
    world.advance(700)
    world.put(proposal("kalshi:M:no"))
    assert reason_of(world) == ""
    world.quote(0)
    assert reason_of(world) == "stop_loss"


def test_a_fall_of_the_account_makes_the_largest_position_leave_once():
    no = "kalshi:M:no"
    market = MARKET.model_copy(update={"outcomes": (Outcome("yes", YES), Outcome("no", no))})
    world = World(
        market=market, params={**FAR, "drawdown_level": 100_000, "drawdown_share": 500_000}, twin=True
    )
    world.put(Account(account_id="a", venue="kalshi", deposit=100 * ONE, at=START))
    world.quote(50 * CENT)
    world.enter(HUNDRED, 50 * CENT)
    world.entry_done()
    small = Fill(
        fill_id="f",
        order="o",
        market=MARKET.market,
        instrument=no,
        strategy="s",
        side=Side.BUY,
        price=50 * CENT,
        quantity=10 * ONE,
        fee=0,
        at=START,
    )
    world.put(small)
    world.position += small.quantity
    world.advance(1)
    world.put(Account(account_id="b", venue="kalshi", deposit=-20 * ONE, at=START))
    world.quote(43 * CENT)
    world.advance(1)
    assert reason_of(world) == ""
    world.quote(41 * CENT)
    world.advance(1)
    closing = [s for s in world.stages if s.stage is PositionStage.CLOSING]
    assert [(s.instrument, s.reason) for s in closing] == [(YES, "drawdown")]
    world.advance(1)
    assert len([s for s in world.stages if s.stage is PositionStage.CLOSING]) == 1
    # Counted anew by the operator: only a further fall is one.
    world.put(Command(verb=Verb.RESUME, nonce="n", expires_at=START))
    world.advance(1)
    assert len([s for s in world.stages if s.stage is PositionStage.CLOSING]) == 1


def test_the_plan_is_said_where_more_is_set_than_the_ladder():
    assert patient().stages[0].plan == ""
    world = patient(
        market=FAMILY_MARKET,
        trailing_stop=50_000,
        profit_by_age=TABLE,
        time_stops=[{"family": "btc-", "after_s": 600}],
        reversal="exit",
        stale_exit_s=120,
        drawdown_level=100_000,
    )
    assert world.stages[0].plan == (
        "targets 90 % and 90 %; stop 90 %; trailing stop 5 % below the highest bid once that is 2 % above the entry; "
        "profit after fees of 10 % from 0 s, 4 % from 60 s, 0 % from 600 s; time stop after 600 s; "
        "when s wants the other outcome; book unproved for 120 s; largest positions at a drawdown of 10 %"
    )
    world.quote(60 * CENT)
    assert world.stages[-1].plan == ""
