"""Binance's rule by which a snapshot and the changes around it become a book.

Changes are numbered from ``U`` to ``u`` without holes. They are kept until a snapshot comes; those it already
holds are dropped, and the first after it must reach over its edge.
Source: docs/reference/venue-facts.md, Binance books.
"""

from collections import deque
from enum import Enum
from typing import NamedTuple

WAITING_MAX = 1_000
"""Changes kept for a snapshot: 100 s of them. With the oldest lost, a snapshot is only taken later."""


class DepthChange(NamedTuple):
    """Levels (price → new size) that updates ``first`` to ``last`` changed."""

    first: int
    last: int
    bids: dict[int, int]
    asks: dict[int, int]


class Verdict(Enum):
    """What to do with a change or a snapshot."""

    APPLY = "apply"
    OLD = "old"
    WAIT = "wait"
    GAP = "gap"


class Sequence:
    """Where one symbol's book stands. ``last`` is None while there is no book."""

    __slots__ = ("last", "waiting")

    def __init__(self) -> None:
        self.last: int | None = None
        self.waiting: deque[DepthChange] = deque(maxlen=WAITING_MAX)

    def reset(self) -> None:
        """There is no book any more, and what waits belongs to no snapshot."""
        self.last = None
        self.waiting.clear()

    def change(self, change: DepthChange) -> Verdict:
        """Count a change; on a gap it is the first to wait for the next snapshot."""
        if self.last is None:
            if self.waiting and change.first > self.waiting[-1].last + 1:
                self.waiting.clear()
            self.waiting.append(change)
            return Verdict.WAIT
        if change.last <= self.last:
            return Verdict.OLD
        if change.first > self.last + 1:
            self.reset()
            self.waiting.append(change)
            return Verdict.GAP
        self.last = change.last
        return Verdict.APPLY

    def snapshot(self, last: int) -> list[DepthChange] | None:
        """Take a snapshot; the changes to apply to it, or ``None`` when it is too old and another is needed."""
        if self.last is not None and last <= self.last:
            return None
        newer = [change for change in self.waiting if change.last > last]
        if newer and newer[0].first > last + 1:
            return None
        self.waiting.clear()
        self.last = newer[-1].last if newer else last
        return newer
