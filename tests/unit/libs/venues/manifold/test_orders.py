"""Our orders as Manifold's bets, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.errors import Refused
from libs.venues.frame import FrameError
from libs.venues.gateway import NewOrder, SentOrder
from libs.venues.manifold.market_data.amm import Pool
from libs.venues.manifold.schemas.wire import Bet, Contract, Fill
from libs.venues.manifold.trading import orders
from libs.venues.manifold.trading.auth import ManifoldCredentials
from libs.venues.manifold.trading.settlement import settlements_of
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, SECOND, show
from proto.venue import AckStatus

AT = 1_790_000_000 * SECOND
AT_MS = AT // MILLISECOND


def an_order(**more: object) -> NewOrder:
    fields = {
        "order": "t1-7-0",
        "market": "manifold:abc",
        "instrument": "manifold:abc:yes",
        "side": Side.BUY,
        "price": 540_000,
        "quantity": 10 * ONE,
        "time_in_force": TimeInForce.GTD,
        "expires_at": AT + 60 * SECOND,
        "approved_at": AT,
    }
    return NewOrder(**(fields | more))


def bet_of(intent: orders.Intent, **more: object) -> Bet:
    fields = {
        "id": "b1",
        "contractId": intent.contract,
        "outcome": intent.outcome,
        "amount": 2.0,
        "shares": 4.0,
        "limitProb": float(show(intent.limit)),
        "orderAmount": 5.0,
        "isFilled": False,
        "createdTime": AT_MS + 50,
        "expiresAt": float(intent.expires_ms),
        "fills": [Fill(2.0, 4.0, AT_MS + 60, None)],
    }
    return Bet(**(fields | more))


@pytest.mark.parametrize(
    ("instrument", "side", "price", "outcome", "limit", "own_price"),
    [
        ("yes", Side.BUY, 540_000, "YES", 540_000, 540_000),
        ("no", Side.BUY, 540_000, "NO", 460_000, 540_000),
        ("yes", Side.SELL, 540_000, "NO", 540_000, 460_000),
        ("no", Side.SELL, 540_000, "YES", 460_000, 460_000),
    ],
)
def test_a_limit_is_always_that_of_yes_and_a_sale_bets_on_the_other(
    instrument, side, price, outcome, limit, own_price
):
    order = an_order(instrument=f"manifold:abc:{instrument}", side=side, price=price)
    intent = orders.intent_of(order)
    assert (intent.outcome, intent.limit, intent.price) == (outcome, limit, own_price)
    # What comes back names the outcome that was ordered, in its own price space.
    report = orders.report_of(bet_of(intent), AT_MS)
    [fill] = orders.fills_of(bet_of(intent))
    assert report.instrument == fill.instrument == order.instrument
    assert (fill.side, fill.quantity) == (side, 4 * ONE)
    # 2 mana for 4 shares of what was bet on: 0.50 each, on both sides.
    assert fill.price == 500_000
    name = orders.client_order_id(intent.contract, intent.outcome, intent.limit, intent.expires_ms)
    assert report.client_order_id == fill.client_order_id == name
    assert report.remaining == 3 * ONE * ONE // own_price


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20),
    st.sampled_from(Side),
    st.integers(1, 99),
    st.integers(3, 10**6),
    st.sampled_from([TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC]),
)
def test_an_order_is_named_the_same_again_and_ends_in_time(name, side, hundredths, life_s, time_in_force):
    order = an_order(
        order=name,
        side=side,
        price=hundredths * 10_000,
        expires_at=AT + life_s * SECOND,
        time_in_force=time_in_force,
    )
    intent = orders.intent_of(order)
    assert intent == orders.intent_of(order)
    assert intent.expires_ms % 2 == (side is Side.SELL)
    limit_ms = AT_MS + orders.RESTING_MS_MAX
    if time_in_force is not TimeInForce.GTC:
        limit_ms = min(limit_ms, AT_MS + life_s * 1_000)
    assert limit_ms - 2_000 <= intent.expires_ms < limit_ms
    word = orders.client_order_id(intent.contract, intent.outcome, intent.limit, intent.expires_ms)
    sent = SentOrder(order=name, client_order_id=word, instrument=order.instrument)
    mark = orders.mark_of(sent)
    assert orders.is_bet_of(bet_of(intent), mark) is True
    assert orders.is_bet_of(bet_of(intent, expiresAt=intent.expires_ms + 2.0), mark) is False
    assert orders.is_bet_of(bet_of(intent, expiresAt=None), mark) is None
    assert orders.is_bet_of(bet_of(intent, contractId="other"), mark) is False
    assert orders.is_bet_of(bet_of(intent, limitProb=None), mark) is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_in_force": TimeInForce.FOK},
        {"post_only": True},
        {"price": 545_000},
        {"price": 0},
        {"price": ONE},
        {"expires_at": AT + SECOND},
        {"instrument": "kalshi:abc:yes"},
        {"instrument": "manifold:abc:maybe"},
    ],
)
def test_what_the_venue_cannot_express_is_refused(wrong):
    with pytest.raises(Refused, match="expected"):
        orders.intent_of(an_order(**wrong))


def test_a_foreign_id_is_refused():
    for word in ("", "abc", "abc-YES-x-1", "5f3c"):
        with pytest.raises(Refused, match="an id of ours"):
            orders.mark_of(SentOrder(order="o", client_order_id=word, instrument="manifold:abc:yes"))


@given(
    st.builds(Pool, st.floats(10, 1e4), st.floats(10, 1e4), st.floats(0.2, 0.8)),
    st.sampled_from(["YES", "NO"]),
    st.integers(1, 99),
    st.integers(1, 1_000 * ONE),
)
def test_an_amount_never_buys_more_than_the_shares_and_costs_no_more_than_the_limit(
    pool, outcome, hundredths, quantity
):
    price = hundredths * 10_000
    limit = price if outcome == "YES" else ONE - price
    intent = orders.Intent("abc", outcome, limit, price, quantity, AT_MS, False)
    amount = orders.amount_for(intent, pool.probability)
    assert amount * ONE <= price * quantity
    own = pool if outcome == "YES" else pool.mirrored()
    assert own.bought(amount / ONE) * ONE <= quantity * (1 + 1e-9) + 1


def test_a_request_carries_exact_decimals():
    intent = orders.intent_of(an_order(price=70_000))
    body = orders.body_of(intent, 1_234_567)
    assert b'"amount":1.234567,"limitProb":0.07,' in body


def test_states_of_a_bet():
    intent = orders.intent_of(an_order())
    cases = [
        ({}, AT_MS, AckStatus.ACCEPTED, True),
        ({"isFilled": True, "amount": 5.0}, AT_MS, AckStatus.ACCEPTED, False),
        ({"isCancelled": True}, AT_MS, AckStatus.CANCELED, False),
        ({}, intent.expires_ms, AckStatus.EXPIRED, False),
    ]
    for more, now_ms, status, rests in cases:
        report = orders.report_of(bet_of(intent, **more), now_ms)
        assert (report.status, report.remaining > 0, report.filled) == (status, rests, 4 * ONE)


def test_redemptions_and_empty_parts_are_no_fills_and_parts_have_stable_names():
    intent = orders.intent_of(an_order())
    assert orders.fills_of(bet_of(intent, isRedemption=True)) == []
    parts = [Fill(1.0, 2.0, AT_MS, None), Fill(0.0, 0.0, AT_MS, None), Fill(1.0, 2.0, AT_MS + 99, "b0")]
    fills = orders.fills_of(bet_of(intent, fills=parts))
    assert [(fill.trade_id, fill.maker) for fill in fills] == [("b1-0", False), ("b1-2", True)]
    with pytest.raises(FrameError):
        orders.fills_of(bet_of(intent, fills=[Fill(1e300, 2.0, AT_MS, None)]))


def resolved(resolution: str, probability: float | None = None) -> Contract:
    return Contract(
        id="abc",
        isResolved=True,
        resolution=resolution,
        resolutionProbability=probability,
        resolutionTime=float(AT_MS),
    )


def test_payouts_of_every_kind_of_resolution():
    bets = [
        Bet(contractId="abc", outcome="YES", amount=6.0, shares=10.0),
        Bet(contractId="abc", outcome="NO", amount=1.0, shares=2.0),
        # Two pairs became two mana.
        Bet(contractId="abc", outcome="YES", amount=-2.0, shares=-2.0, isRedemption=True),
        Bet(contractId="abc", outcome="NO", amount=0.0, shares=-2.0, isRedemption=True),
    ]
    prices = {
        word: [report.price for report in settlements_of(resolved(word, 0.4), bets)]
        for word in ("YES", "NO", "MKT", "CANCEL")
    }
    # Cancelled: 5 mana are in for the 8 YES still held.
    assert prices == {"YES": [ONE, 0], "NO": [0, ONE], "MKT": [400_000, 600_000], "CANCEL": [625_000, 0]}
    assert settlements_of(resolved("YES"), bets)[0].at == AT
    with pytest.raises(FrameError):
        settlements_of(resolved("MAYBE"), bets)


def test_a_key_is_shown_nowhere():
    credentials = ManifoldCredentials("s3cret")
    assert "s3cret" not in f"{credentials!r} {credentials}"
    assert credentials.headers() == {"authorization": "Key s3cret"}
