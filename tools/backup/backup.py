"""Making a backup, also while the system trades: parts are copied in an order in which each holds what the next needs.

1. the state directory's files: snapshots of machines are never beyond the tape that follows;
2. the journal's anchors with them, then its tables: every anchor in the file has its row;
3. the tape: it holds all that the journal has taken in;
4. the ledger: every claim that is on the tape is in it, and perhaps a few more;
5. the archive's segments up to the end of that tape: what its window has dropped was sealed long before.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from libs.archive.archive import Archive
from libs.runtime.layout import BUILD
from libs.tape.connection import Link
from libs.tape.credentials import ADMIN
from libs.tape.errors import TapeError
from libs.tape.reader import read_at
from proto.subjects import LEDGER, TAPE
from proto.units import SECOND
from tools.backup.journal import save_journal
from tools.backup.manifest import (
    ARCHIVE,
    FILE,
    Manifest,
    StoredSegment,
    StoredStream,
    StoredTable,
    file_of,
    write_manifest,
)
from tools.backup.repository import Repository
from tools.backup.retention import NAME_FORM, segment_of
from tools.backup.state_files import save_state
from tools.backup.streams import save_stream
from tools.exit_codes import UsageError
from tools.system.installation import Installation, database_access, tape_access

STATE_FILE = "state.tar"

Tell = Callable[[str, int, int], None]
"""Called with what is done, bytes done, and bytes in all (0: not known)."""


def quiet(_: str, __: int, ___: int) -> None:
    """Say nothing."""


async def make_backup(
    state: Path, repository: Repository, tell: Tell = quiet, *, made_at: int | None = None
) -> Manifest:
    """Copy everything of an installation into a repository; what was made. ``made_at`` in nanoseconds; now without.

    Raises:
        TapeError: the broker did not give a stream whole.
        UsageError: nothing was run there, or the tape is empty.
    """
    made_at = time.time_ns() if made_at is None else made_at
    with repository.staging() as staging:
        async with tape_access(state, ADMIN) as (installation, link):
            return await _Making(installation, link, repository, staging, made_at, tell).make()


class _Making:
    """One backup under way."""

    def __init__(
        self,
        installation: Installation,
        link: Link,
        repository: Repository,
        staging: Path,
        made_at: int,
        tell: Tell,
    ) -> None:
        self._installation = installation
        self._link = link
        self._repository = repository
        self._staging = staging
        self._made_at = made_at
        self._tell = tell
        self._names: list[str] = []

    async def make(self) -> Manifest:
        known = self._installation.layout.read_tape()
        if known is None:
            raise UsageError(f"expected a tape in {self._installation.layout.root}, was none")
        self._tell("state", 0, 0)
        left_out = await asyncio.to_thread(save_state, self._installation, self._stage(STATE_FILE))
        tables = await self._save_journal()
        streams = {name: await self._save_stream(name) for name in (TAPE, LEDGER)}
        first, last = (int(streams[TAPE].state[key]) for key in ("first_seq", "last_seq"))
        newest = await read_at(self._link, last) if last else None
        if newest is None:
            raise TapeError(f"expected to read sequence {last} of the tape again, was not held")
        segments = await asyncio.to_thread(self._store_segments, str(known["base"]), last)
        name = f"{datetime.fromtimestamp(self._made_at // SECOND, UTC):{NAME_FORM}}-{known['tape']}-{last}"
        files = [await asyncio.to_thread(file_of, part, self._staging / part) for part in self._names]
        manifest = Manifest(
            name=name,
            build=BUILD,
            made_at=self._made_at,
            tape=str(known["tape"]),
            first_seq=min(first, *(segment_of(entry)[0] for entry in segments)) if segments else first,
            last_seq=last,
            digest=newest.digest(),
            files=files,
            segments=segments,
            streams=streams,
            tables=tables,
            left_out=left_out,
        )
        await asyncio.to_thread(self._store, manifest)
        return manifest

    def _stage(self, name: str) -> Path:
        self._names.append(name)
        path = self._staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    async def _save_journal(self) -> list[StoredTable]:
        self._tell("journal", 0, 0)
        folder = self._staging / "journal"
        folder.mkdir()
        async with database_access(self._installation) as dsn:
            tables = await save_journal(dsn, folder)
        self._names += [f"journal/{table.name}" for table in tables]
        return tables

    async def _save_stream(self, name: str) -> StoredStream:
        path = self._stage(f"{name.lower()}.stream")
        with path.open("wb") as file:
            # The broker sends it packed: how much that will be is not known before.
            return await save_stream(self._link.client, name, file, lambda done: self._tell(name, done, 0))

    def _store_segments(self, base: str, last: int) -> list[StoredSegment]:
        archive = Archive(self._installation.layout.archive)
        held = self._repository.sizes(f"{ARCHIVE}/{base}")
        wanted = [segment for segment in archive.segments if segment.last <= last]
        stored: list[StoredSegment] = []
        for number, segment in enumerate(wanted):
            info = segment.info
            name = f"{ARCHIVE}/{base}/{segment.path.name}"
            if held.get(name) != info.size:
                self._repository.put(name, segment.path)
            stored.append(StoredSegment(name, info.size, info.digest))
            self._tell("archive", number + 1, len(wanted))
        return stored

    def _store(self, manifest: Manifest) -> None:
        for file in manifest.files:
            self._tell("store", 0, 0)
            self._repository.put(f"{manifest.name}/{file.name}", self._staging / file.name)
        path = self._staging / FILE
        write_manifest(manifest, path)
        self._repository.put(f"{manifest.name}/{FILE}", path)
