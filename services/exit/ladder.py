"""Prices and quantities of exits: the arithmetic, without any state."""

from typing import NamedTuple

from libs.indicators.grid import price_down, price_max, price_min, price_step, price_up, quantity_down
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
    """The two targets for what is left of a position; together never more than ``quantity``."""
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


def first_goal(held: Held, market: Market, params: ExitParams) -> Quantity:
    """How much of all that was bought leaves at the first target."""
    return quantity_down(market, scale(held.bought, params.first_share))


def _target_price(entry: Price, gain: int, market: Market) -> Price:
    """``gain`` above the entry, rounded up to the venue's grid, below 1."""
    wanted = -(-entry * (ONE + gain) // ONE)
    highest = price_max(market)
    return highest if wanted >= highest else price_up(market, wanted)


def stop_price(entry: Price, market: Market, params: ExitParams) -> Price:
    """The bid at or below which the loss is stopped.

    At least ``stop_min_ticks`` ticks below the entry: one tick of a cheap contract is already more
    than the configured loss, and the spread alone would stop every position the moment it opens.
    """
    ticks = params.stop_min_ticks * price_step(market, entry)
    return max(0, entry - max(scale(entry, params.stop_loss), ticks))


def close_price(bid: Price, market: Market, params: ExitParams) -> Price:
    """The worst price a marketable exit accepts: some ticks below the bid, above 0."""
    lowest = price_min(market)
    wanted = bid - params.slippage_ticks * price_step(market, bid)
    return lowest if wanted <= lowest else price_down(market, wanted)
