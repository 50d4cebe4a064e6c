"""A running system with its console, and what a browser needs to get in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proto.operator import Command, Verb
from services.console.accounts import FIRST_PASSWORD
from tests.fault.live import trading
from tests.integration.test_changes import configure
from tests.integration.test_operator_commands import SEMI
from tests.support.harness import PATIENCE_S, Tape
from tools.system.system import System


class Console:
    """The console of a running system, and what a browser needs to get in."""

    def __init__(self, system: System, tape: Tape) -> None:
        self.system = system
        self.tape = tape
        self.base = system.console_url
        folder = system.installation.layout.console
        self.password = (folder / FIRST_PASSWORD).read_text().strip()

    def commands(self, verb: Verb) -> int:
        """How often a command was given."""
        return sum(command.verb is verb for command in self.tape.of(Command))


@asynccontextmanager
async def consoled(state: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    """A system that asks for every entry, so that orders wait until somebody approves; its console is live."""
    monkeypatch.setenv("PRESAGE_CONSOLE_ADDRESS", "127.0.0.1:0")
    configure(state)
    async with trading(state, SEMI, console=True) as (system, tape):
        assert await system.reports.wait_for(
            lambda latest: latest.get("console", {}).get("state") == "live", PATIENCE_S
        ), system.supervisor.last_words("console")
        yield Console(system, tape)
