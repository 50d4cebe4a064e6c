"""Services that no supervisor starts, each with a directory of its own, as in containers: with a real broker and database."""

import asyncio
import json
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
from proto.subjects import CONSOLE, SERVICES
from tests.support.paths import ROOT
from tests.support.waiting import until
from tools.system.bootstrap import BROKER_DATA, BROKER_LISTEN, BROKER_MONITOR, bootstrap
from tools.system.build import system_of
from tools.system.kubernetes_secrets import write_secrets
from tools.system.options import MarketSource, Options
from tools.system.shares import DESKS
from tools.system.system import START_PATIENCE_S, System

FETCHING = ("feed", "risk", "execution", "journal", CONSOLE)
"""Services that share no folder with the supervisor: each has its Secret's files, an empty directory and an address."""


class Elsewhere:
    """A broker, the sandbox and the services as processes that know their own directory alone."""

    def __init__(self, root: Path, broker_port: int, status_port: int) -> None:
        self._status_port = status_port
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
        command = [sys.executable, "-m", f"services.{service}", "--state", str(self.state_of(service))]
        own = self.root / "secrets" / service
        mounted = {
            "run_url": f"http://127.0.0.1:{self._status_port}/run",
            "nats_credentials": own,
            "signing_keys_dir": own,
            "secrets_dir": own,
            # Any free port: several of these may run at a time.
            "console_address": "127.0.0.1:0",
        }
        named = {f"{PREFIX}{name.upper()}": str(value) for name, value in mounted.items()}
        self._start(service, command, named if service in FETCHING else {})

    def state_of(self, service: str) -> Path:
        """Its own directory; of one that fetches its run, nobody else's."""
        return self.root / "own" / service if service in FETCHING else self.services / service

    def _start(self, name: str, command: list[str], mounted: dict[str, str] | None = None) -> None:
        clean = (mounted or {}) | {
            key: value for key, value in os.environ.items() if not key.startswith(PREFIX)
        }
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
                process.wait(60)
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


def assert_knows_its_own(state: Path, service: str) -> None:
    """What came to a service that fetches its run has no password and no key of anybody's in it."""
    assert json.loads((state / "run.json").read_text())["tape"]
    assert "postgresql" not in (state / "run.json").read_text()
    assert not any(path.is_file() for path in [*state.glob("keys/**/*"), *state.glob("broker/credentials/*")])
    assert (state / "sandbox-keys").exists() == (service in DESKS)


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.timeout(900)  # eight processes start, some of them twice
@pytest.mark.asyncio
async def test_services_live_on_their_own_directories_and_outlive_the_supervisor(
    tmp_path: Path, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, status_port = free_port(), free_port()
    elsewhere = Elsewhere(tmp_path, port, status_port)
    for name, value in {
        "nats_url": f"nats://127.0.0.1:{port}",
        "database_url": empty_database,
        "services_dir": str(elsewhere.services),
        "sandbox_dir": str(tmp_path / "sandbox-state"),
        "gate_dir": str(elsewhere.services / "execution"),
        "status_address": f"127.0.0.1:{status_port}",
    }.items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    options = Options(tmp_path / "state", market=MarketSource.SANDBOX)
    bootstrap(options.state, "database")
    write_secrets(options.state, tmp_path / "secrets", "database")
    # Of a database that was there before; the one in a cluster takes its password from the same place.
    (tmp_path / "secrets" / "journal" / "presage_database_url").write_text(empty_database)
    elsewhere.start_broker()
    elsewhere.start_sandbox()
    try:
        async with supervised(options) as system:
            for service in (*SERVICES, CONSOLE):
                elsewhere.start(service)
            assert await system.all_live(), system.not_live()
            assert await system.reports.wait_for(
                lambda latest: latest.get(CONSOLE, {}).get("state") == "live", START_PATIENCE_S
            ), system.reports.latest.get(CONSOLE)
            assert {venue for venue in system.venues if "localhost" in str(system.venues[venue])}
            assert await sessions(system._links[0]) == 1
            for service in FETCHING:
                assert_knows_its_own(elsewhere.state_of(service), service)
            money = system.installation.layout.money_file.read_text()
            assert (elsewhere.state_of(CONSOLE) / "money").read_text() == money
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
