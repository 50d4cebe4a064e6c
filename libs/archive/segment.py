"""One segment: a stretch of the tape in a file, written once, sealed by a hash, chained to the segment before.

::

    header    magic | length | msgpack {tape, first, previous}
    blocks    each a zstd frame of some thousand rows, which are msgpack [seq, stored_at, subject, headers, payload];
              prices and clocks, which are nearly all of a tape, have blocks of their own
    footer    zstd of msgpack {last, rows, first_at, last_at, blocks: [[offset, first seq]…], facts: [block…],
              subjects: {subject: [seq…]}, causes: {cause: [seq…]}}
    end       offset of the footer | sha256 of everything before | magic

``facts`` are the blocks without prices and clocks; ``subjects`` and ``causes`` have every message in them, so that an
order's messages and what followed from them are found without reading the rest. Segments of an earlier build have both
in the same blocks. A file has its name only when it is whole and on the disk.
"""

import hashlib
import os
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import zstandard

from libs.tape.record import TapeRecord

MAGIC = b"PRSGSEG2"
MAGICS = (b"PRSGSEG1", MAGIC)
"""The first is an earlier build's."""
LEVEL = 6
"""Of zstd. docs/concepts/record.md has what each level costs and saves."""
BLOCK_ROWS = 2_000
"""Read together: to fetch one message a block is unpacked, which takes some milliseconds."""
BLOCK_BYTES_MAX = 256 << 20
"""Of an unpacked block or footer. A larger one is not ours."""
PRICES = ("feed.quote.", "feed.book.", "feed.trade.", "feed.candle.", "feed.clock", "monitor.clock")
"""Beginnings of subjects. Nearly all of a tape; they are found by their sequence alone."""

_END = struct.Struct("<Q32s8s")
_LENGTH = struct.Struct("<I")
_pack = msgspec.msgpack.Encoder().encode


class ArchiveDamaged(Exception):
    """A segment is not as it was written."""


class _Header(msgspec.Struct, frozen=True):
    tape: str
    first: int
    previous: str


class _Footer(msgspec.Struct, frozen=True):
    last: int
    rows: int
    first_at: int
    last_at: int
    blocks: list[tuple[int, int]]
    subjects: dict[str, list[int]]
    causes: dict[int, list[int]]
    facts: list[int] | None = None


class _Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    seq: int
    stored_at: int
    subject: str
    headers: dict[str, str]
    payload: bytes


_rows = msgspec.msgpack.Decoder(list[_Row])
_seq_of = attrgetter("seq")


class SegmentInfo(NamedTuple):
    """What a segment says of itself. Times are nanoseconds, hashes hexadecimal."""

    tape: str
    first: int
    last: int
    rows: int
    first_at: int
    last_at: int
    previous: str
    digest: str
    size: int


def segment_name(first: int, last: int) -> str:
    """The file's name; sorted by name, segments are in order."""
    return f"{first:016d}-{last:016d}.segment"


