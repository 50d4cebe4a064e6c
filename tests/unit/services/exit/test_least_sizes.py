"""Exits keep to what a venue takes: targets that can rest, else a sale at the target; what is below the lot is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.exchange.exchange import PaperExchange
from libs.exchange.orders import Accepted, ExchangeOrder
from libs.venues.errors import Refused
from libs.venues.gateway import NewOrder
from libs.venues.polymarket.trading.auth import SigningAccount
from libs.venues.polymarket.trading.request import Token, prepare_order
from proto.exit import ExitProposal
from proto.feed import Book, FeeSchedule, Level, Side
from proto.risk import TimeInForce
from proto.units import ONE
from tests.support.exit_world import CENT, MARKET, YES, World

SHARES = MARKET.replace(quantity_min=5 * ONE, taker_notional_min=ONE, fees=FeeSchedule())
"""A market with Polymarket's least sizes."""
TOKEN = Token(
    instrument=YES,
    market=MARKET.market,
    condition="0x" + "ab" * 32,
    token="7" * 70,
    tick=CENT,
    size_min=5 * ONE,
    neg_risk=False,
)
ACCOUNT = SigningAccount(bytes(range(1, 33)))


def held(quantity: int, **params: int) -> World:
    """A position bought at 50, its entry complete, and every answer given."""
    world = World(market=SHARES, params=params, twin=False)
    world.quote(50 * CENT)
    world.enter(quantity, 50 * CENT)
    world.entry_done()
    for _ in range(4):
        world.work()
    return world


def live_refusal(proposal: ExitProposal) -> str:
    new = NewOrder(
        order="t-1-0",
        market=proposal.market,
        instrument=proposal.instrument,
        side=proposal.side,
        price=proposal.price,
        quantity=proposal.quantity,
        time_in_force=proposal.time_in_force,
        expires_at=proposal.expires_at,
        approved_at=0,
    )
    try:
        prepare_order(new, TOKEN, ACCOUNT, "key")
    except Refused as e:
        return e.code
    return ""


def paper_refusal(proposal: ExitProposal | NewOrder) -> str:
    exchange = PaperExchange()
    exchange.market(SHARES, SHARES.at)
    bids, asks = (Level(40 * CENT, 100 * ONE),), (Level(50 * CENT, 100 * ONE),)
    exchange.book(
        Book(instrument=YES, at=SHARES.at, counter=1, bids=bids, asks=asks, snapshot=True), SHARES.at
    )
    order = ExchangeOrder(
        order="o",
        market=proposal.market,
        instrument=proposal.instrument,
        buy=proposal.side is Side.BUY,
        price=proposal.price,
        quantity=proposal.quantity,
        time_in_force=proposal.time_in_force,
        expires_at=2**62,
    )
    first = exchange.submit(order, SHARES.at)[0]
    return "" if isinstance(first, Accepted) else first.detail


@pytest.mark.parametrize(
    ("shares", "resting"),
    [
        (3, []),
        (5, [(51, 5)]),
        (6, [(51, 6)]),
        (9, [(51, 9)]),
        (10, [(51, 5), (53, 5)]),
        (12, [(51, 6), (53, 6)]),
    ],
)
def test_targets_that_could_not_rest_are_one(shares: int, resting: list[tuple[int, int]]) -> None:
    world = held(shares * ONE)
    assert [(o.proposal.price // CENT, o.remaining // ONE) for o in world.live.values()] == resting


@given(st.integers(1, 30 * ONE))
def test_what_is_proposed_can_be_placed_live_and_on_paper(quantity: int) -> None:
    world = held(quantity)
    world.quote(60 * CENT)
    for _ in range(5):
        world.work()
    world.quote(30 * CENT)
    for _ in range(10):
        world.work()
    for _, proposal in world.proposals:
        assert live_refusal(proposal) == ""
        assert paper_refusal(proposal) == ""
    assert world.stage == "closed"
    assert world.position < CENT


def test_what_is_too_small_to_rest_is_sold_when_the_bid_is_at_its_target() -> None:
    world = held(3 * ONE)
    assert world.proposals == []
    world.quote(51 * CENT)
    world.advance(1)
    ((_, proposal),) = world.proposals
    assert (proposal.time_in_force, proposal.price, proposal.quantity) == (
        TimeInForce.IOC,
        51 * CENT,
        3 * ONE,
    )
    world.work()
    assert (world.stage, world.position) == ("closed", 0)


def test_a_remainder_below_the_lot_ends_the_position_and_is_kept() -> None:
    """A purchase brings 5.012345 shares; the stop sells 5.01."""
    world = held(5_012_345)
    world.quote(40 * CENT)
    for _ in range(10):
        world.work()
    assert (world.stage, world.position) == ("closed", 2_345)
    assert world.stages[-1].quantity == 2_345
    assert world.stages[-1].reason == "stop_loss, 0.002345 below the lot kept until settlement"
    told = len(world.stages)
    for _ in range(60):
        world.work()
    assert len(world.stages) == told
    # It does not stand in the way of another entry, which takes it along when it fits.
    world.enter(10 * ONE, 50 * CENT)
    world.entry_done()
    for _ in range(4):
        world.work()
    assert (world.stage, sum(o.remaining for o in world.live.values())) == ("open", 10 * ONE)
    world.settle(ONE)
    assert world.machine.state.held == {}


def test_an_entry_that_comes_in_crumbs_is_waited_for() -> None:
    world = World(market=SHARES, twin=False)
    world.quote(50 * CENT)
    world.enter(4_000, 50 * CENT)
    assert world.stage == "open"
    world.enter(10 * ONE, 50 * CENT)
    world.entry_done()
    for _ in range(4):
        world.work()
    assert len(world.live) == 2


@pytest.mark.parametrize(
    ("time_in_force", "price", "quantity", "paper", "live"),
    [
        (TimeInForce.GTC, 40, 5 * ONE, "", ""),
        (TimeInForce.GTC, 40, 4_990_000, "quantity_too_small", "quantity_too_small"),
        (TimeInForce.IOC, 50, 2 * ONE, "", ""),
        (TimeInForce.IOC, 50, 1_990_000, "notional_too_small", "notional_too_small"),
        (TimeInForce.FOK, 50, 1_990_000, "notional_too_small", "notional_too_small"),
    ],
)
def test_paper_is_as_strict_with_entries_as_the_venue(
    time_in_force: TimeInForce, price: int, quantity: int, paper: str, live: str
) -> None:
    new = NewOrder(
        order="t-1-0",
        market=MARKET.market,
        instrument=YES,
        side=Side.BUY,
        price=price * CENT,
        quantity=quantity,
        time_in_force=time_in_force,
        expires_at=2**60,
        approved_at=0,
    )
    assert paper_refusal(new) == paper
    try:
        prepare_order(new, TOKEN, ACCOUNT, "key")
        code = ""
    except Refused as e:
        code = e.code
    assert code == live
