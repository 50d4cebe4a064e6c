"""The feed's output: raw frames in, messages on the tape, dead frames kept for the monitor."""

import time
from collections import deque
from collections.abc import Iterable, Sequence

from libs.venues.frame import RawFrame
from proto.message import Message
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.publish import FeedPublisher

DEAD_REPORTED_MAX = 50
"""Dead frames in one report to the monitor; the rest only count."""
DEAD_KEPT_MAX = 1_000
"""Dead frames that wait for a report. A venue that sends nothing readable must not fill the memory."""
TICK_S = 0.1
"""Books held back by conflation go out ten times a second even when no frame comes."""


class FeedOutput:
    """Normalises frames and publishes what they say, in order."""

    def __init__(self, publisher: FeedPublisher) -> None:
        self.publisher = publisher
        self.normalisers = Normalisers()
        self.dead = 0
        self._dead_waiting: deque[DeadFrame] = deque(maxlen=DEAD_KEPT_MAX)
        self._retries_seen = 0

    @property
    def dead_waiting(self) -> int:
        """Dead frames that no report has named yet."""
        return len(self._dead_waiting)

    def keep_dead(self, dead: DeadFrame) -> None:
        """Count a dead frame and keep it for the next report."""
        self.dead += 1
        self._dead_waiting.append(dead)

    def next_dead(self) -> list[DeadFrame]:
        """Take the oldest dead frames for a report; ``return_dead`` puts them back when it was lost."""
        return [self._dead_waiting.popleft() for _ in range(min(DEAD_REPORTED_MAX, len(self._dead_waiting)))]

    def return_dead(self, frames: list[DeadFrame]) -> None:
        """Put dead frames back whose report did not leave."""
        self._dead_waiting.extendleft(reversed(frames))

    def normalise(self, frame: RawFrame) -> Sequence[Message]:
        """The messages of one frame; none of a dead one."""
        result = self.normalisers.read(frame)
        if isinstance(result, DeadFrame):
            self.keep_dead(result)
            return ()
        return result

    async def publish(self, messages: Iterable[Message]) -> bool:
        """Publish in order; whether the broker had to be asked again, so that books on the tape are old."""
        for message in messages:
            await self.publisher.publish(message)
        was_late = self.publisher.retries != self._retries_seen
        self._retries_seen = self.publisher.retries
        return was_late

    async def publish_fresh(self, messages: Iterable[Message]) -> None:
        """Publish in order, and whole books after a time in which the broker was away."""
        if await self.publish(messages):
            await self.publish(self.normalisers.resend(time.time_ns()))

    async def publish_frame(self, frame: RawFrame) -> None:
        """Normalise and publish one frame."""
        messages = self.normalise(frame)
        if messages:
            await self.publish_fresh(messages)
