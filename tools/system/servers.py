"""Keeping our own broker and database up: restarted when they die, and when a full disk has room again.

A full disk freezes a stream until the broker restarts, even when there is room again. It shows as a tape
that does not grow although the monitor's clock should make it grow every second. Before it comes to that,
and while the journal cannot store what happens, no new order may leave: the file PAUSED says so to
execution's gate, and goes when there is room again.
"""

import asyncio
import contextlib
import json
import logging
import shutil
from pathlib import Path
from time import monotonic
from typing import Any

from libs.bounded import clip
from libs.files import write_atomically
from libs.operator.watch import Reports
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from libs.view.orders_state import DISK_FULL
from tools.system.installation import Installation

CHECK_EVERY_S = 0.25
STALLED_AFTER_S = 4.0
"""A live tape grows at least once a second, by the clock; four missing ticks are no coincidence."""
HEARD_S = 2.0
"""A monitor that runs reports twice a second."""
HUNG_AFTER_S = 15.0
"""A broker that is only busy answers within seconds; this one is stopped or stuck."""
BROKER_FREE_BYTES_MIN = 32 << 20
"""Room a broker needs to work, and to be worth restarting: two 8 MiB blocks each for tape and ledger."""
DATABASE_FREE_BYTES_MIN = 32 << 20
"""Room for two segments of PostgreSQL's log, without which it ends itself."""
RESTART_PAUSE_S = 2.0
FROZEN = "frozen: restart it"

log = logging.getLogger("presage.servers")


class ServerWatch:
    """Watches the servers that this installation started. ``realtime``: the tape grows every second."""

    def __init__(self, installation: Installation, link: Link, reports: Reports, *, realtime: bool) -> None:
        self.broker_restarts = 0
        self.database_restarts = 0
        self.broker_state = "up"
        self.database_state = "up"
        self._installation = installation
        self._link = link
        self._reports = reports
        self._realtime = realtime
        self._last_seq = -1
        self._grew_at_s = self._answered_at_s = monotonic()
        self._told: dict[str, Any] = {}
        self._stopping = False
        self._spare = installation.layout.pause_file.with_suffix(".spare")

    async def watch(self) -> None:
        """Check until cancelled."""
        self._reserve_spare()
        try:
            await asyncio.gather(self._repeat(self._check_broker), self._repeat(self._check_database))
        finally:
            self._pause(on=False)

    async def _repeat(self, check: Any) -> None:
        while True:
            try:
                await check()
                self._report()
            except OSError as e:
                log.warning("a look at the servers failed", extra={"detail": clip(str(e), 200)})
            await asyncio.sleep(CHECK_EVERY_S)

    # --- broker -----------------------------------------------------------------------------------

    async def _check_broker(self) -> None:
        broker = self._installation.broker
        if broker.process is None:
            await self._check_broker_elsewhere()
            return
        if broker.process.poll() is not None:
            self.broker_state = "restarting"
            self._report()
            await self._restart_broker()
            return
        stalled = self._realtime and await self._stalled()
        if _free_bytes(broker.directory / "jetstream") < BROKER_FREE_BYTES_MIN:
            self.broker_state = DISK_FULL
        elif stalled:
            self.broker_state = "restarting a frozen stream"
            self._report()
            await asyncio.to_thread(broker.stop)
            await self._restart_broker()
        else:
            self.broker_state = "up"

    async def _check_broker_elsewhere(self) -> None:
        """One in a container whose volume can be seen from here: its disk, and whether the tape grows."""
        shares = self._installation.shares
        if shares is None:
            return
        if _free_bytes(shares.broker_data) < BROKER_FREE_BYTES_MIN:
            self.broker_state = DISK_FULL
        else:
            self.broker_state = FROZEN if self._realtime and await self._stalled() else "up"

    async def _restart_broker(self) -> None:
        self.broker_restarts += 1
        self._installation.broker.start()
        try:
            await self._installation.broker.ready()
        except BrokerUnavailable:
            self.broker_state = "does not start"
            await asyncio.sleep(RESTART_PAUSE_S)
            return
        self._grew_at_s = self._answered_at_s = monotonic()

    async def _stalled(self) -> bool:
        """Whether the tape has not grown for too long, or the broker has not answered for much longer."""
        now = monotonic()
        try:
            last_seq = int((await stream_state(self._link.client))["last_seq"])
        except BrokerUnavailable:
            return now - self._answered_at_s > HUNG_AFTER_S
        self._answered_at_s = monotonic()
        if last_seq != self._last_seq or not self._has_clock():
            self._last_seq = last_seq
            self._grew_at_s = monotonic()
        return monotonic() - self._grew_at_s > STALLED_AFTER_S

    def _has_clock(self) -> bool:
        """Whether the monitor runs, so that the tape should grow."""
        return self._reports.believed("monitor", HEARD_S).get("state") == "live"

    # --- database ---------------------------------------------------------------------------------

    async def _check_database(self) -> None:
        database = self._installation.database
        if self._installation.external_database:
            self.database_state = DISK_FULL if self._journal_is_full() else "up"
            return
        full = self._journal_is_full() or _free_bytes(database.data_dir) < DATABASE_FREE_BYTES_MIN
        if database.pid is not None:
            self.database_state = DISK_FULL if full else "up"
            return
        self.database_state = DISK_FULL if full else "restarting"
        self._report()
        try:
            await asyncio.to_thread(database.start)
        except (RuntimeError, OSError) as e:
            log.warning("the database does not start", extra={"detail": str(e)[-200:]})
            await asyncio.sleep(RESTART_PAUSE_S)
            return
        self.database_restarts += 1

    def _journal_is_full(self) -> bool:
        """Whether the journal says that its database has no room. A word of one that fell silent stops no order."""
        journal = self._reports.believed("journal").get("journal", {})
        return bool(journal.get("state") == "disk_full")

    # --- telling ----------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The servers' state as plain data; ``stopping`` once they are about to end."""
        document: dict[str, Any] = {
            "broker": self.broker_state,
            "broker_restarts": self.broker_restarts,
            "database": self.database_state,
            "database_restarts": self.database_restarts,
        }
        return document | {"stopping": True} if self._stopping else document

    def announce_stopping(self) -> None:
        """Say that everything ends now, before it does: who asks meanwhile is told so."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._report()

    def _report(self) -> None:
        """Close or open the gate, and leave the state where ``presage status`` finds it."""
        self._pause(on=DISK_FULL in (self.broker_state, self.database_state))
        document = self.document()
        if document != self._told:
            write_atomically(self._installation.layout.servers_file, json.dumps(document).encode())
            self._told = document

    def _reserve_spare(self) -> None:
        """A file made while there is room: renaming it works on a full disk, making one may not."""
        pause_file = self._installation.layout.pause_file
        if not pause_file.exists():
            self._spare.touch()

    def _pause(self, *, on: bool) -> None:
        pause_file = self._installation.layout.pause_file
        if on and not pause_file.exists():
            self._spare.rename(pause_file)
        elif not on and pause_file.exists():
            pause_file.rename(self._spare)


def _free_bytes(directory: Path) -> int:
    """Free room where a server keeps its data, which may not be there yet."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free
