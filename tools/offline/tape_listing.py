"""Messages of a tape as a list: the newest that are wanted, and those that follow."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from libs.archive.archive import subject_matches
from libs.archive.history import GONE_S, READ_WAIT_S, History
from libs.archive.segment import PRICES
from libs.contract.codec import Unreadable, decode
from libs.contract.plain import to_document
from libs.tape.errors import BrokerUnavailable
from libs.tape.reader import REST_S
from libs.tape.record import BUILD_HEADER, KEY_ID_HEADER, TapeRecord
from libs.view.names import short_id
from proto.message import Message
from proto.subjects import TABLE

CHUNK = 2_000
"""Messages that are looked through first, from the end; the next stretch before them is twice as long."""
CHUNK_MAX = 200_000
"""And so on up to this: what is wanted of a stretch is held in memory until it was read."""

OfMarket = Callable[[str, str], bool]
"""Whether a market and an instrument of it are wanted."""

ORDER_PATTERNS = tuple(row.pattern for row in TABLE if "order" in row.model.model_fields)
"""Subjects of messages that name an order; no prices are among them."""


class Listed(NamedTuple):
    """A message of the list; ``message`` is ``None`` where it cannot be read, and ``reason`` says why."""

    record: TapeRecord
    message: Message | None
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """As plain data; times in nanoseconds, ``stored_at`` the broker's own."""
        record = self.record
        document: dict[str, Any] = {
            "seq": record.seq,
            "subject": record.subject,
            "stored_at": record.stored_at_ns,
            "at": getattr(self.message, "at", None),
            "message_id": record.message_id,
            "cause": record.cause or None,
            "root": record.root or None,
            "build": record.headers.get(BUILD_HEADER, ""),
            "signed_by": record.headers.get(KEY_ID_HEADER, ""),
            "bytes": len(record.payload),
        }
        if self.message is None:
            return document | {"payload": None, "unreadable": self.reason}
        return document | {"payload": to_document(self.message)}


class Wanted(NamedTuple):
    """Which messages: of one of these subjects (patterns; all without), of a market, of an order."""

    subjects: tuple[str, ...] = ()
    order: str = ""
    of_market: OfMarket | None = None

    def listed(self, record: TapeRecord) -> Listed | None:
        """The message, decoded; ``None`` when it is not wanted. What cannot be read belongs to no market or order."""
        if self.subjects and not any(subject_matches(pattern, record.subject) for pattern in self.subjects):
            return None
        try:
            message = decode(record.subject, record.payload)
        except Unreadable as e:
            return None if self.order or self.of_market else Listed(record, None, str(e))
        if self.order and self.order not in _names_of_order(message):
            return None
        if self.of_market is not None and not self._is_of_market(message):
            return None
        return Listed(record, message)

    def _is_of_market(self, message: Message) -> bool:
        assert self.of_market is not None
        instrument = getattr(message, "instrument", "")
        market = getattr(message, "market", "") or instrument.rpartition(":")[0]
        return bool(market or instrument) and self.of_market(market, instrument)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Subjects that the broker can be asked for by themselves; empty when prices may be wanted."""
        subjects = self.subjects or (ORDER_PATTERNS if self.order else ())
        return () if any(_has_prices(pattern) for pattern in subjects) else subjects


def _names_of_order(message: Message) -> tuple[str, ...]:
    order = getattr(message, "order", "")
    return (order, short_id(order)) if order else ()


def _has_prices(pattern: str) -> bool:
    """Whether a pattern may be one of prices or clocks, nearly all of a tape, which are read in order alone."""
    tokens = pattern.split(".")
    for beginning in PRICES:
        for wanted, token in zip(tokens, beginning.rstrip(".").split("."), strict=False):
            if wanted == ">":
                return True
            if wanted not in ("*", token):
                break
        else:
            return True
    return False


async def newest(history: History, wanted: Wanted, window: tuple[int, int], limit: int) -> list[Listed]:
    """The newest wanted messages between two sequences (both in it), in order; ``limit`` 0: all of them.

    Raises:
        BrokerUnavailable: the broker did not answer.
        ArchiveDamaged: a segment cannot be read.
        TapeGap: the tape moved on while it was read, and the archive does not hold what is missing.
    """
    first, last = window
    if wanted.patterns:
        records = await history.read_subjects(wanted.patterns, first - 1)
        found = _listed({record.seq: record for record in records if record.seq <= last}.values(), wanted)
        return found[-limit:] if limit else found
    found, end, size = [], last, CHUNK
    while end >= first and (not limit or len(found) < limit):
        begin = max(first, end - size + 1)
        found = _listed([record async for record in history.records(begin, end)], wanted) + found
        end, size = begin - 1, min(2 * size, CHUNK_MAX)
    return found[-limit:] if limit else found


def _listed(records: Iterable[TapeRecord], wanted: Wanted) -> list[Listed]:
    ordered: Sequence[TapeRecord] = sorted(records, key=lambda record: record.seq)
    return [listed for record in ordered if (listed := wanted.listed(record)) is not None]


async def following(history: History, position: int, wanted: Wanted) -> AsyncIterator[Listed]:
    """Wanted messages after a sequence, as they come, without an end.

    Raises:
        BrokerUnavailable: the broker is gone.
    """
    reader = history.reader(position, rest_s=REST_S)
    try:
        while True:
            if history.link.away_s() > GONE_S:
                raise BrokerUnavailable(f"expected the tape to go on after {reader.position}, was no broker")
            for record in await reader.next_batch(READ_WAIT_S):
                if (listed := wanted.listed(record)) is not None:
                    yield listed
    finally:
        await reader.close()
