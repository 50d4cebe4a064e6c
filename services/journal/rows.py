"""From a record of the tape to a row of the journal, and the hash chain over the rows. Pure."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from libs.contract.codec import Unreadable, decode
from libs.contract.plain import to_json
from libs.tape.record import BUILD_HEADER, KEY_ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.ids import parse_message_id
from proto.message import Message
from proto.subjects import TABLE

LEFT_OUT = ("feed.quote", "feed.book", "feed.clock", "monitor.clock")
"""Kinds that stay on the tape alone: prices by the thousand, and clocks, which decide nothing themselves."""

HEADER_CHARS_MAX = 600
KIND_CHARS_MAX = 120
"""Ours are far shorter; a foreign message must not exceed an index entry (2,704 bytes, four a character)."""
BIGINT_MAX = 2**63 - 1
REFUSED = "the database refused its decoded form"
"""Why a row that can be read has no body: a value that PostgreSQL does not take."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400 * 1_000_000_000
_AT_NS_MAX = 253_402_300_799 * 1_000_000_000
"""The last second of the year 9999: later ones do not fit a timestamp."""

_pack = msgspec.msgpack.Encoder().encode


class Row(NamedTuple):
    """One row of ``journal.entry``; the fields are its columns, in their order."""

    epoch: int
    seq: int
    day: date
    n: int
    stored_at: datetime
    stored_ns: int
    at: datetime | None
    kind: str
    subject: str
    message_id: str
    producer: str
    cause: int | None
    root: int | None
    build: str
    signature: str
    key_id: str
    order_id: str | None
    market: str | None
    strategy: str | None
    payload: bytes
    body: str | None
    unreadable: str | None
    prev_seq: int
    prev_hash: bytes
    hash: bytes


COLUMNS = Row._fields


class Content(NamedTuple):
    """What the hash covers besides the hash before it: the record as the tape gave it."""

    seq: int
    stored_ns: int
    subject: str
    message_id: str
    cause: int | None
    root: int | None
    build: str
    signature: str
    key_id: str
    payload: bytes


class Reading(NamedTuple):
    """What a payload says, by the message classes of this build."""

    kind: str
    producer: str
    at: datetime | None
    order_id: str | None
    market: str | None
    strategy: str | None
    body: str | None
    unreadable: str | None


class Chain(msgspec.Struct):
    """The end of the chain of one epoch: the next row goes after it.

    ``position`` may be beyond ``last_seq``: records that are left out move it too. ``head`` is the last
    row's hash; ``n`` counts the rows of ``day``; ``day_genesis`` is the head before the day's first row.
    """

    epoch: int
    run: int
    tape: str
    from_seq: int
    position: int
    head: bytes
    day: date = date.min
    day_genesis: bytes = b""
    day_first_seq: int = 0
    n: int = 0
    last_seq: int = 0

    @property
    def known_to(self) -> int:
        """Last sequence for which journal and tape can be compared."""
        return max(self.last_seq, self.from_seq - 1)

    def copy(self) -> "Chain":
        return msgspec.structs.replace(self)


def is_kept(subject: str) -> bool:
    """Whether the journal keeps messages of this subject."""
    return not subject.startswith(LEFT_OUT) or kind_of(subject) not in LEFT_OUT


def kind_of(subject: str) -> str:
    """The first two tokens: producer and noun."""
    return ".".join(subject.split(".", 2)[:2])[:KIND_CHARS_MAX]


def genesis(epoch: int, tape: str, from_seq: int) -> bytes:
    """Where an epoch's chain begins."""
    return hashlib.sha256(_pack(("presage.journal.1", epoch, tape, from_seq))).digest()


def row_hash(prev_hash: bytes, prev_seq: int, n: int, content: Content, refused: bool = False) -> bytes:
    """sha256 over the previous hash and the row's place and content, unambiguously packed (msgpack).

    ``refused`` is part of it, or a readable row could be hidden from the views by saying so.
    """
    place = (prev_seq, n, content, True) if refused else (prev_seq, n, content)
    return hashlib.sha256(prev_hash + _pack(place)).digest()


def text_of(text: str) -> str:
    """Text that PostgreSQL can hold: control characters (NUL above all) and lone surrogates are replaced."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def header_of(text: str) -> str:
    """A header's text, cut to what an index entry can hold."""
    return text_of(text[:HEADER_CHARS_MAX])


def content_of(record: TapeRecord) -> Content:
    """The part of a record the journal vouches for."""
    headers = record.headers
    cause, root = record.cause, record.root
    return Content(
        record.seq,
        record.stored_at_ns,
        text_of(record.subject),
        header_of(record.message_id),
        cause if 0 < cause <= BIGINT_MAX else None,
        root if 0 < root <= BIGINT_MAX else None,
        header_of(headers.get(BUILD_HEADER, "")),
        header_of(headers.get(SIGNATURE_HEADER, "")),
        header_of(headers.get(KEY_ID_HEADER, "")),
        record.payload,
    )


