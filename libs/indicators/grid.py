"""A venue's grid of prices and quantities."""

from proto.feed import Market
from proto.units import ONE, Price, Quantity


def price_step(market: Market, price: Price) -> Price:
    """The tick that applies at ``price``.

    Raises:
        ValueError: if the market gives no tick for it.
    """
    step = 0
    for entry in market.price_steps:
        if entry.start > price:
            break
        step = entry.step
    if step <= 0:
        raise ValueError(f"expected a price step at {price} in {market.market}, was none")
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
