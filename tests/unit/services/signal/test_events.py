"""Events: rules for news and jumps of forecasts, where the price has not followed; and what must move nothing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.exchange.fees import fee_estimate
from proto.feed import MarketStatus, News
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.events import Events
from tests.support.signal_world import CENT, MARKET, NO, YES, SignalWorld
from tests.unit.services.signal.test_model_edge import forecast, window
from tools.system.composition import sections

SECTION = sections(strategies=["events"])["signal.events"]
TITLE = "Will the FOMC cut in June?"
RULE = {"words": "Fed cuts rates", "market": "fomc cut", "outcome": "yes", "fair_value": 800_000}
FEEDS = {"rules": [RULE], "sources": ["agency", "wire", "paper"]}


def world_of(**changes: Any) -> SignalWorld:
    world = SignalWorld(Events)
    world.configure("events", SECTION | FEEDS | changes)
    world.put(MARKET.replace(title=TITLE))
    for instrument, bid in ((YES, 48), (NO, 50)):
        world.snapshot_book(instrument, bid, bid + 2)
    return world


def news(world: SignalWorld, source: str, title: str = "FED CUTS key rates by a quarter", **more: Any) -> Any:
    world.now += SECOND
    item = News(source=source, item=f"{source}-{title}", title=title, at=world.now)
    return world.put(item.replace(**more))


def test_what_two_feeds_report_is_bought_once():
    world = world_of()
    assert news(world, "agency") == []
    assert news(world, "agency", summary="again") == [], "the same feed and item"
    (made,) = news(world, "wire")
    assert (made.instrument, made.price, made.fair_value, made.reason) == (
        YES,
        50 * CENT,
        80 * CENT,
        "reported",
    )
    assert made.edge == made.fair_value - made.price - fee_estimate(MARKET.fees, made.price, ONE)
    rows = {row.name: row.value for row in made.evidence}
    assert (rows["sources"], rows["price_then"]) == (2 * ONE, 49 * CENT)
    world.now += 60 * SECOND
    assert news(world, "paper") == world.quote(YES, 47, 49) == [], "one story is one reason"


def test_a_price_that_comes_later_is_taken_and_one_that_has_moved_is_not():
    late = world_of(price_max=400_000)
    assert news(late, "agency") == news(late, "wire") == []
    late.now += 60 * SECOND
    assert [p.price for p in late.quote(YES, 37, 39)] == [39 * CENT]
    moved = world_of()
    news(moved, "agency")
    moved.quote(YES, 54, 56)
    assert news(moved, "wire") == []


@pytest.mark.parametrize(
    ("changes", "item"),
    [
        ({}, {"title": "Fed holds rates"}),
        ({}, {"title": "Fedora cuts crates"}),
        ({"sources": ["agency"]}, {}),
        ({"sources": []}, {}),
        ({"rules": []}, {}),
        ({"rules": [RULE | {"market": "ECB"}]}, {}),
        ({"rules": [RULE | {"outcome": "perhaps"}]}, {}),
        ({"rules": [RULE | {"fair_value": 540_000}]}, {}),
        ({"sources_min_count": 3}, {}),
    ],
    ids="other_words parts_of_words one_feed no_feed no_rule other_market no_outcome no_edge too_few".split(),
)
def test_these_move_nothing(changes: dict[str, Any], item: dict[str, Any]):
    world = world_of(**changes)
    for source in ("agency", "wire"):
        assert news(world, source, **item) == []
    assert world.quote(YES, 48, 50) == []


def test_a_story_that_is_old_begins_again_and_a_market_that_is_over_is_left_alone():
    world = world_of(news_age_max_s=60)
    news(world, "agency")
    world.now += 61 * SECOND
    assert news(world, "wire") == []
    assert news(world, "agency", "Rates: Fed cuts") != []
    over = world_of()
    news(over, "agency")
    over.put(MARKET.replace(title=TITLE, status=MarketStatus.CLOSED))
    assert news(over, "wire") == []


def earned(**changes: Any) -> SignalWorld:
    """A world in which forecasts have been right forty times."""
    world = world_of(outcomes_min_count=30, **changes)
    world.twin = False
    for number in range(40):
        happened = number % 3 == 0
        window(world, number, 800_000 if happened else 200_000, happened=happened)
    world.put(MARKET.replace(title=TITLE, close_at=world.now + 3_000 * SECOND))
    world.twin = True
    return world


@pytest.mark.parametrize(("after", "bought"), [(750_000, YES), (250_000, NO)])
def test_a_jump_of_forecasts_that_have_earned_it_is_followed(after: int, bought: str):
    world = earned()
    assert world.put(forecast(world, 500_000)) == [], "the first is no jump"
    world.now += 30 * SECOND
    (made,) = world.put(forecast(world, after))
    assert (made.instrument, made.reason) == (bought, "forecast jumped")
    rows = {row.name: row.value for row in made.evidence}
    assert rows["forecast_before"] == 500_000
    assert rows["forecast"] == 750_000
    assert 0 < rows["weight"] < ONE
    # The price of before is expected to move by the jump, as far as the weight goes.
    assert rows["price_then"] < made.fair_value < 750_000
    world.now += 121 * SECOND
    assert world.quote(bought, 40, 42) == []


def test_no_jump_without_a_record_and_none_that_the_price_has_followed():
    without = world_of()
    without.put(forecast(without, 500_000))
    assert without.put(forecast(without, 900_000)) == []
    small = earned()
    small.put(forecast(small, 500_000))
    assert small.put(forecast(small, 590_000)) == []
    followed = earned()
    followed.put(forecast(followed, 500_000))
    followed.quote(YES, 53, 55)
    assert followed.put(forecast(followed, 750_000)) == []
    old = earned(forecast_age_max_s=60)
    old.put(forecast(old, 500_000))
    old.now += 61 * SECOND
    assert old.put(forecast(old, 750_000)) == []


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(("agency", "wire", "rumour")), st.text(max_size=40)), max_size=8))
def test_no_words_of_news_choose_a_market_or_a_price(items: list[tuple[str, str]]):
    """Whatever is written: only the rule's outcome, at the rule's value, and only once."""
    world = world_of()
    made: list[Proposal] = []
    for source, title in items:
        made += news(world, source, f"{title} Fed cuts rates buy {NO} at 0.99")
    assert len(made) <= 1
    assert all((p.instrument, p.fair_value) == (YES, 80 * CENT) for p in made)
    assert bool(made) == ({"agency", "wire"} <= {source for source, _ in items})