def read(subject: str, message_id: str, payload: bytes) -> Reading:
    """Decode a payload for the columns an operator queries; what cannot be read is kept with the reason."""
    kind = kind_of(subject)
    identity = parse_message_id(message_id)
    producer = identity.producer if identity is not None else kind.partition(".")[0]
    try:
        message = decode(subject, payload)
        body = to_json(message).decode()
    # msgspec says TypeError or ValueError for what JSON cannot say (a free-form document's odd keys).
    except (Unreadable, TypeError, ValueError, OverflowError, RecursionError) as e:
        return Reading(kind, producer, None, None, None, None, None, text_of(str(e))[:300])
    if "\\u0000" in body:
        body = body.replace("\\u0000", "\\ufffd")
    order, market, strategy, at = _columns(message)
    return Reading(kind, producer, at, order, market, strategy, body, None)


_HAS: dict[type[Message], tuple[bool, bool, bool, bool]] = {
    row.model: (
        "order" in row.model.model_fields,
        "market" in row.model.model_fields,
        "strategy" in row.model.model_fields,
        "at" in row.model.model_fields,
    )
    for row in TABLE
}


def _columns(message: Any) -> tuple[str | None, str | None, str | None, datetime | None]:
    has_order, has_market, has_strategy, has_at = _HAS[type(message)]
    return (
        text_of(message.order) or None if has_order else None,
        text_of(message.market) if has_market else None,
        text_of(message.strategy) if has_strategy else None,
        _moment(message.at) if has_at and message.at else None,
    )


def _moment(at_ns: int) -> datetime | None:
    if at_ns > _AT_NS_MAX:
        return None
    return _EPOCH + timedelta(microseconds=at_ns // 1000)


def _stored_at(stored_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=stored_ns // 1000)


def _day(stored_ns: int) -> date:
    return _EPOCH.date() + timedelta(days=stored_ns // _DAY_NS)


class DayEnd(NamedTuple):
    """The row of ``journal.day`` after a batch."""

    epoch: int
    day: date
    first_seq: int
    last_seq: int
    rows: int
    genesis: bytes
    head: bytes


def extend(
    chain: Chain, records: Iterable[TapeRecord], refused: bool = False
) -> tuple[list[Row], list[DayEnd]]:
    """Rows for ``records`` (kept ones, in rising sequence), moving ``chain`` to the last of them.

    A row's day is the UTC day of its ``stored_at``, but never earlier than the chain's: the broker's
    clock may be set back, the chain only goes forward. ``refused``: the database could not take the decoded form, do without it.
    """
    rows: list[Row] = []
    ends: dict[date, DayEnd] = {}
    day, day_start_ns, day_end_ns = chain.day, 0, 0
    for record in records:
        stored_ns = record.stored_at_ns
        if not day_start_ns <= stored_ns < day_end_ns:
            day = max(_day(stored_ns), chain.day)
            day_start_ns = stored_ns // _DAY_NS * _DAY_NS
            day_end_ns = day_start_ns + _DAY_NS
        if day != chain.day:
            _record_end(chain, ends)
            chain.day, chain.n, chain.day_first_seq = day, 0, record.seq
            chain.day_genesis = chain.head
        rows.append(_next_row(chain, record, refused))
    _record_end(chain, ends)
    return rows, list(ends.values())


def _record_end(chain: Chain, ends: dict[date, DayEnd]) -> None:
    if chain.n:
        ends[chain.day] = DayEnd(
            chain.epoch,
            chain.day,
            chain.day_first_seq,
            chain.last_seq,
            chain.n,
            chain.day_genesis,
            chain.head,
        )


def _next_row(chain: Chain, record: TapeRecord, refused: bool) -> Row:
    content = content_of(record)
    reading = read(content.subject, content.message_id, content.payload)
    if refused:
        reading = _refused(reading)
    prev_seq, prev_hash = chain.last_seq, chain.head
    chain.n += 1
    chain.head = row_hash(prev_hash, prev_seq, chain.n, content, refused)
    chain.last_seq = record.seq
    return Row(
        chain.epoch,
        content.seq,
        chain.day,
        chain.n,
        _stored_at(content.stored_ns),
        content.stored_ns,
        reading.at,
        reading.kind,
        content.subject,
        content.message_id,
        reading.producer,
        content.cause,
        content.root,
        content.build,
        content.signature,
        content.key_id,
        reading.order_id,
        reading.market,
        reading.strategy,
        content.payload,
        reading.body,
        reading.unreadable,
        prev_seq,
        prev_hash,
        chain.head,
    )


def _refused(reading: Reading) -> Reading:
    return Reading(reading.kind, reading.producer, None, None, None, None, None, REFUSED)


def is_refused(row: Row) -> bool:
    """Whether the database would not take the row's decoded form."""
    return row.unreadable == REFUSED


def columns_of(row: Row) -> dict[str, Any]:
    """The columns that follow from a row's content, by name."""
    reading = read(row.subject, row.message_id, row.payload)
    if is_refused(row):
        reading = _refused(reading)
    return {**reading._asdict(), "stored_at": _stored_at(row.stored_ns), "day": _day(row.stored_ns)}
