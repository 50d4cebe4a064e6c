"""What-if over tapes of every kind: unchanged it says what the tape says, changed it says what would have been."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from libs.machine.machine import Stamp, StateMachine
from libs.operator.desk import OperatorDesk
from proto.execution import Claim
from proto.feed import Trade
from proto.message import Message
from proto.monitor import Alert, Clock, Severity
from proto.operator import Config, Session, Verb
from proto.risk import Approval, Pending
from proto.venue import Fill
from services.advisor.machine import AdvisorMachine
from services.execution.paper.machine import PaperMachine
from services.exit.machine import ExitMachine
from services.risk.machine import RiskMachine
from tests.fault.live import flowing, presage, trading
from tests.fault.rig import BUSY, backtested, busy_recording, play
from tests.fault.sandbox_live import trading_at_sandbox
from tests.integration.test_up import wait_gone
from tests.support.harness import Tape, readable, running
from tests.support.paths import ROOT
from tests.support.played import SETTINGS, Played, copy_of, played_in
from tools.cli.app import app
from tools.cli.commands.tape import history_of
from tools.system import composition
from tools.system.installation import OPERATOR, tape_access
from tools.system.options import Options
from tools.system.summary import Summary

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE_S = 300.0
NOTHING = "paper.unanswered_every_n=0"
"""What every session here has anyway."""
SEMI = {"risk.autonomy": "semi", "risk.pending_ttl_s": "600"}
ATTEMPTS = 20
FIGURES = ("proposals", "approvals", "rejected", "orders", "fills", "exits", "settlements", "equity", "fees")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["replay", *arguments], env={"COLUMNS": "200"})


def what_if(state: Path, *arguments: str, code: int) -> dict[str, Any]:
    result = run("--state", str(state), "--json", *arguments)
    assert result.exit_code == code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def unchanged(state: Path, summary: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """A what-if whose change changes nothing: all columns must be the session's own figures."""
    document = what_if(state, "--set", NOTHING, *arguments, code=0)
    assert document["identical"]
    [variant] = document["variants"]
    assert document["recorded"] == document["baseline"] == variant["outcome"]
    assert (variant["inserted"], variant["left_out"], variant["decisions_differing"]) == (0, 0, 0)
    for name in FIGURES:
        assert document["baseline"][name] == summary[name], name
    return document


# ── recordings ──


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played_in(tmp_path_factory)


def test_unchanged_it_says_what_a_played_tape_says(played: Played) -> None:
    assert unchanged(played.state, played.summary)["lockstep"]


@pytest.mark.parametrize("change", [
    ("signal.momentum.z_min", "0.5"), ("paper.latency_ms", "600"), ("risk.cooldown_s", "1"),
])  # fmt: skip
def test_a_change_of_a_played_tape_is_what_a_backtest_with_it_gives(
    played: Played, change: tuple[str, str], tmp_path: Path
) -> None:
    expected = backtested(busy_recording(tmp_path), SETTINGS | dict([change]))
    result = run("--state", str(played.state), "--json", "--set", "=".join(change))
    [variant] = json.loads(result.stdout)["variants"]
    assert variant["inserted"]
    assert {name: variant["outcome"][name] for name in FIGURES} == {name: expected[name] for name in FIGURES}
    assert result.exit_code == (3 if variant["decisions_differing"] else 0)
    assert sum(variant["profit_by_cause"].values()) == pytest.approx(variant["profit_difference"], abs=1e-9)


