"""A recording as the messages the feed would have published, with its clock."""

from collections.abc import Iterator

from libs.bounded import cut
from proto.feed import FeedClock, Played
from proto.message import Message
from proto.units import SECOND
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.recording.frame_files import FrameRecording
from services.feed.recording.recording import Recording

CLOCKS_MAX = 60
"""Silent seconds told one by one; a longer silence is skipped but for its last minute."""


def play(
    recording: Recording | FrameRecording, normalisers: Normalisers | None = None
) -> Iterator[Message | DeadFrame]:
    """Yield a recording's messages in order, a ``FeedClock`` at each new second, ``Played`` at the end.

    ``at`` never goes backwards. The same recording gives the same messages, always. The caller counts
    and reports the dead frames; ``normalisers`` may be given to read its counters afterwards. Where the
    recording tells of the passing of time itself, that alone moves what waits for its turn.
    """
    normalisers = normalisers or Normalisers()
    at = second = 0
    for frame in recording.frames():
        at = max(at, frame.at)
        if at >= (second + 1) * SECOND:
            if second:
                yield from _pass_time(None if recording.ticked else normalisers, second, at // SECOND)
            second = at // SECOND
        if isinstance(frame, DeadFrame):
            yield normalisers.count_lost(frame)
            continue
        result = normalisers.read(frame)
        if isinstance(result, DeadFrame):
            yield result
        else:
            yield from result
    yield Played(recording=cut(recording.name, 200), at=at, frames=normalisers.frames, dead=normalisers.dead)


def _pass_time(normalisers: Normalisers | None, before: int, now: int) -> Iterator[Message]:
    """The clock from one second to another, and what time alone brings at each."""
    for second in range(max(before + 1, now - CLOCKS_MAX + 1), now + 1):
        yield FeedClock(at=second * SECOND)
        if normalisers is not None:
            yield from normalisers.tick(second * SECOND)
