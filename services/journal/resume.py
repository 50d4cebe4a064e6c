"""Where journal and tape agree: after a crash of the broker the tape may have lost its tail.

Both are line-like histories, so one record that is the same on both sides vouches for all before it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from libs.tape.record import TapeRecord
from services.journal.rows import Chain, Content, content_of, is_kept

SPAN_FIRST = 256
"""Records compared at first: almost always the last few agree."""
SPAN_GROWTH = 4
WALK_BACK_MAX = 200_000
"""Records compared before the tape counts as another one: a lost tail is a second or two of traffic."""

Reader = Callable[[int, int], Awaitable[Sequence[TapeRecord]]]
Contents = Callable[[int, int], Awaitable[Mapping[int, Content]]]


class Meeting(NamedTuple):
    """``agreed`` is the last sequence that is the same on both sides; ``None``: none was found.

    ``compared`` says whether there was anything to compare at all.
    """

    agreed: int | None
    compared: bool


def is_same(record: TapeRecord, stored: Content | None) -> bool:
    """Whether the journal holds for this record what it should: its content, or nothing if it is left out."""
    return stored == (content_of(record) if is_kept(record.subject) else None)


def first_difference(records: Sequence[TapeRecord], stored: Mapping[int, Content]) -> int | None:
    """The sequence from which ``records`` are another history than ``stored``; ``None`` if they are not.

    A difference that is followed by an agreement is not another history but a damaged row, which is
    for ``verify`` to report.
    """
    first: int | None = None
    for record in records:
        if not is_same(record, stored.get(record.seq)):
            first = record.seq if first is None else first
        elif record.seq in stored:
            first = None
    return first


async def seek_meeting(
    chain: Chain, first_seq: int, last_seq: int, reader: Reader, contents: Contents
) -> Meeting:
    """Walk back from the end, in growing spans, to the last record that is the same on both sides."""
    upper = min(chain.known_to, last_seq)
    lowest = max(first_seq, upper - WALK_BACK_MAX)
    span, compared = SPAN_FIRST, False
    while upper >= lowest:
        lower = max(lowest, upper - span + 1)
        stored = await contents(lower, upper)
        if stored:
            compared = True
            for record in reversed(await reader(lower, upper)):
                if record.seq in stored and is_same(record, stored[record.seq]):
                    return Meeting(record.seq, compared)
        upper = lower - 1
        span *= SPAN_GROWTH
    return Meeting(None, compared)
