"""Manifold's automatic market maker (``cpmm-1``) as a ladder of prices.

The pool holds y YES and n NO and keeps k = y^p · n^(1−p); its probability is t = p·n / ((1−p)·y + p·n).
So at probability t, with r = y/n = p·(1−t) / ((1−p)·t): n = k·r^(−p) and y = k·r^(1−p). Buying YES from t₀ to
t₁ puts in n₁ − n₀ mana and takes out (y₀ − y₁) + (n₁ − n₀) shares. NO is the same with the sides exchanged.
Source: docs/reference/venue-facts.md, Manifold pool.

The venue computes in floats, so this does too; what leaves here are integers of one millionth, rounded so
that we never promise ourselves too much: quantities down, and each step has its worst price.
"""

import math

from libs.venues.frame import FrameError
from proto.units import AMOUNT_MAX, ONE

STEPS = 100
"""Limit prices are whole hundredths; the ladder has the same steps."""
PRICE_STEP = ONE // STEPS
POOL_MIN = 1e-6
POOL_MAX = 1e9
WEIGHT_MIN = 1e-4
"""Beyond, powers of a pool's ratio leave the range of floats; no market is made there."""
_ON_STEP = 1e-9


class Pool:
    """A pool at one moment. ``weight`` is the venue's p.

    Raises:
        FrameError: for amounts and weights that are none.
    """

    __slots__ = ("no", "weight", "yes")

    def __init__(self, yes: float, no: float, weight: float) -> None:
        if not (POOL_MIN <= yes <= POOL_MAX and POOL_MIN <= no <= POOL_MAX):
            raise FrameError(f"expected a pool between {POOL_MIN} and {POOL_MAX}, was {yes} and {no}")
        if not WEIGHT_MIN <= weight <= 1 - WEIGHT_MIN:
            raise FrameError(f"expected a weight between {WEIGHT_MIN} and {1 - WEIGHT_MIN}, was {weight}")
        self.yes = yes
        self.no = no
        self.weight = weight

    @property
    def probability(self) -> float:
        """The marginal price of YES."""
        return self.weight * self.no / ((1 - self.weight) * self.yes + self.weight * self.no)

    def mirrored(self) -> "Pool":
        """The same pool with the outcomes exchanged."""
        return Pool(self.no, self.yes, 1 - self.weight)

    def at(self, probability: float) -> "Pool":
        """The pool after somebody bet it to ``probability``; nothing was added or taken as a fee.

        Raises:
            FrameError: for a probability that no bet can reach.
        """
        if not 0 < probability < 1:
            raise FrameError(f"expected a probability between 0 and 1, was {probability}")
        yes, no = self._amounts(probability)
        return Pool(yes, no, self.weight)

    def asks(self, count: int) -> list[tuple[int, int]]:
        """(price, quantity) at which YES can be bought, best first: each step up to its hundredth."""
        steps: list[tuple[int, int]] = []
        step = math.floor(self.probability * STEPS + _ON_STEP) + 1
        yes, no = self.yes, self.no
        while step < STEPS and len(steps) < count:
            next_yes, next_no = self._amounts(step / STEPS)
            shares = (yes - next_yes) + (next_no - no)
            quantity = min(AMOUNT_MAX, math.floor(shares * ONE))
            if quantity > 0:
                steps.append((step * PRICE_STEP, quantity))
            yes, no = next_yes, next_no
            step += 1
        return steps

    def bought(self, amount: float) -> float:
        """Return the shares of YES for ``amount`` mana, without limit orders."""
        # y + b − s = (k · (n + b)^(p − 1))^(1/p), with k written out to keep the powers small.
        ratio = self.no / (self.no + amount)
        return self.yes + amount - float(self.yes * ratio ** ((1 - self.weight) / self.weight))

    def _amounts(self, probability: float) -> tuple[float, float]:
        """YES and NO in the pool at ``probability``."""
        ratio = self.weight * (1 - probability) / ((1 - self.weight) * probability)
        grown = (self.yes / self.no) / ratio
        # n₁ = n₀ · (r₀/r₁)^p and y₁ = r₁ · n₁: the same as by k, without its huge powers.
        no = self.no * float(grown**self.weight)
        return ratio * no, no
