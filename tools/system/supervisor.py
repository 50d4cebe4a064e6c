"""The supervisor: every service its own process, started in order, restarted when it dies."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from libs.config.environment import variable
from libs.keys.venues.passphrase import DESCRIPTOR_VARIABLE, hand_over
from libs.runtime.child import INSTANCE_VARIABLE, RESTARTS_VARIABLE, STATUS_VARIABLE
from libs.runtime.layout import StateLayout
from libs.tape.credentials import STANDBY, standby_name
from proto.subjects import SERVICES

ROOT = Path(__file__).resolve().parents[2]
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits before restarts in a row: quick at first, for a killed process; slow for one that cannot start."""
STEADY_S = 10.0
"""A service that ran this long has recovered: its next restart is quick again."""
STOP_PATIENCE_S = 3.0
"""For the processes that stop together: standbys, services, and what keeps the record."""
STOPPED_LAST = ("journal",)
"""It stores what the others say while they stop."""
LOG_BYTES_MAX = 16 << 20
"""Of a service's log; the one before is kept as .log.1."""
LOGS_EVERY_S = 10.0
STATUS_HOST = "127.0.0.1"
LAST_WORDS_BYTES_MAX = 4_096
"""Read back from the end of a log: its last line is what matters, and no line is that long."""
LAST_WORDS_CHARACTERS_MAX = 300
PRIVATE = {variable("anthropic_key"): "advisor", variable("openai_key"): "advisor"}
"""Variables that only one service gets: a key is no business of the others."""


@dataclass
class Child:
    """One service's process and its history."""

    service: str
    process: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0
    restarts: int = 0
    in_a_row: int = 0
    restart_at_s: float | None = None
    exit_codes: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0


