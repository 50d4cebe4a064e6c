"""Settings on the page are written as in a file."""

from pathlib import Path

import yaml

from libs.lists.settings import SettingRow
from services.console.settings import is_known, values_of
from services.risk.params import RiskParams


def test_every_limit_of_risk_is_written_as_its_file_has_it(root: Path):
    stored = yaml.safe_load((root / "config/risk.yaml").read_text())
    shown = {
        path: text
        for key, value in RiskParams.model_validate({}).document().items()
        for path, text in values_of(SettingRow("risk", key, value, "default"))
    }
    for key, value in stored.items():
        expected = str(value).lower() if isinstance(value, bool) else str(value)
        assert shown[key] in (expected, expected.removesuffix(".0")), key


def test_what_is_below_a_key_or_in_a_list_is_written_as_well():
    bounds = {"signal.momentum.z_min": {"low": 1_500_000, "high": 3_000_000, "step": 250_000}}
    assert values_of(SettingRow("eval", "amounts", bounds, "default")) == [
        ("amounts.signal.momentum.z_min.low", "1.5"),
        ("amounts.signal.momentum.z_min.high", "3"),
        ("amounts.signal.momentum.z_min.step", "0.25"),
    ]
    roles = [{"name": "sceptic", "model": "m"}]
    ((path, text),) = values_of(SettingRow("advisor", "roles", roles, "default"))
    assert (path, text) == ("roles", '[{"name":"sceptic","model":"m"}]')


def test_a_section_that_nobody_here_knows_stays_as_on_the_tape():
    assert not is_known("signal.mine")
    assert values_of(SettingRow("signal.mine", "edge_min", 10_000, "default")) == [("edge_min", "10000")]
