"""Where a tape reaches a time of its session, found by halving: a few blocks are read, however long the tape is."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from statistics import median_low
from typing import Protocol

from libs.contract.codec import Unreadable, decode
from libs.tape.record import TapeRecord
from proto.feed import Book, FeedClock, Quote, Trade
from proto.monitor import Clock
from proto.subjects import model_of
from tools.exit_codes import UsageError

SCANNED = 2_000
"""Messages that are read one by one in the end: half a minute of a usual feed, a block of the archive."""
SLACK = 2_000
"""And so many before them: what comes together is not in the order of its times to the message."""
SAMPLES = 5
"""Of one place: a single message may carry any time."""
_TIMED = frozenset((Quote, Book, Trade, FeedClock, Clock))
"""Kinds by which machines know what time it is."""


class ReadableTape(Protocol):
    """What is asked of a tape (``libs.archive.history.History``)."""

    async def bounds(self) -> tuple[int, int]:
        """The first and the last sequence."""

    def records(self, first: int, last: int) -> AsyncIterator[TapeRecord]:
        """The records of a stretch, in order."""


async def sequence_at(tape: ReadableTape, at_ns: int) -> int | None:
    """The first message of a session's time ``at_ns`` or later; ``None`` when the tape does not reach it.

    Times rise along a tape: a recording is refused on one that is later already.

    Raises:
        BrokerUnavailable: the broker is gone.
        ArchiveDamaged: a segment cannot be read.
    """
    first, last = await tape.bounds()
    low, high = first, last
    while high - low > SCANNED:
        middle = (low + high) // 2
        time = await _time_at(tape, middle, high)
        if time is None or time >= at_ns:
            high = middle
        else:
            low = middle
    async for record in tape.records(max(first, low - SLACK), last):
        time = _time_of(record)
        if time is not None and time >= at_ns:
            return record.seq
    return None


async def boundary(tape: ReadableTape, text: str, default: int) -> int:
    """An end of a stretch as a user writes it: a sequence, or a UTC time of the session; ``default`` for nothing.

    Raises:
        UsageError: it is neither.
    """
    if not text:
        return default
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as e:
        raise UsageError(f"expected a sequence or a UTC time, was {text!r}") from e
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    found = await sequence_at(tape, int(moment.timestamp() * 1e9))
    return found if found is not None else (await tape.bounds())[1] + 1


async def _time_at(tape: ReadableTape, seq: int, end: int) -> int | None:
    """What time it is behind a sequence, by the first messages that say so; ``None`` when none does up to ``end``."""
    found: list[int] = []
    async for record in tape.records(seq, end):
        time = _time_of(record)
        if time is not None:
            found.append(time)
            if len(found) == SAMPLES:
                break
    return median_low(found) if found else None


def _time_of(record: TapeRecord) -> int | None:
    if model_of(record.subject) not in _TIMED:
        return None
    try:
        message = decode(record.subject, record.payload)
    except Unreadable:
        return None
    return getattr(message, "at", None)
