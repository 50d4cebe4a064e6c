"""What a backup says of itself: every file with its hash, what of the tape is in it, how its streams were configured."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

FORMAT = 1
FILE = "manifest.json"
"""Written last: a backup without it was broken off."""
ARCHIVE = "archive"
"""Folder of the segments, which all backups of a repository share."""
NAME_CHARACTERS_MAX = 80
"""Of a name that a message shows."""
READ_BYTES = 1 << 20
MANIFEST_BYTES_MAX = 64 << 20
"""Of what is read as a manifest: a hundred thousand segments take half of it."""


class BackupDamaged(Exception):
    """A backup is not as it was written; the text says which file."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file of one backup. ``sha256`` is hexadecimal."""

    name: str
    bytes: int
    sha256: str


class StoredSegment(msgspec.Struct, frozen=True):
    """A sealed segment of the archive, which carries its own hash (``libs.archive.segment``)."""

    name: str
    bytes: int
    digest: str


class StoredStream(msgspec.Struct, frozen=True):
    """A stream of the broker: its configuration and state, as the broker gave them with the copy."""

    config: dict[str, Any]
    state: dict[str, Any]


class StoredTable(msgspec.Struct, frozen=True):
    """A table of the journal: its columns in the order of the copy, and its rows."""

    name: str
    columns: list[str]
    rows: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. Times are nanoseconds of UTC; ``digest`` is that of the tape's message ``last_seq``."""

    format: int = FORMAT
    name: str
    build: str
    made_at: int
    tape: str
    first_seq: int
    last_seq: int
    digest: str
    files: list[StoredFile]
    segments: list[StoredSegment]
    streams: dict[str, StoredStream]
    tables: list[StoredTable]
    left_out: list[str] = []

    def file(self, name: str) -> StoredFile | None:
        """One of its files."""
        return next((file for file in self.files if file.name == name), None)

    @property
    def size(self) -> int:
        """Bytes of it, segments included."""
        return sum(file.bytes for file in self.files) + sum(segment.bytes for segment in self.segments)


class _Sealed(msgspec.Struct, frozen=True):
    manifest: msgspec.Raw
    sha256: str


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write it with a hash of its own."""
    content = msgspec.json.encode(manifest)
    sealed = _Sealed(msgspec.Raw(content), hashlib.sha256(content).hexdigest())
    path.write_bytes(msgspec.json.encode(sealed))


def read_manifest(path: Path) -> Manifest:
    """Read one.

    Raises:
        BackupDamaged: it is cut, changed, or of a later build.
    """
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise BackupDamaged(f"expected a manifest of at most {MANIFEST_BYTES_MAX} bytes, was larger")
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        content = bytes(sealed.manifest)
        if hashlib.sha256(content).hexdigest() != sealed.sha256:
            raise BackupDamaged("expected the manifest as it was written, was changed")
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as e:
        raise BackupDamaged(f"expected a manifest, was cut or changed ({e})") from e
    if manifest.format != FORMAT:
        raise BackupDamaged(f"expected a backup of format {FORMAT}, was {manifest.format}")
    return manifest


def file_of(name: str, path: Path) -> StoredFile:
    """A file as it is stored under a name."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return StoredFile(name, path.stat().st_size, digest.hexdigest())
