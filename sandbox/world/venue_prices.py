"""The one Bitcoin price behind every sandbox venue, and how each venue sees it.

Each source sees the common path with a basis of its own that wanders slowly (Ornstein-Uhlenbeck), which is
why Chainlink, BRTI and Binance disagree about close windows.
"""

import random
from collections import deque
from enum import StrEnum

from msgspec import Struct

from libs.synthetic.price_path import HISTORY_STEPS, STEPS_PER_SECOND, Price
from proto.units import ONE, SECOND

STEP_NS = SECOND // STEPS_PER_SECOND
START_PRICE = 80_000.0


class PriceSource(StrEnum):
    """Who publishes a price: two exchanges, an oracle and an index."""

    BINANCE = "binance"
    COINBASE = "coinbase"
    CHAINLINK = "chainlink"
    BRTI = "brti"


# Standing deviation of a source's basis, as a fraction of the price: some dollars at 80,000.
BASIS = {
    PriceSource.BINANCE: 0.0,
    PriceSource.COINBASE: 0.00006,
    PriceSource.CHAINLINK: 0.00003,
    PriceSource.BRTI: 0.00004,
}
BASIS_MEMORY_S = 120.0
"""How long a basis lasts before it is another one."""


class SavedPrice(Struct):
    """The path's last two minutes and the jump that runs; each source's basis and what it showed."""

    history: list[float]
    drift: float
    drift_steps: int
    basis: dict[str, float]
    seen: dict[str, list[float]]


class BitcoinPrice:
    """The path and its sources. ``speed``: seconds the price lives in one, when windows are shortened."""

    def __init__(self, draw: random.Random, start: float = START_PRICE, speed: float = 1.0) -> None:
        self._draw = draw
        self._path = Price(draw, start, start, speed)
        self._keep = max(0.0, 1.0 - speed / STEPS_PER_SECOND / BASIS_MEMORY_S)
        self._fresh = (1.0 - self._keep * self._keep) ** 0.5
        self._basis = dict.fromkeys(PriceSource, 0.0)
        self._seen = {source: deque([start], maxlen=HISTORY_STEPS) for source in PriceSource}
        # A past, so that the first windows have an average and the first makers an old price.
        for _ in range(HISTORY_STEPS):
            self.step()

    def save(self) -> "SavedPrice":
        """Return what is needed to resume from here; random generators are seeded again."""
        drift, steps = self._path.drift
        return SavedPrice(
            list(self._path.history),
            drift,
            steps,
            {source.value: basis for source, basis in self._basis.items()},
            {source.value: list(seen) for source, seen in self._seen.items()},
        )

    def resume(self, saved: "SavedPrice") -> None:
        """Resume from what was saved."""
        self._path.resume(saved.history, (saved.drift, saved.drift_steps))
        for source in PriceSource:
            self._basis[source] = saved.basis[source.value]
            self._seen[source] = deque(saved.seen[source.value], maxlen=HISTORY_STEPS)

    @property
    def now(self) -> float:
        """The common price, in dollars."""
        return self._path.now

    def step(self) -> None:
        """Advance by a tenth of a second."""
        now = self._path.step()
        for source, size in BASIS.items():
            basis = self._keep * self._basis[source] + self._fresh * self._draw.gauss(0.0, size)
            self._basis[source] = basis
            self._seen[source].append(now * (1.0 + basis))

    def at(self, source: PriceSource) -> float:
        """Return what a source shows now, in dollars."""
        return self._seen[source][-1]

    def seen(self, source: PriceSource) -> list[float]:
        """Return what a source showed at every step of the last two minutes, oldest first, in dollars."""
        return list(self._seen[source])

    def drift(self, change: float, seconds: float) -> None:
        """Let a move begin that changes the price by a fraction within so many real seconds."""
        self._path.drift_by(change, seconds)

    def ago(self, seconds: float) -> float:
        """Return the common price so many real seconds ago, or the oldest known."""
        return self._path.ago(seconds)

    def mean(self, source: PriceSource, seconds: float) -> int:
        """Return a source's mean over the last real seconds, in millionths of a dollar, on whole cents."""
        steps = max(1, min(round(seconds * STEPS_PER_SECOND), HISTORY_STEPS))
        recent = list(self._seen[source])[-steps:]
        return round(100 * sum(recent) / len(recent)) * (ONE // 100)
