"""A synthetic Bitcoin price: a jump-diffusion whose jumps run on for a while.

Steps of a tenth of a second. The diffusion is a geometric Brownian motion; jumps come at random and
are spread over some seconds, so that a breakout has a beginning a strategy can act on. The synthetic recordings
and the sandbox's world share it. Floats: a path is chance, not money; who settles by it rounds first.
"""

import random
from collections import deque
from collections.abc import Iterable

STEPS_PER_SECOND = 10
HISTORY_STEPS = 120 * STEPS_PER_SECOND
"""Prices kept: the longest lag of a book, and the minute that settles a market."""

# Per square root of a second. About 0.5 % an hour: Bitcoin on a lively day.
DIFFUSION = 0.00008
# A jump every 100 s on average: often enough that a session of minutes sees several.
JUMP_RATE = 1 / 100
JUMP_MIN, JUMP_MAX = 0.0012, 0.0035
JUMP_SECONDS_MIN, JUMP_SECONDS_MAX = 4, 20
# The price is drawn back towards where it began, so that weeks of running do not lose all meaning.
REVERSION_PER_SECOND = 1e-5


class Price:
    """The price path, in dollars, step by step. Draws from the generator it is given, and only there.

    ``speed``: seconds that the price lives in one. Shortened windows of the sandbox keep their drama by it.
    """

    def __init__(self, draw: random.Random, start: float, now: float, speed: float = 1.0) -> None:
        self._draw = draw
        self._home = start
        self._speed = speed
        self.now = now
        self.history: deque[float] = deque([now], maxlen=HISTORY_STEPS)
        self._drift = 0.0
        self._drift_steps = 0

    def step(self) -> float:
        """Go a tenth of a second further."""
        draw = self._draw
        if not self._drift_steps and draw.random() < JUMP_RATE / STEPS_PER_SECOND * self._speed:
            size = draw.choice((-1, 1)) * draw.uniform(JUMP_MIN, JUMP_MAX)
            seconds = draw.randint(JUMP_SECONDS_MIN, JUMP_SECONDS_MAX)
            self._drift_steps = max(1, round(STEPS_PER_SECOND * seconds / self._speed))
            self._drift = size / self._drift_steps
        change = draw.gauss(0.0, DIFFUSION / STEPS_PER_SECOND**0.5 * self._speed**0.5)
        change += REVERSION_PER_SECOND / STEPS_PER_SECOND * self._speed * (self._home / self.now - 1.0)
        if self._drift_steps:
            self._drift_steps -= 1
            change += self._drift
        self.now *= 1.0 + change
        self.history.append(self.now)
        return self.now

    def drift_by(self, change: float, seconds: float) -> None:
        """Let a jump begin, in place of one that runs: a change by a fraction, spread over so many real seconds."""
        self._drift_steps = max(1, round(STEPS_PER_SECOND * seconds))
        self._drift = change / self._drift_steps

    @property
    def drift(self) -> tuple[float, int]:
        """The jump that runs: its change a step, and for how many steps more."""
        return self._drift, self._drift_steps

    def resume(self, history: Iterable[float], drift: tuple[float, int]) -> None:
        """Go on where another path ended."""
        self.history.clear()
        self.history.extend(history)
        self.now = self.history[-1]
        self._drift, self._drift_steps = drift

    def jump(self, change: float) -> None:
        """Move by a fraction at once, and forget the path before: nobody watched."""
        self.now *= 1.0 + change
        self.history.clear()
        self.history.append(self.now)

    def ago(self, seconds: float) -> float:
        """The price some seconds ago, or the oldest known."""
        steps = min(int(seconds * STEPS_PER_SECOND), len(self.history) - 1)
        return self.history[-1 - steps]

    def mean(self, seconds: int) -> float:
        """Mean over the last seconds, as far as they are known: what decides a market."""
        recent = list(self.history)[-seconds * STEPS_PER_SECOND :]
        return sum(recent) / len(recent)
