"""What ``why`` needs of the archive: the messages a name stands for, what led to them and what followed.

Only footers are read to find them, and then the blocks that hold them: a day's tape is not unpacked for one order.
"""

from collections.abc import Iterator

from libs.archive.archive import Archive
from libs.archive.segment import Segment
from libs.tape.record import TapeRecord
from libs.view.names import short_id
from proto.ids import parse_message_id
from proto.message import token

FOUND_MAX = 1_000
"""Messages of one name: an order has some ten, a market's decisions are more."""
CAUSES_MAX = 64
FOLLOWING_MAX = 500


def archived_records(archive: Archive, name: str) -> list[TapeRecord]:
    """The archived records that the chain of ``name`` is made of, in order; empty when it is not there.

    Raises:
        ArchiveDamaged: a segment cannot be read.
    """
    found = sorted(_named(archive, name))[-FOUND_MAX:]
    records = {record.seq: record for record in _fetch(archive, found)}
    for seq in found:
        _add_causes(archive, records, seq)
    wanted = list(found)
    for _ in range(FOLLOWING_MAX):
        if not wanted:
            break
        following = [s for s in _caused_by(archive, wanted.pop()) if s not in records]
        records |= {record.seq: record for record in _fetch(archive, following)}
        wanted += following
    return [records[seq] for seq in sorted(records)]


def _named(archive: Archive, name: str) -> Iterator[int]:
    """Sequences of a name: its own, of its message id, or of the subjects that have it as a part."""
    if name.isdecimal() and name.isascii():
        if archive.holds(int(name)):
            yield int(name)
        return
    identity = parse_message_id(name)
    if identity is not None:
        for record in _fetch(archive, _caused_by(archive, identity.cause)):
            if record.message_id == name:
                yield record.seq
        return
    wanted = token(name).casefold()
    for segment in archive.segments:
        for subject, seqs in segment.subjects().items():
            if any(wanted in (part, short_id(part)) for part in subject.casefold().split(".")[2:]):
                yield from seqs


def _caused_by(archive: Archive, cause: int) -> list[int]:
    return [seq for segment in archive.segments if segment.last > cause for seq in segment.caused_by(cause)]


def _fetch(archive: Archive, seqs: list[int]) -> Iterator[TapeRecord]:
    for segment in archive.segments:
        yield from segment.pick(_within(segment, seqs))


def _within(segment: Segment, seqs: list[int]) -> list[int]:
    return sorted(seq for seq in seqs if segment.first <= seq <= segment.last)


def _add_causes(archive: Archive, records: dict[int, TapeRecord], seq: int) -> None:
    for _ in range(CAUSES_MAX):
        cause = records[seq].cause
        if not cause or cause in records:
            return
        record = archive.at(cause)
        if record is None:
            return
        records[cause] = record
        seq = cause
