"""``presage strategies``: a new one is written, tested and described; nothing is overwritten."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.signal.discovery import BUILT_IN, load_strategies
from tests.support.purity import check
from tools.cli.app import app
from tools.cli.terminal import console
from tools.exit_codes import USAGE
from tools.system.composition import sections


def typed(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["strategies", *words])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with a new strategy, and what was said of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "signal").mkdir(parents=True)
    said: dict[str, Any] = json.loads(typed("new", "late_swing", "--config", "config", "--json"))
    return said


def test_a_new_strategy_passes_its_own_tests_and_is_pure(written: dict[str, Any]):
    assert written["written"] == ["late_swing.py", "test_late_swing.py", "config/signal/late_swing.yaml"]
    (strategy,) = load_strategies([written["strategy"]])
    file = Path("late_swing.py")
    names = runpy.run_path("test_late_swing.py")
    tests = [name for name in names if name.startswith("test_")]
    assert len(tests) == 2
    for name in tests:
        names[name]()
    assert check(file, file.read_text()) == []
    # Every key of the section is one of the strategy's, and says its default.
    section = Path("config/signal/late_swing.yaml").read_text()
    keys = {line.partition(":")[0] for line in section.splitlines() if line and not line.startswith("#")}
    assert keys == set(strategy.params_type.model_fields)


def test_nothing_is_overwritten_and_no_name_is_taken_twice(written: dict[str, Any], tmp_path: Path):
    (tmp_path / "late_swing.py").write_text("mine")
    said = typed("new", "late_swing", "--config", "config", code=USAGE)
    assert "expected no file yet, was late_swing.py, test_late_swing.py" in said
    assert (tmp_path / "late_swing.py").read_text() == "mine"
    for name in ("momentum", "Late", "1st", "class", "a/b"):
        assert "expected a name" in typed("new", name, "--config", "config", code=USAGE)
    assert "for its section, was none" in typed("new", "other", "--config", "nowhere", code=USAGE)
    assert written["strategy"] == "late_swing.py:LateSwing"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_description_has_every_parameter_with_its_default(name: str):
    found = json.loads(typed("describe", name, "--json"))
    (strategy,) = load_strategies([name])
    assert [row["key"] for row in found["parameters"]] == list(strategy.params_type.model_fields)
    changeable = {row["key"] for row in found["parameters"] if row["is_changeable"]}
    assert changeable == strategy.params_type.changeable
    assert all(row["about"] and row["default"] for row in found["parameters"])
    # The file that comes with it says the defaults of the code.
    assert sections(strategies=[name])[f"signal.{name}"] == strategy.params_type().document()


def test_a_description_for_people_and_of_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(console, "width", 200)
    said = typed("describe", "ma_cross")
    assert "moving-average cross" in said.lower()
    assert "[coinbase:BTC-USD, binance:BTCUSDT]" in said, "a list in brackets is no markup"
    assert "expected a built-in strategy" in typed("describe", "no_such", code=USAGE)
