"""A sweep: its points, the same results from any number of processes, and finished runs that outlive whatever stops it."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fault.rig import BUSY, backtested, busy_recording
from tests.support.paths import ROOT
from tools.cli.app import app
from tools.exit_codes import NothingDone, UsageError
from tools.research import load, runs, sweeping
from tools.research import sweep as sweep_of
from tools.research.points import neighbours, parse_vary, points_of
from tools.research.runs import Outcome
from tools.research.sweep_summary import command_of, summary_of
from tools.research.sweeping import PLAN, RESULTS, Plan, result_hash
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES

VARY = {"risk.bet_max": ["0.005", "0.01"], "exit.target_delay_s": ["1", "2"]}


# ── points ──


def test_a_range_is_written_as_its_ends_are():
    assert parse_vary(["a.b=1.0:2.0:0.25", "c=3:10:3", "d=x,y"]) == {
        "a.b": ["1.00", "1.25", "1.50", "1.75", "2.00"],
        "c": ["3", "6", "9"],
        "d": ["x", "y"],
    }
    assert parse_vary(["a=-0.5:0.5:0.5"]) == {"a": ["-0.5", "0.0", "0.5"]}


@pytest.mark.parametrize("text", ["a", "=1", "a=", "a=1,1", "a=1,,2", "a=2:1:1", "a=1:2:0", "a=0:9999:1"])
def test_what_is_no_variation_is_refused(text):
    with pytest.raises(UsageError, match="expected"):
        parse_vary([text])


def test_the_grid_is_whole_and_a_draw_is_part_of_it():
    grid = points_of({"a": ["1", "2"], "b": ["x", "y", "z"]})
    assert [tuple(point.values()) for point in grid] == [(a, b) for a in "12" for b in "xyz"]
    wide = {"a": [str(n) for n in range(1_000)], "b": [str(n) for n in range(1_000)]}
    drawn = points_of(wide, 50, 3)
    assert len({tuple(point.values()) for point in drawn}) == 50
    assert drawn == points_of(wide, 50, 3) != points_of(wide, 50, 4)
    with pytest.raises(UsageError, match="--random"):
        points_of(wide)


def test_neighbours_differ_by_one_step():
    vary = {"a": ["1", "2", "3"], "b": ["x", "y"]}
    here = {"a": "1", "b": "x"}
    assert neighbours(vary, here, {"a": "2", "b": "x"})
    assert not neighbours(vary, here, {"a": "3", "b": "x"})
    assert not neighbours(vary, here, {"a": "2", "b": "y"})
    assert not neighbours(vary, here, here)


# ── runs ──


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return busy_recording(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def swept(recording: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("swept")
    sweep_of([recording], VARY, folder, BUSY, jobs=1)
    return folder


def run_command(recording: Path, folder: Path, *more: str, vary: dict[str, list[str]] = VARY) -> list[str]:
    varied = [word for path, values in vary.items() for word in ("--vary", f"{path}={','.join(values)}")]
    sets = [word for name, value in BUSY.items() for word in ("--set", f"{name}={value}")]
    return ["sweep", "run", str(folder), str(recording), *varied, *sets, "--json", *more]


def test_a_point_is_the_backtest_with_its_settings(swept, recording):
    results = load(swept)
    assert len(results.done) == 4
    for outcome in results.done[1:3]:
        again = backtested(recording, BUSY | outcome.sets)
        assert again["outputs_hash"] == outcome.outputs_hash
        assert round(again["profit"] * 1_000_000) == outcome.profit == sum(outcome.periods.values())
    assert len({outcome.outputs_hash for outcome in results.done}) > 1


def in_two_processes(recording: Path, folder: Path, vary: dict[str, list[str]]) -> str:
    """The hash of a sweep by command: no process of the tests is forked."""
    words = run_command(recording, folder, "--jobs", "2", vary=vary)
    command = [sys.executable, "-m", "tools.cli", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["result_hash"])


def test_two_processes_find_what_one_found(swept, recording, tmp_path):
    assert in_two_processes(recording, tmp_path, VARY) == result_hash(load(swept))


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def copied(swept: Path, folder: Path, lines: int, torn: bytes = b"") -> Path:
    folder.mkdir()
    (folder / PLAN).write_bytes((swept / PLAN).read_bytes())
    rows = (swept / RESULTS).read_bytes().splitlines(keepends=True)
    (folder / RESULTS).write_bytes(b"".join(rows[:lines]) + torn)
    return folder


def test_it_goes_on_where_it_was_torn_off(swept, recording, tmp_path, monkeypatch):
    folder = copied(swept, tmp_path / "torn", 3, torn=b'{"point": 3, "se')
    ran: list[dict[str, str]] = []
    real = runs.run_point

    def noted(shared, sets):
        ran.append(sets)
        return real(shared, sets)

    monkeypatch.setattr(sweeping, "run_point", noted)
    results = sweep_of([recording], VARY, folder, BUSY, jobs=1)
    assert ran == [results.points[3]]
    assert result_hash(results) == result_hash(load(swept))


def test_ctrl_c_keeps_what_is_finished(swept, recording, tmp_path, monkeypatch):
    folder = copied(swept, tmp_path / "stopped", 0)

    def interrupted(_, sets):
        signal.raise_signal(signal.SIGINT)
        return Outcome(sets)

    monkeypatch.setattr(sweeping, "run_point", interrupted)
    with pytest.raises(NothingDone, match="stopped after 1 of 4 runs"):
        sweep_of([recording], VARY, folder, BUSY, jobs=1)
    assert len(load(folder).done) == 1


def test_another_plan_in_the_same_folder_is_refused(swept, recording):
    with pytest.raises(UsageError, match="vary"):
        sweep_of([recording], {"risk.bet_max": ["0.01"]}, swept, BUSY, jobs=1)
    result = invoke("sweep", "show", str(swept.parent))
    assert result.exit_code == 2


OWN_STRATEGY = """
from services.signal.momentum import Momentum

