"""Typed parameters of the paper venue: configuration section ``paper``."""

from typing import Annotated

from libs.config.section import Section, amount, setting, whole
from libs.venues.kalshi.fees import RETAIL_PRECISION
from proto.units import AMOUNT_MAX, ONE

LATENCY_MS_MAX = 60_000


class PaperParams(Section):
    """The simulated account and how far away its exchange is."""

    latency_ms: Annotated[int, whole(0, LATENCY_MS_MAX)] = setting(
        150, "from sending to the matching engine, for orders and cancels"
    )
    starting_cash: Annotated[int, amount(0, AMOUNT_MAX)] = setting(10_000 * ONE, "deposited once, in dollars")
    fee_precision: Annotated[int, amount(1, ONE)] = setting(
        RETAIL_PRECISION, "what balances are rounded to, in dollars (a direct member's is 0.0001)"
    )
    unanswered_every_n: Annotated[int, whole(0, 1_000_000)] = setting(
        0, "fault knob: the acceptance of every n-th order is withheld although it works; 0 is off"
    )
