"""Keeping our own broker and database up: restarted when they die, and when a full disk has room again.

A full disk freezes a stream until the broker restarts, even when there is room again. It shows as a tape
that does not grow although the monitor's clock should make it grow every second.
"""

import asyncio
import json
import shutil
from time import monotonic
from typing import Any

from libs.runtime.layout import write_atomically
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from tools.installation import Installation

CHECK_EVERY_S = 0.25
STALLED_AFTER_S = 4.0
"""A live tape grows at least once a second, by the clock; four missing ticks are no coincidence."""
FREE_BYTES_MIN = 32 << 20
"""Room a restarted broker needs before it is worth restarting: two of its 8 MiB blocks and the ledger's."""
RESTART_PAUSE_S = 2.0


class ServerWatch:
    """Watches the servers that this installation started. ``realtime``: the tape grows every second."""

    def __init__(self, installation: Installation, link: Link, *, realtime: bool) -> None:
        self.broker_restarts = 0
        self.database_restarts = 0
        self.broker_state = "up"
        self.database_state = "up"
        self._installation = installation
        self._link = link
        self._realtime = realtime
        self._last_seq = -1
        self._grew_at_s = monotonic()
        self._told: dict[str, Any] = {}

    async def watch(self) -> None:
        """Check until cancelled."""
        while True:
            await self._check_broker()
            await self._check_database()
            self._tell()
            await asyncio.sleep(CHECK_EVERY_S)

    async def _check_broker(self) -> None:
        broker = self._installation.broker
        if broker.process is None:
            return
        if broker.process.poll() is not None:
            self.broker_state = "restarting"
            self._tell()
            await self._restart_broker()
        elif self._realtime and await self._stalled():
            if self._free_bytes() < FREE_BYTES_MIN:
                self.broker_state = "disk full"
                return
            self.broker_state = "restarting a frozen stream"
            self._tell()
            await asyncio.to_thread(broker.stop)
            await self._restart_broker()

    async def _restart_broker(self) -> None:
        self.broker_restarts += 1
        self._installation.broker.start()
        try:
            await self._installation.broker.ready()
        except BrokerUnavailable:
            self.broker_state = "does not start"
            await asyncio.sleep(RESTART_PAUSE_S)
            return
        self.broker_state = "up"
        self._grew_at_s = monotonic()

    async def _stalled(self) -> bool:
        """Whether the broker answers and the tape has not grown for too long."""
        try:
            last_seq = int((await stream_state(self._link.client))["last_seq"])
        except BrokerUnavailable:
            return monotonic() - self._grew_at_s > STALLED_AFTER_S and self._free_bytes() < FREE_BYTES_MIN
        if last_seq != self._last_seq:
            self._last_seq = last_seq
            self._grew_at_s = monotonic()
            self.broker_state = "up"
        return monotonic() - self._grew_at_s > STALLED_AFTER_S

    def _free_bytes(self) -> int:
        store = self._installation.layout.broker / "jetstream"
        return shutil.disk_usage(store if store.exists() else store.parent).free

    async def _check_database(self) -> None:
        database = self._installation.database
        if self._installation.external_database or database.pid is not None:
            self.database_state = "up"
            return
        self.database_state = "restarting"
        self._tell()
        try:
            await asyncio.to_thread(database.start)
        except RuntimeError:
            await asyncio.sleep(RESTART_PAUSE_S)
            return
        self.database_restarts += 1
        self.database_state = "up"

    def document(self) -> dict[str, Any]:
        """The servers' state as plain data."""
        return {
            "broker": self.broker_state,
            "broker_restarts": self.broker_restarts,
            "database": self.database_state,
            "database_restarts": self.database_restarts,
        }

    def _tell(self) -> None:
        """Leave the state where ``presage status`` finds it."""
        document = self.document()
        if document != self._told:
            self._told = document
            write_atomically(self._installation.layout.root / "servers.json", json.dumps(document).encode())
