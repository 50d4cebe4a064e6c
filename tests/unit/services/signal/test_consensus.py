"""Consensus: votes of several strategies become one proposal, weighed by what each one's word was worth."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.exchange.fees import fee_estimate
from libs.forecasting.specialists import MASS_MIN, Specialists
from libs.indicators.tops import Top
from proto.feed import MarketStatus, Side
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.consensus import Consensus
from services.signal.strategy import NO_PROPOSALS, NoState, Strategy, StrategyParams
from tests.support.signal_world import CENT, MARKET, NO, YES, SignalWorld
from tools.system.composition import sections


def voter(called: str, instrument: str, cents: int) -> type[Strategy[Any, Any]]:
    """A strategy that holds an outcome to be worth ``cents`` and says so at each quote of it."""

    class Voter(Strategy[StrategyParams, NoState]):
        name: ClassVar[str] = called

        def on_quote(self, quoted: str, top: Top) -> Sequence[Proposal]:
            if quoted != instrument or top.ask is None:
                return NO_PROPOSALS
            edge = cents * CENT - top.ask
            return (
                Proposal(
                    strategy=called,
                    market=MARKET.market,
                    instrument=instrument,
                    side=Side.BUY,
                    price=top.ask,
                    fair_value=cents * CENT,
                    edge=edge,
                    strength=ONE,
                    expires_at=self.now + 5 * SECOND,
                ),
            )

    return Voter


ALPHA, BETA, GAMMA = (voter(name, YES, cents) for name, cents in (("alpha", 80), ("beta", 76), ("gamma", 72)))
AGAINST = voter("against", NO, 80)


def world_of(*voters: type[Strategy[Any, Any]], **changes: Any) -> SignalWorld:
    world = SignalWorld(*voters, Consensus)
    for each in voters:
        world.configure(each.name, StrategyParams(change_interval_s=0).document())
    world.configure("consensus", sections(strategies=["consensus"])["signal.consensus"] | changes)
    world.put(MARKET)
    for instrument in (YES, NO):
        world.snapshot_book(instrument, 49, 50)
    return world


def step(world: SignalWorld, instrument: str = YES, bid: int = 48, ask: int = 50) -> list[Proposal]:
    world.now += SECOND
    return world.quote(instrument, bid, ask)


def test_one_proposal_comes_of_all_votes_that_stand():
    world = world_of(ALPHA, BETA, GAMMA)
    world.now += 60 * SECOND
    step(world)
    made = [proposal for _, proposal in world.out]
    assert {proposal.strategy for proposal in made} == {"consensus"}
    # A third each beside the price's one: the mean of 0.49, 0.80, 0.76 and 0.72 by 1, 1/3, 1/3, 1/3.
    last = made[-1]
    assert (last.reason, last.instrument, last.price) == ("3 agree", YES, 50 * CENT)
    assert last.fair_value == pytest.approx((0.49 + (0.80 + 0.76 + 0.72) / 3) / 2 * ONE, abs=2)
    assert last.strength == pytest.approx(ONE / 2, abs=2)
    assert last.edge == last.fair_value - last.price - fee_estimate(MARKET.fees, last.price, ONE)
    rows = {row.name: row.value for row in last.evidence}
    assert (rows["vote_alpha"], rows["vote_gamma"], rows["middle"]) == (80 * CENT, 72 * CENT, 49 * CENT)


def test_without_its_section_strategies_speak_for_themselves():
    world = SignalWorld(ALPHA, Consensus)
    world.configure("alpha", StrategyParams().document())
    world.put(MARKET)
    world.snapshot_book(YES, 49, 50)
    step(world)
    assert {proposal.strategy for _, proposal in world.out} == {"alpha"}


def test_votes_for_opposite_outcomes_cancel_until_one_is_old():
    world = world_of(ALPHA, AGAINST)
    world.now += 60 * SECOND
    world.out.clear()
    assert step(world, NO), "one vote is enough"
    assert step(world, YES) == []
    world.now += 40 * SECOND
    (made,) = step(world, YES)
    assert (made.instrument, made.reason) == (YES, "1 agree")


def test_those_that_are_not_members_go_on_by_themselves():
    world = world_of(ALPHA, BETA, members=["alpha"])
    step(world)
    assert {proposal.strategy for _, proposal in world.out} == {"consensus", "beta"}
    few = world_of(ALPHA, votes_min=2)
    step(few)
    assert few.out == []


@pytest.mark.parametrize(("won", "is_heard"), [("yes", True), ("no", False)])
def test_a_record_counts(won: str, is_heard: bool):
    """Who was right ten times moves the price nearly alone; who was wrong ten times moves it no more."""
    world = world_of(ALPHA)
    for _ in range(10):
        step(world)
        world.put(MARKET.replace(status=MarketStatus.SETTLED, result=won))
        world.put(MARKET)
        for instrument in (YES, NO):
            world.snapshot_book(instrument, 49, 50)
    world.now += 60 * SECOND
    world.out.clear()
    made = step(world)
    assert bool(made) is is_heard
    if made:
        assert made[0].strength > 900_000


def test_a_void_market_teaches_nothing():
    world = world_of(ALPHA)
    step(world)
    world.put(MARKET.replace(status=MarketStatus.SETTLED, result="void"))
    record = world.machine._strategies["consensus"].state.record
    assert (record.market, record.open) == (1.0, {})


# ── the weights ──

NAMES = ("a", "b", "c")
PRIOR = 1 / 3
PROBABILITIES = st.integers(30_000, 970_000)
ROUNDS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(NAMES), PROBABILITIES), PROBABILITIES, st.booleans()),
    max_size=30,
)


@given(ROUNDS)
def test_the_mixture_is_never_much_worse_than_anyone_where_he_spoke(rounds: list[Any]):
    record = Specialists()
    behind = dict.fromkeys((*NAMES, "market"), 0.0)
    for index, (words, price, happened) in enumerate(rounds):
        for name, forecast in words.items():
            record.speak(str(index), name, forecast, price, PRIOR)
        mixed = record.mix(words, price).probability
        assert min(*words.values(), price, price) - 1 <= mixed <= max(*words.values(), price, price) + 1
        for name, said in (*words.items(), ("market", price)):
            behind[name] += loss(mixed, happened) - loss(said, happened)
        asleep = {name: mass for name, mass in record.masses.items() if name not in words}
        awake = record.market + sum(record.masses[name] for name in words)
        record.settle(str(index), happened=happened)
        assert all(record.masses[name] == mass for name, mass in asleep.items())
        after = record.market + sum(record.masses[name] for name in words)
        assert after == pytest.approx(awake, abs=4 * MASS_MIN)
    for name, nats in behind.items():
        share = (1.0 if name == "market" else PRIOR) / (1.0 + PRIOR * len(NAMES))
        # The floor of a mass and the rounding of a probability to a millionth are what the theorem does not have.
        assert nats <= -math.log(share) + 0.01


def loss(said: int, happened: bool) -> float:
    return -math.log((said if happened else ONE - said) / ONE)
