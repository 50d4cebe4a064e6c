"""Model edge: it trades on what forecasts were worth here, whatever the advisor says that they are worth."""

import random
from typing import Any

from proto.advisor import AnswerStatus, Forecast, Influence
from proto.feed import MarketStatus, Outcome
from proto.units import ONE, SECOND
from services.signal.model_edge import ModelEdge
from tests.support.signal_world import MARKET, NO, YES, SignalWorld
from tools.system.composition import sections

SECTION = sections(strategies=["model_edge"])["signal.model_edge"]


def world_with(**changes: Any) -> SignalWorld:
    world = SignalWorld(ModelEdge)
    world.configure("model_edge", SECTION | changes)
    world.put(MARKET)
    return world


def forecast(world: SignalWorld, pool: int, market: str = "kalshi:M", **fields: Any) -> Forecast:
    given: dict[str, Any] = {
        "market": market,
        "instrument": f"{market}:yes",
        "family": "btc-above-15m",
        "roster": "r1",
        "status": AnswerStatus.FORECAST,
        "influence": Influence.FULL,
        "at": world.now,
        "expires_at": world.now + 900 * SECOND,
        "forecast": pool,
        # What a forger would say: it is not read.
        "probability": pool,
        "price": 1,
        "weight": ONE,
        "outcomes": 10_000,
    }
    return Forecast(**given | fields)


def test_a_forecast_that_has_earned_nothing_moves_nothing_whoever_signs_it():
    world = world_with()
    world.snapshot_book(YES, 48, 50)
    world.snapshot_book(NO, 48, 50)
    assert not world.put(forecast(world, 950_000))
    assert not world.quote(YES, 47, 49)


def test_a_market_without_a_close_is_traded_up_to_its_expected_end():
    """Polymarket's event markets have an end date and no close."""
    for left_s, trades in ((600, True), (-600, False)):
        world = world_with(influence="full")
        world.put(MARKET.replace(close_at=0, expected_end_at=world.now + left_s * SECOND))
        world.snapshot_book(YES, 48, 50)
        world.snapshot_book(NO, 48, 50)
        assert bool(world.put(forecast(world, 600_000))) == trades


def test_full_influence_buys_either_side_with_the_edge_after_the_fee():
    world = world_with(influence="full")
    world.snapshot_book(YES, 48, 50)
    world.snapshot_book(NO, 48, 50)
    (yes,) = world.put(forecast(world, 600_000))
    assert (yes.instrument, yes.price, yes.fair_value) == (YES, 500_000, 600_000)
    assert 50_000 <= yes.edge < 100_000
    assert {row.name: row.value for row in yes.evidence}["forecast_seq"] == world.seq * ONE
    world.now += 60 * SECOND
    (no,) = world.put(forecast(world, 400_000))
    assert (no.instrument, no.fair_value) == (NO, 600_000)


def test_too_small_an_edge_too_old_a_forecast_or_another_state_is_left_alone():
    world = world_with(influence="full")
    world.snapshot_book(YES, 48, 50)
    world.snapshot_book(NO, 48, 50)
    assert not world.put(forecast(world, 555_000))
    assert not world.put(forecast(world, 900_000, status=AnswerStatus.SATURATED))
    assert world.put(forecast(world, 700_000))
    world.now += 901 * SECOND
    assert not world.quote(YES, 46, 48)


def window(world: SignalWorld, number: int, pool: int, *, happened: bool) -> list[Any]:
    """One market: listed, forecast, settled; the proposals on it."""
    name = f"kalshi:W{number}"
    outcomes = (Outcome("yes", f"{name}:yes"), Outcome("no", f"{name}:no"))
    listed = MARKET.replace(market=name, outcomes=outcomes, close_at=world.now + 900 * SECOND)
    world.put(listed)
    for outcome in outcomes:
        world.snapshot_book(outcome.instrument, 49, 50)
    made = world.put(forecast(world, pool, name))
    world.now += 900 * SECOND
    world.put(listed.replace(status=MarketStatus.SETTLED, result="yes" if happened else "no"))
    return made


def test_skill_is_counted_here_and_then_traded_on_and_lies_end_it():
    world = world_with(outcomes_min_count=30)
    world.twin = False
    chance = random.Random(4)
    proposals = []
    for number in range(60):
        happened = chance.random() < 0.5
        proposals.append(window(world, number, 800_000 if happened else 200_000, happened=happened))
    assert not any(proposals[:30])
    assert all(proposals[40:])
    (learner,) = world.machine._strategies["model_edge"].state.learners.values()
    for number in range(60, 200):
        happened = chance.random() < 0.5
        proposals.append(window(world, number, 200_000 if happened else 800_000, happened=happened))
    assert not any(proposals[-60:])
    assert learner.regret < 1.0
