"""A strategy that raises in the running system: stopped, told, killed, skipped, and replayed alike."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest

from libs.contract.codec import encode
from libs.tape.credentials import ADMIN
from libs.tape.reader import read_subject
from proto.feed import Trade
from proto.monitor import Alert
from proto.service import Started
from services.feed.recording.play import play
from services.feed.recording.recording import open_recording
from services.signal.machine import SignalMachine
from tests.support.cluster import with_cluster
from tests.support.harness import readable, synthetic_recording
from tests.support.paths import ROOT
from tests.support.patient import PatientPublisher
from tools.cli.commands.operator import give_resume, give_skip
from tools.cli.commands.status import read_status
from tools.system.installation import tape_access

VERSION = SignalMachine.version
pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.fault, pytest.mark.slow]

PATIENCE_S = 200.0
TRADE_NUMBER = 60
STRATEGY = '''
from services.signal.momentum import Momentum


class Raising(Momentum):
    """Momentum that cannot bear one trade."""

    def on_trade(self, trade):
        if (trade.instrument, trade.at, trade.trade_id) == {trade!r}:
            raise ZeroDivisionError("this trade")
        return super().on_trade(trade)
'''


@contextmanager
def up(state: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``presage up`` as a user starts it; stopped like a user stops it."""
    with_cluster(state / "postgres")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tools.cli",
            "up",
            "--market",
            "synthetic",
            "--state",
            str(state),
            "--headless",
            "--json",
            *arguments,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def status_when(state: Path, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status that satisfies a condition."""
    deadline = monotonic() + PATIENCE_S
    document: dict[str, Any] = {}
    while monotonic() < deadline:
        if (state / "run.json").exists():
            document = await read_status(state)
            if document.get("services") and condition(document):
                return document
        await asyncio.sleep(0.1)
    pytest.fail(f"expected another status in time, was {document}")


def is_signal(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda document: document["services"].get("signal", {}).get("state") == state


def pid_of(process: subprocess.Popen[str], service: str) -> int:
    children = psutil.Process(process.pid).children()
    return next(child.pid for child in children if f"services.{service}" in child.cmdline())


def replayed(state: Path, strategy: str = "momentum") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "replay", "--state", str(state), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def tape_of(state: Path, subject: str) -> list[Any]:
    async with tape_access(state) as (_, link):
        return [message for _, message in readable(await read_subject(link, subject))]


@pytest.mark.asyncio
@pytest.mark.timeout(900)
async def test_a_raising_strategy_stops_alone_and_goes_on_after_the_skip(tmp_path: Path) -> None:
    recording = synthetic_recording(tmp_path, minutes=0.5)
    trades = [m for m in play(open_recording(recording)) if isinstance(m, Trade)]
    strategy = tmp_path / "raising.py"
    one = trades[TRADE_NUMBER]
    strategy.write_text(STRATEGY.format(trade=(one.instrument, one.at, one.trade_id)))
    state = tmp_path / "state"
    arguments = ("--recording", str(recording), "--speed", "max", "--strategy", f"{strategy}:Raising")
    with up(state, *arguments) as process:
        document = await status_when(state, is_signal("stopped"))
        detail = document["services"]["signal"]["detail"]
        assert "ZeroDivisionError: this trade" in detail
        assert document["orders"].startswith("no new orders: ")
        found = re.search(r"sequence (\d+)", detail)
        assert found is not None
        seq = int(found[1])
        assert document["services"]["signal"]["position"] == seq - 1

        killed = pid_of(process, "signal")
        os.kill(killed, signal.SIGKILL)
        # Its next life comes to the same place; the one before says nothing more.
        document = await status_when(state, is_signal("stopped"))
        assert f"sequence {seq}" in document["services"]["signal"]["detail"]
        assert pid_of(process, "signal") != killed
        alerts = [a for a in await tape_of(state, "monitor.alert.>") if isinstance(a, Alert)]
        assert any(a.rule == "machine_stopped" and a.topic == "signal" and a.active for a in alerts)

        await give_skip(state, seq, "signal")
        stdout, stderr = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["divergences"] == 0
    assert "signal stopped: ZeroDivisionError" in stderr
    result = replayed(state)
    assert result["identical"]
    assert result["skipped"] == [{"machine": "signal", "seq": seq}]


@pytest.mark.asyncio
@pytest.mark.timeout(900)
async def test_an_upgrade_after_a_crash_refuses_and_adopts_in_the_running_system(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with up(state) as process:
        await status_when(state, is_signal("live"))
    assert process.returncode == 0
    old = Started(service="signal", machine="signal", build="0.0.9", version=99, from_seq=1)
    # As if another build had run since and crashed: its start stands on the tape, no snapshot does.
    async with tape_access(state, ADMIN) as (_, link):
        publisher = PatientPublisher(link)
        await publisher.start()
        await publisher.publish(old.subject(), encode(old), {})

    with up(state) as process:
        document = await status_when(state, is_signal("refused"))
        refused = pid_of(process, "signal")
        assert (
            f"expected signal version 99 after a crash, was version {VERSION}"
            in document["services"]["signal"]["detail"]
        )
        assert "--adopt signal" in document["services"]["signal"]["detail"]
        assert document["orders"].startswith("no new orders: ")
        assert "signal" in document["orders"]
        # It stays up to say so: the same process, still refused when others live.
        await status_when(state, lambda d: d["services"]["monitor"]["state"] == "live")
        await status_when(state, is_signal("refused"))
        assert pid_of(process, "signal") == refused

    with up(state, "--adopt", "signal"):
        document = await status_when(state, is_signal("live"))
        assert document["halted"] == "adopted"
        assert document["orders"] == "halted: adopted"
        await give_resume(state)
        await status_when(state, lambda d: d["orders"] == "open")
    starts = [s for s in await tape_of(state, "signal.started") if isinstance(s, Started)]
    assert [(s.version, s.adopted) for s in starts] == [
        (VERSION, False),
        (99, False),
        (VERSION, True),
    ]
    result = replayed(state)
    assert result["identical"]
    assert {row["machine"]: row["text"] for row in result["left_out"]} == {
        "signal": f"adopted by version {VERSION}"
    }

    with up(state):
        # The adoption needs no repeating.
        await status_when(state, lambda d: d["orders"] == "open")