def test_several_changes_stand_side_by_side_with_their_reasons(played: Played) -> None:
    values = ("risk.bet_max=0.01", "risk.bet_max=0.005", "risk.bet_max=0.02")
    document = what_if(played.state, "--set", "risk.bet_max=0.01,0.005,0.02", code=3)
    assert [variant["name"] for variant in document["variants"]] == list(values)
    same, small, large = document["variants"]
    assert same["decisions_differing"] == same["profit_difference"] == 0
    assert small["outcome"]["fees"] < document["baseline"]["fees"] < large["outcome"]["fees"]
    assert set(small["profit_by_cause"]) <= {"entries of another size", "exits", "fees"}
    for variant in (small, large):
        assert variant["decisions_differing"] == len(variant["decisions"]) > 0
        for row in variant["decisions"]:
            assert row["baseline"] != row["changed"]
            assert row["why"]["baseline"]
            assert row["why"]["changed"]
    one = what_if(played.state, "--variant", "small:risk.bet_max=0.005", "--set", NOTHING, code=3)
    assert one["variants"][0]["name"] == "small"
    assert one["variants"][0]["outcome"] == small["outcome"]
    text = run("--state", str(played.state), "--set", "risk.bet_max=0.005").stdout
    assert "every fill is simulated on the paper venue" in text
    assert "risk.bet_max=0.005: " in text


async def _let_skip(state: Path, machine: str, seq: int) -> None:
    async with tape_access(state, OPERATOR) as (installation, link):
        desk = OperatorDesk(link, installation.operator_signer(), installation.layout.read_run().tape)
        await desk.start()
        await desk.command(Verb.SKIP, machine=machine, seq=seq)