class Supervisor:
    """Starts and watches the services of one state directory.

    ``commands``: how to start a child that is no service of ours. ``standbys``: services of which a second process waits
    to take over. ``environment``: service → variables that only it gets. ``passphrase`` opens the venues' keys; the services in ``opening`` inherit it by a pipe.
    """

    def __init__(
        self,
        layout: StateLayout,
        services: tuple[str, ...] = SERVICES,
        commands: Mapping[str, Sequence[str]] | None = None,
        standbys: tuple[str, ...] = (),
    ) -> None:
        self.children = {service: Child(service) for service in services}
        self._standbys = {standby_name(service): service for service in standbys}
        self.children |= {name: Child(name) for name in self._standbys}
        self.environment: dict[str, dict[str, str]] = {}
        self.passphrase = ""
        self.opening: tuple[str, ...] = ()
        self._commands = dict(commands or {})
        self._layout = layout
        self._stopping = False
        self._sockets: dict[str, socket.socket] = {}
        self.listening: dict[str, tuple[str, socket.socket]] = {}
        """Service → a variable, and an open socket that it inherits and finds by it; it stays open here."""

    def listen(self, base: int = 0) -> dict[str, int]:
        """Open the socket of each service's status endpoints; their ports: any free ones, or from ``base`` on.

        They stay open here and the services inherit them: a port that is only looked up can be somebody
        else's by the time the service listens, and then it starts and dies for ever. It stays the same
        when a service is restarted.
        """
        for offset, service in enumerate(self.children):
            self._sockets[service] = socket.create_server((STATUS_HOST, base and base + offset))
        return {service: opened.getsockname()[1] for service, opened in self._sockets.items()}

    def start(self) -> None:
        """Start every service."""
        for child in self.children.values():
            self._spawn(child)

    def _spawn(self, child: Child) -> None:
        log_path = self._layout.logs / f"{child.service}.log"
        environment = os.environ | {"PYTHONPATH": str(ROOT), RESTARTS_VARIABLE: str(child.restarts)}
        service = self._standbys.get(child.service, child.service)
        environment |= self.environment.get(service, {})
        if service != child.service:
            environment[INSTANCE_VARIABLE] = STANDBY
        for name, owner in PRIVATE.items():
            if owner != service:
                environment.pop(name, None)
        inherited: list[int] = []
        if child.service in self._sockets:
            inherited.append(self._sockets[child.service].fileno())
            environment[STATUS_VARIABLE] = str(inherited[0])
        if child.service in self.listening:
            name, opened = self.listening[child.service]
            inherited.append(opened.fileno())
            environment[name] = str(opened.fileno())
        pipe = hand_over(self.passphrase) if self.passphrase and service in self.opening else None
        if pipe is not None:
            inherited.append(pipe)
            environment[DESCRIPTOR_VARIABLE] = str(pipe)
        try:
            with log_path.open("ab") as log:
                child.process = subprocess.Popen(
                    self._command(child.service),
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    cwd=ROOT,
                    env=environment,
                    pass_fds=inherited,
                    start_new_session=True,
                )
        finally:
            if pipe is not None:
                os.close(pipe)
        child.started_at_s = monotonic()
        child.restart_at_s = None

    def _command(self, service: str) -> list[str]:
        if service in self._commands:
            return list(self._commands[service])
        python = os.path.abspath(sys.executable)
        module = f"services.{self._standbys.get(service, service)}"
        return [python, "-m", module, "--state", str(self._layout.root)]

    def shorten_logs(self) -> None:
        """Put aside what long logs have. The services go on with their file: it is copied and emptied.

        What is written between the two is lost, some lines in the millisecond that a copy takes. Without room for a
        copy the log is emptied all the same: a full disk needs it most.
        """
        for service in self.children:
            path = self._layout.logs / f"{service}.log"
            if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
                with contextlib.suppress(OSError):
                    shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)

    def check(self) -> None:
        """Restart what died; call it a few times a second."""
        if self._stopping:
            return
        now = monotonic()
        for child in self.children.values():
            if child.process is None:
                if child.restart_at_s is not None and now >= child.restart_at_s:
                    self._spawn(child)
                continue
            code = child.process.poll()
            if code is None:
                continue
            child.process = None
            child.exit_codes = [*child.exit_codes[-9:], code]
            child.restarts += 1
            child.in_a_row = 0 if now - child.started_at_s > STEADY_S else child.in_a_row + 1
            child.restart_at_s = now + BACKOFF_S[min(child.in_a_row, len(BACKOFF_S) - 1)]

    def last_words(self, service: str) -> str:
        """How a service does, shortly: how it ended when it did, and the last line of its log."""
        child = self.children.get(service)
        if child is None:
            return "it runs elsewhere, and so does its log"
        path = self._layout.logs / f"{service}.log"
        end = path.read_bytes()[-LAST_WORDS_BYTES_MAX:] if path.exists() else b""
        lines = end.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        log = f"log: {last[-LAST_WORDS_CHARACTERS_MAX:]}"
        if not child.exit_codes:
            return log
        return f"ended {child.restarts} times, last with {child.exit_codes[-1]}, {log}"

    async def watch(self) -> None:
        """Check until cancelled."""
        shortened_at_s = float("-inf")
        while True:
            self.check()
            if monotonic() - shortened_at_s > LOGS_EVERY_S:
                self.shorten_logs()
                shortened_at_s = monotonic()
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop every service by plan; end those that do not stop in time."""
        self._stopping = True
        for names in self._stop_order():
            await self._end(
                [c.process for c in map(self.children.__getitem__, names) if c.process is not None]
            )
        while self._sockets:
            self._sockets.popitem()[1].close()
        while self.listening:
            self.listening.popitem()[1][1].close()

    def _stop_order(self) -> list[list[str]]:
        """Who stops together. A leader that stops gives up its lease: with a standby still there, that would take over."""
        leading = [name for name in self.children if name not in self._standbys]
        return [
            list(self._standbys),
            [name for name in leading if name not in STOPPED_LAST],
            [name for name in leading if name in STOPPED_LAST],
        ]

    async def _end(self, running: list[subprocess.Popen[bytes]]) -> None:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = monotonic() + STOP_PATIENCE_S
        while any(p.poll() is None for p in running) and monotonic() < deadline:
            await asyncio.sleep(0.02)
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
