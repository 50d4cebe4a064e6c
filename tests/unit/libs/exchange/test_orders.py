"""The life of an order at the matching core: arrival, rules, expiry, a market that closes."""

import msgspec
import pytest

from libs.exchange.orders import EndReason, ExchangeOrder
from libs.exchange.rules import leg_of, on_grid
from proto.feed import FeeSchedule, MarketStatus, PriceStep
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, SECOND
from tests.support.exchange_world import (
    CENT,
    CLOSE,
    LATENCY,
    MARKET,
    NO,
    START,
    YES,
    Venue,
    ends,
    got,
    listing,
)


def test_orders_and_cancels_take_their_time():
    venue = Venue(latency=LATENCY)
    venue.book({44: 9}, {45: 5})
    assert venue.send("a", 45, 2, tif=TimeInForce.IOC) == []
    assert venue.wait(99) == []
    # The book of the moment of arrival counts, not the one whose event let it arrive.
    venue.now += MILLISECOND
    assert got(venue.book({44: 9}, {47: 5})) == [("a", 45, 2, False)]
    venue.send("b", 44, 2)
    venue.wait(100)
    assert list(venue.exchange.cancel("b", "why", venue.now)) == []
    assert ends(venue.wait(100)) == [("b", EndReason.CANCELED, "why")]
    assert venue.exchange.cancel("b", "again", venue.now) == ()


def test_a_dated_order_expires_and_a_market_that_closes_cancels():
    venue = Venue()
    venue.book({44: 9}, {46: 5})
    venue.send("a", 44, 2, tif=TimeInForce.GTD, expires_ms=5_000)
    venue.send("b", 44, 2)
    assert ends(venue.wait(4_999)) == []
    assert ends(venue.wait(1)) == [("a", EndReason.EXPIRED, "expired")]
    venue.now = CLOSE
    assert ends(venue.wait(0)) == [("b", EndReason.CANCELED, "market_closed")]


def test_a_market_that_closes_earlier_than_announced_takes_its_orders_along():
    venue = Venue()
    venue.send("a", 44, 2)
    venue.exchange.market(listing(close_at=START + 5 * SECOND), venue.now)
    assert ends(venue.wait(4_999)) == []
    assert ends(venue.wait(1)) == [("a", EndReason.CANCELED, "market_closed")]


def test_a_market_without_a_close_takes_orders_past_its_expected_end():
    venue = Venue()
    facts = listing(close_at=0)
    venue.exchange.market(facts.replace(expected_end_at=START + SECOND), venue.now)
    venue.send("a", 44, 2)
    assert ends(venue.wait(60_000)) == []
    assert ends(venue.send("b", 44, 2)) == []


def test_a_market_said_to_be_closed_cancels_at_once():
    venue = Venue()
    venue.send("a", 44, 2)
    reports = list(venue.exchange.market(listing(MarketStatus.CLOSED), venue.now))
    assert ends(reports) == [("a", EndReason.CANCELED, "market_closed")]
    assert ends(venue.send("b", 44, 2)) == [("b", EndReason.REJECTED, "market_not_open")]


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("unknown_market", {"market": "kalshi:X"}),
        ("unknown_instrument", {"instrument": "kalshi:T:maybe"}),
        ("expired", {"expires_at": START}),
        ("price_off_grid", {"price": 445_000}),
        ("price_off_grid", {"price": 0}),
        ("price_off_grid", {"price": ONE}),
        ("quantity_off_grid", {"quantity": 5_000}),
        ("quantity_off_grid", {"quantity": 0}),
    ],
)
def test_what_breaks_the_rules_is_rejected(why, changes):
    order = ExchangeOrder("a", MARKET, YES, True, 44 * CENT, ONE, TimeInForce.GTC, START + SECOND)
    exchange = Venue().exchange
    reports = list(exchange.submit(msgspec.structs.replace(order, **changes), START))
    assert ends(reports) == [("a", EndReason.REJECTED, why)]
    assert not exchange.orders


def test_a_fee_nobody_can_compute_is_not_traded_on():
    venue = Venue()
    venue.exchange.market(listing(fees=FeeSchedule(model="riddle", taker_rate=1, maker_rate=1)), venue.now)
    assert ends(venue.send("a", 44, 2)) == [("a", EndReason.REJECTED, "unknown_fees")]


def test_post_only_never_takes():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    assert ends(venue.send("a", 45, 2, post_only=True)) == [
        ("a", EndReason.REJECTED, "post_only_would_cross")
    ]
    assert ends(venue.send("b", 44, 2, post_only=True)) == []


def test_price_steps_hold_on_the_first_outcome_and_mirror_to_the_second():
    tapered = listing(price_steps=(PriceStep(0, 1_000), PriceStep(100_000, CENT), PriceStep(900_000, 1_000)))
    assert [on_grid(tapered, p) for p in (55_000, 99_500, 455_000, 450_000, 905_000)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert leg_of(tapered, NO) == (YES, True)
    assert leg_of(tapered, YES) == (YES, False)


def test_an_instrument_without_orders_costs_no_desk():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    venue.trade(44, 5)
    assert not venue.exchange.desks
    venue.send("a", 45, 5, tif=TimeInForce.IOC)
    venue.book({44: 9}, {46: 5})
    assert not venue.exchange.desks
