"""Requests that place orders, the venue's rows about them, and what its errors mean."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.errors import BadAnswer, OutcomeUnknown, Refused
from libs.venues.frame import FrameError
from libs.venues.gateway import NewOrder
from libs.venues.polymarket import hosts
from libs.venues.polymarket.schemas import answers as rest
from libs.venues.polymarket.schemas.errors import code_of, read_error
from libs.venues.polymarket.schemas.requests import Sent, check_taken, taken_report
from libs.venues.polymarket.trading.auth import PolymarketCredentials, SigningAccount, WalletApiKey
from libs.venues.polymarket.trading.directory import TradedMarket
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.polymarket.trading.order import Order, SignatureType, exchange, order_hash
from libs.venues.polymarket.trading.reports import fill_reports, is_working, order_report
from libs.venues.polymarket.trading.request import GTD_LIFE_S_MIN, SECURITY_S, Token, prepare_order
from libs.venues.polymarket.trading.signing import address_bytes, recover
from libs.venues.polymarket.trading.user_stream import UserEvents
from proto.feed import FeeSchedule, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, notional
from proto.venue import AckStatus, TradeStatus

AT = 1_785_000_000 * SECOND
CONDITION = "0x" + "cd" * 32
UP, DOWN = "9" * 70, "8" * 70
OWNER = "00000000-0000-0000-0000-000000000001"
ACCOUNT = SigningAccount(bytes(range(1, 33)))
MARKET = f"polymarket:{CONDITION}"


def token(name: str, **fields: Any) -> Token:
    base: dict[str, Any] = {
        "instrument": f"{MARKET}:{name}",
        "market": MARKET,
        "condition": CONDITION,
        "token": UP if name == "up" else DOWN,
        "tick": 10_000,
        "size_min": 5 * ONE,
        "neg_risk": False,
    }
    return Token(**base | fields)


TRADED = TradedMarket(
    CONDITION, MARKET, (token("up"), token("down")), FeeSchedule(model="polymarket", taker_rate=70_000)
)


def new(**fields: Any) -> NewOrder:
    base: dict[str, Any] = {
        "order": "t1-4711-0",
        "market": MARKET,
        "instrument": f"{MARKET}:up",
        "side": Side.BUY,
        "price": 370_000,
        "quantity": 10 * ONE,
        "time_in_force": TimeInForce.GTC,
        "expires_at": AT + 5 * SECOND,
        "approved_at": AT,
    }
    return NewOrder(**base | fields)


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


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────


def read_order(body: dict[str, Any]) -> rest.OrderRow:
    return msgspec.json.decode(json.dumps(body), type=rest.OrderRow)


@pytest.mark.parametrize(
    ("status", "matched", "expected", "remaining"),
    [
        ("LIVE", "2.5", AckStatus.ACCEPTED, 7_500_000),
        ("ORDER_STATUS_LIVE", "0", AckStatus.ACCEPTED, 10 * ONE),
        ("DELAYED", "", AckStatus.ACCEPTED, 10 * ONE),
        ("MATCHED", "10", AckStatus.ACCEPTED, 0),
        ("MATCHED", "4", AckStatus.CANCELED, 0),
        ("CANCELED", "4", AckStatus.CANCELED, 0),
        ("CANCELED_MARKET_RESOLVED", "0", AckStatus.CANCELED, 0),
        ("CANCELED_EXPIRED_ORDER", "0", AckStatus.EXPIRED, 0),
        ("INVALID", "0", AckStatus.CANCELED, 0),
        (
            "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed.",
            "",
            "canceled",
            0,
        ),
    ],
)
def test_an_orders_status(status: str, matched: str, expected: AckStatus, remaining: int):
    row = read_order(
        {"id": "0x01", "status": status, "asset_id": UP, "original_size": "10", "size_matched": matched}
    )
    report = order_report(row, f"{MARKET}:up")
    assert (report.status, report.remaining, report.client_order_id) == (expected, remaining, "0x01")
    assert "_" not in report.reason or "market_resolved" in report.reason or "expired_order" in report.reason


def test_an_order_whose_status_nobody_has_seen_may_still_trade():
    row = read_order({"id": "0x01", "status": "SHUFFLED", "original_size": "1"})
    report = order_report(row, "x")
    assert (report.status, report.remaining, is_working(row)) == (AckStatus.UNKNOWN, ONE, True)


def trade_row(**fields: Any) -> rest.TradeRow:
    base = {
        "id": "trade-1",
        "taker_order_id": "0xaa",
        "market": CONDITION,
        "asset_id": UP,
        "side": "BUY",
        "size": "10",
        "price": "0.40",
        "status": "MATCHED",
        "match_time": "1785000001",
        "owner": "somebody",
        "trader_side": "MAKER",
        "maker_orders": [],
    }
    return msgspec.json.decode(json.dumps(base | fields), type=rest.TradeRow)


def maker(order: str, owner: str, asset: str, side: str, price: str, amount: str) -> dict[str, Any]:
    fields = {"order_id": order, "owner": owner, "asset_id": asset, "side": side, "price": price}
    return fields | {"matched_amount": amount, "maker_address": "0x77"}


def ours(owner: str, address: str) -> bool:
    return owner == OWNER


def test_pain_point_07_a_makers_fill_is_its_own_element_with_its_own_outcome_and_side():
    """A stranger buys Up at 0.40; we bought Down at 0.60: a mint."""
    row = trade_row(maker_orders=[maker("0xbb", OWNER, DOWN, "BUY", "0.60", "7")])
    (fill,) = fill_reports(row, TRADED, ours)
    assert (fill.instrument, fill.side, fill.price) == (f"{MARKET}:down", Side.BUY, 600_000)
    assert (fill.quantity, fill.maker, fill.fee, fill.client_order_id) == (7 * ONE, True, 0, "0xbb")
    # Met on its own outcome the maker sells what the taker buys, and at its own price.
    row = trade_row(maker_orders=[maker("0xbb", OWNER, UP, "SELL", "0.39", "7")])
    (fill,) = fill_reports(row, TRADED, ours)
    assert (fill.instrument, fill.side, fill.price) == (f"{MARKET}:up", Side.SELL, 390_000)


@pytest.mark.parametrize(("asset", "side"), [(UP, Side.SELL), (DOWN, Side.BUY)])
def test_a_makers_side_follows_from_the_takers_where_it_is_not_told(asset: str, side: Side):
    row = trade_row(maker_orders=[maker("0xbb", OWNER, asset, "", "0.5", "7")])
    (fill,) = fill_reports(row, TRADED, ours)
    assert fill.side is side


def test_several_orders_of_ours_in_one_trade_are_several_fills():
    makers = [
        maker("0xbb", OWNER, UP, "SELL", "0.40", "3"),
        maker("0xcc", "stranger", UP, "SELL", "0.40", "3"),
        maker("0xdd", OWNER, DOWN, "BUY", "0.60", "4"),
    ]
    fills = fill_reports(trade_row(maker_orders=makers), TRADED, ours)
    assert [(fill.client_order_id, fill.side, fill.price, fill.quantity) for fill in fills] == [
        ("0xbb", Side.SELL, 400_000, 3 * ONE),
        ("0xdd", Side.BUY, 600_000, 4 * ONE),
    ]


def test_a_taker_pays_the_mean_of_what_it_met_and_the_markets_fee():
    makers = [
        maker("0x1", "a", UP, "SELL", "0.40", "6"),
        maker("0x2", "b", DOWN, "BUY", "0.50", "4"),
    ]
    row = trade_row(trader_side="TAKER", owner=OWNER, price="0.50", maker_orders=makers)
    (fill,) = fill_reports(row, TRADED, ours)
    assert (fill.price, fill.quantity, fill.maker) == (440_000, 10 * ONE, False)
    # 0.07 * 10 * 0.44 * 0.56; the trade's own fee_rate_bps says 0 and means nothing.
    assert fill.fee == 172_480
    assert fill.at == 1_785_000_001 * SECOND
    partly = trade_row(trader_side="TAKER", owner=OWNER, price="0.50", maker_orders=makers[:1])
    assert fill_reports(partly, TRADED, ours)[0].price == 500_000


@pytest.mark.parametrize(
    ("match_time", "told"),
    [("1785000001", 1), ("1784999998", 0), ("", 1), ("noise", 1)],
)
def test_a_fill_whose_time_cannot_be_read_is_not_left_out(
    monkeypatch: pytest.MonkeyPatch, match_time: str, told: int
):
    """The list is complete or an error: a trade that nobody can date may be new."""

    async def trades(after_s: int) -> list[rest.TradeRow]:
        assert after_s == AT // SECOND - 1
        return [trade_row(trader_side="TAKER", owner=OWNER, match_time=match_time)]

    gateway = PolymarketGateway(PolymarketCredentials(private_key=bytes(range(1, 33))))
    gateway.client.api_key = WalletApiKey(api_key=OWNER, secret="c2Vj", passphrase="x")
    gateway.directory._keep(TRADED)
    monkeypatch.setattr(gateway.client, "trades", trades)
    assert len(asyncio.run(gateway.fills(AT))) == told


def test_a_trade_of_strangers_is_nobodys_fill():
    assert fill_reports(trade_row(trader_side="", owner="x", maker_address="0x5"), TRADED, ours) == []


@pytest.mark.parametrize("status", ["MATCHED", "TRADE_STATUS_MINED", "CONFIRMED", "RETRYING", "FAILED"])
def test_pain_point_02_a_trades_status_is_kept(status: str):
    row = trade_row(status=status, trader_side="TAKER", owner=OWNER)
    assert fill_reports(row, TRADED, ours)[0].status is TradeStatus(
        status.rsplit("_", maxsplit=1)[-1].lower()
    )


@pytest.mark.parametrize("prefix", ["", "TRADE_STATUS_"])
@pytest.mark.parametrize("status", ["MATCHED_NOT_BROADCASTED", "GONE"])
def test_a_trade_whose_status_is_new_is_matched_and_not_final(prefix: str, status: str):
    row = trade_row(status=prefix + status, trader_side="TAKER", owner=OWNER, maker_address=None)
    assert fill_reports(row, TRADED, ours)[0].status is TradeStatus.MATCHED


@pytest.mark.parametrize("fields", [{"price": "0"}, {"asset_id": "5"}, {"side": "HOLD"}])
def test_a_trade_that_cannot_be_read_is_not_guessed(fields: dict[str, Any]):
    with pytest.raises(BadAnswer):
        fill_reports(trade_row(trader_side="TAKER", owner=OWNER, **fields), TRADED, ours)


@given(text=st.text(max_size=30))
def test_an_amount_is_a_number_or_refused(text: str):
    try:
        value = rest.amount(text, "size")
    except BadAnswer:
        return
    assert isinstance(value, int)


@pytest.mark.parametrize(
    ("text", "value"),
    [("150.5", 150_500_000), ("1e-06", 1), ("5.543859649", 5_543_859), ("", 0), ("null", 0)],
)
def test_amounts_are_read_from_their_digits(text: str, value: int):
    assert rest.amount(text, "size") == value


# ── errors and the user channel ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not enough balance / allowance: the balance is not enough -> balance: 0", "not_enough_balance"),
        ("order 0x12 is invalid. Price (0.505) breaks minimum tick size rule: 0.01", "tick_size"),
        ("order 0x12 is invalid. Size (1) lower than the minimum: 5", "quantity_too_small"),
        ("order 0x12 is invalid. Duplicated.", "duplicated"),
        ("invalid post-only order: order crosses book", "post_only_crosses"),
        ("order_version_mismatch", "order_version_mismatch"),
        ("invalid order version, please use the latest clob-client", "order_version_mismatch"),
        ("order couldn't be fully filled. FOK orders are fully filled or killed.", "fok_not_filled"),
        ("'0xab' address in closed only mode", "closed_only"),
        ("Unauthorized/Invalid api key", "unauthorized"),
        ("something entirely new", ""),
    ],
)
def test_errors_have_a_word(text: str, code: str):
    assert code_of(text) == code
    assert read_error(400, json.dumps({"error": text}).encode()) == (code, text)


@given(body=st.binary(max_size=60))
def test_reading_an_error_raises_nothing(body: bytes):
    read_error(500, body)


def frame(kind: str, **fields: Any) -> bytes:
    return json.dumps({"event_type": kind} | fields).encode()


TRADE = {
    "id": "t",
    "status": "MATCHED",
    "market": CONDITION,
    "asset_id": UP,
    "side": "BUY",
    "size": "1",
    "price": "0.5",
}


def test_pain_point_15_the_same_step_over_and_over_is_told_once():
    reader = UserEvents()
    steps = ["MATCHED", "MATCHED", "MINED", "MATCHED", "CONFIRMED"]
    told = [reader.read(frame("trade", **TRADE | {"status": status})) for status in steps]
    assert [len(rows) for rows in told] == [1, 0, 1, 0, 1]
    assert reader.repeated == 2
    order = {"id": "0x1", "status": "LIVE", "type": "UPDATE", "original_size": "5"}
    assert len(reader.read(frame("order", **order, size_matched="1"))) == 1
    assert len(reader.read(frame("order", **order, size_matched="2"))) == 1
    assert reader.read(b"PONG") == []
    assert reader.read(b'[{"event_type":"news"}]') == []
    reader.forget()
    assert len(reader.read(frame("trade", **TRADE))) == 1


@given(data=st.data())
def test_garbage_on_the_user_channel_is_a_frame_error_and_leaves_no_trace(data: st.DataObject):
    good = bytearray(b"[" + frame("trade", **TRADE) + b"," + frame("order", id="0x1", status="LIVE") + b"]")
    where = data.draw(st.integers(0, len(good) - 1))
    good[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    reader = UserEvents()
    try:
        reader.read(bytes(good))
    except FrameError:
        assert len(reader.read(frame("trade", **TRADE))) == 1
