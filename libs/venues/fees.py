"""The form in which each venue states its fee; ``libs/exchange/fees.py`` charges by it."""

from collections.abc import Callable
from typing import NamedTuple

from proto.feed import FeeSchedule


class FeeFormula(NamedTuple):
    """A venue's fee.

    ``model`` is the formula's name on the tape (``FeeSchedule.model``). ``trade_fee(schedule, price, quantity, maker)``
    is the fee of one fill in money. ``rebate``: the change of the balance is rounded to the account's precision, and
    what that takes is given back in steps of this over the fills of one order; 0: balances are not rounded.
    """

    model: str
    trade_fee: Callable[[FeeSchedule, int, int, bool], int]
    rebate: int = 0


def _nothing(schedule: FeeSchedule, price: int, quantity: int, maker: bool) -> int:  # noqa: ARG001 - the form
    return 0


FREE = FeeFormula("none", _nothing)
"""Nothing is charged."""
