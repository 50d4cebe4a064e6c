"""Implication: books of markets that imply each other are in order, or both are bought towards it."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.exchange.fees import fee_estimate
from libs.indicators.ordered import never_rising
from proto.feed import Market, MarketStatus, Outcome, Payoff
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.implication import Implication
from tests.support.signal_world import CENT, MARKET, SignalWorld
from tools.system.composition import sections


def rung(strike: int, **changes: Any) -> Market:
    """A market that pays above a strike, in thousands of dollars."""
    name = f"kalshi:K{strike}"
    return MARKET.replace(
        market=name,
        outcomes=(Outcome("yes", f"{name}:yes"), Outcome("no", f"{name}:no")),
        floor=strike * 1_000 * ONE,
        **changes,
    )


def world_of(*markets: Market) -> SignalWorld:
    world = SignalWorld(Implication)
    world.configure("implication", sections(strategies=["implication"])["signal.implication"])
    for market in markets:
        world.put(market)
    return world


def priced(world: SignalWorld, market: Market, bid: int, ask: int) -> list[Proposal]:
    """Both books of a market, as a venue with one book shows them."""
    made: list[Proposal] = []
    for outcome, (low, high) in zip(market.outcomes, ((bid, ask), (100 - ask, 100 - bid)), strict=True):
        world.now += SECOND
        made += world.snapshot_book(outcome.instrument, low, high)
        made += world.quote(outcome.instrument, low, high)
    return made


LOW, HIGH = rung(90), rung(100)


def test_a_contradiction_is_bought_from_both_sides():
    world = world_of(LOW, HIGH)
    assert priced(world, LOW, 40, 42) == []
    made = {p.instrument: p for p in priced(world, HIGH, 52, 54)}
    # The closest prices in order are 47 cents for both: above 90,000 at 42 and not above 100,000 at 48.
    assert {name: (p.price, p.fair_value) for name, p in made.items()} == {
        "kalshi:K90:yes": (42 * CENT, 47 * CENT),
        "kalshi:K100:no": (48 * CENT, 53 * CENT),
    }
    for proposal in made.values():
        fee = fee_estimate(LOW.fees, proposal.price, ONE)
        assert proposal.edge == proposal.fair_value - proposal.price - fee
    # Whatever the price does, both together pay a dollar at least.
    assert sum(p.price + fee_estimate(LOW.fees, p.price, ONE) for p in made.values()) < ONE


@pytest.mark.parametrize(
    ("second", "low", "high"),
    [
        (HIGH, (52, 54), (40, 42)),
        (HIGH, (40, 42), (42, 44)),
        (HIGH, (40, 42), (43, 45)),
        (HIGH, (30, 45), (52, 54)),
        (rung(100, close_at=MARKET.close_at + SECOND), (40, 42), (52, 54)),
        (rung(100, settlement_average_s=1), (40, 42), (52, 54)),
        (rung(100, underlying="coinbase:ETH-USD"), (40, 42), (52, 54)),
        (rung(100, payoff=Payoff.TOUCH), (40, 42), (52, 54)),
        (rung(100, status=MarketStatus.PAUSED), (40, 42), (52, 54)),
    ],
    ids="in_order touching gap_within_fees wide another_end another_average another_coin touch paused".split(),
)
def test_it_leaves_alone_what_is_no_contradiction(
    second: Market, low: tuple[int, int], high: tuple[int, int]
):
    world = world_of(LOW, second)
    assert priced(world, LOW, *low) == []
    assert priced(world, second, *high) == []


def test_a_market_that_pays_below_is_the_same_ladder_upside_down():
    below = rung(100, payoff=Payoff.BELOW, cap=100_000 * ONE)
    world = world_of(LOW, below)
    priced(world, LOW, 40, 42)
    # Below 100,000 at 46 to 48: not below is at 52 to 54.
    made = {p.instrument: p.fair_value for p in priced(world, below, 46, 48)}
    assert made == {"kalshi:K90:yes": 47 * CENT, "kalshi:K100:yes": 53 * CENT}


def test_markets_leave_their_ladder_when_they_settle_or_move():
    world = world_of(LOW, HIGH)
    priced(world, LOW, 40, 42)
    world.put(HIGH.replace(close_at=HIGH.close_at + SECOND))
    assert priced(world, HIGH, 52, 54) == []
    world.put(HIGH.replace(status=MarketStatus.SETTLED, result="no"))
    world.put(LOW.replace(status=MarketStatus.SETTLED, result="no"))
    strategy = world.machine.snapshot()
    assert b"kalshi:K" not in strategy


PRICES = st.lists(st.integers(2, 97), min_size=2, max_size=4)


def ladder(bids: list[int]) -> list[Proposal]:
    """What is proposed on markets of rising strikes at these bids, once all of them have a price."""
    markets = [rung(90 + index) for index in range(len(bids))]
    world = SignalWorld(Implication, twin=False)
    for market in markets:
        world.put(market)
    for market, bid in zip(markets, bids, strict=True):
        priced(world, market, bid, bid + 2)
    world.configure("implication", sections(strategies=["implication"])["signal.implication"])
    return world.quote(markets[0].outcomes[0].instrument, bids[0], bids[0] + 2)


@settings(max_examples=20)
@given(PRICES)
def test_a_ladder_in_order_is_never_traded_and_two_sides_cost_less_than_they_pay(bids: list[int]):
    assert ladder(sorted(bids, reverse=True)) == []
    made = ladder(bids)
    for above in (p for p in made if p.instrument.endswith(":yes")):
        for below in (p for p in made if p.instrument.endswith(":no")):
            if above.market < below.market and above.fair_value + below.fair_value == ONE:
                fees = sum(fee_estimate(MARKET.fees, p.price, ONE) for p in (above, below))
                assert above.price + below.price + fees < ONE


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), max_size=8))
def test_what_is_put_in_order_keeps_its_mean_and_moves_nothing_that_is(rows: list[tuple[float, float]]):
    values, weights = [value for value, _ in rows], [weight for _, weight in rows]
    found = never_rising(values, weights)
    assert all(after <= before + 1e-12 for before, after in pairwise(found))
    mass = sum(v * w for v, w in rows)
    assert sum(v * w for v, w in zip(found, weights, strict=True)) == pytest.approx(mass, abs=1e-9)
    assert never_rising(found, weights) == pytest.approx(found)
    falling = sorted(values, reverse=True)
    assert never_rising(falling, weights) == falling