def test_a_machine_that_raises_is_an_error_until_the_operator_lets_it_skip(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_of(played.state, tmp_path / "state")
    _, messages = asyncio.run(_record_of(tmp_path / "state"))
    trades = [(seq, message) for seq, message in messages if type(message) is Trade]
    # Of Bitcoin itself, which the paper venue does not trade: nothing depends on it.
    seq = next(seq for seq, trade in trades if not trade.instrument.startswith("kalshi:"))

    class Raising(PaperMachine):
        def __init__(self) -> None:
            super().__init__()
            self._trade_before = self.handlers[Trade]
            self.handlers[Trade] = self._raise_once

        def _raise_once(self, event: Trade, stamp: Stamp) -> Sequence[Message]:
            if stamp.seq == seq:
                raise ZeroDivisionError("a trade of nothing")
            return self._trade_before(event, stamp)

    monkeypatch.setattr(composition, "PaperMachine", Raising)
    result = run("--state", str(tmp_path / "state"), "--set", NOTHING)
    assert result.exit_code == 1
    assert f"paper stopped at {seq}: ZeroDivisionError" in result.output.replace("\n", " ")
    asyncio.run(_let_skip(tmp_path / "state", "paper", seq))
    assert what_if(tmp_path / "state", "--set", NOTHING, code=0)["identical"]


INTERRUPTED = """
import os, signal, sys
from tools.offline.what_if import run

records = run._told

async def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    async for record in records(*arguments):
        yield record

run._told = interrupted
from tools.cli.__main__ import main
main()
"""


def test_ctrl_c_ends_it_and_leaves_nothing_behind(played: Played) -> None:
    arguments = ("replay", "--state", str(played.state), "--set", "risk.bet_max=0.005")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr
    wait_gone(played.state)


def test_a_recording_in_real_time_at_fifteen_times_the_speed(tmp_path: Path) -> None:
    """Outputs are stored while the next inputs come: where each one stood decides what was traded."""
    state = tmp_path / "state"
    recording = busy_recording(tmp_path, 0.75, results=False)

    async def session() -> dict[str, Any]:
        async with running(Options(state=state, recordings=[recording], speed=15.0), BUSY) as (system, _):
            await play(system, PATIENCE_S)
        return system.summary.document()

    summary = asyncio.run(session())
    assert summary["orders"] > 5
    document = unchanged(state, summary)
    assert not document["lockstep"]
    assert document["delays_ms"]["risk.approval"] > 0
    changed = what_if(state, "--set", "risk.bet_max=0.005", code=3)["variants"][0]
    assert 0 < changed["outcome"]["fees"] < summary["fees"]


@pytest.mark.parametrize("machine", [AdvisorMachine, ExitMachine])
def test_a_machine_that_says_more_than_it_said_is_no_longer_the_tape(
    played: Played, machine: type[AdvisorMachine | ExitMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited without a new version: the advisor never ran, exit had said its last word."""
    _, messages = asyncio.run(_record_of(played.state))
    last = [seq for seq, message in messages if type(message) is Trade][-1]
    more = Alert(rule="more", severity=Severity.INFO, topic="", text="said by an edited machine")

    def edited() -> StateMachine[Any]:
        made: StateMachine[Any] = machine()
        before = made.handlers.get(Trade)

        def say_more(event: Trade, stamp: Stamp) -> Sequence[Message]:
            said = before(event, stamp) if before is not None else ()
            return [*said, more] if stamp.seq == last else said

        made.handlers[Trade] = say_more
        return made

    monkeypatch.setattr(composition, machine.__name__, edited)
    replayed = run("--state", str(played.state), "--json")
    assert replayed.exit_code == 3, replayed.output
    assert json.loads(replayed.stdout)["difference"]["machine"] == machine.name
    result = run("--state", str(played.state), "--set", NOTHING)
    assert result.exit_code == 1
    assert f"was a difference at {last}, {machine.name}" in result.output.replace("\n", " ")


# ── sessions in real time ──


class Paper(NamedTuple):
    """A tape of two sessions in real time: in the first the operator decided, the second decided alone."""

    state: Path
    summary: dict[str, Any]
    messages: list[tuple[int, Any]]

    def of(self, kind: type[Any]) -> list[tuple[int, Any]]:
        return [(seq, message) for seq, message in self.messages if type(message) is kind]


def _has_more(kind: type[Message], count: int, tape: Tape) -> bool:
    return len(tape.of(kind)) > count


async def _approve_one(state: Path, tape: Tape) -> None:
    """Approve what waits until risk lets one through."""
    for _ in range(ATTEMPTS):
        await tape.wait(partial(_has_more, Pending, len(tape.of(Pending))))
        code, _ = await presage("approve", tape.of(Pending)[-1].order, "--state", str(state))
        if code == 0:
            return
    raise AssertionError("expected risk to allow one order, refused all")


async def _two_sessions(state: Path) -> None:
    async with trading(state, SEMI) as (_, tape):
        fills = len(tape.of(Fill))
        while len(tape.of(Fill)) < fills + 2:
            await _approve_one(state, tape)
        await presage("deny", tape.of(Pending)[-1].order, "--state", str(state))
    async with trading(state) as (_, tape):
        await flowing(tape, 6)
        await tape.wait(lambda t: len(t.of(Fill)) >= 3)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    state = tmp_path_factory.mktemp("paper") / "state"
    asyncio.run(_two_sessions(state))
    return Paper(state, *asyncio.run(_record_of(state)))


async def _record_of(state: Path) -> tuple[dict[str, Any], list[tuple[int, Any]]]:
    """What came of a tape, folded by its own summary, and its messages."""
    async with tape_access(state) as (installation, link):
        records = [record async for record in history_of(installation, link).records()]
    summary, messages = Summary(), []
    for record, message in readable(records):
        summary.add(record.seq, message)
        messages.append((record.seq, message))
    return summary.document(), messages


def test_unchanged_it_says_what_sessions_in_real_time_and_their_operator_said(paper: Paper) -> None:
    assert len(paper.of(Session)) == 2
    assert len(paper.of(Fill)) >= 3
    document = unchanged(paper.state, paper.summary)
    assert not document["lockstep"]


def test_the_operators_approvals_count_and_a_change_holds_against_the_next_session(paper: Paper) -> None:
    """The second session puts every section of the configuration on the tape again."""
    sessions = [seq for seq, _ in paper.of(Session)]
    configured = [seq for seq, config in paper.of(Config) if config.section == "risk"]
    assert len(configured) == 2
    document = what_if(paper.state, "--set", "risk.fixed_bet=0.00025", code=3)
    [variant] = document["variants"]
    assert variant["outcome"]["fills"] > 0
    seqs = [row["seq"] for row in variant["decisions"] if row["baseline"].count("approved")]
    assert any(seq < sessions[1] for seq in seqs)
    assert any(seq > sessions[1] for seq in seqs)
    operated = [row for row in variant["decisions"] if ", then approved" in row["changed"]]
    assert operated


def test_it_begins_at_any_sequence_with_everything_as_it_was(paper: Paper) -> None:
    approvals = [seq for seq, _ in paper.of(Approval)]
    last = paper.messages[-1][0]
    for first in (approvals[1], last):
        document = what_if(paper.state, "--set", NOTHING, "--from", str(first), code=0)
        assert (document["identical"], document["from"]) == (True, first)
        for side in ("recorded", "baseline"):
            assert document[side]["equity"] == paper.summary["equity"]
    # No configuration comes any more: the change has to be in force where the branch begins.
    first = paper.of(Config)[-1][0] + 1
    [variant] = what_if(paper.state, "--set", "risk.fixed_bet=0.00025", "--from", str(first), code=3)[
        "variants"
    ]
    assert min(row["seq"] for row in variant["decisions"] if row["seq"]) >= first
    ended = what_if(paper.state, "--set", NOTHING, "--to", str(approvals[3]), code=0)
    assert ended["messages"] == ended["to"] == approvals[3]
    assert ended["recorded"]["approvals"] == 4


def test_a_tape_that_the_machines_do_not_say_is_an_error(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(RiskMachine):
        def __init__(self) -> None:
            super().__init__()
            self.handlers[Fill] = self.ignore

        def ignore(self, _event: Fill, _stamp: Stamp) -> Sequence[Message]:
            return ()

    monkeypatch.setattr(composition, "RiskMachine", Silent)
    result = run("--state", str(paper.state), "--set", NOTHING)
    assert result.exit_code == 1
    assert "expected the unchanged machines to say what the tape says, was a difference at" in result.output


# ── real venues ──


def test_with_real_venues_there_are_three_columns(tmp_path: Path) -> None:
    state = tmp_path / "state"

    async def session() -> None:
        async with trading_at_sandbox(state) as (_, tape, _view):
            await tape.wait(lambda t: len(t.of(Fill)) >= 2 and len(t.of(Claim)) >= 6, PATIENCE_S)
            # The paper venue is as far away as its latency: what was claimed has had its time to be filled there.
            ticks = len(tape.of(Clock)) + 3
            await tape.wait(lambda t: len(t.of(Clock)) >= ticks, PATIENCE_S)

    asyncio.run(session())
    summary, _ = asyncio.run(_record_of(state))
    document = what_if(state, "--set", NOTHING, code=0)
    assert document["live_venues"] == ["kalshi", "polymarket"]
    for name in FIGURES:
        assert document["recorded"][name] == summary[name], name
    assert document["baseline"]["fills"] > 0
    [variant] = document["variants"]
    assert variant["outcome"] == document["baseline"]
    changed = run("--state", str(state), "--set", "risk.fixed_bet=0.00025")
    assert changed.exit_code in (0, 3), changed.output
    assert "orders really went to kalshi, polymarket; baseline and changes are simulated" in changed.stdout


@pytest.mark.parametrize(("arguments", "words"), [
    (("--variant", "risk.bet_max=0.01"), "expected NAME:SECTION.KEY=VALUE"),
    (("--variant", "a:risk.bet_max=0.01", "--set", "risk.bet_max=0.01,0.02"), "expected --variant or a list of values"),
    (("--set", "risk.bet_max=0.01", "--machine", "risk"), "expected a what-if of all machines"),
    (("--set", "risk.bet_max=" + ",".join(map(str, range(20)))), "expected at most 12 variants"),
    (("--set", "risk.nonsense=1"), "expected a known key"),
    (("--set", "nonsense.bet_max=1"), "expected a path in one of"),
])  # fmt: skip
def test_what_cannot_be_is_a_usage_error(played: Played, arguments: tuple[str, ...], words: str) -> None:
    result = run("--state", str(played.state), *arguments)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")
