"""``presage up`` as a user meets it: a process of its own, its summary, its end, and what comes after."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
import uvloop

from libs.portfolio.portfolio import Portfolio
from libs.runtime.layout import StateLayout
from proto.execution import Claim
from proto.operator import Prices, Session
from proto.risk import PortfolioReport
from proto.service import Started
from proto.subjects import ALL_SERVICES
from services.feed.recording.recording import RESULTS_FILE
from services.feed.synthetic.recording import START_NS, write_recording
from tests.fault.rig import BUSY, SEED
from tests.support.cluster import with_cluster
from tests.support.harness import readable
from tests.support.paths import ROOT
from tools.cli.commands.status import read_status
from tools.cli.commands.tape import history_of
from tools.exit_codes import FAILED, USAGE, UsageError
from tools.offline.backtest import Backtest
from tools.system.composition import sections
from tools.system.installation import running_supervisor, tape_access

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

KEYS = """frames events proposals approvals rejections orders fills exits settlements open_positions
unknown_orders cash equity realised_profit unrealised_profit fees profit latency_ms tape_last_seq divergences outputs_hash""".split()
LATER_NS = 3_650_000_000_000
"""An hour later, and 10 s before a full minute, when risk reports its books."""
LIVE_S = 200.0
STOP_S = 60.0
"""What is promised is 5 s; a machine busy with other tests may take longer."""
POLL_S = 0.05
SETS = [argument for name, value in BUSY.items() for argument in ("--set", f"{name}={value}")]


def presage(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@contextmanager
def presage_up(state: Path, *arguments: str, as_json: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A running ``presage up --headless``, with ``--json``, live when the block begins; ended in any case."""
    with_cluster(state / "postgres")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tools.cli",
            "up",
            "--headless",
            *(["--json"] if as_json else []),
            "--state",
            str(state),
            *arguments,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_live(state, process)
        yield process
    finally:
        process.kill()
        process.communicate()
        for left in processes_of(state):
            left.kill()


def wait_live(state: Path, process: subprocess.Popen[str]) -> None:
    """Until every service says that it is live and orders may leave."""
    deadline = monotonic() + LIVE_S
    document: dict = {}
    while monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            document = asyncio.run(read_status(state))
        except UsageError:
            document = {"orders": "not started yet"}
        if document.get("orders") == "open":
            return
        sleep(POLL_S)
    raise AssertionError(f"expected a live system, was {document}")


def processes_of(state: Path) -> list[psutil.Process]:
    """Every process that works for a state directory: named on its command line, or working inside it."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            inside = Path(process.cwd()).is_relative_to(state)
        except (psutil.Error, OSError):
            continue
        if inside or any(str(state) in argument for argument in arguments):
            found.append(process)
    return found


def services_of(state: Path) -> set[int]:
    """The processes of the services of a state directory."""
    return {p.pid for p in processes_of(state) if "services." in " ".join(p.cmdline())}


def wait_gone(state: Path) -> None:
    """Until no process works for a state directory any more."""
    deadline = monotonic() + STOP_S
    while (left := processes_of(state)) and monotonic() < deadline:
        sleep(POLL_S)
    assert not left, [process.cmdline() for process in left]


async def messages_of(state: Path) -> list:
    """Everything readable on the tape of a stopped state directory."""
    async with tape_access(state) as (installation, link):
        return readable([record async for record in history_of(installation, link).records()])


def recordings_in_order(directory: Path) -> list[Path]:
    """Two sessions, an hour apart; the first ends with a position open, because its result is not known yet."""
    first = write_recording(directory / "first", SEED, 0.4)
    (first / RESULTS_FILE).unlink()
    second = write_recording(directory / "second", SEED + 1, 0.3, start_ns=START_NS + LATER_NS)
    (second / RESULTS_FILE).unlink()
    return [first, second]


def test_recordings_are_played_one_after_another_and_summed_up(tmp_path):
    state = tmp_path / "state"
    played = recordings_in_order(tmp_path)
    done = presage("up", *played, "--speed", "max", "--headless", "--state", state, "--json", *SETS)
    assert done.returncode == 0, done.stderr
    assert not processes_of(state)
    summary = json.loads(done.stdout)
    assert set(KEYS) <= summary.keys()
    assert summary["latency_ms"].keys() == {"p50", "p99"}
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    test = Backtest(sections(overrides=BUSY))
    test.run(played)
    expected = test.summary.document()
    for key in KEYS:
        if key not in ("events", "latency_ms", "tape_last_seq"):
            assert summary[key] == expected[key], key
    assert summary["orders"] > 0
    messages = asyncio.run(messages_of(state))
    sessions = [(m.recording, m.prices) for _, m in messages if isinstance(m, Session)]
    assert sessions == [("first", Prices.RECORDING), ("second", Prices.RECORDING)]
    assert summary["tape_last_seq"] <= messages[-1][0].seq
    look_at_stopped(state, next(m.order for _, m in messages if isinstance(m, Claim)))
    refuse_the_past(state, played[0], messages[-1][0].seq)


def look_at_stopped(state: Path, order: str) -> None:
    """What an operator asks of a system that is stopped."""
    status = presage("status", "--state", state, "--json")
    assert status.returncode == FAILED
    assert json.loads(status.stdout)["running"] is False
    assert json.loads(status.stdout)["orders"] == "stopped"
    why = presage("why", order, "--state", state, "--json")
    assert why.returncode == 0, why.stderr
    subjects = json.dumps(json.loads(why.stdout))
    for part in ("signal.proposal", "risk.approval", f"ledger.order.{order}", f"execution.order.{order}"):
        assert part in subjects, part
    replay = presage("replay", "--state", state, "--json")
    assert replay.returncode == 0, replay.stdout
    assert json.loads(replay.stdout)["identical"] is True
    assert json.loads(replay.stdout)["compared"] > 0
    verify = presage("journal", "verify", "--state", state, "--json")
    assert verify.returncode == 0, verify.stdout
    assert not processes_of(state)


def refuse_the_past(state: Path, recording: Path, last_seq: int) -> None:
    """A recording from before the tape's time is a usage error, and leaves nothing on the tape."""
    done = presage("up", recording, "--speed", "max", "--headless", "--state", state, "--json")
    assert done.returncode == USAGE
    assert "expected a tape not later than the recording" in done.stderr
    assert not processes_of(state)
    assert asyncio.run(messages_of(state))[-1][0].seq == last_seq


