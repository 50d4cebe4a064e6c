"""Snapshots of machines on disk: written whole or not at all, recognised by the tape they belong to."""

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from libs.bounded import clip
from libs.machine.input_gate import InputGateState

KEPT_NEWEST = 3
"""If the newest does not fit the tape (a torn tail), an older one does."""
KEPT_EVERY_SEQ = 250_000
"""One snapshot for each stretch of this many messages is kept, so that a replay can start there."""
DIGEST_BYTES = hashlib.sha256().digest_size
"""A copy begins with the SHA-256 of what follows: a changed state would be believed otherwise."""

log = logging.getLogger("presage.snapshots")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's state after input ``seq``, all outputs up to there acknowledged.

    ``digest`` is the hash of that message. ``planned`` marks the snapshot of a planned stop: nothing is
    left to recompute, so another version of the machine may go on from it.
    """

    machine: str
    version: int
    tape: str
    seq: int
    digest: str
    state: bytes
    # On disk it has the name it had when the first snapshots were written.
    input_gate: InputGateState = msgspec.field(name="intake")
    planned: bool = False


class Encoded(NamedTuple):
    """A snapshot as bytes, and what its file is named and kept by."""

    seq: int
    version: int
    content: bytes


def encoded(snapshot: Snapshot) -> Encoded:
    """The bytes of a snapshot: what is to be written stays as it is now, whatever the machine does next."""
    return Encoded(snapshot.seq, snapshot.version, msgspec.msgpack.encode(snapshot))


class SnapshotStore:
    """The snapshots of one machine in one directory.

    A file has its snapshot twice: bits that a disk turned over cost a copy, and not the minutes that it takes to
    fold a whole tape anew.
    """

    def __init__(self, directory: Path, machine: str) -> None:
        self._directory = directory / machine
        # A state holds positions and money; folders and files of earlier builds were open to everybody.
        for folder in (directory, self._directory):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        self._versions: dict[str, int | None] = {}

    def write(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; old ones beyond what is kept are removed."""
        self.keep(encoded(snapshot))

    def keep(self, snapshot: Encoded) -> None:
        """The same with one that is encoded already. It waits for the disk, and may be called in another thread."""
        path = self._path(snapshot.seq)
        # A second process of the service may be writing the same snapshot.
        temporary = path.with_suffix(f".{os.getpid()}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            content = snapshot.content
            file.write(2 * (hashlib.sha256(content).digest() + content))
            file.flush()
            os.fdatasync(file.fileno())
        temporary.replace(path)
        self._versions[path.name] = snapshot.version
        self._prune(snapshot.version)

    def has(self, seq: int) -> bool:
        """Whether there is a file of a snapshot at a sequence."""
        return self._path(seq).exists()

    def _path(self, seq: int) -> Path:
        return self._directory / f"{seq:016d}.snapshot"

    def newest_first(self) -> list[Snapshot]:
        """Every readable snapshot, newest first; a damaged file is passed over."""
        return list(self.each_newest_first())

    def each_newest_first(self) -> Iterator[Snapshot]:
        """The same one by one: after a year there are thousands, and a start needs the newest."""
        for path in sorted(self._directory.glob("*.snapshot"), reverse=True):
            try:
                yield _read(path)
            except (msgspec.DecodeError, ValueError, OSError) as e:
                log.warning("snapshot passed over", extra={"detail": clip(str(e), 300)})

    def remove_after(self, seq: int) -> None:
        """Remove snapshots beyond ``seq``: they describe a tape that is lost."""
        for path in self._directory.glob("*.snapshot"):
            if int(path.stem) > seq:
                path.unlink()
                self._versions.pop(path.name, None)

    def _prune(self, version: int) -> None:
        paths = sorted(self._directory.glob("*.snapshot"), reverse=True)
        seen: set[int] = set()
        for place in range(len(paths) - 1, KEPT_NEWEST - 1, -1):
            path = paths[place]
            stretch = int(path.stem) // KEPT_EVERY_SEQ
            if stretch in seen and not self._is_last_of_another(version, path, paths[:place]):
                path.unlink(missing_ok=True)
                self._versions.pop(path.name, None)
            seen.add(stretch)

    def _is_last_of_another(self, version: int, path: Path, newer: list[Path]) -> bool:
        """Whether it is the last of another version: where the next one took over, a replay of its decisions begins."""
        own = self._version_of(path)
        return own not in {None, version} and all(self._version_of(other) != own for other in reversed(newer))

    def _version_of(self, path: Path) -> int | None:
        """The version that made a snapshot, ``None`` of a damaged one; each file is read for it once.

        After a year there are thousands, and one is written every half minute.
        """
        if path.name not in self._versions:
            try:
                self._versions[path.name] = _read(path).version
            except (msgspec.DecodeError, ValueError, OSError):
                self._versions[path.name] = None
        return self._versions[path.name]


def _read(path: Path) -> Snapshot:
    content = path.read_bytes()
    half = len(content) // 2
    # Earlier builds wrote it once.
    for copy in (content[:half], content[half:], content):
        if hashlib.sha256(copy[DIGEST_BYTES:]).digest() == copy[:DIGEST_BYTES]:
            return msgspec.msgpack.decode(copy[DIGEST_BYTES:], type=Snapshot)
    raise ValueError(f"expected {path} as it was written, was changed")
