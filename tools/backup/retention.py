"""Which backups a repository holds, and which of them stay."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from libs.archive.segment import Segment
from proto.units import SECOND
from tools.backup.manifest import ARCHIVE, FILE, Manifest, StoredSegment, read_manifest
from tools.backup.repository import Repository
from tools.exit_codes import UsageError

NAME_FORM = "%Y%m%dT%H%M%SZ"
"""What the name of a backup begins with."""
BROKEN_OFF_AFTER_S = 86_400
"""Files of a backup without a manifest are removed when they are older: nobody takes that long."""


def load_manifest(repository: Repository, name: str) -> Manifest:
    """What a backup says of itself.

    Raises:
        BackupDamaged: it is cut or changed.
        UsageError: there is none of that name.
    """
    with tempfile.TemporaryDirectory(prefix="presage-") as folder:
        path = Path(folder) / FILE
        try:
            repository.fetch(f"{name}/{FILE}", path)
        except FileNotFoundError as e:
            held = ", ".join(backups_in(repository)[-3:]) or "none"
            raise UsageError(f"expected a whole backup named {name!r}, was {held}") from e
        return read_manifest(path)


def segment_of(entry: StoredSegment) -> tuple[int, int]:
    """First and last sequence of a stored segment."""
    segment = Segment(Path(entry.name))
    return segment.first, segment.last


def backups_in(repository: Repository) -> list[str]:
    """The names of whole backups, oldest first."""
    return sorted(name.partition("/")[0] for name in repository.sizes() if name.endswith(f"/{FILE}"))


def prune(repository: Repository, keep: int, now_ns: int) -> list[str]:
    """Remove all but the newest ``keep`` backups, what was broken off, and segments that no backup needs; what went."""
    sizes = repository.sizes()
    whole = backups_in(repository)
    gone = whole[:-keep]
    made = {name.partition("/")[0] for name in sizes} - {ARCHIVE} - set(whole)
    broken = [name for name in made if _age_s(name, now_ns) > BROKEN_OFF_AFTER_S]
    for backup in (*gone, *broken):
        # The manifest goes first: what is half removed is no backup any more.
        files = sorted(name for name in sizes if name.startswith(f"{backup}/"))
        for name in sorted(files, key=lambda name: not name.endswith(f"/{FILE}")):
            repository.delete(name)
    _remove_unneeded_segments(repository, sizes)
    return gone + broken


def _remove_unneeded_segments(repository: Repository, sizes: dict[str, int]) -> None:
    needed: set[str] = set()
    for name in backups_in(repository):
        needed.update(segment.name for segment in load_manifest(repository, name).segments)
    for name in sizes:
        if name.startswith(f"{ARCHIVE}/") and name not in needed:
            repository.delete(name)


def _age_s(name: str, now_ns: int) -> float:
    """How old a backup is by its name; 0 for what is none of ours, so that it stays."""
    try:
        made = datetime.strptime(name.partition("-")[0], NAME_FORM).replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return now_ns / SECOND - made.timestamp()
