"""Every request that reached a venue and could change something, as it arrived."""

import time
from collections import deque
from typing import Any

import msgspec

ARRIVALS_MAX = 100_000
"""Arrivals kept: an hour of a soak at tens of orders a second."""


class Arrival(msgspec.Struct, kw_only=True):
    """One request. ``at_ns`` is monotonic, when its headers had been read.

    ``keys`` are the ids of the orders it is about as the venue's server found them (order hash, client
    order id): a key that arrives twice with operation "order" was sent twice. ``status`` is the HTTP
    status answered, 0 while there is none or when the answer was kept back.
    """

    at_ns: int
    venue: str
    operation: str
    keys: list[str] = []
    status: int = 0
    fault: str = ""


class Arrivals:
    """The newest arrivals, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Arrival] = deque(maxlen=ARRIVALS_MAX)

    def record(self, venue: str, operation: str) -> Arrival:
        """Record that a request arrived now."""
        arrival = Arrival(at_ns=time.monotonic_ns(), venue=venue, operation=operation)
        self._kept.append(arrival)
        return arrival

    def __iter__(self) -> Any:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, venue: str, operation: str | None = None) -> list[Arrival]:
        """Return those of a venue, of one operation when named."""
        return [a for a in self._kept if a.venue == venue and operation in (None, a.operation)]

    def clear(self) -> None:
        """Remove every arrival."""
        self._kept.clear()
