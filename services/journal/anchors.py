"""The local copy of the chain's heads: an append-only file, one JSON object a line, synced to the disk.

Whoever can write to the database cannot thereby rewrite this file or the tape; ``verify`` compares all three.
"""

import os
from pathlib import Path

import msgspec

from proto.service import Anchor


class FiledAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """An anchor with the epoch and the tape it belongs to. ``head`` is hexadecimal, ``at`` nanoseconds.

    ``epochs`` is the digest of the epochs up to this one; empty in lines of earlier versions.
    """

    epoch: int
    tape: str
    day: str
    seq: int
    rows: int
    head: str
    at: int
    epochs: str = ""

    def message(self) -> Anchor:
        """The same, as it goes on the tape."""
        return Anchor(day=self.day, seq=self.seq, rows=self.rows, head=self.head, at=self.at)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(FiledAnchor)


class AnchorFile:
    """Appends anchors, each one synced before it counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, anchor: FiledAnchor) -> None:
        """Write one anchor and sync it. Raises OSError (a full disk, for one); a torn line is harmless."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            line = _encode(anchor) + b"\n"
            # After a torn write the file ends inside a line, which must not swallow this one.
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            written = os.write(descriptor, line)
            os.fdatasync(descriptor)
            if written != len(line):
                raise OSError(f"expected {len(line)} bytes to be written to {self._path.name}, was {written}")
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(self._path.parent)


def read_anchors(path: Path) -> tuple[list[FiledAnchor], int]:
    """The anchors of a file, and how many lines were not readable (a torn write leaves one)."""
    if not path.exists():
        return [], 0
    anchors: list[FiledAnchor] = []
    torn = 0
    with path.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                anchors.append(_decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                torn += 1
    return anchors, torn


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
