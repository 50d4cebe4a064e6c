"""Strategies are found by name, module or file, and nothing else passes for one."""

import importlib.metadata
from pathlib import Path

import pytest

from services.signal import discovery
from services.signal.discovery import StrategyNotFound, lasting_spec, load_strategies
from services.signal.machine import SignalMachine
from services.signal.momentum import Momentum

SOURCE = """
from services.signal.strategy import NoState, Strategy, StrategyParams


class Quiet(Strategy[StrategyParams, NoState]):
    name = "quiet"
"""


def test_built_in_and_module():
    assert load_strategies(["momentum"]) == [Momentum]
    assert load_strategies(["services.signal.momentum:Momentum"]) == [Momentum]
    assert load_strategies([]) == []


def test_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    found = load_strategies([f"{file}:Quiet", "momentum"])
    assert [strategy.name for strategy in found] == ["quiet", "momentum"]
    assert SignalMachine(found).reads


def test_parameters_that_are_no_model_are_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(SOURCE + "    params_type = dict\n")
    with pytest.raises(StrategyNotFound, match="expected a subclass of StrategyParams as params_type"):
        load_strategies([f"{file}:Quiet"])


def test_entry_point(monkeypatch):
    point = importlib.metadata.EntryPoint(
        "swift", "services.signal.momentum:Momentum", discovery.ENTRY_POINT_GROUP
    )

    def points(*, group: str, name: str) -> list[importlib.metadata.EntryPoint]:
        return [point] if (group, name) == (discovery.ENTRY_POINT_GROUP, "swift") else []

    monkeypatch.setattr(discovery, "entry_points", points)
    assert load_strategies(["swift"]) == [Momentum]


@pytest.mark.parametrize(
    "spec",
    [
        "no_such_name",
        "no.such.module:Class",
        "no/such/file.py:Class",
        "services.signal.momentum:Missing",
        "services.signal.momentum:Track",
        "services.signal.strategy:Strategy",
    ],
)
def test_what_is_no_strategy_is_refused(spec):
    with pytest.raises(StrategyNotFound, match="expected"):
        load_strategies([spec])


def test_a_file_that_does_not_parse_is_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class (")
    with pytest.raises(StrategyNotFound):
        load_strategies([f"{file}:Quiet"])


def test_two_of_one_name_are_refused():
    with pytest.raises(StrategyNotFound, match="twice"):
        load_strategies(["momentum", "services.signal.momentum:Momentum"])


def test_a_file_is_meant_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert lasting_spec("dip.py:Dip") == f"{tmp_path.resolve()}/dip.py:Dip"
    assert lasting_spec(f"{tmp_path.resolve()}/dip.py:Dip") == f"{tmp_path.resolve()}/dip.py:Dip"
    assert lasting_spec("momentum") == "momentum"
    assert lasting_spec("package.module:Dip") == "package.module:Dip"
