"""Lines of a gzip file in bounded memory, as far as the file can be read."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LINE_BYTES_MAX = 2 * 1024 * 1024
"""Longest line kept: the longest frame and the recorder's wrapping around it, with room to spare."""
CHUNK_BYTES = 256 * 1024
"""Read and unpacked at a time. A small file may unpack to a huge one: this bounds each step."""

_GZIP = 16 + zlib.MAX_WBITS


class Torn(NamedTuple):
    """A piece that is no whole line: why, and how it begins."""

    reason: str
    beginning: bytes


def read_lines(path: Path) -> Iterator[bytes | Torn]:
    """Yield the lines without their end; a ``Torn`` for a line too long, unfinished, or lost.

    Whatever a broken file still holds before its break is read.

    Raises:
        OSError: when the file cannot be opened or read.
    """
    rest = b""
    skipping = False
    for chunk in _unpack(path):
        if isinstance(chunk, Torn):
            yield Torn(chunk.reason, rest)
            return
        pieces = (rest + chunk).split(b"\n")
        rest = pieces.pop()
        if skipping and pieces:
            pieces.pop(0)
            skipping = False
        yield from pieces
        if len(rest) > LINE_BYTES_MAX:
            if not skipping:
                yield Torn(f"expected a line of at most {LINE_BYTES_MAX} bytes", rest)
            rest, skipping = b"", True
    if rest and not skipping:
        yield rest


def _unpack(path: Path) -> Iterator[bytes | Torn]:
    """Unpack all members of a gzip file; a final ``Torn`` says where it breaks off."""
    with path.open("rb") as file:
        member = zlib.decompressobj(_GZIP)
        whole = True
        try:
            while packed := file.read(CHUNK_BYTES):
                while packed:
                    yield member.decompress(packed, CHUNK_BYTES)
                    packed, whole = member.unconsumed_tail, False
                    if member.eof:
                        packed, whole = member.unused_data, True
                        member = zlib.decompressobj(_GZIP)
            while data := member.decompress(b"", CHUNK_BYTES):
                yield data
        except zlib.error as e:
            yield Torn(f"broken gzip: {e}", b"")
            return
        if not (whole or member.eof):
            yield Torn("the gzip file breaks off", b"")
