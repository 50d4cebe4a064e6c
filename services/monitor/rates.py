"""How much each producer says: one that floods the tape pushes its history out of the window, with its own credential.

Pure. What counts is when the broker stored a message, not when it is read: a monitor that catches up sees no flood.
"""

from collections import Counter

from proto.units import SECOND

SPAN_S = 10
"""Counted together: a burst of a second or two is a venue's, not a fault."""
PER_SECOND_MAX = {"feed": 10_000}
"""Ten times the busiest feed measured."""
PER_SECOND_MAX_OTHERS = 1_000
"""Services decide a few hundred times a second at most. At this rate the window still reaches back most of an hour."""


class ProducerRates:
    """Counts messages by the first token of their subject. ``add`` says at the end of each span who said how much."""

    def __init__(self) -> None:
        self._span = 0
        self._counts: Counter[str] = Counter()

    def add(self, subject: str, stored_at_ns: int) -> dict[str, int] | None:
        """Take a message; when it begins a new span: producer → messages a second in the one before."""
        span = stored_at_ns // (SPAN_S * SECOND)
        ended = None
        if span > self._span:
            ended = {producer: count // SPAN_S for producer, count in self._counts.items()}
            self._span = span
            self._counts.clear()
        self._counts[subject.partition(".")[0]] += 1
        return ended


def is_flood(producer: str, per_second: int) -> bool:
    """Whether that is more than a producer can have to say."""
    return per_second > PER_SECOND_MAX.get(producer, PER_SECOND_MAX_OTHERS)
