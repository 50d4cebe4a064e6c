"""What an order offers and asks for, in the venue's millionths: rounding by tick, in integers.

Limits: shares are cut to cents of a share; the money follows exactly, because every tick's amounts carry
two decimals more than its prices. Buys that trade at once (FOK, FAK) name the money instead: it is cut to
cents, and the shares for it are rounded first up at four more decimals, then down. The venue spends that
money: at better prices than the limit it buys more shares for it than were asked for.
Source: docs/reference/venue-facts.md, Polymarket amounts. Compared with both official clients in tests/unit/libs/venues/polymarket/test_amounts.py.
"""

from typing import NamedTuple

from libs.venues.polymarket.limits import SHARE_STEP
from proto.units import ONE, show

MONEY_STEP = 10_000
"""A market buy spends whole cents."""
AT_ONCE_DECIMALS_MAX = 4
"""What an order that trades at once asks for has four decimals at most, whatever the tick: the venue refuses
more (py-clob-client-v2 issue 99), though the official clients round by the tick alone."""

# Decimals of price and amount by tick (millionths).
DECIMALS = {
    100_000: (1, 3),
    10_000: (2, 4),
    5_000: (3, 5),
    2_500: (4, 6),
    1_000: (3, 5),
    100: (4, 6),
}
"""Supported ticks with the decimals of their prices and amounts."""


class AmountError(ValueError):
    """An order that the venue cannot express; ``code`` says in one word why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class OrderAmounts(NamedTuple):
    """Both sides of an order: what the maker gives and what it takes, in millionths."""

    maker: int
    taker: int


def check_price(price: int, tick: int) -> None:
    """Refuse a price that the market's tick does not allow.

    Raises:
        AmountError: ``unknown_tick``, ``price_off_grid``.
    """
    if tick not in DECIMALS:
        raise AmountError("unknown_tick", f"expected a tick of {_ticks()}, was {show(tick)}")
    if price % tick or not tick <= price <= ONE - tick:
        raise AmountError(
            "price_off_grid",
            f"expected a multiple of {show(tick)} from {show(tick)} to {show(ONE - tick)}, was {show(price)}",
        )


def limit_amounts(*, buy: bool, price: int, quantity: int, tick: int) -> OrderAmounts:
    """Amounts of an order that may rest: ``quantity`` shares, cut to whole cents of a share, at ``price``.

    Raises:
        AmountError: for a price off the grid or a quantity below 0.01.
    """
    check_price(price, tick)
    shares = quantity - quantity % SHARE_STEP
    if shares <= 0:
        raise AmountError("quantity_too_small", f"expected at least 0.01 shares, was {show(quantity)}")
    # Exact: shares are a multiple of 0.01 and prices have at most four decimals.
    money = shares * price // ONE
    return OrderAmounts(money, shares) if buy else OrderAmounts(shares, money)


def market_amounts(*, buy: bool, price: int, amount: int, tick: int) -> OrderAmounts:
    """Amounts of an order that trades at once or dies; a buyer's ``amount`` is money, a seller's shares.

    Raises:
        AmountError: for a price off the grid, or an amount that leaves nothing to trade.
    """
    check_price(price, tick)
    decimals = min(DECIMALS[tick][1], AT_ONCE_DECIMALS_MAX)
    if not buy:
        shares, money = limit_amounts(buy=False, price=price, quantity=amount, tick=tick)
        return OrderAmounts(shares, money - money % 10 ** (6 - decimals))
    money = amount - amount % MONEY_STEP
    shares = _shares_for(money, price, decimals)
    if money <= 0 or shares <= 0:
        raise AmountError("quantity_too_small", f"expected to spend at least 0.01, was {show(amount)}")
    return OrderAmounts(money, shares)


def _shares_for(money: int, price: int, decimals: int) -> int:
    """``money / price`` in millionths, as the venue rounds it to ``decimals``."""
    coarse: int = 10**decimals
    if money * coarse % price == 0:
        return money * ONE // price
    # Up at four more decimals first: what is a whole number but for noise becomes one.
    raised = -(-money * coarse * 10_000 // price)
    return raised // 10_000 * ONE // coarse


def _ticks() -> str:
    return ", ".join(show(tick) for tick in DECIMALS)
