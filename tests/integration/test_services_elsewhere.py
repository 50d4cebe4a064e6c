"""Services that no supervisor starts, each with a directory of its own, as in containers: with a real broker and database."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from libs.config.environment import PREFIX
from libs.config.load import parse_sets
from libs.lists.reading import read_window
from libs.tape.broker import binary, free_port
from libs.tape.connection import Link
from proto.operator import Session
from proto.subjects import SERVICES
from tests.support.paths import ROOT
from tests.support.waiting import until
from tools.system.bootstrap import BROKER_DATA, BROKER_LISTEN, BROKER_MONITOR, bootstrap
from tools.system.build import system_of
from tools.system.options import MarketSource, Options
from tools.system.shares import DESKS
from tools.system.system import System


class Elsewhere:
    """A broker, the sandbox and the services as processes that know their own directory alone."""

    def __init__(self, root: Path, broker_port: int) -> None:
        self.services = root / "services"
        self.root = root
        self._port = broker_port
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_broker(self) -> None:
        """On the configuration that bootstrap wrote, with this machine's addresses in place of a container's."""
        folder = self.services / "broker"
        text = (folder / "nats.conf").read_text()
        for there, here in (
            (BROKER_LISTEN, f"127.0.0.1:{self._port}"),
            (f"http: {BROKER_MONITOR}", ""),
            (str(BROKER_DATA), str(folder / "jetstream")),
        ):
            assert there in text
            text = text.replace(there, here)
        (folder / "here.conf").write_text(text)
        self._start("broker", [binary(), "-c", str(folder / "here.conf")])

    def start_sandbox(self) -> None:
        options = ["--json", "--host", "localhost", "--state", str(self.root / "sandbox-state")]
        self._start("sandbox", [sys.executable, "-m", "sandbox", *options])

    def start(self, service: str) -> None:
        """As its container does: with its state directory and no variable of the supervisor's."""
        command = [sys.executable, "-m", f"services.{service}", "--state", str(self.services / service)]
        self._start(service, command)

    def _start(self, name: str, command: list[str]) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        with (self.root / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=clean, stdout=log, stderr=log, start_new_session=True
            )

    def has_ended(self, service: str) -> bool:
        return self._processes[service].poll() is not None

    def stop(self) -> None:
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@asynccontextmanager
async def supervised(options: Options, *changes: str) -> AsyncIterator[System]:
    system = system_of(options, overrides=parse_sets(changes))
    try:
        await system.start()
        yield system
    finally:
        await system.stop()


async def sessions(link: Link) -> int:
    return len((await read_window(link, (Session,))).entries)


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.timeout(300)  # eight processes start, some of them twice
@pytest.mark.asyncio
async def test_services_live_on_their_own_directories_and_outlive_the_supervisor(
    tmp_path: Path, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    elsewhere = Elsewhere(tmp_path, port)
    for name, value in {
        "nats_url": f"nats://127.0.0.1:{port}",
        "database_url": empty_database,
        "services_dir": str(elsewhere.services),
        "sandbox_dir": str(tmp_path / "sandbox-state"),
        "gate_dir": str(elsewhere.services / "execution"),
    }.items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    options = Options(tmp_path / "state", market=MarketSource.SANDBOX)
    bootstrap(options.state, "database")
    elsewhere.start_broker()
    elsewhere.start_sandbox()
    try:
        async with supervised(options) as system:
            for service in SERVICES:
                elsewhere.start(service)
            assert await system.all_live(), system.not_live()
            assert {venue for venue in system.venues if "localhost" in str(system.venues[venue])}
            assert await sessions(system._links[0]) == 1
        # Its end is not theirs; and one that comes back is in the same session.
        assert not any(elsewhere.has_ended(service) for service in SERVICES)
        async with supervised(options) as system:
            assert await system.all_live(), system.not_live()
            assert await sessions(system._links[0]) == 1
            assert not any(elsewhere.has_ended(service) for service in SERVICES)
        # Another run: who is concerned stops by plan, and would be started again by its platform.
        async with supervised(options, "venues.kalshi.enabled=false") as system:
            for service in DESKS:
                await until(partial(elsewhere.has_ended, service))
                elsewhere.start(service)
            assert not any(elsewhere.has_ended(service) for service in SERVICES)
            assert await sessions(system._links[0]) == 2
            assert await system.all_live(), system.not_live()
    finally:
        await asyncio.to_thread(elsewhere.stop)
