"""The targets of a position: prices and quantities of its ladder, without any state."""

from typing import NamedTuple

from libs.indicators.grid import can_rest, price_max, price_up, quantity_down
from proto.feed import Market
from proto.units import ONE, Price, Quantity, scale
from services.exit.params import ExitParams
from services.exit.state import Held, Step


class Target(NamedTuple):
    """What should rest at the venue for one step of the ladder."""

    step: Step
    price: Price
    quantity: Quantity


def targets(held: Held, quantity: Quantity, market: Market, params: ExitParams) -> tuple[Target, Target]:
    """The two targets for what is left of a position; together never more than ``quantity``.

    Where one of two halves could not rest, both leave in one order at the first target.
    """
    if not _halves_can_rest(held, market, params):
        price = _target_price(held.entry_price, params.first_target, market)
        return Target(Step.FIRST, price, 0), Target(Step.REST, price, quantity_down(market, quantity))
    first = min(quantity, max(0, first_goal(held, market, params) - held.first_sold))
    entry = held.entry_price
    return (
        Target(Step.FIRST, _target_price(entry, params.first_target, market), quantity_down(market, first)),
        Target(
            Step.REST,
            _target_price(entry, params.rest_target, market),
            quantity_down(market, quantity - first),
        ),
    )


def _halves_can_rest(held: Held, market: Market, params: ExitParams) -> bool:
    """Whether each part of what was bought is large enough for an order of its own.

    By all that was bought: what has left already changes nothing.
    """
    first = first_goal(held, market, params)
    parts = (first, quantity_down(market, held.bought) - first)
    return all(not part or can_rest(market, part) for part in parts)


def first_goal(held: Held, market: Market, params: ExitParams) -> Quantity:
    """How much of all that was bought leaves at the first target."""
    return quantity_down(market, scale(held.bought, params.first_share))


def _target_price(entry: Price, gain: int, market: Market) -> Price:
    """``gain`` above the entry, rounded up to the venue's grid, below 1."""
    wanted = -(-entry * (ONE + gain) // ONE)
    highest = price_max(market)
    return highest if wanted >= highest else price_up(market, wanted)
