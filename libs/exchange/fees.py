"""What a fill costs, by the formula of its market's venue."""

from msgspec import Struct

from libs.venues.catalogue import fee_formula
from proto.feed import FeeSchedule
from proto.units import notional


def is_known_model(model: str) -> bool:
    """Whether the formula can be computed; a market with another one is not traded."""
    return fee_formula(model) is not None


def fee_of(schedule: FeeSchedule, price: int, quantity: int, maker: bool = False) -> int:
    """The trade fee of one fill, in money, before any rounding of the balance.

    A formula we do not know costs the whole payout: no edge survives it, so nothing is traded on a
    fee that nobody can compute.
    """
    formula = fee_formula(schedule.model)
    return quantity if formula is None else formula.trade_fee(schedule, price, quantity, maker)


def fee_estimate(schedule: FeeSchedule, price: int, quantity: int) -> int:
    """What a taker should expect to pay, in money: the trade fee.

    The rounding fee is left out: it is below the account's precision for each fill, and most of it
    comes back over the fills of an order.
    """
    formula = fee_formula(schedule.model)
    return quantity if formula is None else formula.trade_fee(schedule, price, quantity, False)


class FeeAccumulator(Struct):
    """Rounding fees of one order so far, less what was given back; taker and maker fills alike."""

    rounding: int = 0

    def charge(self, schedule: FeeSchedule, fill: "Charged", precision: int) -> int:
        """The whole fee of one more fill of this order, in money; never negative.

        ``precision`` is the account's, in millionths of a dollar.
        """
        trade_fee = fee_of(schedule, fill.price, fill.quantity, fill.maker)
        formula = fee_formula(schedule.model)
        if formula is None or not formula.rebate:
            return trade_fee
        money = notional(fill.price, fill.quantity)
        change = (-money if fill.buy else money) - trade_fee
        rounding = change % precision
        fee = trade_fee + rounding
        self.rounding += rounding
        # A rebate is whole cents and never makes a fee negative; what is held back stays owed.
        while self.rounding > formula.rebate and fee >= formula.rebate:
            self.rounding -= formula.rebate
            fee -= formula.rebate
        return fee


class Charged(Struct, frozen=True, gc=False):
    """One fill as the fee sees it: price in the space of its own outcome, which side, and who waited."""

    price: int
    quantity: int
    buy: bool
    maker: bool = False