class SegmentWriter:
    """Writes one segment; it is there once ``seal`` has returned, and nothing is there before.

    ``previous`` is the hash of the segment before, empty for the first one.
    """

    def __init__(self, folder: Path, tape: str, previous: str, level: int = LEVEL) -> None:
        self._path = path = folder / f"{os.getpid()}.new"
        self._header = (tape, previous)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._hash = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(level=level)
        self._offset = 0
        self._prices: list[_Row] = []
        self._facts: list[_Row] = []
        self._blocks: list[tuple[int, int]] = []
        self._fact_blocks: list[int] = []
        self._subjects: dict[str, list[int]] = {}
        self._causes: dict[int, list[int]] = {}
        self._first = self._last = self._first_at = self._last_at = 0

    def add_all(self, records: Iterable[TapeRecord]) -> None:
        """Add records; each must follow the one before.

        Raises:
            ValueError: one is missing.
            OSError: the disk refused it.
        """
        for record in records:
            self._add(record)

    def _add(self, record: TapeRecord) -> None:
        if not self._first:
            self._first, self._first_at = record.seq, record.stored_at_ns
            tape, previous = self._header
            header = _pack(_Header(tape, record.seq, previous))
            self._write(MAGIC + _LENGTH.pack(len(header)) + header)
        elif record.seq != self._last + 1:
            raise ValueError(f"expected sequence {self._last + 1}, was {record.seq}")
        self._last, self._last_at = record.seq, record.stored_at_ns
        row = _Row(record.seq, record.stored_at_ns, record.subject, record.headers, record.payload)
        if record.subject.startswith(PRICES):
            self._prices.append(row)
        else:
            self._facts.append(row)
            self._subjects.setdefault(record.subject, []).append(record.seq)
            self._causes.setdefault(record.cause, []).append(record.seq)
        if len(self._prices) >= BLOCK_ROWS:
            self._end_prices()
        if len(self._facts) >= BLOCK_ROWS:
            self._end_facts()

    def _end_prices(self) -> None:
        self._end_block(self._prices)
        self._prices = []

    def _end_facts(self) -> None:
        self._fact_blocks.append(len(self._blocks))
        self._end_block(self._facts)
        self._facts = []

    def _end_block(self, rows: list[_Row]) -> None:
        self._blocks.append((self._offset, rows[0].seq))
        self._write(self._compressor.compress(_pack(rows)))

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)
        self._offset += len(content)

    def seal(self) -> Path:
        """Make it whole, on the disk, and give it its name.

        Raises:
            ValueError: there is no record in it.
            OSError: the disk refused it.
        """
        if not self._first:
            raise ValueError("expected records, was none")
        if self._prices:
            self._end_prices()
        if self._facts:
            self._end_facts()
        footer = _Footer(
            self._last,
            self._last - self._first + 1,
            self._first_at,
            self._last_at,
            self._blocks,
            self._subjects,
            self._causes,
            self._fact_blocks,
        )
        at = self._offset
        self._write(self._compressor.compress(_pack(footer)))
        self._file.write(_END.pack(at, self._hash.digest(), MAGIC))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        path = self._path.with_name(segment_name(self._first, self._last))
        self._path.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return path

    def abandon(self) -> None:
        """Leave nothing behind; harmless once it is sealed."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Segment:
    """A sealed segment. Reading takes no more memory than its footer and one block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        first, _, last = path.stem.partition("-")
        self.first, self.last = int(first), int(last)

    @cached_property
    def info(self) -> SegmentInfo:
        """What it says of itself, as far as its end and its header are whole.

        Raises:
            ArchiveDamaged: they are not.
        """
        header, footer = self._header, self._footer
        self.forget()
        return SegmentInfo(
            header.tape,
            header.first,
            footer.last,
            footer.rows,
            footer.first_at,
            footer.last_at,
            header.previous,
            self._end[1].hex(),
            self.path.stat().st_size,
        )

    @cached_property
    def _end(self) -> tuple[int, bytes]:
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < _END.size:
                raise self._damaged(f"expected at least {_END.size} bytes, was {size}")
            file.seek(size - _END.size)
            offset, digest, magic = _END.unpack(file.read())
        if magic not in MAGICS or offset > size - _END.size:
            raise self._damaged("expected a sealed end, was something else")
        return offset, digest

    @cached_property
    def _header(self) -> _Header:
        with self.path.open("rb") as file:
            head = file.read(len(MAGIC) + _LENGTH.size)
            if head[: len(MAGIC)] not in MAGICS:
                raise self._damaged("expected a segment, was something else")
            if len(head) < len(MAGIC) + _LENGTH.size:
                raise self._damaged("expected a header, was a cut one")
            (length,) = _LENGTH.unpack(head[len(MAGIC) :])
            found: _Header = self._decoded(file.read(min(length, 1 << 16)), _Header)
            return found

    @cached_property
    def _footer(self) -> _Footer:
        offset = self._end[0]
        packed = self._bytes(offset, self.path.stat().st_size - _END.size)
        found: _Footer = self._decoded(self._unpacked(packed), _Footer)
        return found

    def _bytes(self, start: int, end: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def _unpacked(self, packed: bytes) -> bytes:
        try:
            return zstandard.ZstdDecompressor().decompress(packed, max_output_size=BLOCK_BYTES_MAX)
        except zstandard.ZstdError as e:
            raise self._damaged(f"expected a block as it was written, was {e}") from e

    def _decoded(self, content: bytes, kind: Any) -> Any:
        try:
            return msgspec.msgpack.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise self._damaged(f"expected {kind.__name__.strip('_').lower()}, was {e}") from e

    def _damaged(self, text: str) -> ArchiveDamaged:
        return ArchiveDamaged(f"{self.path.name}: {text}")

    def records(self, first: int = 0, last: int | None = None) -> Iterator[TapeRecord]:
        """Its records from ``first`` to ``last``, in order.

        Raises:
            ArchiveDamaged: a block cannot be read.
        """
        last = self.last if last is None else last
        both = [self._rows_from(family, first) for family in self._families() if family]
        rows = both[0] if len(both) == 1 else merge(*both, key=_seq_of)
        for row in rows:
            if row.seq > last:
                return
            if row.seq >= first:
                yield TapeRecord(row.seq, row.subject, row.headers, row.payload, row.stored_at)

    def _families(self) -> tuple[list[int], list[int]]:
        """The blocks of prices, and those of facts; in an earlier build's segment all are in the second."""
        every = range(len(self._footer.blocks))
        facts = self._footer.facts
        if facts is None:
            return [], list(every)
        of_facts = set(facts)
        return [block for block in every if block not in of_facts], facts

    def _rows_from(self, family: Sequence[int], seq: int) -> Iterator[_Row]:
        """The rows of some rising blocks, from the block on that would hold ``seq``."""
        blocks = self._footer.blocks
        at = max(0, bisect_right(family, seq, key=lambda block: blocks[block][1]) - 1)
        for block in family[at:]:
            yield from self._rows_of(block)

    def pick(self, seqs: Sequence[int]) -> list[TapeRecord]:
        """The records of some sequences, in order; each block is unpacked once.

        Raises:
            ArchiveDamaged: a block cannot be read.
        """
        wanted, blocks = set(seqs), self._footer.blocks
        found: dict[int, TapeRecord] = {}
        # An order's messages are facts: the prices are looked at for what is not found there.
        for family in reversed(self._families()):
            left = sorted(wanted - found.keys())
            firsts = [blocks[block][1] for block in family]
            for at in sorted({bisect_right(firsts, seq) - 1 for seq in left} - {-1}):
                for row in self._rows_of(family[at]):
                    if row.seq in wanted:
                        found[row.seq] = TapeRecord(
                            row.seq, row.subject, row.headers, row.payload, row.stored_at
                        )
        return [found[seq] for seq in sorted(found)]

    def _rows_of(self, index: int) -> Sequence[_Row]:
        blocks = self._footer.blocks
        end = blocks[index + 1][0] if index + 1 < len(blocks) else self._end[0]
        try:
            return _rows.decode(self._unpacked(self._bytes(blocks[index][0], end)))
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise self._damaged(f"expected rows, was {e}") from e

    def subjects(self) -> dict[str, list[int]]:
        """Subject → its sequences, of everything but prices and clocks.

        Raises:
            ArchiveDamaged: the footer cannot be read.
        """
        return self._footer.subjects

    def forget(self) -> None:
        """Give back the memory of the footer: who looks through the segments of a year must not hold them all."""
        self.__dict__.pop("_footer", None)

    def caused_by(self, cause: int) -> list[int]:
        """The sequences that name another one as their cause.

        Raises:
            ArchiveDamaged: the footer cannot be read.
        """
        return self._footer.causes.get(cause, [])

    def verify(self) -> None:
        """Read all of it again.

        Raises:
            ArchiveDamaged: it is not as it was written.
        """
        _, digest = self._end
        found = hashlib.sha256()
        with self.path.open("rb") as file:
            left = self.path.stat().st_size - _END.size
            while left and (part := file.read(min(left, 1 << 20))):
                found.update(part)
                left -= len(part)
        if found.digest() != digest:
            raise self._damaged(f"expected the hash {digest.hex()[:16]}…, was {found.hexdigest()[:16]}…")
        expected = self.first
        for record in self.records():
            if record.seq != expected:
                raise self._damaged(f"expected sequence {expected}, was {record.seq}")
            expected += 1
        info = self.info
        if expected != self.last + 1 or (info.first, info.last) != (self.first, self.last):
            raise self._damaged(f"expected {self.first} to {self.last}, was {info.first} to {expected - 1}")
