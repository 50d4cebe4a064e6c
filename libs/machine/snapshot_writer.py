"""Snapshots written beside the event loop: hashing them and waiting for the disk keeps no message waiting."""

import asyncio
from collections.abc import Sequence

from libs.machine.snapshots import Encoded, SnapshotStore

Work = Sequence[tuple[SnapshotStore, Encoded]]


class SnapshotWriter:
    """Writes one service's snapshots in a thread, those of one moment at a time."""

    def __init__(self) -> None:
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the last ones are not on disk yet."""
        return self._writing is not None and not self._writing.done()

    def begin(self, work: Work) -> None:
        """Begin to write; not while it is busy."""
        self._writing = asyncio.create_task(asyncio.to_thread(_write, work))

    def check(self) -> None:
        """Raise what the last writing ended with: a disk that takes nothing ends the service."""
        if self._writing is not None and self._writing.done():
            done, self._writing = self._writing, None
            done.result()

    async def wait(self) -> None:
        """Wait until nothing is being written, however that ends."""
        if self._writing is not None:
            await asyncio.wait([self._writing])


def _write(work: Work) -> None:
    for store, snapshot in work:
        store.keep(snapshot)
