"""Near certainty: what is nearly decided, with a margin for the tails, with and without a model's word."""

from typing import Any

import pytest

from proto.advisor import AnswerStatus, Forecast, Influence
from proto.units import ONE, SECOND
from services.signal.near_certainty import NearCertainty
from tests.support.signal_world import MARKET, NO, START, YES, SignalWorld
from tools.system.composition import sections

SECTION = sections(strategies=["near_certainty"])["signal.near_certainty"]
LEFT_S = 600


def world_at(spot: int, market=None, *, step: int = 4, **changes: Any) -> SignalWorld:
    """Five minutes of a quiet underlying, about ``spot`` dollars; ten are left."""
    world = SignalWorld(NearCertainty, twin=False)
    world.configure("near_certainty", SECTION | changes)
    world.now = START
    world.put(market or MARKET.replace(close_at=START + (300 + LEFT_S) * SECOND))
    world.trades([(spot + second % 3 * step) * ONE for second in range(300)])
    world.twin = True
    for instrument in (YES, NO):
        world.snapshot_book(instrument, 50, 60)
    return world


def test_what_is_nearly_decided_and_below_its_worth_is_bought():
    world = world_at(80_400)
    (made,) = world.quote(YES, 93, 95)
    assert (made.instrument, made.price, made.reason) == (YES, 950_000, "nearly certain")
    assert made.fair_value == 990_000
    assert 15_000 <= made.edge < 40_000


def test_the_other_side_is_one_minus():
    (made,) = world_at(79_600).quote(NO, 92, 94)
    assert made.instrument == NO


@pytest.mark.parametrize(("bid", "ask"), [(98, 99), (60, 80)], ids=["too dear", "too good"])
def test_a_price_without_an_edge_or_with_too_much_of_one_is_left_alone(bid: int, ask: int):
    assert not world_at(80_400).quote(YES, bid, ask)


def test_a_price_that_has_not_moved_at_all_makes_nothing_certain():
    assert not world_at(80_400, step=0).quote(YES, 93, 95)


def test_near_the_strike_nothing_is_certain():
    assert not world_at(80_001).quote(YES, 88, 90)


def test_too_far_too_late_and_a_silent_underlying_are_left_alone():
    far = world_at(80_400, MARKET.replace(close_at=START + 7_200 * SECOND))
    assert not far.quote(YES, 93, 95)
    world = world_at(80_400)
    world.now += 11 * SECOND
    assert not world.quote(YES, 93, 95)
    late = world_at(80_400, MARKET.replace(close_at=START + 360 * SECOND))
    assert not late.quote(YES, 93, 95)


def test_a_model_s_word_can_be_required():
    world = world_at(80_400, forecasts="require")
    assert not world.quote(YES, 93, 95)
    said = Forecast(
        market="kalshi:M",
        instrument=YES,
        family="btc",
        roster="r",
        status=AnswerStatus.FORECAST,
        influence=Influence.EARNED,
        at=world.now,
        expires_at=world.now + 5 * SECOND,
        forecast=850_000,
    )
    world.put(said)
    assert not world.quote(YES, 92, 95)
    world.put(said.replace(forecast=960_000))
    (made,) = world.quote(YES, 93, 95)
    assert {row.name: row.value for row in made.evidence}["forecast"] == 960_000
    world.now += 6 * SECOND
    world.trade(80_400 * ONE)
    assert not world.quote(YES, 92, 94)
