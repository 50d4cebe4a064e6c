"""What the evaluator does next: bounded, the urgent first, and within a kind in the order in which it came."""

import heapq
from dataclasses import dataclass, field
from typing import Any

from tools.offline.worker.protocol import COUNTERFACTUAL, EVALUATE, MEASURE, WHAT_IF

JOBS_MAX = 20
"""Waiting: an hour of work and more. Whoever asks for more is told so."""
OF_A_USER_MAX = 5
"""Waiting of one user: nobody fills the queue for the others."""
URGENCY = {COUNTERFACTUAL: 0, WHAT_IF: 1, EVALUATE: 1, MEASURE: 2}
"""A change in force may lose money, and somebody waits for an answer; a proposal can wait."""


class QueueFull(Exception):
    """No more is taken; the text says how much is waiting."""


@dataclass
class Job:
    """One piece of work. ``key`` names it, so that it is done once; ``body`` is what its process is told."""

    key: str
    kind: str
    body: dict[str, Any]
    user: str = ""
    context: Any = None
    is_cancelled: bool = field(default=False, compare=False)


class JobQueue:
    """Jobs that wait."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Job]] = []
        self._keys: dict[str, Job] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def jobs(self) -> list[Job]:
        """What waits, the oldest first."""
        return list(self._keys.values())

    def add(self, job: Job) -> None:
        """Take a job; one that waits already is taken once.

        Raises:
            QueueFull: too much is waiting.
        """
        if job.key in self._keys:
            return
        if len(self._keys) >= JOBS_MAX:
            raise QueueFull(f"expected at most {JOBS_MAX} jobs to wait, was {len(self._keys)}")
        own = sum(waiting.user == job.user for waiting in self._keys.values())
        if job.user and own >= OF_A_USER_MAX:
            raise QueueFull(f"expected at most {OF_A_USER_MAX} of your jobs to wait, was {own}")
        self._number += 1
        self._keys[job.key] = job
        heapq.heappush(self._heap, (URGENCY[job.kind], self._number, job))

    def cancel(self, key: str) -> Job | None:
        """Remove a waiting job; ``None`` when none waits under that name."""
        job = self._keys.pop(key, None)
        if job is not None:
            job.is_cancelled = True
        return job

    def next(self) -> Job | None:
        """Remove and return the most urgent job."""
        while self._heap:
            _, _, job = heapq.heappop(self._heap)
            if not job.is_cancelled:
                del self._keys[job.key]
                return job
        return None
