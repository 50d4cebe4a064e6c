"""The venue's orders, fills, positions and payouts in our words, older and newer shapes of them."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.errors import BadAnswer, Refused
from libs.venues.frame import FrameError
from libs.venues.kalshi.limits import TIERS, batch_max, buckets
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.schemas.errors import is_duplicate, is_gone, read_error
from libs.venues.kalshi.trading import user_stream
from libs.venues.kalshi.trading.known import ORDERS_MAX, Known
from libs.venues.kalshi.trading.orders import dollars
from libs.venues.kalshi.trading.reports import (
    book_side,
    created_report,
    fill_report,
    order_report,
    position_of,
    settlement_reports,
    yes_payout,
)
from proto.feed import Side
from proto.units import ONE, SECOND, parse
from proto.venue import AckStatus

TICKER = "KXBTC15M-26MAY131800-00"
PRICES = st.integers(1, 9_999).map(lambda p: p * 100)


def fill(**changes) -> rest.Fill:
    body = {
        "trade_id": "t", "order_id": "o", "ticker": TICKER, "count_fp": "227.27", "yes_price_dollars": "0.0010",
        "is_taker": True, "book_side": "bid", "fee_cost": "0.015930", "created_time": "2026-08-18T09:00:00Z",
    }  # fmt: skip
    return msgspec.convert({**body, **changes}, rest.Fill)


def order(**changes) -> rest.Order:
    body = {
        "order_id": "o", "client_order_id": "c", "ticker": TICKER, "status": "resting", "book_side": "ask",
        "yes_price_dollars": "0.5600", "initial_count_fp": "10.00", "fill_count_fp": "4.00",
        "remaining_count_fp": "6.00",
    }  # fmt: skip
    return msgspec.convert({**body, **changes}, rest.Order)


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"book_side": "bid"}, "bid"),
        ({"book_side": "ask", "outcome_side": "yes"}, "ask"),
        ({"book_side": None, "outcome_side": "no"}, "ask"),
    ],
)
def test_side_of_the_book_in_all_the_ways_it_was_told(fields, side) -> None:
    assert book_side(fill(**fields)) == side


def test_side_that_nothing_tells_is_not_guessed() -> None:
    with pytest.raises(BadAnswer):
        book_side(fill(book_side=None))
    with pytest.raises(BadAnswer):
        book_side(fill(book_side="middle"))
    with pytest.raises(BadAnswer):
        book_side(fill(book_side=None, outcome_side="maybe"))


@given(st.sampled_from(["bid", "ask"]), PRICES, st.sampled_from(["yes", "no", ""]))
def test_fill_is_in_the_space_of_its_instrument(side: str, price: int, outcome: str) -> None:
    """Pain point 7: whoever waited, the fill is on the side and at the price of the order's own outcome."""
    instrument = f"kalshi:{TICKER}:{outcome}" if outcome else ""
    report = fill_report(fill(book_side=side, yes_price_dollars=dollars(price)), "c", instrument)
    long_yes = (report.side is Side.BUY) == report.instrument.endswith(":yes")
    assert long_yes == (side == "bid")
    assert report.price == (price if report.instrument.endswith(":yes") else ONE - price)
    if not outcome:
        assert report.side is Side.BUY


def test_fill_with_its_fee_to_the_fraction_of_a_cent() -> None:
    report = fill_report(fill(), "c", "")
    assert (report.quantity, report.fee, report.maker) == (227_270_000, 15_930, False)
    assert report.at == 1_787_043_600 * SECOND
    assert fill_report(fill(created_time=None, ts=1_787_043_600), "c", "") == report
    with pytest.raises(BadAnswer):
        fill_report(fill(fee_cost=None), "c", "")
    with pytest.raises(BadAnswer):
        fill_report(fill(fee_cost="much"), "c", "")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("resting", (AckStatus.ACCEPTED, 6 * ONE)),
        ("executed", (AckStatus.ACCEPTED, 6 * ONE)),
        ("canceled", (AckStatus.CANCELED, 0)),
    ],
)
def test_order_as_it_stands(status, expected) -> None:
    report = order_report(order(status=status), "")
    assert (report.status, report.remaining) == expected
    assert (report.filled, report.instrument) == (4 * ONE, f"kalshi:{TICKER}:no")
    assert order_report(order(), f"kalshi:{TICKER}:yes").instrument == f"kalshi:{TICKER}:yes"


