"""Kalshi's fee (docs/reference/venue-facts.md, Kalshi fees).

Checked against real fills in ``tests/unit/libs/exchange/test_fees.py``:

1. trade fee = rate × contracts × price × (1 − price), rounded up to $0.0001;
2. the change of the balance (money for the contracts − trade fee) is rounded down to the account's
   precision, and what that takes is the rounding fee;
3. rounding fees add up over the fills of one order; once they exceed $0.01 a cent is given back.
"""

from libs.venues.fees import FeeFormula
from proto.feed import FeeSchedule
from proto.units import ONE

MODEL = "kalshi_quadratic"
TAKER_RATE = 70_000
MAKER_RATE = 17_500
"""Rates before the series' multiplier; makers pay only in series whose fee type says so."""
STANDARD = FeeSchedule(model=MODEL, taker_rate=TAKER_RATE)
"""Of a series with multiplier 1 and no maker fee, such as KXBTC15M."""

TRADE_FEE_STEP = 100
"""A trade fee is rounded up to this: $0.0001."""
REBATE = 10_000
"""What is given back when an order's rounding fees exceed it: $0.01."""
DIRECT_PRECISION = 100
"""Balance precision of a direct member ($0.0001); every recorded fill we have is of this kind."""
RETAIL_PRECISION = 10_000
"""Balance precision of everybody else ($0.01)."""


def trade_fee(schedule: FeeSchedule, price: int, quantity: int, maker: bool) -> int:
    """The fee of one fill, before any rounding of the balance."""
    rate = schedule.maker_rate if maker else schedule.taker_rate
    # A payout pays 1 a contract, so a price outside 0..1 (a reference instrument) has no fee.
    exact = rate * quantity * price * (ONE - price) if price < ONE else 0
    return -(-exact // (ONE * ONE * ONE * TRADE_FEE_STEP)) * TRADE_FEE_STEP


QUADRATIC = FeeFormula(MODEL, trade_fee, REBATE)
