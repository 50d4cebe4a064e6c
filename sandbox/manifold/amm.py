"""Manifold's market maker for a binary market: a pool that keeps y^p · n^(1−p).

Floats, as at the venue: its numbers are JSON numbers of a float, and the money is play money.
Source: docs/reference/venue-facts.md, Manifold pool.
"""

from typing import NamedTuple

DUST = 1e-9
"""Amounts and shares below this are none."""


class LiquidityPool(NamedTuple):
    """``yes`` and ``no`` shares in the pool, and the weight ``p``."""

    yes: float
    no: float
    p: float

    @property
    def probability(self) -> float:
        return self.p * self.no / ((1 - self.p) * self.yes + self.p * self.no)

    def buy(self, outcome: str, amount: float) -> "tuple[float, LiquidityPool]":
        """Return shares for ``amount`` of mana, and the pool afterwards."""
        y, n, p = self
        k: float = y**p * n ** (1 - p)
        if outcome == "YES":
            shares = y + amount - (k * (amount + n) ** (p - 1)) ** (1 / p)
            return shares, LiquidityPool(y - shares + amount, n + amount, p)
        shares = n + amount - (k * (amount + y) ** -p) ** (1 / (1 - p))
        return shares, LiquidityPool(y + amount, n - shares + amount, p)

    def cost_to(self, outcome: str, probability: float) -> float:
        """Return the mana that moves the pool to a probability by buying ``outcome``; 0 when it is there or beyond."""
        y, n, p = self
        k: float = y**p * n ** (1 - p)
        ratio = p * (1 - probability) / ((1 - p) * probability)
        amount: float = k * ratio**-p - n if outcome == "YES" else k * ratio ** (1 - p) - y
        return max(0.0, amount)
