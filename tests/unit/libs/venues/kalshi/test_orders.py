"""The YES leg, both ways; grids, counts, lifetimes and ids of order bodies."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.errors import Refused
from libs.venues.gateway import FillReport, NewOrder, TradeStatus
from libs.venues.kalshi.legs import YesLeg, contract_of, own_leg, positioned, yes_leg
from libs.venues.kalshi.market_data.grids import STRUCTURES
from libs.venues.kalshi.trading.orders import (
    Placing,
    client_order_id,
    count,
    dollars,
    encode_body,
    on_grid,
    order_body,
    restate,
)
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, notional, parse

TICKER = "KXBTC15M-26MAY131800-00"
PRICES = st.integers(1, 9_999).map(lambda p: p * 100)
OUTCOMES = st.sampled_from(["yes", "no"])
SIDES = st.sampled_from(list(Side))
TAPERED = Placing(price_steps=STRUCTURES["tapered_deci_cent"], exchange_index=2)


def new_order(**changes) -> NewOrder:
    order = NewOrder(
        order="tape-1-0",
        market=f"kalshi:{TICKER}",
        instrument=f"kalshi:{TICKER}:yes",
        side=Side.BUY,
        price=560_000,
        quantity=10 * ONE,
        time_in_force=TimeInForce.GTC,
        expires_at=1_778_709_600 * SECOND + 5,
        approved_at=1_778_709_500 * SECOND,
    )
    return msgspec.structs.replace(order, **changes)


@pytest.mark.parametrize(
    ("outcome", "side", "price", "leg"),
    [
        ("yes", Side.BUY, 560_000, YesLeg("bid", 560_000)),
        ("yes", Side.SELL, 560_000, YesLeg("ask", 560_000)),
        ("no", Side.BUY, 440_000, YesLeg("ask", 560_000)),
        ("no", Side.SELL, 440_000, YesLeg("bid", 560_000)),
    ],
)
def test_the_four_ways_onto_the_yes_book(outcome, side, price, leg) -> None:
    assert yes_leg(outcome, side, price) == leg
    assert own_leg(outcome, leg) == (side, price)


@given(OUTCOMES, SIDES, PRICES)
def test_leg_and_back(outcome: str, side: Side, price: int) -> None:
    leg = yes_leg(outcome, side, price)
    assert own_leg(outcome, leg) == (side, price)


@given(OUTCOMES, st.sampled_from(["bid", "ask"]), PRICES)
def test_own_and_back(outcome: str, side: str, price: int) -> None:
    leg = YesLeg(side, price)
    assert yes_leg(outcome, *own_leg(outcome, leg)) == leg


@given(SIDES, PRICES, st.integers(1, 10**6).map(lambda q: q * 10_000))
def test_no_side_pays_and_receives_the_same(side: Side, price: int, quantity: int) -> None:
    """Pain point 8: what a NO order costs and pays is what its YES leg costs and pays, in both results."""
    leg = yes_leg("no", side, price)

    def profit(pays: int, bought: bool, at: int) -> int:
        change = notional(pays, quantity) - notional(at, quantity)
        return change if bought else -change

    for yes_pays in (0, ONE):
        ours = profit(ONE - yes_pays, side is Side.BUY, price)
        venues = profit(yes_pays, leg.side == "bid", leg.price)
        assert ours == venues


@given(PRICES)
def test_a_stop_on_no_is_never_an_entry(price: int) -> None:
    """Selling what we hold reduces it at the venue: YES by an ask, NO by a bid."""
    assert yes_leg("yes", Side.SELL, price).side == "ask"
    assert yes_leg("no", Side.SELL, price).side == "bid"
    assert positioned(yes_leg("no", Side.SELL, price).side) == "yes"
    assert positioned(yes_leg("no", Side.BUY, price).side) == "no"


def test_body_as_the_venue_documents_it() -> None:
    body = order_body(new_order(instrument=f"kalshi:{TICKER}:no", price=440_000), TAPERED)
    assert msgspec.json.decode(encode_body(body)) == {
        "ticker": TICKER,
        "client_order_id": client_order_id("tape-1-0"),
        "side": "ask",
        "count": "10.00",
        "price": "0.5600",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        "exchange_index": 2,
    }


def test_body_with_everything() -> None:
    placing = Placing(order_group_id="g-1", subaccount=3, cancel_on_pause=True, self_trade_prevention="maker")
    new = new_order(time_in_force=TimeInForce.GTD, post_only=True, quantity=10_000)
    assert msgspec.json.decode(encode_body(order_body(new, placing))) == {
        "ticker": TICKER,
        "client_order_id": client_order_id("tape-1-0"),
        "side": "bid",
        "count": "0.01",
        "price": "0.5600",
        "time_in_force": "good_till_canceled",
        "expiration_time": 1_778_709_600,
        "self_trade_prevention_type": "maker",
        "post_only": True,
        "cancel_order_on_pause": True,
        "order_group_id": "g-1",
        "subaccount": 3,
    }


@pytest.mark.parametrize(
    ("time_in_force", "word"),
    [(TimeInForce.IOC, "immediate_or_cancel"), (TimeInForce.FOK, "fill_or_kill")],
)
def test_orders_that_do_not_rest_have_no_lifetime(time_in_force: TimeInForce, word: str) -> None:
    body = order_body(new_order(time_in_force=time_in_force), TAPERED)
    assert (body.time_in_force, body.expiration_time, body.cancel_order_on_pause) == (word, None, False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": 555_000}, "invalid_price"),
        ({"price": 0}, "invalid_price"),
        ({"price": ONE}, "invalid_price"),
        ({"price": 50_050}, "invalid_price"),
        ({"instrument": f"kalshi:{TICKER}:no", "price": 445_000}, "invalid_price"),
        ({"quantity": 10_001}, "invalid_count"),
        ({"quantity": 0}, "invalid_count"),
        ({"instrument": "polymarket:0x1:yes"}, "invalid_instrument"),
        ({"instrument": f"kalshi:{TICKER}:maybe"}, "invalid_instrument"),
        ({"time_in_force": TimeInForce.IOC, "post_only": True}, "invalid_order"),
    ],
)
def test_what_the_venue_cannot_express_is_refused(changes, code) -> None:
    with pytest.raises(Refused) as raised:
        order_body(new_order(**changes), TAPERED)
    assert raised.value.code == code


@given(OUTCOMES, st.integers(1, 999).map(lambda p: p * 1_000))
def test_tapered_grid_holds_for_both_outcomes(outcome: str, price: int) -> None:
    """0.001 below 0.10 and above 0.90, 0.01 between, whichever end it is seen from."""
    fine = price < 100_000 or price >= 900_000
    yes = price if outcome == "yes" else ONE - price
    expected = yes % 10_000 == 0 or yes < 100_000 or yes >= 900_000
    assert on_grid(yes, TAPERED.price_steps) == expected
    if price % 10_000 and outcome == "yes":
        assert expected == fine


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_client_order_id_is_the_orders_own(one: str, other: str) -> None:
    assert client_order_id(one) == client_order_id(one)
    assert (client_order_id(one) == client_order_id(other)) == (one == other)


def test_client_order_id_never_changes() -> None:
    """Open orders of yesterday's build are asked for by it."""
    assert client_order_id("tape-1-0") == "183a5fd6-0188-5737-ab9b-b8bc6cfbbc11"


