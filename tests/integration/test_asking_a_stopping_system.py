"""Asking a system that ends in that second: every command says so, wherever its connection breaks off."""

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from typer.testing import CliRunner

from libs.runtime.layout import RunFile
from libs.tape.credentials import OPERATOR, VIEWER
from tools.cli.app import app
from tools.cli.commands.operator import give_resume
from tools.cli.commands.status import read_status
from tools.exit_codes import FAILED
from tools.system.installation import Installation, SystemGone

INFO = b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"proto":1,"headers":true}\r\n'
ENDS_AT = ("CONNECT", "SUB")
"""What the broker hears last."""
PATIENCE_S = 0.4


class EndingBroker:
    """A broker that goes away at some point of a connection, and does not come back."""

    def __init__(self, ends_at: str, ended: Callable[[], None]) -> None:
        self._ends_at = ends_at
        self._ended = ended
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        while line := await reader.readline():
            if line.startswith(self._ends_at.encode()):
                break
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        self.close()
        self._ended()
        writer.transport.abort()

    def close(self) -> None:
        assert self._server is not None
        self._server.close()


class Supervised:
    """A state directory whose supervisor this test is."""

    def __init__(self, state: Path) -> None:
        self.layout = Installation(state).layout
        self._lock = os.open(self.layout.supervisor_lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.write(self._lock, str(os.getpid()).encode())
        self.layout.write_tape({"tape": "t", "base": "t", "epoch": 0, "last_seq": 0})
        for user in (VIEWER, OPERATOR):
            assert self.layout.password(user)

    def release(self) -> None:
        """The supervisor is gone."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def announce_stopping(self) -> None:
        self.layout.servers_file.write_text(json.dumps({"broker": "up", "stopping": True}))

    def asked(self, ends_at: str, ended: Callable[[], None], work: Callable[[], Awaitable[Any]]) -> Any:
        """Ask as the command does, on its loop, while the broker goes away."""

        async def asking() -> Any:
            broker = EndingBroker(ends_at, ended)
            self.layout.write_run(RunFile(broker_url=await broker.start(), tape="t"))
            os.environ["PRESAGE_NATS_URL"] = self.layout.read_run().broker_url
            try:
                return await work()
            finally:
                del os.environ["PRESAGE_NATS_URL"]
                broker.close()

        return uvloop.run(asking())


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    asked = sys.modules["tools.cli.commands.status"]
    monkeypatch.setattr(asked, "COMMAND_PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(asked, "REPORT_PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr("tools.system.installation.RUNNING_PATIENCE_S", PATIENCE_S)
    found = Supervised(tmp_path)
    yield found
    found.release()


def nothing() -> None:
    """The supervisor goes on; it may be starting the broker again."""


@pytest.mark.parametrize("ends_at", ENDS_AT)
def test_status_has_words_wherever_the_connection_ends(supervised: Supervised, ends_at: str):
    state = supervised.layout.root

    def look(ended: Callable[[], None]) -> dict[str, Any]:
        found: dict[str, Any] = supervised.asked(ends_at, ended, lambda: read_status(state))
        return found

    assert look(nothing)["orders"] == "no new orders: broker gone"
    assert look(supervised.announce_stopping)["orders"] == "stopping"
    supervised.layout.servers_file.unlink()
    ended = look(supervised.release)
    assert (ended["orders"], ended["running"], ended["supervisor_pid"]) == ("stopped", False, 0)


@pytest.mark.parametrize("ends_at", ["CONNECT", "HPUB"])
def test_other_commands_say_that_it_stops(supervised: Supervised, ends_at: str):
    state = supervised.layout.root

    def give(ended: Callable[[], None]) -> Any:
        return supervised.asked(ends_at, ended, lambda: give_resume(state))

    if ends_at != "HPUB":  # it takes two seconds to give up
        with pytest.raises(SystemGone, match="is stopping; ask again in a moment"):
            give(supervised.announce_stopping)
    with pytest.raises(SystemGone, match="has just stopped; ask again"):
        give(supervised.release)


def test_the_commands_exit_code_is_that_of_a_failure(supervised: Supervised, monkeypatch: pytest.MonkeyPatch):
    nowhere = "nats://127.0.0.1:1"
    monkeypatch.setenv("PRESAGE_NATS_URL", nowhere)
    supervised.announce_stopping()
    supervised.layout.write_run(RunFile(broker_url=nowhere, tape="t"))
    for arguments, words in ((("status",), "orders: stopping"), (("why", "1"), "is stopping; ask again")):
        done = CliRunner().invoke(app, [*arguments, "--state", str(supervised.layout.root)])
        assert done.exit_code == FAILED
        assert words in done.output
