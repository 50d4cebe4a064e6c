"""Requests that place orders, and what the venue answers them."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.errors import OutcomeUnknown, Refused
from libs.venues.gateway import NewOrder
from libs.venues.polymarket import hosts
from libs.venues.polymarket.schemas import answers as rest
from libs.venues.polymarket.schemas.requests import Sent, check_taken, taken_report
from libs.venues.polymarket.trading.auth import SigningAccount
from libs.venues.polymarket.trading.order import Order, SignatureType, exchange, order_hash
from libs.venues.polymarket.trading.request import GTD_LIFE_S_MIN, SECURITY_S, prepare_order
from libs.venues.polymarket.trading.signing import address_bytes, recover
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, notional
from proto.venue import AckStatus
from tests.support.polymarket_orders import ACCOUNT, AT, MARKET, OWNER, UP, new, token


def placed(order: NewOrder, account: SigningAccount = ACCOUNT, **fields: Any) -> dict[str, Any]:
    return json.loads(prepare_order(order, token("up", **fields), account, OWNER).body)


def test_the_request_is_the_documented_one_and_its_id_is_the_hash_of_what_is_signed():
    prepared = prepare_order(new(), token("up"), ACCOUNT, OWNER)
    body = json.loads(prepared.body)
    order = body["order"]
    assert body | {"order": None} == {"deferExec": False, "order": None, "orderType": "GTC", "owner": OWNER}
    assert (order["makerAmount"], order["takerAmount"], order["side"]) == ("3700000", "10000000", "BUY")
    assert (order["expiration"], order["timestamp"], order["tokenId"]) == ("0", "1785000000000", UP)
    signed = Order(
        salt=order["salt"],
        maker=address_bytes(order["maker"]),
        signer=address_bytes(order["signer"]),
        token_id=int(order["tokenId"]),
        maker_amount=3_700_000,
        taker_amount=10_000_000,
        side=0,
        signature_type=0,
        timestamp=1_785_000_000_000,
    )
    digest = order_hash(signed, exchange("2", hosts.EXCHANGE_V2))
    assert prepared.client_order_id == "0x" + digest.hex()
    assert recover(digest, bytes.fromhex(order["signature"][2:])) == ACCOUNT.key.address
    assert b" " not in prepared.body


@given(order=st.text(min_size=1, max_size=40), side=st.sampled_from(Side), price=st.integers(1, 99))
def test_an_order_prepared_twice_is_the_same_to_the_byte(order: str, side: Side, price: int):
    one = new(order=order, side=side, price=price * 10_000)
    prepared = prepare_order(one, token("up"), ACCOUNT, OWNER)
    again = prepare_order(one, token("up"), SigningAccount(bytes(range(1, 33))), OWNER)
    other = prepare_order(
        new(order=order + "x", side=side, price=price * 10_000), token("up"), ACCOUNT, OWNER
    )
    assert prepared == again
    assert prepared.client_order_id != other.client_order_id
    assert json.loads(prepared.body)["order"]["salt"] < 2**53


def test_pain_point_06_the_exchange_that_is_signed_for_follows_the_market():
    plain, neg_risk = (
        prepare_order(new(), token("up", neg_risk=flag), ACCOUNT, OWNER) for flag in (False, True)
    )
    assert plain.client_order_id != neg_risk.client_order_id
    with pytest.raises(TypeError):
        prepare_order(new(), token("up", neg_risk=None), ACCOUNT, OWNER)


def test_a_deposit_wallet_signs_as_itself():
    wallet = SigningAccount(bytes(range(1, 33)), SignatureType.POLY_1271, hosts.EXCHANGE_V3)
    order = placed(new(), wallet)["order"]
    assert order["maker"] == order["signer"] == hosts.EXCHANGE_V3
    assert order["signatureType"] == 3
    assert len(order["signature"]) > 132


@pytest.mark.parametrize(
    ("time_in_force", "side", "maker", "taker", "word"),
    [
        (TimeInForce.IOC, Side.BUY, "3700000", "10000000", "FAK"),
        (TimeInForce.FOK, Side.SELL, "10010000", "3703700", "FOK"),
        (TimeInForce.GTC, Side.SELL, "10010000", "3703700", "GTC"),
        (TimeInForce.GTC, Side.BUY, "3703700", "10010000", "GTC"),
    ],
)
def test_amounts_by_lifetime(time_in_force: TimeInForce, side: Side, maker: str, taker: str, word: str):
    body = placed(new(time_in_force=time_in_force, side=side, quantity=10_010_000))
    assert (body["order"]["makerAmount"], body["order"]["takerAmount"], body["orderType"]) == (
        maker,
        taker,
        word,
    )


@given(
    tick=st.sampled_from([100_000, 10_000, 5_000, 2_500, 1_000, 100]),
    steps=st.integers(1, 9),
    quantity=st.integers(5 * ONE, 1_000 * ONE),
    side=st.sampled_from(Side),
    time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
)
def test_nothing_is_offered_beyond_what_was_approved(
    tick: int, steps: int, quantity: int, side: Side, time_in_force: TimeInForce
):
    price = tick * steps
    one = new(price=price, quantity=quantity, side=side, time_in_force=time_in_force)
    if price * quantity < 20_000 * ONE:
        return  # less than a cent of money, or of a share
    if side is Side.BUY and time_in_force is not TimeInForce.GTC and notional(price, quantity) < ONE + 20_000:
        return  # at or below the venue's least purchase, once it is rounded
    order = placed(one, tick=tick)["order"]
    maker, taker = int(order["makerAmount"]), int(order["takerAmount"])
    money, shares = (maker, taker) if side is Side.BUY else (taker, maker)
    assert money <= notional(price, quantity)
    assert shares <= quantity
    if time_in_force is not TimeInForce.GTC:
        assert taker % 100 == 0
        assert maker % 10_000 == 0


def test_a_gtd_order_ends_when_its_approval_does():
    life = GTD_LIFE_S_MIN * SECOND
    body = placed(new(time_in_force=TimeInForce.GTD, expires_at=AT + life, post_only=True))
    assert body["order"]["expiration"] == str(AT // SECOND + GTD_LIFE_S_MIN + SECURITY_S)
    assert (body["orderType"], body["postOnly"]) == ("GTD", True)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"time_in_force": TimeInForce.GTD, "expires_at": AT + (GTD_LIFE_S_MIN - 1) * SECOND}, "lifetime"),
        ({"time_in_force": TimeInForce.IOC, "post_only": True}, "post_only"),
        ({"time_in_force": TimeInForce.FOK, "post_only": True}, "post_only"),
        ({"price": 375_000}, "price_off_grid"),
        ({"quantity": 4_990_000}, "quantity_too_small"),
        ({"quantity": 9_999, "time_in_force": TimeInForce.IOC}, "quantity_too_small"),
    ],
)
def test_what_the_venue_cannot_express_is_refused_before_it_is_claimed(fields: dict[str, Any], code: str):
    with pytest.raises(Refused) as raised:
        prepare_order(new(**fields), token("up"), ACCOUNT, OWNER)
    assert raised.value.code == code


TAKEN = {"success": True, "errorMsg": "", "orderID": "0xAB", "status": "live"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (TAKEN, None),
        (TAKEN | {"status": "matched"}, None),
        (TAKEN | {"orderID": "", "status": "", "errorMsg": "not enough balance / allowance"}, Refused),
        ({"success": False}, Refused),
        ({"success": False, "errorMsg": "slow", "orderID": ""}, Refused),
        ({"errorMsg": "slow"}, Refused),
        ({}, OutcomeUnknown),
        ({"status": "ok"}, OutcomeUnknown),
        ({"success": None, "status": "live"}, OutcomeUnknown),
        (TAKEN | {"success": None}, OutcomeUnknown),
        (TAKEN | {"success": False}, OutcomeUnknown),
        (TAKEN | {"errorMsg": "slow"}, OutcomeUnknown),
        (TAKEN | {"orderID": "0xcd"}, OutcomeUnknown),
        (TAKEN | {"orderID": "0xcd", "errorMsg": "slow"}, OutcomeUnknown),
        (TAKEN | {"orderID": ""}, OutcomeUnknown),
        (TAKEN | {"status": "unmatched"}, OutcomeUnknown),
    ],
)
def test_only_a_no_in_so_many_words_is_a_refusal(body: dict[str, Any], error: type[Exception] | None):
    answer = msgspec.json.decode(json.dumps(body), type=rest.OrderAnswer)
    if error is None:
        check_taken(answer, "0xab")
        return
    with pytest.raises(error):
        check_taken(answer, "0xab")


@pytest.mark.parametrize(
    ("fields", "order_type", "status", "filled", "remaining"),
    [
        ({"status": "live"}, "GTC", AckStatus.ACCEPTED, 0, 10 * ONE),
        ({"status": "delayed"}, "FAK", AckStatus.ACCEPTED, 0, 10 * ONE),
        ({"status": "matched", "takingAmount": "4"}, "GTC", AckStatus.ACCEPTED, 4 * ONE, 6 * ONE),
        ({"status": "matched", "takingAmount": "10"}, "FAK", AckStatus.ACCEPTED, 10 * ONE, 0),
        ({"status": "matched", "takingAmount": "4"}, "FAK", AckStatus.CANCELED, 4 * ONE, 0),
        # The venue's own examples are in millionths.
        ({"status": "matched", "takingAmount": "10000000"}, "FOK", AckStatus.ACCEPTED, 10 * ONE, 0),
        # It traded, and nobody says how much: that is asked for, and nothing is over.
        ({"status": "matched", "takingAmount": ""}, "FAK", AckStatus.ACCEPTED, 0, 0),
        ({"status": "matched", "takingAmount": "many"}, "FOK", AckStatus.ACCEPTED, 0, 0),
        ({"status": "matched", "takingAmount": "-4"}, "FAK", AckStatus.ACCEPTED, 0, 0),
        ({"status": "matched"}, "FAK", AckStatus.ACCEPTED, 0, 0),
    ],
)
def test_what_a_taken_order_came_to(
    fields: dict[str, Any], order_type: str, status: AckStatus, filled: int, remaining: int
):
    answer = msgspec.json.decode(json.dumps(TAKEN | fields), type=rest.OrderAnswer)
    report = taken_report(answer, Sent(UP, True, order_type, 10 * ONE), "0xab", f"{MARKET}:up")
    assert (report.status, report.filled, report.remaining) == (status, filled, remaining)
    assert (report.client_order_id, report.venue_order_id, report.at) == ("0xab", "0xab", 0)
