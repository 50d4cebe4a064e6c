"""A system without a terminal, looked at from another one: attach, logs, the HALT file, stop, and what it says at its end."""

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from libs.archive.archive import Archive
from libs.operator.watch import Reports
from libs.runtime.layout import StateLayout
from libs.view.model import ViewModel
from proto.units import ONE
from tests.integration.test_up import LIVE_S, presage, presage_up
from tests.support.paths import ROOT
from tests.support.played import played_in
from tools.cli.commands import attach
from tools.cli.live_view import LiveView
from tools.cli.view_source import RemoteSystem
from tools.exit_codes import FAILED
from tools.system.installation import tape_access

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]


class Terminal:
    """A command with a terminal of its own, and everything it has drawn."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = os.openpty()
        # A shell that puts its tests into the background has them ignore Ctrl-C, and their children with them.
        ours = signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", *arguments],
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "140", "LINES": "40", "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, ours)
        os.close(theirs)
        self.drawn = ""

    def read_until(self, words: str) -> None:
        """Wait until it has drawn these words; fails the test when it does not in time."""
        deadline = monotonic() + LIVE_S
        while words not in self.drawn:
            assert monotonic() < deadline, f"expected {words!r}, was {self.drawn[-3_000:]}"
            if not select.select([self._ours], [], [], 0.2)[0]:
                continue
            try:
                self.drawn += re.sub(
                    r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self._ours, 65_536).decode(errors="replace")
                )
            except OSError as e:
                raise AssertionError(f"expected {words!r}, it ended with {self.drawn[-3_000:]}") from e

    def press(self, keys: str) -> None:
        """Type keys, as a terminal sends them."""
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    found = Terminal(*arguments)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("prices_back", [0, 300, 1_000_000])
def test_a_view_that_comes_later_counts_what_the_run_itself_counted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, prices_back: int
):
    monkeypatch.setattr(attach, "PRICES_BACK", prices_back)
    played = played_in(tmp_path_factory)

    async def looked_at() -> ViewModel:
        async with tape_access(played.state) as (installation, link):
            view = LiveView(RemoteSystem(installation.layout, Reports()))
            watch = await attach.catch_up(link, Archive(installation.layout.archive), view)
            await watch.read_to(played.summary["tape_last_seq"])
            await watch.close()
            return view.model

    model = asyncio.run(looked_at())
    for name in ("proposals", "exits", "approvals", "orders", "fills", "settlements"):
        assert model.tally.counts[name] == played.summary[name], name
    assert model.tally.counts["rejections"] == played.summary["rejected"]
    assert model.profit == round(played.summary["profit"] * ONE)
    assert model.cash == round(played.summary["cash"] * ONE)
    assert model.seq == played.summary["tape_last_seq"]


def test_ctrl_c_before_anything_runs_is_said_in_words(tmp_path: Path):
    with terminal("up", "--state", str(tmp_path / "state")) as view:
        view.read_until("presage: starting …")
        view.process.send_signal(signal.SIGINT)
        view.read_until("ended by Ctrl-C")
        assert view.process.wait(timeout=LIVE_S) == 130


def test_a_system_without_a_terminal_is_looked_at_from_another_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    state = tmp_path / "state"
    with presage_up(state, "--market", "synthetic", "--no-console", as_json=False) as process:
        with terminal("attach", "--state", str(state)) as view:
            view.read_until("PRESAGE")
            view.read_until("7 of 7 live")
            (state / "HALT").touch()
            view.read_until("HALTED by the HALT file: no reason given. No new orders: presage resume")
            (state / "HALT").unlink()
            view.press("6")
            view.read_until("services and alerts")
            view.press("h")
            view.read_until("y halts, any other key goes back")
            view.press("y")
            view.read_until("halted: key in the terminal view (tape sequence")
            assert (state / "HALT").exists()
            view.press("q")
            view.read_until("left the view; the system runs on")
            assert view.process.wait(timeout=LIVE_S) == 0
        run = StateLayout(state).read_run()
        monkeypatch.setenv("PRESAGE_NATS_CREDENTIALS", str(state / "broker" / "credentials"))
        with terminal("attach", "--nats", run.broker_url) as view:
            view.read_until("7 of 7 live")
            view.read_until("HALTED: key in the terminal view")
            assert "h HALT" not in view.drawn
            view.process.send_signal(signal.SIGINT)
            view.read_until("left the view; the system runs on")
            assert view.process.wait(timeout=LIVE_S) == 0
        told = presage("logs", "risk", "monitor", "--state", state)
        assert {"risk", "monitor"} <= set(told.stdout.split()), told.stdout
        assert presage("logs", "nobody", "--state", state).returncode == 2
        stopped = presage("stop", "--state", state)
        assert stopped.returncode == 0, stopped.stderr
        assert f"stopped: process {process.pid} has ended after " in stopped.stdout
        said, _ = process.communicate(timeout=LIVE_S)
        assert process.returncode == 0
        assert "profit $0.00 after fees (realised $0.00, unrealised $0.00, fees $0.00)" in said
        assert "{" not in said
    for command in ("stop", "approve 1-0"):
        nothing = presage(*command.split(), "--state", state)
        assert nothing.returncode == FAILED
        assert "expected a running system in" in nothing.stderr
