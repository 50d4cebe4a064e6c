"""A venue's grid of prices and quantities."""

from proto.feed import Market
from proto.units import ONE, Price, Quantity

NO_STEP: Price = 1
"""Where a market states no tick, prices are only bound to the unit of one millionth."""


def price_step(market: Market, price: Price) -> Price:
    """The tick that applies at ``price``."""
    step = NO_STEP
    for entry in market.price_steps:
        if entry.start <= price and entry.step:
            step = entry.step
    return step


def price_up(market: Market, price: Price) -> Price:
    """The lowest valid price that is not below ``price``."""
    step = price_step(market, price)
    return -(-price // step) * step


def price_down(market: Market, price: Price) -> Price:
    """The highest valid price that is not above ``price``."""
    step = price_step(market, price)
    return price // step * step


def price_max(market: Market) -> Price:
    """The highest valid price below 1."""
    return price_down(market, ONE - 1)


def price_min(market: Market) -> Price:
    """The lowest valid price above 0."""
    return price_step(market, 0)


def quantity_down(market: Market, quantity: Quantity) -> Quantity:
    """The largest tradable quantity that is not above ``quantity``."""
    step = market.quantity_step or ONE
    return quantity // step * step


def is_dust(market: Market | None, quantity: Quantity) -> bool:
    """Whether a held quantity is too small for any order: below the lot. It is paid out when the market settles."""
    return market is not None and abs(quantity) < (market.quantity_step or ONE)


def can_rest(market: Market, quantity: Quantity) -> bool:
    """Whether an order of this size may rest at the venue; what trades at once may be smaller."""
    return quantity > 0 and quantity >= market.quantity_min


def quantity_least(market: Market, price: Price, *, rests: bool, crosses: bool) -> Quantity:
    """The least purchase that the venue takes at ``price``, on its lot.

    ``rests``: it may wait in the book; ``crosses``: it may trade at once. Of one that may do both, both rules hold.
    """
    least = market.quantity_min if rests else 0
    if crosses:
        least = max(least, -(-market.taker_notional_min * ONE // max(price, 1)))
    step = market.quantity_step or 1
    return -(-least // step) * step
