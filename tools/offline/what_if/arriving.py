"""Outputs that the recorded tape does not have, on their way onto a branch: which arrives next, and when."""

import heapq
from typing import NamedTuple

from proto.message import Message

Turn = tuple[int, int, int, int]
"""Order of lockstep: sequence and part of the cause, order of the machine, which of its outputs."""


class Place(NamedTuple):
    """Where a message stands on a branch: ``part`` is 0 for what the tape has too."""

    seq: int
    part: int
    at_ns: int
    """When it was stored, or would have been."""


class Arrival(NamedTuple):
    """An output on its way. Ordered by what comes first."""

    due_ns: int
    """When it would be stored; 0 in lockstep, where nothing takes time."""
    turn: Turn
    """Lowest cause first, then in the machines' order; a claim comes before what execution says."""
    number: int
    """Of two with the same turn, which was said first."""
    message: Message
    message_id: str
    payload: bytes

    @property
    def order(self) -> int:
        """Of its machine; a claim has that of execution."""
        return self.turn[2]

    @property
    def is_claim(self) -> bool:
        """Whether it is execution's shell that speaks."""
        return self.turn[3] < 0


class Arrivals:
    """What is on its way on one branch."""

    def __init__(self) -> None:
        self._waiting: list[Arrival] = []
        self._number = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(
        self, due_ns: int, turn: Turn, message: Message, message_id: str = "", payload: bytes = b""
    ) -> None:
        """Send one on its way."""
        self._number += 1
        heapq.heappush(self._waiting, Arrival(due_ns, turn, self._number, message, message_id, payload))

    def next(self) -> Arrival | None:
        """Remove and return the first one."""
        return heapq.heappop(self._waiting) if self._waiting else None

    def next_before(self, at_ns: int) -> Arrival | None:
        """Remove and return the first one, if it is due before a moment."""
        return self.next() if self._waiting and self._waiting[0].due_ns < at_ns else None

    def next_turn(self, turn: Turn) -> Arrival | None:
        """Remove and return the first one, if its turn comes before another; for lockstep."""
        return self.next() if self._waiting and self._waiting[0].turn < turn else None

    def overdue(self, turn: Turn) -> list[Arrival]:
        """Remove and return, in order, what a machine said before the output with that turn."""
        found = [w for w in self._waiting if w.order == turn[2] and not w.is_claim and w.turn < turn]
        if found:
            self._waiting = [w for w in self._waiting if w not in found]
            heapq.heapify(self._waiting)
        return sorted(found, key=lambda arrival: arrival.turn)