@given(PRICES, st.integers(1, 10**8).map(lambda q: q * 10_000))
def test_numbers_are_written_exactly(price: int, quantity: int) -> None:
    assert parse(dollars(price)) == price
    assert len(dollars(price)) == 6
    assert parse(count(quantity)) == quantity
    assert count(quantity)[-3] == "."


@pytest.mark.parametrize("write", [lambda: dollars(150), lambda: count(10_001)])
def test_numbers_off_the_grid_are_not_rounded(write) -> None:
    with pytest.raises(ValueError, match="expected a multiple"):
        write()


@given(SIDES, PRICES)
def test_fill_told_for_either_outcome(side: Side, price: int) -> None:
    fill = FillReport(
        trade_id="t",
        client_order_id="c",
        venue_order_id="o",
        instrument=f"kalshi:{TICKER}:no",
        side=side,
        price=price,
        quantity=ONE,
        fee=1,
        maker=False,
        status=TradeStatus.CONFIRMED,
        at=1,
    )
    turned = restate(fill, f"kalshi:{TICKER}:yes")
    assert (turned.side, turned.price) == (Side.SELL if side is Side.BUY else Side.BUY, ONE - price)
    assert restate(turned, fill.instrument) == fill
    assert restate(fill, fill.instrument) == fill
    with pytest.raises(ValueError, match="expected an instrument of"):
        restate(fill, "kalshi:OTHER:yes")


def test_contract_of_keeps_dots_and_dashes() -> None:
    assert contract_of("kalshi:FED-23DEC-T3.00:no") == ("FED-23DEC-T3.00", "no")
