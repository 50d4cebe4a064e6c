"""Polymarket's fee (docs/reference/venue-facts.md, Polymarket fees).

rate × contracts × (price × (1 − price)) ^ exponent, takers only, rounded to $0.00001; what is below half of that costs
nothing. Rate and exponent are the market's own ``feeSchedule``; what ``/fee-rate`` answers is not the rate.
"""

from libs.venues.fees import FREE, FeeFormula
from proto.feed import FeeSchedule
from proto.units import ONE

MODEL = "polymarket"
FRACTIONAL_MODEL = "polymarket_fractional"
"""Name of a schedule whose exponent is no whole number: it is not computed exactly, so the market is not traded."""
FEE_STEP = 10
"""A fee is rounded to this: $0.00001."""


def trade_fee(schedule: FeeSchedule, price: int, quantity: int, maker: bool) -> int:
    """The fee of one fill."""
    rate = schedule.maker_rate if maker else schedule.taker_rate
    exponent = schedule.exponent
    exact = rate * quantity * pow(price * max(0, ONE - price), exponent)
    unit = ONE * pow(ONE * ONE, exponent) * FEE_STEP
    steps: int = (2 * exact + unit) // (2 * unit)
    return steps * FEE_STEP


def fill_fee(schedule: FeeSchedule, price: int, quantity: int, maker: bool) -> int:
    """Compute the fee of one of our fills; an unknown formula counts as all that the contracts may pay."""
    if schedule.model == FREE.model:
        return 0
    if schedule.model != MODEL:
        return quantity
    return min(trade_fee(schedule, price, quantity, maker), quantity)


POWER = FeeFormula(MODEL, trade_fee)
