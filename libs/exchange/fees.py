"""What a venue charges for a trade, to the fraction of a cent.

Kalshi's formula (docs/reference/venue-facts.md, Kalshi fees), checked against real fills in
``tests/unit/libs/exchange/test_fees.py``:

1. trade fee = rate × contracts × price × (1 − price), rounded up to $0.0001;
2. the change of the balance (money for the contracts − trade fee) is rounded down to the account's
   precision, and what that takes is the rounding fee;
3. rounding fees add up over the fills of one order; once they exceed $0.01 a cent is given back.

Polymarket's (docs/reference/venue-facts.md, Polymarket fees): rate × contracts × (price × (1 − price)) ^ exponent,
takers only, rounded to $0.00001; what is below half of that costs nothing. Rate and exponent are the
market's own ``feeSchedule``; what ``/fee-rate`` answers is not the rate.
"""

from msgspec import Struct

from proto.feed import FeeSchedule
from proto.units import ONE, notional

NO_FEE = "none"
KALSHI_QUADRATIC = "kalshi_quadratic"
POLYMARKET = "polymarket"
KNOWN_MODELS = (NO_FEE, KALSHI_QUADRATIC, POLYMARKET)
"""Formulas that can be computed; a market with another one is not traded."""

TRADE_FEE_STEP = 100
"""Kalshi rounds a trade fee up to this: $0.0001."""
POLYMARKET_STEP = 10
"""Polymarket rounds a fee to this: $0.00001."""
REBATE = 10_000
"""What Kalshi gives back when an order's rounding fees exceed it: $0.01."""
DIRECT_PRECISION = 100
"""Balance precision of a direct member ($0.0001); every recorded fill we have is of this kind."""
RETAIL_PRECISION = 10_000
"""Balance precision of everybody else ($0.01)."""


def fee_of(schedule: FeeSchedule, price: int, quantity: int, maker: bool = False) -> int:
    """The trade fee of one fill, in money, before any rounding of the balance.

    A formula we do not know costs the whole payout: no edge survives it, so nothing is traded on a
    fee that nobody can compute.
    """
    if schedule.model == NO_FEE:
        return 0
    if schedule.model not in KNOWN_MODELS:
        return quantity
    rate = schedule.maker_rate if maker else schedule.taker_rate
    if schedule.model == POLYMARKET:
        return _polymarket_fee(schedule.exponent, rate, price, quantity)
    # A payout pays 1 a contract, so a price outside 0..1 (a reference instrument) has no fee.
    exact = rate * quantity * price * max(0, ONE - price)
    return -(-exact // (ONE * ONE * ONE * TRADE_FEE_STEP)) * TRADE_FEE_STEP


def _polymarket_fee(exponent: int, rate: int, price: int, quantity: int) -> int:
    exact = rate * quantity * pow(price * max(0, ONE - price), exponent)
    unit = ONE * pow(ONE * ONE, exponent) * POLYMARKET_STEP
    steps: int = (2 * exact + unit) // (2 * unit)
    return steps * POLYMARKET_STEP


def fee_estimate(schedule: FeeSchedule, price: int, quantity: int) -> int:
    """What a taker should expect to pay, in money: the trade fee.

    The rounding fee is left out: it is below the account's precision for each fill, and most of it
    comes back over the fills of an order.
    """
    return fee_of(schedule, price, quantity)


class FeeAccumulator(Struct):
    """Rounding fees of one order so far, less what was given back; taker and maker fills alike."""

    rounding: int = 0

    def charge(self, schedule: FeeSchedule, fill: "Charged", precision: int) -> int:
        """The whole fee of one more fill of this order, in money; never negative.

        ``precision`` is the account's, in millionths of a dollar.
        """
        trade_fee = fee_of(schedule, fill.price, fill.quantity, fill.maker)
        if schedule.model != KALSHI_QUADRATIC:
            return trade_fee
        money = notional(fill.price, fill.quantity)
        change = (-money if fill.buy else money) - trade_fee
        rounding = change % precision
        fee = trade_fee + rounding
        self.rounding += rounding
        # A rebate is whole cents and never makes a fee negative; what is held back stays owed.
        while self.rounding > REBATE and fee >= REBATE:
            self.rounding -= REBATE
            fee -= REBATE
        return fee


class Charged(Struct, frozen=True, gc=False):
    """One fill as the fee sees it: price in the space of its own outcome, which side, and who waited."""

    price: int
    quantity: int
    buy: bool
    maker: bool = False
