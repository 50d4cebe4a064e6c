"""The console's process: reads the tape into the fold, listens to reports, serves the pages, says how it is."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import uvicorn
from cryptography import x509

from libs.config.environment import ChildEnvironment, Environment
from libs.contract.codec import Unreadable, decode
from libs.operator.watch import Reports, TapeWatch
from libs.runtime.layout import BUILD
from libs.runtime.service import Context
from libs.tape.broker import stream_state
from libs.tape.errors import BrokerUnavailable
from libs.tape.reader import REST_S, TapeReader
from libs.tape.record import TapeRecord
from libs.tape.reports import send_report
from libs.tasks import run_until_first
from proto.message import Message
from proto.subjects import TABLE
from services.console.connection import Connection, ConnectionBehindProxy
from services.console.fold import RARE, ConsoleFold
from services.console.limits import CONNECTIONS_MAX, FRAME_BYTES_MAX, INBOUND_BYTES_MAX
from services.console.memory import give_back
from services.console.service import Console
from services.console.surroundings import Surroundings
from services.console.web import app_of

PRICES_BACK = 5_000
"""Messages from where on prices are read too: enough that each market's came again, few enough to hold at once."""
NICENESS = 5
"""Whoever looks must not take time from what trades."""
REPORT_EVERY_S = 0.5
GIVE_BACK_EVERY_S = 60.0
"""Pages of the tape and of the journal need memory for a moment; what they leave free is not kept."""
YIELD_EVERY = 500
"""Messages folded in a row before requests get their turn."""
KEEP_ALIVE_S = 30
STOP_S = 2
_RARE_SUBJECTS = tuple(row.pattern for row in TABLE if row.model in RARE)

log = logging.getLogger("presage.console")


class UnsafeAddress(ValueError):
    """The console would be reachable from elsewhere without TLS; the text says what to do."""


class Address:
    """Where the console listens, and by which names browsers reach it."""

    def __init__(self, environment: Environment, listening: socket.socket | None) -> None:
        """Raises UnsafeAddress: beyond loopback, without a certificate or a proxy that has one."""
        host, _, port = environment.console_address.rpartition(":")
        self.certificate = environment.console_certificate
        self.certificate_key = environment.console_certificate_key
        is_local = environment.console_published_on_loopback or host in (
            "127.0.0.1",
            "localhost",
            "[::1]",
            "::1",
        )
        if not is_local and self.certificate is None and not environment.console_behind_proxy:
            raise UnsafeAddress(
                f"expected a loopback address, or TLS, was {environment.console_address}: give"
                " PRESAGE_CONSOLE_CERTIFICATE, or PRESAGE_CONSOLE_BEHIND_PROXY=1 where a proxy has it"
            )
        self.is_behind_proxy = environment.console_behind_proxy
        self.is_secure = self.certificate is not None or environment.console_behind_proxy
        self.socket = (
            listening if listening is not None else socket.create_server((host.strip("[]"), int(port)))
        )
        self.port = self.socket.getsockname()[1]
        named = [name.strip() for name in environment.console_hosts.split(",") if name.strip()]
        local = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")]
        self.hosts = [*local, *named]


def expiry_of(certificate: Path | None) -> dict[str, float]:
    """When the certificate of the pages expires, for the health report; nothing without one."""
    if certificate is None:
        return {}
    # The first is the server's own; those of who issued it follow.
    own = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    return {"certificate_expires_s": own.not_valid_after_utc.timestamp()}


