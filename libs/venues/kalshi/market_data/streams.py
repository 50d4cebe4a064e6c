"""Sequence numbers of one Kalshi connection: they count per subscription, over all its markets."""

from enum import Enum

from libs.venues.frame import FrameError

SUBSCRIPTIONS_MAX = 256
"""A connection has one subscription a channel, about ten; more means that the numbers are garbage."""
OLD_RUN_MAX = 64
"""So many old numbers in a row are no repetition: the server counts from somewhere else."""


class SequencePlace(Enum):
    """Where a frame stands in its subscription's sequence."""

    NEXT = "next"
    OLD = "old"
    GAP = "gap"


class Stream:
    """The sequence of one subscription. ``last`` is 0 while any number may come next."""

    __slots__ = ("last", "old_run")

    def __init__(self) -> None:
        self.last = 0
        self.old_run = 0

    def order(self, seq: int) -> SequencePlace:
        """Say where ``seq`` stands, changing nothing."""
        if not self.last or seq == self.last + 1:
            return SequencePlace.NEXT
        if seq <= self.last and self.old_run < OLD_RUN_MAX:
            return SequencePlace.OLD
        return SequencePlace.GAP

    def record(self, seq: int, order: SequencePlace) -> None:
        """Count a frame. After a gap any number may come next: the jump itself may have been a lie."""
        if order is SequencePlace.OLD:
            self.old_run += 1
            return
        self.old_run = 0
        self.last = 0 if order is SequencePlace.GAP else seq


class Streams:
    """All subscriptions of a connection, by ``sid`` (0 where the frames do not carry one)."""

    def __init__(self) -> None:
        self._by_sid: dict[int, Stream] = {}

    def get(self, sid: int) -> Stream:
        """The sequence of a subscription.

        Raises:
            FrameError: when there are more subscriptions than a connection can have.
        """
        stream = self._by_sid.get(sid)
        if stream is None:
            if len(self._by_sid) >= SUBSCRIPTIONS_MAX:
                raise FrameError(f"expected at most {SUBSCRIPTIONS_MAX} subscriptions, was sid {sid}")
            stream = self._by_sid[sid] = Stream()
        return stream

    def clear(self) -> None:
        """A new connection: every sequence starts again."""
        self._by_sid.clear()
