"""Amounts are exact: text and back, products, bounds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.units import AMOUNT_MAX, ONE, UnitError, notional, parse, scale, show

amounts = st.integers(-AMOUNT_MAX, AMOUNT_MAX)
prices = st.integers(0, AMOUNT_MAX)


@given(amounts)
def test_what_is_shown_is_parsed_back(value: int):
    assert parse(show(value)) == value


@given(amounts)
def test_what_is_shown_is_the_exact_and_shortest_decimal(value: int):
    text = show(value)
    assert Fraction(text) == Fraction(value, ONE)
    assert "." not in text or text[-1] not in "0."
    assert not text.startswith(("+", "-0")) or value < 0


@given(amounts, st.integers(0, 4), st.integers(0, 4))
def test_zeros_around_a_number_change_nothing(value: int, before: int, after: int):
    sign, digits = ("-", show(value)[1:]) if value < 0 else ("", show(value))
    whole, _, fraction = digits.partition(".")
    padded = whole.zfill(min(len(whole) + before, 16))
    assert parse(f"{sign}{padded}.{fraction}{'0' * after}") == value


@pytest.mark.parametrize(
    ("text", "value"), [("0.45", 450_000), (".5", 500_000), ("1.", ONE), ("+2", 2 * ONE), ("-0", 0)]
)
def test_forms_that_venues_write(text: str, value: int):
    assert parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "-", "+", "-.", "1e5", "1E5", "nan", "NaN", "inf", "-inf", "0x10", "1_000", " 1", "1 ", "1\n",
        "--1", "+-1", "1.2.3", "1,5", "0.0000001", "1.23456789", "½", "٣", "0.٣", "1000000000.000001",
        "9" * 30, "9" * 10_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str):
    with pytest.raises(UnitError, match="expected"):
        parse(text)


@given(st.text(max_size=20))
def test_any_text_is_read_exactly_or_refused(text: str):
    try:
        value = parse(text)
    except UnitError:
        return
    assert Fraction(text if text[-1] != "." else text + "0") == Fraction(value, ONE)
    assert abs(value) <= AMOUNT_MAX


@given(prices, prices)
def test_notional_is_within_half_a_millionth_and_rounds_halves_up(price: int, quantity: int):
    error = notional(price, quantity) - Fraction(price * quantity, ONE)
    assert Fraction(-1, 2) < error <= Fraction(1, 2)


@given(prices, prices, prices)
def test_notional_is_monotonic(price: int, quantity: int, more: int):
    assert notional(price, quantity) <= notional(price, quantity + more)
    assert notional(price, quantity) <= notional(price + more, quantity)


@given(prices)
def test_one_contract_is_worth_its_price(price: int):
    assert notional(price, ONE) == price == notional(ONE, price)


@given(st.integers(0, ONE), prices)
def test_both_outcomes_together_are_worth_the_payout_within_a_millionth(price: int, quantity: int):
    assert 0 <= notional(price, quantity) + notional(ONE - price, quantity) - quantity <= 1


@given(amounts, st.integers(0, ONE))
def test_scale_rounds_down(value: int, fraction: int):
    error = Fraction(value * fraction, ONE) - scale(value, fraction)
    assert 0 <= error < 1
