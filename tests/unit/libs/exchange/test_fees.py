"""Fees: Kalshi's recorded fills to the last digit, Polymarket's published table, rounding and bounds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.exchange.fees import Charged, FeeAccumulator, fee_estimate, fee_of
from libs.venues.kalshi.fees import DIRECT_PRECISION, REBATE, RETAIL_PRECISION
from proto.feed import FeeSchedule
from proto.units import ONE, notional, parse

STANDARD = FeeSchedule(model="kalshi_quadratic", taker_rate=70_000, maker_rate=17_500)
HALVED_SERIES = ("KXMLBGAME", "KXMLBSPREAD", "KXMLBKS")
"""Series with a fee multiplier of one half (series_fee_fields.json; the third by its fills)."""


@pytest.mark.recorded
def test_every_recorded_fill_has_exactly_our_fee(recordings):
    document = json.loads((recordings / "kalshi/rest_samples/portfolio_fills_redacted.json").read_text())
    fills = document["payload"]["fills"]
    assert len(fills) == 33
    for row in fills:
        halved = row["ticker"].split("-")[0] in HALVED_SERIES
        schedule = FeeSchedule(model="kalshi_quadratic", taker_rate=35_000 if halved else 70_000)
        price = parse(row[f"{row['side']}_price_dollars"])
        charged = Charged(
            price, parse(row["count_fp"]), buy=row["action"] == "buy", maker=not row["is_taker"]
        )
        # One fill an order throughout, so each starts with an empty accumulator.
        assert FeeAccumulator().charge(schedule, charged, DIRECT_PRECISION) == parse(row["fee_cost"]), row


def test_the_fill_of_the_fact_sheet():
    charged = Charged(price=1_000, quantity=227_270_000, buy=True)
    assert fee_of(STANDARD, charged.price, charged.quantity) == 15_900
    assert FeeAccumulator().charge(STANDARD, charged, DIRECT_PRECISION) == 15_930


def test_rebates_follow_the_documented_course():
    """Three fills of 0.03 at 0.3301, as in the venue's third example but with the real trade fee."""
    schedule = FeeSchedule(model="kalshi_quadratic", taker_rate=70_000)
    accumulator = FeeAccumulator()
    charged = Charged(price=330_100, quantity=30_000, buy=True)
    fees = [accumulator.charge(schedule, charged, RETAIL_PRECISION) for _ in range(3)]
    # Trade fee 0.0005, rounding 0.009597: 0.010097, then a cent comes back twice.
    assert fees == [10_097, 97, 97]
    assert accumulator.rounding == 3 * 9_597 - 2 * REBATE


def test_a_formula_nobody_knows_eats_every_edge():
    unknown = FeeSchedule(model="flat_per_mille", taker_rate=1)
    assert fee_estimate(unknown, 500_000, 7 * ONE) == 7 * ONE
    assert FeeAccumulator().charge(unknown, Charged(500_000, ONE, True), RETAIL_PRECISION) == ONE


def test_no_fee_is_no_fee():
    assert fee_estimate(FeeSchedule(), 500_000, 7 * ONE) == 0
    assert FeeAccumulator().charge(FeeSchedule(), Charged(333_333, 1, True), RETAIL_PRECISION) == 0


def test_makers_pay_the_makers_rate():
    assert fee_of(STANDARD, 500_000, 100 * ONE, maker=True) == 437_500
    assert fee_of(STANDARD, 500_000, 100 * ONE) == 1_750_000


@given(st.integers(0, ONE), st.integers(0, 10_000 * ONE))
def test_both_outcomes_cost_the_same(price, quantity):
    assert fee_of(STANDARD, price, quantity) == fee_of(STANDARD, ONE - price, quantity)


@given(st.integers(1, ONE - 1), st.integers(1, 10_000 * ONE))
def test_the_fee_is_rounded_up_by_less_than_a_step(price, quantity):
    fee = fee_of(STANDARD, price, quantity)
    exact_times_cube = 70_000 * quantity * price * (ONE - price)
    assert fee % 100 == 0
    assert 0 <= fee * ONE**3 - exact_times_cube < 100 * ONE**3


CHARGED = st.builds(
    Charged,
    price=st.integers(1, 9_999).map(lambda n: n * 100),
    quantity=st.integers(1, 10_000).map(lambda n: n * 10_000),
    buy=st.booleans(),
    maker=st.booleans(),
)


@given(st.lists(CHARGED, max_size=20), st.sampled_from((DIRECT_PRECISION, RETAIL_PRECISION)))
def test_balances_keep_their_precision_and_fees_stay_within_bounds(fills, precision):
    accumulator = FeeAccumulator()
    balance = trade_fees = fees = 0
    for charged in fills:
        fee = accumulator.charge(STANDARD, charged, precision)
        assert fee >= 0
        money = notional(charged.price, charged.quantity)
        balance += (-money if charged.buy else money) - fee
        assert balance % precision == 0
        trade_fees += fee_of(STANDARD, charged.price, charged.quantity, charged.maker)
        fees += fee
    assert fees == trade_fees + accumulator.rounding
    assert accumulator.rounding >= 0


CRYPTO = FeeSchedule(model="polymarket", taker_rate=70_000)


@pytest.mark.parametrize(
    ("rate", "fee"), [(70_000, 1_750_000), (50_000, 1_250_000), (40_000, 1_000_000), (0, 0)]
)
def test_polymarkets_published_fees_of_a_hundred_shares_at_a_half(rate: int, fee: int):
    schedule = FeeSchedule(model="polymarket", taker_rate=rate)
    assert fee_of(schedule, 500_000, 100 * ONE) == fee


def test_polymarket_charges_takers_only_and_whole_steps():
    assert fee_of(CRYPTO, 500_000, 100 * ONE, maker=True) == 0
    # 0.07 * 10 * 0.377 * 0.623 = 0.16440970
    assert fee_of(CRYPTO, 377_000, 10 * ONE) == 164_410
    # 0.07 * 0.01 * 0.01 * 0.99 = 0.00000693 is charged as 0.00001, less than half of that not at all.
    assert fee_of(CRYPTO, 10_000, 10_000) == 10
    assert fee_of(CRYPTO, 10_000, 7_000) == 0


def test_the_exponent_is_one_unless_said_otherwise():
    squared = FeeSchedule(model="polymarket", taker_rate=250_000, exponent=2)
    assert fee_of(squared, 500_000, 100 * ONE) == 1_562_500
    assert fee_of(FeeSchedule(model="polymarket", taker_rate=70_000, exponent=0), 300_000, ONE) == 70_000


@given(
    price=st.integers(0, 2 * ONE),
    quantity=st.integers(0, 1_000_000 * ONE),
    rate=st.integers(0, ONE),
    exponent=st.integers(0, 8),
)
def test_polymarkets_fee_is_bounded_and_the_same_for_both_outcomes(
    price: int, quantity: int, rate: int, exponent: int
):
    schedule = FeeSchedule(model="polymarket", taker_rate=rate, exponent=exponent)
    fee = fee_of(schedule, price, quantity)
    assert 0 <= fee <= quantity + 10
    assert fee % 10 == 0
    if price <= ONE:
        assert fee == fee_of(schedule, ONE - price, quantity)
