"""Reading only the kinds that a list is made of: prices, nearly all of a tape, stay at the broker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.contract.codec import Unreadable, decode
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.reader import read_subject
from libs.tape.record import TapeRecord
from proto.feed import FeedClock, Market
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Session
from proto.subjects import TABLE

_PATTERNS: dict[type[Message], str] = {row.model: row.pattern for row in TABLE}

Entry = tuple[TapeRecord, Any]


@dataclass
class Reading:
    """What was read, in the order of the tape, and what part of the tape there is."""

    first_seq: int
    last_seq: int
    entries: list[Entry] = field(default_factory=list)

    @property
    def source(self) -> str:
        """Where the numbers come from, in words."""
        if self.first_seq > 1:
            return (
                f"the tape from sequence {self.first_seq:,}, where it begins, to {self.last_seq:,};"
                " what was before is in the journal"
            )
        return f"the tape to sequence {self.last_seq:,}"


async def read_kinds(link: Link, kinds: Sequence[type[Message]], position: int = 0) -> Reading:
    """The readable messages of some kinds after ``position``, up to now.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    state = await stream_state(link.client)
    reading = Reading(int(state["first_seq"]), int(state["last_seq"]))
    for kind in kinds:
        for record in await read_subject(link, _PATTERNS[kind], position):
            # Kinds are read one after another: what came meanwhile would be there of the later ones only.
            if record.seq <= reading.last_seq and (message := _readable(record)) is not None:
                reading.entries.append((record, message))
    reading.entries.sort(key=lambda entry: entry[0].seq)
    return reading


def _readable(record: TapeRecord) -> Message | None:
    try:
        return decode(record.subject, record.payload)
    except Unreadable:
        return None


async def newest_of(link: Link, subject: str, position: int = 0) -> Any:
    """The newest readable message of a subject after ``position``; ``None`` without one."""
    for record in reversed(await read_subject(link, subject, position)):
        if (message := _readable(record)) is not None:
            return message
    return None


CLOCK_BACK = 5_000
"""Messages looked back for a clock: it ticks once a second, and a busy feed sends a thousand in one."""


async def session_now(link: Link, last_seq: int) -> int:
    """What time it is on the tape, in nanoseconds; 0 before anything says so."""
    found = [await newest_of(link, kind.kind, max(0, last_seq - CLOCK_BACK)) for kind in (Clock, FeedClock)]
    times = [clock.at for clock in found if clock is not None]
    if times:
        return int(max(times))
    sessions = await read_subject(link, Session.kind)
    opened = _readable(sessions[-1]) if sessions else None
    return opened.started_at if isinstance(opened, Session) else 0


async def read_markets(link: Link) -> dict[str, Market]:
    """Every market the tape tells of, as it was told last."""
    reading = await read_kinds(link, (Market,))
    return {message.market: message for _, message in reading.entries}
