"""The one Bitcoin price behind every sandbox venue, and how each venue sees it.

A jump-diffusion in steps of a tenth of a second: geometric Brownian motion, and jumps that run on for
some seconds so that a breakout has a beginning. Each source sees it with a basis of its own that wanders
slowly (Ornstein-Uhlenbeck), which is why Chainlink, BRTI and Binance disagree about close windows.
Floats: a price path is chance, not money; whoever settles rounds it to millionths first.
"""

import random
from collections import deque
from enum import StrEnum

from proto.units import ONE, SECOND

STEPS_PER_SECOND = 10
STEP_NS = SECOND // STEPS_PER_SECOND
HISTORY_STEPS = 120 * STEPS_PER_SECOND
"""Steps kept: the longest lag of a maker (90 s) and the minute that settles a market."""
START_PRICE = 80_000.0

# Per square root of a second. About 0.5 % an hour: Bitcoin on a lively day.
DIFFUSION = 0.00008
# A jump every 100 s on average: often enough that a session of minutes sees several.
JUMP_RATE = 1 / 100
JUMP_MIN, JUMP_MAX = 0.0012, 0.0035
JUMP_SECONDS_MIN, JUMP_SECONDS_MAX = 4, 20
# The price is drawn back towards where it began, so that weeks of running do not lose all meaning.
REVERSION_PER_SECOND = 1e-5


class Source(StrEnum):
    """Who publishes a price: two exchanges, an oracle and an index."""

    BINANCE = "binance"
    COINBASE = "coinbase"
    CHAINLINK = "chainlink"
    BRTI = "brti"


# Standing deviation of a source's basis, as a fraction of the price: some dollars at 80,000.
BASIS = {Source.BINANCE: 0.0, Source.COINBASE: 0.00006, Source.CHAINLINK: 0.00003, Source.BRTI: 0.00004}
BASIS_MEMORY_S = 120.0
"""How long a basis lasts before it is another one."""


class BitcoinPrice:
    """The path. ``speed`` lives so many seconds in one: shortened windows keep their drama."""

    def __init__(self, draw: random.Random, start: float = START_PRICE, speed: float = 1.0) -> None:
        self._draw = draw
        self._home = start
        self._speed = speed
        self._step_s = speed / STEPS_PER_SECOND
        self._drift = 0.0
        self._drift_steps = 0
        self._basis = dict.fromkeys(Source, 0.0)
        self.now = start
        self.history: deque[float] = deque([start], maxlen=HISTORY_STEPS)
        self._seen = {source: deque([start], maxlen=HISTORY_STEPS) for source in Source}
        # A past, so that the first windows have an average and the first makers an old price.
        for _ in range(HISTORY_STEPS):
            self.step()

    def step(self) -> None:
        """Go a tenth of a second further."""
        draw, step_s = self._draw, self._step_s
        if not self._drift_steps and draw.random() < JUMP_RATE * step_s:
            size = draw.choice((-1, 1)) * draw.uniform(JUMP_MIN, JUMP_MAX)
            seconds = draw.uniform(JUMP_SECONDS_MIN, JUMP_SECONDS_MAX)
            self._drift_steps = max(1, round(seconds / step_s))
            self._drift = size / self._drift_steps
        change = draw.gauss(0.0, DIFFUSION * step_s**0.5)
        change += REVERSION_PER_SECOND * step_s * (self._home / self.now - 1.0)
        if self._drift_steps:
            self._drift_steps -= 1
            change += self._drift
        self.now *= 1.0 + change
        self.history.append(self.now)
        keep = max(0.0, 1.0 - step_s / BASIS_MEMORY_S)
        fresh = (1.0 - keep * keep) ** 0.5
        for source, size in BASIS.items():
            self._basis[source] = keep * self._basis[source] + fresh * draw.gauss(0.0, size)
            self._seen[source].append(self.now * (1.0 + self._basis[source]))

    def at(self, source: Source) -> float:
        """What a source shows now, in dollars."""
        return self._seen[source][-1]

    def ago(self, seconds: float) -> float:
        """The common price so many real seconds ago, or the oldest known."""
        steps = min(int(seconds * STEPS_PER_SECOND), len(self.history) - 1)
        return self.history[-1 - steps]

    def mean(self, source: Source, seconds: float) -> int:
        """A source's mean over the last real seconds, in millionths of a dollar, on whole cents."""
        steps = max(1, min(round(seconds * STEPS_PER_SECOND), HISTORY_STEPS))
        recent = list(self._seen[source])[-steps:]
        return round(100 * sum(recent) / len(recent)) * (ONE // 100)