def test_the_next_up_goes_on_from_the_same_state(tmp_path):
    state = tmp_path / "state"
    with_cluster(state / "postgres")
    first, second = recordings_in_order(tmp_path)
    up = ("--speed", "max", "--headless", "--state", state, "--json", *SETS)
    before = json.loads(presage("up", first, *up).stdout)
    assert before["open_positions"] >= 1, "expected a position to be held over the stop"
    ended_at = asyncio.run(messages_of(state))[-1][0].seq
    after = json.loads(presage("up", second, *up).stdout)
    assert after["tape_last_seq"] > ended_at
    messages = asyncio.run(messages_of(state))
    tapes = {m.tape for _, m in messages if isinstance(m, Session)}
    assert len(tapes) == 1, "expected no new epoch"
    starts = [m for record, m in messages if isinstance(m, Started) and record.seq > ended_at]
    assert {m.machine for m in starts} >= {"risk", "execution", "paper", "exit", "signal"}
    for start in starts:
        assert 0 < ended_at - start.from_seq < 100, (
            f"expected {start.machine} to start from its last snapshot"
        )
    portfolio = Portfolio()
    for record, message in messages:
        portfolio.apply(message)
        if isinstance(message, PortfolioReport) and record.seq > ended_at:
            assert message.positions >= 1
            break
    else:
        raise AssertionError("expected risk to report its books in the second session")
    assert after["divergences"] == 0
    assert presage("replay", "--state", state).returncode == 0


def test_ctrl_c_stops_everything_and_nobody_else_may_run_it_meanwhile(tmp_path):
    state = tmp_path / "state"
    with presage_up(state) as process:
        running = services_of(state)
        assert len(running) == len(ALL_SERVICES)
        other = presage("up", "--headless", "--state", state, "--json")
        assert other.returncode == USAGE
        assert f"was process {process.pid}" in other.stderr
        assert services_of(state) == running, "the refused one did harm"
        wait_live(state, process)
        began = monotonic()
        os.killpg(process.pid, signal.SIGINT)
        said = set()
        while process.poll() is None:
            # On the loop that the command runs on: it has its own words for a connection that ends.
            said.add(uvloop.run(read_status(state))["orders"])
        assert said <= {"open", "stopping", "stopped"}, said
        output, errors = process.communicate(timeout=STOP_S)
        print(f"stopped in {monotonic() - began:.1f} s")
        assert process.returncode == 0, errors
        assert set(KEYS) <= json.loads(output).keys()
        assert not processes_of(state)
    assert running_supervisor(StateLayout(state)) == 0


def test_a_killed_supervisor_leaves_nobody_behind_and_the_next_goes_on(tmp_path):
    state = tmp_path / "state"
    with presage_up(state) as process:
        process.kill()
        process.wait()
        wait_gone(state)
    assert json.loads(presage("status", "--state", state, "--json").stdout)["running"] is False
    with presage_up(state) as process:
        process.kill()
        process.wait()
        # Not waiting for those that are still there: it takes over from them.
        again = presage("up", "--headless", "--state", state, "--json", "--for", "2")
        assert again.returncode == 0, again.stderr
        wait_gone(state)
    assert not StateLayout(state).halt_file.exists()
    sessions = [m for _, m in asyncio.run(messages_of(state)) if isinstance(m, Session)]
    assert len(sessions) == 3
    assert {session.tape for session in sessions} == {sessions[0].tape}
    assert {session.prices for session in sessions} == {Prices.SANDBOX}
    assert presage("replay", "--state", state).returncode == 0
