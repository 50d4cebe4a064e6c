"""The venue's rows about orders and trades, its user channel, and what its errors mean."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.errors import BadAnswer
from libs.venues.frame import FrameError
from libs.venues.polymarket.schemas import answers as rest
from libs.venues.polymarket.schemas.errors import code_of, read_error
from libs.venues.polymarket.trading.auth import PolymarketCredentials, WalletApiKey
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.polymarket.trading.reports import fill_reports, is_working, order_report
from libs.venues.polymarket.trading.user_stream import UserEvents
from proto.feed import Side
from proto.units import ONE, SECOND
from proto.venue import AckStatus, TradeStatus
from tests.support.polymarket_orders import (
    AT,
    CONDITION,
    DOWN,
    MARKET,
    OWNER,
    TRADED,
    UP,
)


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