def test_order_in_a_state_nobody_knows_may_still_trade() -> None:
    report = order_report(order(status="asleep"), "")
    assert (report.status, report.remaining) == (AckStatus.UNKNOWN, parse(order().remaining_count_fp))


@pytest.mark.parametrize(
    ("filled", "remaining", "rests", "expected"),
    [
        ("0.00", "10.00", True, (AckStatus.ACCEPTED, 10 * ONE)),
        ("10.00", "0.00", True, (AckStatus.ACCEPTED, 0)),
        ("0.00", "0.00", False, (AckStatus.CANCELED, 0)),
        ("4.00", "6.00", False, (AckStatus.CANCELED, 0)),
        ("10.00", "0.00", False, (AckStatus.ACCEPTED, 0)),
    ],
)
def test_answer_to_a_new_order(filled, remaining, rests, expected) -> None:
    created = rest.Created(order_id="o", fill_count=filled, remaining_count=remaining, ts_ms=5)
    report = created_report(created, "c", f"kalshi:{TICKER}:yes", rests)
    assert (report.status, report.remaining, report.filled, report.at) == (
        *expected,
        parse(filled),
        5_000_000,
    )


def test_positions_are_signed_at_the_venue() -> None:
    assert position_of(rest.MarketPosition(TICKER, "5.00")) == (f"kalshi:{TICKER}:yes", 5 * ONE)
    assert position_of(rest.MarketPosition(TICKER, "-5.50")) == (f"kalshi:{TICKER}:no", 5_500_000)
    assert position_of(rest.MarketPosition(TICKER, "0.00")) is None


@pytest.mark.parametrize(
    ("result", "value", "yes"),
    [("yes", 100, ONE), ("no", 0, 0), ("no", 10, None), ("scalar", 33, None), ("void", 50, None)],
)
def test_settlement_pays_both_outcomes(result, value, yes) -> None:
    """Whatever is neither 0 nor 1 is asked of the market: the settlement has whole cents alone."""
    body = {"ticker": TICKER, "market_result": result, "settled_time": "2026-08-17T14:00:00Z", "value": value}
    settlement = msgspec.convert(body, rest.SettlementBody)
    assert yes_payout(settlement) == yes
    if yes is not None:
        assert [r.price for r in settlement_reports(settlement, yes)] == [yes, ONE - yes]


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b'{"error":{"code":"bad_request","message":"bad request","details":"invalid status filter"}}',
         "bad_request", "bad_request: bad request: invalid status filter"),
        (b'{"code":"MARKET_INACTIVE","message":"closed","details":""}', "market_inactive", "MARKET_INACTIVE: closed"),
        (b'{"error":"too many requests"}', "too_many_requests", "too many requests"),
        (b"[]", "", "status 400"),
        (b'{"error":null}', "", "status 400"),
        (b"<html>", "", "status 400"),
        (b"\xff", "", "status 400"),
        (b"[" * 5_000, "", "status 400"),
    ],
)  # fmt: skip
def test_errors_in_all_shapes(body, code, text) -> None:
    assert read_error(400, body) == (code, text)


def test_which_refusals_mean_that_it_is_there_or_gone() -> None:
    assert is_duplicate(Refused("kalshi", "", 409, "order_already_exists"))
    assert is_duplicate(Refused("kalshi", "", 409, ""))
    for lifetime in ("fill_or_kill", "immediate_or_cancel"):
        assert not is_duplicate(Refused("kalshi", "", 409, f"{lifetime}_insufficient_resting_volume"))
    assert not is_duplicate(Refused("kalshi", "", 400, "order_already_exists"))
    assert is_gone(Refused("kalshi", "", 404, ""))
    assert is_gone(Refused("kalshi", "", 400, "market_inactive"))
    assert not is_gone(Refused("kalshi", "", 401, "authentication_error"))