class ConsoleShell:
    """Runs until it is stopped."""

    def __init__(self, context: Context) -> None:
        self._context = context
        money = context.layout.money_file
        self._fold = ConsoleFold(money.read_text().strip() if money.exists() else "paper")
        self._reports = Reports()
        descriptor = ChildEnvironment.read().console_socket
        listening = socket.socket(fileno=descriptor) if descriptor is not None else None
        self._address = Address(Environment.read(), listening)
        self._now = Surroundings(context.layout, context.run, context.link, self._reports, self._fold, BUILD)
        self.console = Console(self._now, is_secure=self._address.is_secure)
        self._expiry = expiry_of(self._address.certificate)
        self._detail = "reading what happened so far"

    async def run(self) -> None:
        """Serve and read until one of them ends."""
        with contextlib.suppress(OSError):
            os.nice(NICENESS)
        await self._reports.listen(self._context.link)
        await run_until_first(
            self._read(), self._serve(), self.console.live.run(), self._report(), self._stopped()
        )

    def health(self) -> dict[str, Any]:
        """Its own report: live once it has everything that happened before."""
        return {
            "service": "console",
            "state": "live" if self._fold.caught_up else "starting",
            "detail": self._detail,
            "position": self._fold.seq,
            "violations": self._context.link.violations,
            "build": BUILD,
            "clients": len(self.console.live.clients),
            "sessions": self.console.accounts.open_sessions,
        } | self._expiry

    async def _stopped(self) -> None:
        await self._context.stopping.wait()

    async def _report(self) -> None:
        given_back_at_s = monotonic()
        while True:
            await send_report(self._context.link, "console", self.health())
            await asyncio.sleep(REPORT_EVERY_S)
            if monotonic() - given_back_at_s > GIVE_BACK_EVERY_S:
                give_back()
                given_back_at_s = monotonic()

    async def _serve(self) -> None:
        app = app_of(self.console, self._address.hosts, is_secure=self._address.is_secure)
        certificate, key = self._address.certificate, self._address.certificate_key
        config = uvicorn.Config(
            app,
            http=ConnectionBehindProxy if self._address.is_behind_proxy else Connection,
            ws="websockets-sansio",
            ws_max_size=INBOUND_BYTES_MAX,
            lifespan="off",
            log_config=None,
            # A line a request would hold what people looked at; the guard counts what it refuses.
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
            h11_max_incomplete_event_size=FRAME_BYTES_MAX >> 5,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        await _Server(config).serve(sockets=[self._address.socket])

    async def _read(self) -> None:
        """Fold the past, prices only of the last minutes; then everything as it comes."""
        link = self._context.link
        last_seq = await self._end_of_tape()
        prices_from = max(0, last_seq - PRICES_BACK)
        await self._read_past(prices_from)
        watch = TapeWatch(link, self._now.archive, self._take, prices_from, rest_s=REST_S)
        try:
            while not self._fold.caught_up:
                await watch.step()
                self._fold.caught_up = watch.position >= last_seq
            self._detail = ""
            give_back()
            await watch.follow()
        finally:
            await watch.close()

    async def _end_of_tape(self) -> int:
        """The newest sequence, as soon as a broker says it."""
        while True:
            try:
                return int((await stream_state(self._context.link.client))["last_seq"])
            except BrokerUnavailable:
                await asyncio.sleep(REPORT_EVERY_S)

    async def _read_past(self, end: int) -> None:
        """What the archive and the window hold of rare kinds, up to ``end``; in order, and never all at once."""
        archive = self._now.archive
        archive.refresh()
        state = await stream_state(self._context.link.client)
        begins = int(state["first_seq"])
        for index, record in enumerate(archive.matching(_RARE_SUBJECTS, 0, min(begins, end + 1))):
            self._take_readable(record)
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        reader = TapeReader(self._context.link, max(begins - 1, 0), filter_subject=_RARE_SUBJECTS)
        try:
            while not reader.restarts or reader.lag:
                for record in await reader.next_batch(0.1):
                    if record.seq > end:
                        return
                    self._take_readable(record)
                await asyncio.sleep(0)
        finally:
            await reader.close()

    def _take_readable(self, record: TapeRecord) -> None:
        try:
            message = decode(record.subject, record.payload)
        except Unreadable:
            self._fold.unreadable += 1
            return
        self._take(record, message)

    def _take(self, record: TapeRecord, message: Message) -> None:
        self._fold.on(record, message)


class _Server(uvicorn.Server):
    """Leaves the signals of the process to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
