"""What a market of the sandbox is worth at a price of Bitcoin.

Floats: an opinion of the makers, rounded to the grid before it becomes an order.
"""

from libs.synthetic import digital
from proto.units import ONE, SECOND
from sandbox.world.markets import MarketKind, SandboxMarket


def fair_value(market: SandboxMarket, price: float, now_ns: int, speed: float) -> float:
    """Return probability of the first outcome. ``speed``: seconds the price lives in one real second."""
    left_s = max(0, market.close_ns - now_ns) / SECOND * speed
    if market.kind is MarketKind.NEG_RISK:
        low = digital.fair_value(price, market.lower / ONE, left_s) if market.lower is not None else 1.0
        high = digital.fair_value(price, market.upper / ONE, left_s) if market.upper is not None else 0.0
        return low - high
    if market.strike is None:
        return 0.5
    return digital.fair_value(price, market.strike / ONE, left_s)
