"""Unreadable input becomes ``monitor.dead``: bounded in size and rate, and nothing goes uncounted."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from proto.message import as_integer
from proto.monitor import Dead
from proto.units import SECOND

BURST_COUNT = 10
"""Reports a producer may make at once: enough to see the pattern of a fault."""
INTERVAL_NS = SECOND
"""After the burst, one report per producer and second: a fuzzer's thousands become a trickle."""
REASONS_MAX = 16
"""Different reasons held back per producer; the rest are counted together under one name."""
PRODUCERS_MAX = 64
"""Different producers; the rest are counted together. The producer's name comes from a subject that
may itself be poison."""
OTHER = "other"
OTHER_REASONS = "other reasons"


@dataclass(slots=True)
class _Producer:
    tokens: int
    refilled_at: int
    held: dict[str, Dead] = field(default_factory=dict)


class DeadLetters:
    """A token bucket for each producer in front of ``monitor.dead``.

    The sum of ``count`` over everything returned by :meth:`add` and :meth:`flush`, plus
    :attr:`held_count`, is the number of dead inputs that were added.
    """

    def __init__(self, burst_count: int = BURST_COUNT, interval_ns: int = INTERVAL_NS) -> None:
        self._burst_count = burst_count
        self._interval_ns = interval_ns
        self._producers: dict[str, _Producer] = {}

    def add(self, dead: Dead, at_ns: int) -> list[Dead]:
        """Take one dead input at wall-clock time ``at_ns``; return what may be published now."""
        name = dead.producer
        if name not in self._producers and len(self._producers) >= PRODUCERS_MAX:
            name = OTHER
        producer = self._producers.get(name)
        if producer is None:
            producer = _Producer(tokens=self._burst_count, refilled_at=at_ns)
            self._producers[name] = producer
        self._hold(producer, dead)
        return list(self._release(producer, at_ns))

    def flush(self, at_ns: int) -> list[Dead]:
        """Publish what was held back and may go by now; call it once a second."""
        return [dead for producer in self._producers.values() for dead in self._release(producer, at_ns)]

    def drain(self) -> list[Dead]:
        """Everything still held back, whatever the rate: for a clean stop."""
        out = [dead for producer in self._producers.values() for dead in producer.held.values()]
        for producer in self._producers.values():
            producer.held.clear()
        return out

    @property
    def held_count(self) -> int:
        """Dead inputs that were added and not yet returned."""
        return sum(dead.count for producer in self._producers.values() for dead in producer.held.values())

    def _hold(self, producer: _Producer, dead: Dead) -> None:
        reason = dead.reason
        if reason not in producer.held and len(producer.held) >= REASONS_MAX:
            reason = OTHER_REASONS
        earlier = producer.held.pop(reason, None)
        count = dead.count + (earlier.count if earlier is not None else 0)
        # The newest example stands for all of its kind.
        producer.held[reason] = Dead(
            producer=dead.producer,
            reason=reason,
            seq=dead.seq,
            topic=dead.topic,
            excerpt=dead.excerpt,
            count=as_integer(count),
        )

    def _release(self, producer: _Producer, at_ns: int) -> Iterator[Dead]:
        earned = max(0, at_ns - producer.refilled_at) // self._interval_ns
        if earned:
            producer.tokens = min(self._burst_count, producer.tokens + earned)
            producer.refilled_at += earned * self._interval_ns
        while producer.held and producer.tokens > 0:
            producer.tokens -= 1
            yield producer.held.pop(next(iter(producer.held)))
