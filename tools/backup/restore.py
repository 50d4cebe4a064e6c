"""A backup back into an empty state directory: verified first, then put where the next start finds it.

What was traded after the backup is not in it. So the next start opens a new epoch of the tape, halted, with ids of its own,
and reconciles with the venues before anybody resumes. Keys that sign are made anew, and the former ones count for what is on
the tape; broker passwords are new too.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from libs.archive.archive import make_folder
from libs.archive.segment import ArchiveDamaged, Segment
from libs.bounded import clip
from libs.runtime.layout import StateLayout
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import ADMIN
from libs.tape.errors import BrokerUnavailable
from libs.tape.reader import read_at
from proto.subjects import LEDGER, TAPE
from tools.backup.backup import STATE_FILE, Tell, quiet
from tools.backup.journal import restore_journal
from tools.backup.manifest import NAME_CHARACTERS_MAX, BackupDamaged, Manifest, file_of
from tools.backup.repository import Repository
from tools.backup.retention import load_manifest
from tools.backup.state_files import restore_state
from tools.backup.streams import restore_stream
from tools.exit_codes import UsageError
from tools.system.installation import Installation, nothing_running
from tools.system.signing_keys import DOMAINS

RESTORED = "restored"
"""Stands where the tape file has the boot in which the tape was open: no machine's boot is called so, and the next start
takes the tape for one whose tail may be lost."""


@dataclass(frozen=True)
class Restored:
    """What was put back. ``keys``: the ids of the new keys that sign."""

    manifest: Manifest
    keys: dict[str, str]


async def verify_backup(repository: Repository, name: str, tell: Tell = quiet) -> Manifest:
    """Read every file of a backup again.

    Raises:
        BackupDamaged: one is cut, changed or gone.
    """
    manifest = load_manifest(repository, name)
    with repository.staging() as staging:
        await asyncio.to_thread(_fetch_files, repository, manifest, staging, tell)
        await asyncio.to_thread(_fetch_segments, repository, manifest, staging / "archive", tell)
    return manifest


async def restore_backup(repository: Repository, name: str, state: Path, tell: Tell = quiet) -> Restored:
    """Put a backup into a state directory that is empty or not there.

    Raises:
        BackupDamaged: a file of it is cut, changed or gone.
        TapeError: the broker does not take a stream.
        UsageError: there is something in the directory, or in the servers that are used instead of ours.
    """
    manifest = load_manifest(repository, name)
    root = _empty_folder(state)
    with repository.staging() as staging:
        await asyncio.to_thread(_fetch_files, repository, manifest, staging, tell)
        layout = StateLayout(root)
        await asyncio.to_thread(restore_state, staging / STATE_FILE, root)
        if layout.read_tape() is None:
            raise BackupDamaged(f"expected the tape's id in {STATE_FILE}, was none")
        make_folder(layout.archives)
        await asyncio.to_thread(_fetch_segments, repository, manifest, layout.archive, tell)
        installation = Installation(root)
        with nothing_running(installation):
            last = await _restore_streams(installation, manifest, staging, tell)
            await _restore_journal(installation, manifest, staging, tell)
        keys = {role: installation.signing_keys.rotate(role, last) for role in DOMAINS}
        # Last: before it nothing here counts as a system that was run.
        known = layout.read_tape()
        assert known is not None
        layout.write_tape(known | {"last_seq": last, "boot": RESTORED})
    return Restored(manifest, keys)


def _empty_folder(state: Path) -> Path:
    root = state.resolve()
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise UsageError(f"expected an empty state directory, was one with something in it: {root}")
    return root


async def _restore_streams(installation: Installation, manifest: Manifest, staging: Path, tell: Tell) -> int:
    """Both streams, the ledger first, which the tape copies from; the tape's newest sequence."""
    await installation.start_broker()
    try:
        link = await installation.connect(ADMIN)
        try:
            for name in (LEDGER, TAPE):
                path = staging / f"{name.lower()}.stream"
                size = path.stat().st_size
                with path.open("rb") as file:
                    await restore_stream(
                        link.client,
                        name,
                        manifest.streams[name],
                        file,
                        lambda done, name=name, size=size: tell(name, done, size),  # type: ignore[misc]
                    )
            return await _check_tape(link, manifest)
        finally:
            await link.close()
    finally:
        if installation.broker.process is not None:
            await asyncio.to_thread(installation.broker.stop)


async def _check_tape(link: Link, manifest: Manifest) -> int:
    last = int((await stream_state(link.client))["last_seq"])
    record = await read_at(link, manifest.last_seq)
    if record is None:
        raise BrokerUnavailable(f"expected sequence {manifest.last_seq} of the tape, was a tape to {last}")
    if record.digest() != manifest.digest:
        raise BackupDamaged(f"expected message {manifest.last_seq} as it was backed up, was another")
    return last


async def _restore_journal(installation: Installation, manifest: Manifest, staging: Path, tell: Tell) -> None:
    tell("journal", 0, 0)
    dsn = await installation.start_database()
    try:
        await restore_journal(dsn, manifest.tables, staging / "journal")
    finally:
        if not installation.external_database:
            await asyncio.to_thread(installation.database.stop)


def _fetch_files(repository: Repository, manifest: Manifest, staging: Path, tell: Tell) -> None:
    size = sum(file.bytes for file in manifest.files)
    done = 0
    for file in manifest.files:
        path = staging / file.name
        if not path.resolve().is_relative_to(staging.resolve()):
            raise BackupDamaged(
                f"expected names within the backup, was {clip(file.name, NAME_CHARACTERS_MAX)!r}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch(repository, f"{manifest.name}/{file.name}", path)
        if file_of(file.name, path) != file:
            raise BackupDamaged(f"expected {file.name} as it was written, was cut or changed")
        done += file.bytes
        tell("verify", done, size)


def _fetch_segments(repository: Repository, manifest: Manifest, folder: Path, tell: Tell) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number, stored in enumerate(manifest.segments):
        path = folder / Path(stored.name).name
        _fetch(repository, stored.name, path)
        path.chmod(0o600)
        segment = Segment(path)
        try:
            segment.verify()
        except ArchiveDamaged as e:
            raise BackupDamaged(str(e)) from e
        if segment.info.digest != stored.digest:
            raise BackupDamaged(f"expected the segment {stored.name} as it was backed up, was another")
        tell("archive", number + 1, len(manifest.segments))


def _fetch(repository: Repository, name: str, path: Path) -> None:
    try:
        repository.fetch(name, path)
    except FileNotFoundError as e:
        raise BackupDamaged(f"expected {name} in the backup, was none") from e
