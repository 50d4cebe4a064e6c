"""Reading only the kinds that a list is made of: prices, nearly all of a tape, stay at the broker."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from libs.tape.broker import LOOK_TIMEOUT_S, stream_state
from libs.tape.connection import Link
from libs.tape.reader import read_subject
from libs.tape.record import TapeRecord
from libs.view.moment import moment
from proto.feed import FeedClock, Market
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Session
from proto.subjects import TABLE

_PATTERNS: dict[type[Message], str] = {row.model: row.pattern for row in TABLE}

Entry = tuple[TapeRecord, Any]


@dataclass
class Reading:
    """What was read, in the order of the tape, and what part of the tape there is. ``began_at`` in ns, 0: not known."""

    first_seq: int
    last_seq: int
    began_at: int = 0
    entries: list[Entry] = field(default_factory=list)

    @property
    def source(self) -> str:
        """Where the numbers come from, in words."""
        if self.first_seq > 1:
            since = f" ({moment(self.began_at)[:16]} UTC)" if self.began_at else ""
            return (
                f"the tape from sequence {self.first_seq:,}{since}, where it begins, to {self.last_seq:,};"
                " what was before is in the journal"
            )
        return f"the tape to sequence {self.last_seq:,}"


async def read_kinds(history: History, kinds: Sequence[type[Message]], position: int = 0) -> Reading:
    """The readable messages of some kinds after ``position``, up to now: of archive and window as one.

    Raises:
        BrokerUnavailable: the broker did not answer.
        ArchiveDamaged: a segment cannot be read.
    """
    first, last = await history.bounds()
    reading = Reading(first, last)
    if first > 1 and (oldest := await history.at(first)) is not None:
        reading.began_at = oldest.stored_at_ns
    # Behind a hole of the archive nothing adds up: what is read is what ``source`` says.
    records = await history.read_subjects([_PATTERNS[kind] for kind in kinds], max(position, first - 1))
    _keep_readable(reading, records)
    return reading


async def read_window(link: Link, kinds: Sequence[type[Message]], position: int = 0) -> Reading:
    """The same of the broker's window alone, for what is never older than hours.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    state = await stream_state(link.client, timeout_s=LOOK_TIMEOUT_S)
    reading = Reading(int(state["first_seq"]), int(state["last_seq"]))
    records: list[TapeRecord] = []
    for kind in kinds:
        records += await read_subject(link, _PATTERNS[kind], position)
    _keep_readable(reading, sorted(records, key=lambda record: record.seq))
    return reading


def _keep_readable(reading: Reading, records: Iterable[TapeRecord]) -> None:
    """Kinds are read one after another: what came meanwhile would be there of the later ones only."""
    for record in records:
        if record.seq <= reading.last_seq and (message := _readable(record)) is not None:
            reading.entries.append((record, message))


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


async def read_markets(history: History) -> dict[str, Market]:
    """Every market the tape tells of, as it was told last."""
    reading = await read_kinds(history, (Market,))
    return {message.market: message for _, message in reading.entries}