class Mine(Momentum):
    "Momentum by another file."
"""


def test_an_edited_strategy_is_another_sweep(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "run_point", lambda _, sets: Outcome(sets))
    file = tmp_path / "mine.py"
    file.write_text(OWN_STRATEGY)
    strategies = [f"{file}:Mine"]
    swept = sweep_of([recording], VARY, tmp_path / "swept", strategies=strategies, jobs=1)
    assert swept.plan["sources"]["momentum"]["name"] == file.name
    assert sweep_of([recording], VARY, tmp_path / "swept", strategies=strategies, jobs=1) == swept
    file.write_text(OWN_STRATEGY + "    warm = True\n")
    with pytest.raises(UsageError, match="sources differ; put back what differs"):
        sweep_of([recording], VARY, tmp_path / "swept", strategies=strategies, jobs=1)


def test_another_build_is_another_sweep(swept, recording, monkeypatch):
    monkeypatch.setattr(sweeping, "BUILD", "next")
    with pytest.raises(UsageError, match="was another: build differ"):
        sweep_of([recording], VARY, swept, BUSY, jobs=1)


def test_the_command_of_a_run_names_its_settings_directory(swept, tmp_path):
    results = load(swept)
    assert "--config" not in command_of(results, results.done[0])
    config = tmp_path / "own"
    shutil.copytree(CONFIG_DIRECTORY, config)
    # The same settings elsewhere are the same sweep.
    plan = Plan([], list(DEFAULT_STRATEGIES), config, BUSY, VARY).document()
    assert plan["settings_hash"] == results.plan["settings_hash"]
    assert f" --config {config} " in command_of(results._replace(plan=plan), results.done[0])


def test_settings_that_cannot_be_are_no_run(recording, tmp_path):
    vary = {"paper.latency_ms": ["150", "-1"]}
    results = sweep_of([recording], vary, tmp_path / "one", BUSY, jobs=1)
    assert [bool(outcome.error) for outcome in results.outcomes if outcome is not None] == [False, True]
    assert len(results.done) == 1
    assert summary_of(results)["failed"][0]["sets"] == {"paper.latency_ms": "-1"}
    assert in_two_processes(recording, tmp_path / "two", vary) == result_hash(results)
    # The sweep is finished all the same.
    assert "long enough" in invoke("walk-forward", str(tmp_path / "one")).stderr


def test_show_says_how_to_run_the_best_again(swept):
    result = invoke("sweep", "show", str(swept), "--json")
    summary = json.loads(result.stdout)
    profits = [row["profit"] for row in summary["rows"]]
    assert profits == sorted(profits, reverse=True)
    assert summary["trials"] == 4
    for name, value in (BUSY | summary["best"]["sets"]).items():
        assert f"--set {name}={value}" in summary["best"]["command"]
    page = (swept / "sweep.html").read_text()
    assert "<script" not in page
    assert page.count("<svg") == len(VARY)
    words = invoke("sweep", "show", str(swept)).stdout
    assert "4 trials" in words
    assert "presage backtest" in words


def test_walk_forward_by_command(swept):
    short = invoke("walk-forward", str(swept), "--windows", "4")
    assert short.exit_code == 2
    assert "long enough" in short.stderr


def test_walk_forward_needs_a_finished_sweep_with_a_run(swept, tmp_path):
    folder = copied(swept, tmp_path / "half", 3)
    assert "a finished sweep, was 3 of 4 runs" in invoke("walk-forward", str(folder)).stderr
    refused = [Outcome(sets, error="no") for sets in load(folder).points]
    lines = [json.dumps({"point": place, **row.document()}) for place, row in enumerate(refused)]
    (folder / RESULTS).write_text("\n".join(lines))
    assert "every point was refused" in invoke("walk-forward", str(folder)).stderr


def test_walk_forward_of_a_longer_sweep(swept, tmp_path):
    folder = copied(swept, tmp_path / "long", 0)
    points = load(folder).points
    profits = [[5 if (place + number) % 3 else -7 for place in range(120)] for number in range(len(points))]
    rows = [
        Outcome(
            sets, profit=sum(made), trades=9, longest_s=600, periods={300 * n: p for n, p in enumerate(made)}
        )
        for sets, made in zip(points, profits, strict=True)
    ]
    lines = [json.dumps({"point": place, **row.document()}) for place, row in enumerate(rows)]
    (folder / RESULTS).write_text("\n".join(lines))
    document = json.loads(invoke("walk-forward", str(folder), "--json").stdout)
    # The longest trade is two periods: so far apart are choosing and testing.
    assert all(step["test_from"] - step["train_to"] == 2 for step in document["steps"])
    assert document["trials"] == 4
    assert document["edge_found"] is False
    assert "no edge:" in invoke("walk-forward", str(folder)).stdout
