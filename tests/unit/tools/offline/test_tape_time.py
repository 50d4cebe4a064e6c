"""The sequence of a time is the one that reading the whole tape would find, after far fewer messages."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import encode
from libs.tape.record import TapeRecord
from proto.feed import Quote
from proto.monitor import Alert, Clock, Severity
from proto.units import SECOND
from tools.offline import tape_time
from tools.offline.tape_time import sequence_at


class MadeTape:
    """A tape in memory from sequence ``first`` on, and how many of its messages were read."""

    def __init__(self, first: int, times: list[int | None]) -> None:
        self.records_read = 0
        self._first = first
        self._times = times

    async def bounds(self) -> tuple[int, int]:
        return self._first, self._first + len(self._times) - 1

    async def records(self, first: int, last: int) -> AsyncIterator[TapeRecord]:
        for seq in range(max(first, self._first), min(last, (await self.bounds())[1]) + 1):
            self.records_read += 1
            yield record_of(seq, self._times[seq - self._first])

    async def first_at(self, at: int) -> int | None:
        """What reading everything finds."""
        async for record in self.records(1, 1 << 60):
            found = tape_time._time_of(record)
            if found is not None and found >= at:
                return record.seq
        return None


def record_of(seq: int, at: int | None) -> TapeRecord:
    if at is None:
        alert = Alert(rule="r", severity=Severity.INFO, topic="t", text="x", active=True)
        return TapeRecord(seq, alert.subject(), {}, encode(alert), seq)
    if seq % 10 == 0:
        return TapeRecord(seq, "monitor.clock", {}, encode(Clock(at=at)), seq)
    if seq % 17 == 0:
        return TapeRecord(seq, "feed.quote.kalshi_m_yes", {}, b"nobody can read it", seq)
    quote = Quote(instrument="kalshi:m:yes", at=at, counter=1)
    return TapeRecord(seq, quote.subject(), {}, encode(quote), seq)


@given(
    first=st.integers(1, 1_000),
    steps=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=200),
    share=st.floats(-0.1, 1.1),
)
def test_it_is_what_reading_everything_finds(first: int, steps: list[tuple[int, bool]], share: float) -> None:
    """Sessions of another time follow one another by jumps; within them many messages share a moment."""
    times: list[int | None] = []
    now = 1_000
    for step, is_timed in steps:
        now += 1_000 * step * step
        times.append(now if is_timed else None)
    tape = MadeTape(first, times)
    asked = 1_000 + round((now - 1_000) * share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape_time, "SCANNED", 8)
        patch.setattr(tape_time, "SLACK", 8)
        assert asyncio.run(sequence_at(tape, asked)) == asyncio.run(tape.first_at(asked))


def test_a_long_tape_is_hardly_read_and_one_wrong_clock_does_not_lead_astray() -> None:
    times: list[int | None] = [number * SECOND for number in range(200_000)]
    # Every hundredth message carries a time of its own.
    for number in range(0, 200_000, 100):
        times[number] = 0
    tape = MadeTape(1, times)
    assert asyncio.run(sequence_at(tape, 123_456 * SECOND)) == 123_457
    assert tape.records_read < 5_000
    assert asyncio.run(sequence_at(tape, 200_000 * SECOND)) is None
