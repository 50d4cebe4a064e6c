"""What a market is worth to somebody who looks at a price: digital options on Bitcoin.

Floats: an opinion of the makers, rounded to the grid before it becomes an order.
"""

import math

from proto.units import ONE, SECOND
from sandbox.world.markets import MarketKind, SandboxMarket

# What makers believe of the price: diffusion and jumps together, per square root of a second.
BELIEVED_VOLATILITY = 0.00025
TIME_LEFT_MIN_S = 5.0
"""Less time than this is not believed: close to the end the settling average is already half known."""


def above(price: float, level: float, time_left_s: float) -> float:
    """Probability that a price without drift ends at or above a level."""
    spread = BELIEVED_VOLATILITY * math.sqrt(max(time_left_s, TIME_LEFT_MIN_S))
    return 0.5 * (1.0 + math.erf(math.log(price / level) / spread / math.sqrt(2.0)))


def fair_value(market: SandboxMarket, price: float, now_ns: int, speed: float) -> float:
    """Probability of the first outcome. ``speed``: seconds the price lives in one real second."""
    left_s = max(0, market.close_ns - now_ns) / SECOND * speed
    if market.kind is MarketKind.NEG_RISK:
        low = above(price, market.lower / ONE, left_s) if market.lower is not None else 1.0
        high = above(price, market.upper / ONE, left_s) if market.upper is not None else 0.0
        return low - high
    if market.strike is None:
        return 0.5
    return above(price, market.strike / ONE, left_s)
