"""Realised volatility from prices sampled on a fixed grid of tape time."""

import math

from msgspec import Struct

from proto.units import SECOND, Nanoseconds, Price


class ReturnSampler(Struct):
    """Log returns over steps of ``interval_s``, the newest ``keep`` of them.

    Previous-tick sampling: the price at a grid point is the last trade before it, so steps
    without a trade give a return of 0. After ``silence_s_max`` without a trade, or if time runs
    backwards (a new session), sampling starts afresh: the jump across is nobody's volatility.
    """

    interval_s: int
    keep: int
    silence_s_max: int
    returns: list[float] = []
    price: Price = 0
    at: Nanoseconds = 0
    sampled_price: Price = 0
    next_at: Nanoseconds = 0
    mean_square: float = 0.0

    def add(self, at: Nanoseconds, price: Price) -> bool:
        """Take a trade at ``at``; return whether it completed a step (or began afresh).

        Raises:
            ValueError: for a price that is not positive.
        """
        if price <= 0:
            raise ValueError(f"expected a positive price, was {price}")
        afresh = not self.price or not 0 <= at - self.at <= self.silence_s_max * SECOND
        sampled = afresh or at >= self.next_at
        if afresh:
            self.returns.clear()
            self.mean_square = 0.0
            self.sampled_price = price
            self.next_at = at - at % (self.interval_s * SECOND) + self.interval_s * SECOND
        elif sampled:
            self._sample(at)
        self.price = price
        self.at = at
        return sampled

    def _sample(self, at: Nanoseconds) -> None:
        interval = self.interval_s * SECOND
        while self.next_at <= at:
            self.returns.append(math.log(self.price / self.sampled_price))
            self.sampled_price = self.price
            self.next_at += interval
        del self.returns[: -self.keep]
        self.mean_square = math.fsum(r * r for r in self.returns) / len(self.returns)

    @property
    def span_s(self) -> int:
        """Seconds covered by the returns that are there."""
        return len(self.returns) * self.interval_s

    def deviation(self, horizon_s: float) -> float:
        """Standard deviation of log returns over ``horizon_s`` seconds, drift taken as 0.

        √(Σr²/n · horizon/interval): the root-of-time rule for independent returns. 0.0 without samples.
        """
        return math.sqrt(self.mean_square * horizon_s / self.interval_s)

    def move(self, horizon_s: int) -> tuple[float, int]:
        """Log return from ``horizon_s`` ago to the newest trade, and the seconds it really covers.

        It covers whole steps, less than asked for while there are too few, plus the step under way.
        """
        count = min(horizon_s // self.interval_s, len(self.returns))
        if count <= 0 or self.price <= 0:
            return 0.0, 0
        under_way = math.log(self.price / self.sampled_price)
        return math.fsum(self.returns[-count:]) + under_way, count * self.interval_s
