"""Our amounts beside those of both official clients."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.venues.polymarket.trading.amounts import (
    DECIMALS,
    AmountError,
    limit_amounts,
    market_amounts,
)
from proto.units import ONE, show

quantities = st.integers(10_000, 1_000_000 * ONE)


@st.composite
def priced(draw) -> tuple[int, int]:
    tick = draw(st.sampled_from(list(DECIMALS)))
    return tick, tick * draw(st.integers(1, ONE // tick - 1))


def side_of(buy: bool) -> str:
    return "BUY" if buy else "SELL"


@given(grid=priced(), quantity=quantities, buy=st.booleans())
def test_limit_amounts_are_those_of_the_unified_client(
    official, grid: tuple[int, int], quantity: int, buy: bool
):
    tick, price = grid
    theirs = official.call("values.limit_amounts", side=side_of(buy), price=price, size=quantity, tick=tick)
    assert [*limit_amounts(buy=buy, price=price, quantity=quantity, tick=tick)] == theirs


@given(grid=priced(), amount=quantities, buy=st.booleans())
def test_market_amounts_are_those_of_the_unified_client(
    official, grid: tuple[int, int], amount: int, buy: bool
):
    tick, price = grid
    maker, taker = official.call(
        "values.market_amounts", side=side_of(buy), price=price, amount=amount, tick=tick
    )
    # Beyond four decimals the venue refuses what the official client would send.
    assert market_amounts(buy=buy, price=price, amount=amount, tick=tick) == (maker, taker - taker % 100)


@given(grid=priced(), hundreds=st.integers(1, 100_000_00), buy=st.booleans(), market=st.booleans())
def test_amounts_are_those_of_py_clob_client_v2_but_for_its_floats(
    official, grid: tuple[int, int], hundreds: int, buy: bool, market: bool
):
    tick, price = grid
    amount = hundreds * 10_000
    # At market it rounds the price down in floats, and for some prices loses a whole step: 0.1725 becomes 0.1724.
    rounded = official.call("values.rounded_price", price=price, tick=show(tick))
    assume(not market or rounded == price / ONE)
    maker, taker = official.call(
        "values.float_amounts", market=market, side=side_of(buy), price=price, amount=amount, tick=show(tick)
    )
    ours = (
        market_amounts(buy=buy, price=price, amount=amount, tick=tick)
        if market
        else limit_amounts(buy=buy, price=price, quantity=amount, tick=tick)
    )
    # Its floor(size * 100) may lose a cent of a share, and its division a price step: never more.
    noise = 10_000 * ONE // price + 110 if market and buy else 10_000
    assert abs(ours.maker - maker) <= noise
    assert abs(ours.taker - taker) <= noise


@given(grid=priced(), quantity=quantities)
def test_no_amount_is_above_what_was_approved(grid: tuple[int, int], quantity: int):
    tick, price = grid
    buy = limit_amounts(buy=True, price=price, quantity=quantity, tick=tick)
    sell = limit_amounts(buy=False, price=price, quantity=quantity, tick=tick)
    assert buy.taker == sell.maker <= quantity
    assert buy.maker * ONE == buy.taker * price
    assert buy == (sell.taker, sell.maker)


@given(grid=priced(), money=quantities)
def test_a_market_buy_is_never_below_its_price_nor_a_step_above_it(grid: tuple[int, int], money: int):
    tick, price = grid
    amounts = market_amounts(buy=True, price=price, amount=money, tick=tick)
    assert amounts.maker <= money
    assert amounts.maker * ONE >= amounts.taker * price


@pytest.mark.parametrize(
    ("price", "tick", "code"),
    [
        (500_000, 20_000, "unknown_tick"),
        (505_000, 10_000, "price_off_grid"),
        (0, 10_000, "price_off_grid"),
        (ONE, 10_000, "price_off_grid"),
        (5_000, 10_000, "price_off_grid"),
    ],
)
def test_a_price_off_the_grid_is_refused(price: int, tick: int, code: str):
    with pytest.raises(AmountError) as raised:
        limit_amounts(buy=True, price=price, quantity=ONE, tick=tick)
    assert raised.value.code == code


def test_what_leaves_nothing_to_trade_is_refused():
    for attempt in (
        lambda: limit_amounts(buy=True, price=500_000, quantity=9_999, tick=10_000),
        lambda: market_amounts(buy=True, price=500_000, amount=9_999, tick=10_000),
        lambda: market_amounts(buy=False, price=500_000, amount=9_999, tick=10_000),
    ):
        with pytest.raises(AmountError) as raised:
            attempt()
        assert raised.value.code == "quantity_too_small"
