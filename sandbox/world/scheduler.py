"""The schedule of the world: a queue of acts by time, in an order that depends on nothing else."""

import asyncio
import heapq
from collections.abc import Callable

from proto.units import SECOND

ACTS_PER_TURN = 200
"""Acts between two yields to the event loop: below 20 ms of work."""
SLEEP_S_MAX = 0.1
"""Longest sleep of a live world: an act scheduled meanwhile waits no longer."""


class Scheduler:
    """Acts by moment, then by the order in which they were scheduled.

    ``at`` is the moment of the act that runs now, or of the last one. With a ``clock`` (ns) the time in
    between passes by itself; without one only ``advance`` lets it pass.
    """

    def __init__(self, start_ns: int, clock: Callable[[], int] | None = None) -> None:
        self.at = start_ns
        self._clock = clock
        self._acts: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> int:
        """Return the present, never before ``at``."""
        return max(self.at, self._clock()) if self._clock else self.at

    def reset(self, at_ns: int) -> None:
        """Drop everything scheduled, and make it this moment."""
        self._acts.clear()
        self.at = at_ns

    def schedule(self, at_ns: int, act: Callable[[], None]) -> None:
        """Run ``act`` at a moment; at once, when it has passed."""
        self._count += 1
        heapq.heappush(self._acts, (at_ns, self._count, act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Run ``act`` so many seconds from now."""
        self.schedule(self.now() + round(seconds * SECOND), act)

    async def advance(self, to_ns: int) -> None:
        """Run every act up to and including a moment. Same seed, same moments: the same world."""
        done = 0
        while self._acts and self._acts[0][0] <= to_ns:
            at, _, act = heapq.heappop(self._acts)
            self.at = max(self.at, at)
            act()
            done += 1
            if done % ACTS_PER_TURN == 0:
                await asyncio.sleep(0)
        self.at = max(self.at, to_ns)

    async def run(self) -> None:
        """Follow the clock until cancelled."""
        if self._clock is None:
            raise ValueError("expected a world with a clock")
        while True:
            await self.advance(self._clock())
            due = self._acts[0][0] if self._acts else self.at + SECOND
            await asyncio.sleep(min(max((due - self._clock()) / SECOND, 0.0), SLEEP_S_MAX))
