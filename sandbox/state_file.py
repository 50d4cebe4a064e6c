"""The state file of a sandbox: written every second, and at once after an event of a client.

A sandbox that is killed and started again with its file resumes where it was: what an answer reports is in the
file before the answer leaves. The time between passes fast at the start (``World.catch_up``).
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from sandbox.accounts import SavedAccount
from sandbox.world.events import FillEvent, OrderEvent, WorldEvent
from sandbox.world.saving import SavedWorld

WRITE_EVERY_S = 1.0
"""Greatest age of the file while no client trades: after a crash the price goes back by as much."""
VERSION = 1
"""Raised when a file of before could not be read rightly."""

log = logging.getLogger("sandbox.state_file")


class SandboxDocument(Struct, kw_only=True):
    """A whole sandbox. ``venues``: what each server saved. One of another world is not resumed."""

    version: int
    seed: int
    time_scale: float
    names: list[str]
    world: SavedWorld
    accounts: list[SavedAccount]
    venues: dict[str, Any]


def read(path: Path, seed: int, time_scale: float, names: list[str]) -> SandboxDocument | None:
    """Read the sandbox of a file, if it is there and of this seed, scale and these venues.

    A file that cannot be read is renamed: no user can repair it, and its money is worth nothing.

    Raises:
        OSError: the file cannot be read or renamed.
    """
    if not path.exists():
        return None
    try:
        document = msgspec.json.decode(path.read_bytes(), type=SandboxDocument)
    except msgspec.DecodeError as e:
        aside = path.with_name(path.name + ".unreadable")
        path.replace(aside)
        log.warning(
            "expected the state of a sandbox in %s, %s; kept as %s, a new world begins", path, e, aside
        )
        return None
    same = (document.version, document.seed, document.time_scale, sorted(document.names))
    if same != (VERSION, seed, time_scale, sorted(names)):
        log.warning("%s is of another world; a new one begins", path)
        return None
    return document


class StateFile:
    """Writes what ``make`` gives."""

    def __init__(self, path: Path, make: Callable[[], SandboxDocument]) -> None:
        self._path = path
        self._make = make
        self._changed = False

    def handle_event(self, event: WorldEvent) -> None:
        """Handle an event of the world before the servers do: the file is written before they can answer."""
        if isinstance(event, OrderEvent | FillEvent) and not self._changed:
            self._changed = True
            asyncio.get_running_loop().call_soon(self.write_changed)

    def write_changed(self) -> None:
        """Write, if there was an event of a client since the last write."""
        if self._changed:
            self.write()

    def write(self) -> None:
        """Write the file in one step: a reader finds the old one or the new one whole."""
        self._changed = False
        temporary = self._path.with_name(self._path.name + ".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self._make()))
        temporary.replace(self._path)

    async def run(self) -> None:
        """Write every second, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            self.write()
