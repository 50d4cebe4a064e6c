"""The same recording, decided the same: in one process or in many, under any hash seed, whatever is killed."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proto.subjects import SERVICES
from services.feed.recording.recording import FRAMES_FILE, RESULTS_FILE, TRADES_FILE
from tests.conftest import SOAK
from tests.fault import invariants
from tests.fault.rig import BUSY, backtested, busy_recording, follow_plan, journaled, play, same_decisions
from tests.support.harness import running
from tests.support.paths import ROOT
from tools.system.options import Options

PATIENCE_S = 280.0
CAPTURE = "kalshi/kxbtc15m_ws_2026-05"
SLICE_FRAMES = 2_500
"""About half a minute of a capture, and dozens of orders."""


def run_backtest(recording: Path, hash_seed: str, changes: dict[str, str]) -> dict:
    """``presage backtest --json`` as a user runs it."""
    sets = [argument for name, value in changes.items() for argument in ("--set", f"{name}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "backtest", str(recording), "--json", *sets],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_backtest_decides_the_same_twice_and_under_two_hash_seeds(tmp_path):
    recording = busy_recording(tmp_path)
    runs = [run_backtest(recording, seed, BUSY) for seed in ("0", "0", "4242")]
    assert runs[0]["orders"] >= 10
    for run in runs:
        del run["latency_ms"]
    assert runs[0] == runs[1] == runs[2]


def test_another_decision_gives_another_hash(tmp_path):
    recording = busy_recording(tmp_path)
    changed = backtested(recording, BUSY | {"risk.bet_max": "0.02"})
    assert changed["outputs_hash"] != backtested(recording, BUSY)["outputs_hash"]


async def lockstep_with_kills(
    recording: Path, state: Path, changes: dict[str, str], plan: list[tuple[int, str]]
) -> dict:
    """Play in lockstep while services are killed by plan; the summary of the run."""
    options = Options(state=state, recordings=[recording], speed=None)
    async with running(options, changes) as (system, tape):
        killing = asyncio.create_task(follow_plan(system, tape, plan, PATIENCE_S))
        summary = await play(system, PATIENCE_S)
        assert await asyncio.wait_for(killing, 180) == len(plan)
        await journaled(system, tape)
        for _, service in plan:
            assert system.supervisor.children[service].restarts >= 1
    return summary


def spread(services: tuple[str, ...], events: int) -> list[tuple[int, str]]:
    """The services one after another, spread over the middle of a run of so many events."""
    step = events // (len(services) + 1)
    return [(step * (number + 1), service) for number, service in enumerate(services)]


@pytest.mark.fault
@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "services",
    [(service,) for service in SERVICES] if SOAK else [("risk", "feed", "execution", "signal", "exit")],
    ids="-".join,
)
@pytest.mark.asyncio
async def test_lockstep_with_services_killed_decides_as_the_backtest(tmp_path, services):
    recording = busy_recording(tmp_path)
    expected = backtested(recording, BUSY)
    assert expected["orders"] >= 10
    plan = spread(services, expected["events"])
    summary = await lockstep_with_kills(recording, tmp_path / "state", BUSY, plan)
    same_decisions(summary, expected)
    found = await invariants.check(tmp_path / "state")
    assert found.claims == expected["orders"]


def cut(capture: Path, into: Path, frames: int) -> Path:
    """The first frames of a capture, with the trades of the same time and the results."""
    into.mkdir()
    with gzip.open(capture / FRAMES_FILE, "rb") as source:
        lines = [line for line, _ in zip(source, range(frames), strict=False)]
    last_ns = max(json.loads(line)["recv_ns"] for line in lines)
    (into / FRAMES_FILE).write_bytes(gzip.compress(b"".join(lines)))
    with gzip.open(capture / TRADES_FILE, "rt") as source:
        header, *rows = source.read().splitlines()
    kept = [row for row in rows if int(row.split(",")[1]) <= last_ns]
    (into / TRADES_FILE).write_bytes(gzip.compress("\n".join([header, *kept, ""]).encode()))
    results = capture / RESULTS_FILE
    if results.exists():
        (into / RESULTS_FILE).write_bytes(results.read_bytes())
    return into


@pytest.mark.recorded
@pytest.mark.fault
@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.asyncio
async def test_a_real_capture_is_decided_alike_in_lockstep_and_backtest(tmp_path, recordings):
    captures = sorted(path.parent for path in (recordings / CAPTURE).glob(f"*/{FRAMES_FILE}"))
    if not captures:
        pytest.skip(f"no captures in {recordings / CAPTURE}")
    recording = cut(captures[min(1, len(captures) - 1)], tmp_path / "slice", SLICE_FRAMES)
    expected = backtested(recording, BUSY)
    assert expected == run_backtest(recording, "7", BUSY) | {"latency_ms": expected["latency_ms"]}
    assert expected["orders"] >= 1
    plan = spread(("execution",), expected["events"])
    summary = await lockstep_with_kills(recording, tmp_path / "state", BUSY, plan)
    same_decisions(summary, expected)
    found = await invariants.check(tmp_path / "state")
    assert found.claims == expected["orders"]
