"""The exit machine, case by case."""

import itertools

import pytest
from pydantic import ValidationError

from libs.config.section import section_hash
from libs.machine.machine import Stamp
from proto.evaluation import ChangeStep, ExitChange
from proto.execution import OrderStatus, OrderUpdate
from proto.exit import HELD_TO_SETTLEMENT, ExitProposal, ExitReason, PositionUpdate
from proto.feed import Answer, FeedClock, Gap, MarketStatus, Side
from proto.operator import Command, Config, Verb
from proto.risk import ExitPortfolioReport, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Account, Correction, Fill
from services.exit.machine import ExitMachine
from services.exit.params import ExitParams
from services.exit.state import Held
from services.exit.stops import close_price, stop_price
from services.exit.targets import targets
from tests.support.exit_world import CENT, HUNDRED, MARKET, START, YES, World, approval, opened


def resting(world: World) -> list[tuple[int, int]]:
    return [(o.proposal.price // CENT, o.remaining // ONE) for o in world.live.values()]


# ── the ladder ──


def test_half_rests_two_percent_above_the_entry_and_the_rest_at_five():
    world = opened(50)
    assert resting(world) == [(51, 50), (53, 50)]
    assert {o.proposal.time_in_force for o in world.live.values()} == {TimeInForce.GTC}
    assert world.cancels == []
    assert world.stage == "open"
    for _ in range(30):
        world.advance(1)
    assert len(world.proposals) == 2


def test_stages_follow_the_targets():
    world = opened(50)
    first, rest = world.live
    world.fill(first, 49 * ONE)
    assert world.stage == "open"
    world.fill(first, ONE)
    assert world.stage == "half_closed"
    world.fill(rest, 50 * ONE)
    assert [update.stage for update in world.stages] == ["open", "half_closed", "closed"]
    assert world.stages[-1].reason == "target"
    assert world.stages[0].entry_price == 50 * CENT
    world.advance(60)
    assert len(world.proposals) == 2


def test_targets_wait_for_the_rest_of_the_entry():
    world = World()
    world.enter(10 * ONE, 50 * CENT)
    world.advance(1)
    world.enter(30 * ONE, 50 * CENT)
    world.advance(1)
    assert world.proposals == []
    world.advance(1)
    assert [p.quantity // ONE for _, p in world.proposals] == [20, 20]


def test_an_entry_that_grows_moves_its_targets():
    world = opened(50)
    world.enter(HUNDRED, 60 * CENT)
    world.entry_done()
    assert sorted(world.cancels) == sorted(world.live)
    assert world.asked == {}
    for order in list(world.live):
        world.end(order, OrderStatus.CANCELED)
    while world.asked:
        world.answer(approve=True)
    assert resting(world) == [(57, 100), (58, 100)]


def test_an_entry_that_grows_at_the_same_price_only_adds():
    world = opened(50)
    world.enter(10 * ONE, 50 * CENT)
    world.entry_done()
    assert world.cancels == []
    assert [(p.price // CENT, p.quantity // ONE) for _, p in world.proposals[2:]] == [(51, 5), (53, 5)]


@pytest.mark.parametrize(
    ("entry", "prices"),
    [(500_000, (510_000, 530_000)), (10_000, (20_000, 20_000)), (985_000, (990_000, 990_000))],
)
def test_target_prices_are_rounded_up_to_the_grid_and_stay_below_one(entry, prices):
    held = Held("kalshi:M", YES, "s", bought=ONE, paid=entry)
    assert tuple(t.price for t in targets(held, ONE, MARKET, ExitParams())) == prices


def test_an_odd_quantity_is_split_on_the_grid():
    held = Held("kalshi:M", YES, "s", bought=30_000, paid=15_000)
    assert [t.quantity for t in targets(held, 30_000, MARKET, ExitParams())] == [10_000, 20_000]


# ── leaving ──


def test_a_stop_cancels_the_targets_and_waits_for_the_proof():
    world = opened(50)
    world.quote(49 * CENT)
    assert world.cancels == []
    world.quote(48 * CENT)
    assert world.stage == "closing"
    assert sorted(world.cancels) == sorted(world.live)
    first, rest = world.live
    world.end(first, OrderStatus.CANCELED)
    world.status(rest, OrderStatus.UNKNOWN)
    world.advance(3)
    assert len(world.proposals) == 2
    world.end(rest, OrderStatus.CANCELED)
    _, proposal = world.proposals[-1]
    assert (proposal.reason, proposal.time_in_force) == (ExitReason.STOP_LOSS, TimeInForce.IOC)
    assert (proposal.price, proposal.quantity) == (47 * CENT, HUNDRED)


def test_an_unanswered_cancel_is_repeated_at_its_pace():
    world = opened(50)
    world.quote(40 * CENT)
    assert len(world.cancels) == 2
    for _ in range(4):
        world.advance(1)
        world.quote(40 * CENT)
    assert len(world.cancels) == 2
    world.advance(1)
    assert len(world.cancels) == 4


def test_a_fill_that_crosses_the_cancel_is_not_sold_again():
    world = opened(50)
    world.quote(40 * CENT)
    first, rest = world.live
    world.fill(first, 20 * ONE)
    world.end(first, OrderStatus.CANCELED)
    world.end(rest, OrderStatus.CANCELED)
    assert world.proposals[-1][1].quantity == 80 * ONE


def test_fills_that_were_reported_but_have_not_arrived_hold_the_exit_back():
    world = opened(50)
    world.quote(40 * CENT)
    first, rest = world.live
    world.end(rest, OrderStatus.CANCELED)
    live = world.live[first]
    update = OrderUpdate(
        order=first,
        status=OrderStatus.CANCELED,
        instrument=YES,
        market="kalshi:M",
        strategy="s",
        filled=20 * ONE,
        reduce_only=True,
    )
    world.put(update)
    world.advance(5)
    assert len(world.proposals) == 2
    world.live.clear()
    world.position -= 20 * ONE
    world._fill(first, Side.SELL, 20 * ONE, live.proposal.price)
    assert world.proposals[-1][1].quantity == 80 * ONE


def test_a_refused_or_unfilled_exit_is_tried_again_at_the_present_bid_and_pace():
    world = opened(50, close_retry_s=3)
    world.quote(40 * CENT)
    for order in list(world.live):
        world.end(order, OrderStatus.CANCELED)
    world.answer(approve=False)
    world.quote(30 * CENT)
    world.advance(2)
    assert len(world.proposals) == 3
    world.advance(1)
    assert world.proposals[-1][1].price == 29 * CENT
    world.answer(approve=True)
    world.end(next(iter(world.live)), OrderStatus.EXPIRED)
    world.quote(20 * CENT)
    world.advance(3)
    assert world.proposals[-1][1].price == 19 * CENT
    times = [at for at, p in world.proposals if p.time_in_force is TimeInForce.IOC]
    assert all(later - earlier >= 3 * SECOND for earlier, later in itertools.pairwise(times))


def test_a_refused_target_is_tried_again_later():
    world = World()
    world.quote(49 * CENT)
    world.enter(HUNDRED, 50 * CENT)
    world.entry_done()
    world.answer(approve=False)
    world.answer(approve=True)
    world.advance(29)
    assert len(world.proposals) == 2
    world.advance(1)
    assert [(p.price // CENT, p.quantity // ONE) for _, p in world.proposals[2:]] == [(51, 50)]


@pytest.mark.parametrize("expected", [0, 3_600, 4_000, 1_800])
def test_before_the_end_everything_leaves(expected):
    """At the latest close, or before it when the market is expected to end earlier: a game's close is days later."""
    world = opened(50)
    end_s = min(expected or 3_600, 3_600)
    world.put(MARKET.replace(expected_end_at=START + expected * SECOND if expected else 0))
    world.advance(end_s - 61)
    assert world.cancels == []
    world.advance(1)
    assert world.stages[-1].reason == "before_close"
    for _ in range(3):
        world.work()
    assert world.stage == "closed"
    assert world.position == 0


def test_what_was_bought_for_its_settlement_is_held_to_it():
    """Neither the close nor a bid that stands still makes it leave; the stop does."""
    world = opened(50, hold_to_settlement=["s"], decay_s=60)
    world.advance(3_600 - 61)
    assert world.stages[-1].reason == ""
    world.advance(30)
    assert [stage.reason for stage in world.stages].count(HELD_TO_SETTLEMENT) == 1
    assert (world.stage, world.position) == ("open", HUNDRED)
    world.quote(40 * CENT)
    assert world.stages[-1].reason == "stop_loss"


def test_a_position_that_others_bought_too_leaves_before_the_close():
    world = opened(50, hold_to_settlement=["s"])
    world.enter(HUNDRED, 50 * CENT, "another")
    world.enter(HUNDRED, 50 * CENT)
    world.advance(3_600 - 60)
    assert world.stages[-1].reason == "before_close"


@pytest.mark.parametrize("answer", list(Answer))
def test_past_the_expected_end_of_a_market_without_a_close_the_stop_still_sells(answer):
    """Polymarket's end date is no close, and a proposed or disputed answer ends nothing."""
    world = opened(50)
    world.put(MARKET.replace(close_at=0, expected_end_at=START + 10 * SECOND, answer=answer))
    world.advance(3_700)
    assert world.cancels == []
    assert world.position == HUNDRED
    world.quote(30 * CENT)
    for _ in range(5):
        world.work()
    assert world.stages[-1].reason == "stop_loss"
    assert world.position == 0


@pytest.mark.parametrize("answer", list(Answer))
def test_a_position_leaves_a_disputed_market_only_where_it_is_told_to(answer):
    for policy, leaves in (("hold", False), ("exit", answer is Answer.DISPUTED)):
        world = opened(50, disputed=policy)
        world.put(MARKET.replace(answer=answer))
        for _ in range(5):
            world.work()
        assert (world.position == 0) is leaves
        assert [stage.reason for stage in world.stages if stage.reason] == ["disputed"] * 2 * leaves


def test_after_the_close_or_while_paused_nothing_is_proposed():
    world = opened(50)
    world.put(MARKET.replace(status=MarketStatus.PAUSED))
    world.quote(40 * CENT)
    for order in list(world.live):
        world.end(order, OrderStatus.CANCELED)
    world.advance(10)
    assert len(world.proposals) == 2
    world.put(MARKET)
    world.advance(1)
    assert len(world.proposals) == 3
    world.answer(approve=False)
    world.now = MARKET.close_at
    world.advance(1)
    assert len(world.proposals) == 3


def test_a_bid_that_does_not_move_decays():
    world = opened(50, decay_s=100)
    world.advance(90)
    world.quote(49 * CENT)
    world.advance(5)
    world.quote(51 * CENT)
    world.advance(99)
    assert world.cancels == []
    world.advance(1)
    assert world.stages[-1].reason == "time_decay"


def test_the_stop_is_never_nearer_than_two_ticks():
    assert stop_price(20 * CENT, MARKET, ExitParams()) == 18 * CENT
    assert stop_price(90 * CENT, MARKET, ExitParams()) == 873_000
    assert stop_price(1 * CENT, MARKET, ExitParams()) == 0


def test_a_marketable_exit_stays_above_zero():
    assert close_price(CENT, MARKET, ExitParams()) == CENT
    assert close_price(50 * CENT, MARKET, ExitParams(slippage_ticks=0)) == 50 * CENT


# ── what is not trusted ──


def test_a_gapped_bid_stops_nothing_and_a_snapshot_heals():
    world = opened(50)
    world.put(Gap(venue="kalshi", at=world.now, reason="seq"))
    world.quote(40 * CENT)
    assert world.cancels == []
    healed = world.machine.state.tops.tops[YES]
    healed.gapped = False
    world.quote(40 * CENT)
    assert len(world.cancels) == 2


def test_an_unverified_approval_is_none():
    world = World()
    world.enter(HUNDRED, 50 * CENT)
    world.entry_done()
    message_id, proposal = next(iter(world.asked.items()))
    world.put(approval("t-9-0", message_id, proposal), verified=False)
    held = world.machine.state.held[YES]
    assert held.order_named("t-9-0") is None


def test_an_unknown_exit_counts_as_working_and_is_cancelled():
    world = World()
    world.enter(HUNDRED, 50 * CENT)
    foreign = OrderUpdate(
        order="old-1-0",
        status=OrderStatus.UNKNOWN,
        instrument=YES,
        market="kalshi:M",
        strategy="s",
        remaining=70 * ONE,
        reduce_only=True,
    )
    world.put(foreign)
    assert world.cancels == ["old-1-0"]
    world.entry_done()
    assert sum(p.quantity for _, p in world.proposals) == 30 * ONE
    world.put(foreign.replace(status=OrderStatus.CANCELED, remaining=0))
    assert sum(p.quantity for _, p in world.proposals) == HUNDRED


def test_a_correction_of_the_entry_cancels_what_is_too_much():
    world = opened(50)
    world.position = 0
    world.put(Correction(correction_id="c", fill_id="fill:1", order="entry"))
    assert sorted(world.cancels) == sorted(world.live)
    assert world.stage == "closed"


def test_a_correction_of_an_exit_brings_the_position_back():
    world = opened(50)
    for order in list(world.live):
        world.fill(order, 50 * ONE)
    assert world.stage == "closed"
    world.position = 50 * ONE
    world.put(Correction(correction_id="c", fill_id=f"fill:{world.fill_count}", order="x"))
    assert world.stage == "open"
    world.advance(3)
    assert [p.quantity // ONE for _, p in world.proposals[2:]] == [25, 25]


def test_settlement_closes():
    world = opened(50)
    world.settle(ONE)
    assert (world.stage, world.stages[-1].reason) == ("closed", "settlement")
    world.advance(60)
    assert len(world.proposals) == 2
    assert world.machine.state.held == {}


# ── configuration, time, reports ──


def test_without_configuration_nothing_is_said_and_with_it_everything_is_caught_up():
    machine = ExitMachine()
    machine.on(MARKET, Stamp(1, START))
    fill = Fill(
        fill_id="f",
        order="o",
        market="kalshi:M",
        instrument=YES,
        strategy="s",
        side=Side.BUY,
        price=50 * CENT,
        quantity=HUNDRED,
        fee=0,
    )
    assert not machine.on(fill, Stamp(2, START))
    assert not machine.on(FeedClock(at=START), Stamp(3, START))
    world = World(twin=False)
    machine.state.tape = "t"
    machine.on(Config(section="exit", document={}, nonce="n", expires_at=START), Stamp(4, START))
    outputs = machine.on(FeedClock(at=START + 5 * SECOND), Stamp(5, START + 5 * SECOND))
    assert isinstance(outputs[0], PositionUpdate)
    later = machine.on(FeedClock(at=START + 8 * SECOND), Stamp(6, START + 8 * SECOND))
    assert [type(output) for output in later] == [ExitProposal, ExitProposal]
    assert world.proposals == []


def test_the_books_are_reported_once_a_minute():
    world = World(twin=False)
    world.put(Account(account_id="a", venue="kalshi", deposit=5 * ONE))
    reports = []
    for _ in range(180):
        world.now += SECOND
        reports += [o for o in world.put(FeedClock(at=world.now)) if isinstance(o, ExitPortfolioReport)]
    # The first clock reports at once, then at each of three full minutes.
    assert len(reports) == 4
    assert {report.digest for report in reports} == {world.machine.state.portfolio.digest()}


def test_time_that_goes_back_holds_no_exit_up():
    """A clock was believed that was a day ahead, then one that is right: what was waited for waits no more."""
    world = opened(50)
    world.now += 86_400 * SECOND
    world.put(MARKET.replace(close_at=world.now + 86_400 * SECOND))
    world.quote(40 * CENT)
    for order in list(world.live):
        world.end(order, OrderStatus.CANCELED)
    world.advance(1)
    world.answer(approve=False)
    before = len(world.proposals)
    world.now -= 86_400 * SECOND
    for _ in range(3):
        world.advance(1)
    assert len(world.proposals) > before
    assert world.proposals[-1][1].time_in_force is TimeInForce.IOC


def test_an_unknown_parameter_is_refused():
    with pytest.raises(ValidationError, match="stop_los"):
        ExitParams.model_validate({"stop_los": 1})


@pytest.mark.parametrize("instrument", ["", YES])
def test_a_flattened_position_leaves_at_once_however_it_stands(instrument: str):
    world = opened()
    assert len(resting(world)) == 2
    world.flatten(f"{YES}x")
    assert world.stage == "open"
    world.flatten(instrument)
    assert (world.stage, world.stages[-1].reason) == ("closing", "flatten")
    told = len(world.stages)
    world.flatten(instrument)
    assert len(world.stages) == told
    for _ in range(3):
        world.work()
    assert (world.position, world.stage) == (0, "closed")
    assert world.proposals[-1][1].reason is ExitReason.FLATTEN
    world.flatten(instrument)
    assert world.stage == "closed"


def test_an_accepted_change_moves_the_stop_of_what_is_held():
    world = opened(50, stop_loss=100_000)
    assert world.machine.state.held[YES].stop == 45 * CENT
    limits = {"amounts": {"exit.stop_loss": {"low": 20_000, "high": 200_000, "step": 100_000}}}
    world.put(Config(section="eval", document=limits, nonce="n", expires_at=START))
    params = world.machine.state.params
    assert params is not None
    command = Command(
        verb=Verb.ACCEPT,
        nonce="n",
        expires_at=START,
        proposal="c-1",
        path="exit.stop_loss",
        section_hash=section_hash(params.document()),
        old=100_000,
        new=40_000,
    )
    (said,) = world.put(command)
    assert isinstance(said, ExitChange)
    assert said.step is ChangeStep.APPLIED
    world.advance(1)
    assert world.machine.state.held[YES].stop == 48 * CENT
