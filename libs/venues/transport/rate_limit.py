"""Token buckets: no more requests than a venue's published limit allows."""

import asyncio
import time
from collections.abc import Awaitable, Callable

WAIT_S_MIN = 0.000_1
"""Shortest sleep: below it the event loop's clock may not move, and waiting would not end."""
_ROUNDING = 1e-9


class TokenBucket:
    """``burst`` tokens at first, ``rate_per_s`` more a second, never more than ``burst``.

    Takers are served in the order they came. In any span of t seconds at most ``burst + rate_per_s * t``
    tokens are given out. ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self,
        rate_per_s: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not (rate_per_s > 0 and burst > 0):
            raise ValueError(f"expected a rate and a burst above 0, was {rate_per_s} and {burst}")
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(burst)
        self._filled_at = clock()
        self._turn = asyncio.Lock()

    def wait_s(self, cost: float = 1.0) -> float:
        """Return the wait for ``cost`` tokens if no other caller waits; 0 when they are there."""
        self._fill()
        behind_s = max(0.0, self._filled_at - self._clock())
        missing = cost - self._tokens
        if behind_s == 0.0 and missing <= _ROUNDING:
            return 0.0
        return behind_s + max(0.0, missing) / self.rate_per_s

    async def acquire(self, cost: float = 1.0) -> None:
        """Wait for ``cost`` tokens and take them. Cancelling a wait takes none.

        Raises:
            ValueError: for more than ``burst``, which would wait for ever.
        """
        if cost > self.burst:
            raise ValueError(f"expected a cost of at most {self.burst}, was {cost}")
        async with self._turn:
            # A pause may have come while this one slept: look again.
            while (wait_s := self.wait_s(cost)) > 0.0:
                await self._sleep(max(wait_s, WAIT_S_MIN))
            self._tokens -= cost

    def give_back(self, cost: float = 1.0) -> None:
        """Return tokens of a request that never left."""
        self._fill()
        self._tokens = min(float(self.burst), self._tokens + cost)

    def pause_for(self, seconds: float) -> None:
        """Give out nothing for so long, and then no burst: the venue has just said that it was too much."""
        until = self._clock() + max(0.0, seconds)
        self._filled_at = max(self._filled_at, until)
        self._tokens = 0.0

    def _fill(self) -> None:
        now = self._clock()
        if now > self._filled_at:
            gained = (now - self._filled_at) * self.rate_per_s
            self._tokens = min(float(self.burst), self._tokens + gained)
            self._filled_at = now