# ── the user stream ─────────────────────────────────────────────────────────────────────────────────


def test_user_frames() -> None:
    assert user_stream.decode(b'{"id":1,"type":"ok","subscriptions":[]}') is None
    told = user_stream.decode(b'{"type":"subscribed","id":1,"msg":{"channel":"fill","sid":1}}')
    assert isinstance(told, user_stream.UserSubscribed)
    for broken in (b"", b"[]", b'{"type":"fill"}', b'{"type":"user_order","msg":{}}', b"[" * 9_999, b"\xff"):
        with pytest.raises(FrameError):
            user_stream.decode(broken)


def test_order_of_the_stream_is_the_order_of_rest() -> None:
    """``side`` of a frame is the outcome it is positioned for: yes is a bid."""
    body = {
        "order_id": "o", "ticker": TICKER, "status": "resting", "yes_price_dollars": "0.3500", "side": "yes",
        "initial_count_fp": "10.00", "fill_count_fp": "0.00", "remaining_count_fp": "10.00", "client_order_id": "c",
    }  # fmt: skip
    read = msgspec.convert(body, user_stream.UserOrderBody)
    assert book_side(user_stream.as_order(read)) == "bid"
    assert order_report(user_stream.as_order(read), "").instrument == f"kalshi:{TICKER}:yes"


# ── memory and budgets ──────────────────────────────────────────────────────────────────────────────


def test_memory_is_bounded() -> None:
    known = Known()
    for i in range(ORDERS_MAX + 10):
        known.learn_order(f"c{i}", f"kalshi:{TICKER}:yes", f"o{i}")
    assert (known.instrument("c0"), known.client_order_id("o0")) == ("", None)
    assert known.client_order_id(f"o{ORDERS_MAX}") == f"c{ORDERS_MAX}"
    assert (len(known._instruments), len(known._client_ids)) == (ORDERS_MAX, ORDERS_MAX)


def test_market_that_is_not_known_has_the_finest_grid_and_is_routed_by_ticker() -> None:
    known = Known()
    assert known.market(TICKER).price_steps == ()
    assert known.market(TICKER).exchange_index == -1
    known.learn_market(msgspec.convert({"ticker": TICKER, "exchange_index": 2}, rest.Market))
    assert known.market(TICKER).exchange_index == 2


@pytest.mark.parametrize("tier", list(TIERS))
def test_budgets_stay_below_the_venues(tier: str) -> None:
    for name, bucket in buckets(tier).items():
        assert bucket.rate_per_s < getattr(TIERS[tier], name)
        seconds = 2 if (name == "write") != (tier == "basic") or (tier == "advanced") else 1
        assert bucket.burst < seconds * getattr(TIERS[tier], name)
        assert batch_max(tier) * 10 <= bucket.burst or name == "read"
    assert batch_max("basic", 2) <= 50
    with pytest.raises(ValueError, match="expected a tier"):
        buckets("platinum")


# ── recorded ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.recorded
def test_real_fills_and_settlements_are_read(recordings) -> None:
    folder = recordings / "kalshi" / "rest_samples"
    path = folder / "portfolio_fills_redacted.json"
    if not path.is_file():
        pytest.skip(f"no recording: expected {path}")
    rows = json.loads(path.read_text())["payload"]["fills"]
    fills = msgspec.convert(rows, list[rest.Fill])
    for body, row in zip(fills, rows, strict=True):
        report = fill_report(body, "", "")
        outcome = row["outcome_side"]
        assert report.instrument == f"kalshi:{row['ticker']}:{outcome}"
        assert (report.side, report.price) == (Side.BUY, parse(row[f"{outcome}_price_dollars"]))
        assert report.fee == parse(row["fee_cost"]) > 0
    path = folder / "portfolio_settlements_redacted.json"
    rows = json.loads(path.read_text())["payload"]["settlements"]
    settlements = msgspec.convert(rows, list[rest.SettlementBody])
    assert settlements
    for settlement in settlements:
        payout = yes_payout(settlement)
        assert payout == (settlement.value or 0) * 10_000
