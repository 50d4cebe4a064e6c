"""The list of what an evaluation may change: within reach of today's values, and never a limit, a mode, money or a key."""

import re
import shutil
from pathlib import Path

import pytest

from libs.changes.limits import ChangeLimits, refusal_of, split_path
from libs.config.errors import ConfigError
from tools.system.composition import CONFIG_DIRECTORY, models, sections

STRATEGIES = ("momentum", "model_edge", "near_certainty")


def configured(tmp_path: Path, line: str) -> Path:
    """The configuration with one more line at the end of its list (of whole numbers)."""
    folder = tmp_path / "config"
    shutil.copytree(CONFIG_DIRECTORY, folder)
    with (folder / "eval.yaml").open("a") as file:
        file.write(f"  {line}\n")
    return folder


def test_every_setting_on_the_list_can_be_changed_from_its_default():
    known = models(STRATEGIES)
    resolved = sections(strategies=STRATEGIES)
    limits = ChangeLimits.model_validate(resolved["eval"])
    for path in limits.paths():
        section, key = split_path(path)
        assert key in known[section].changeable, path
        old = resolved[section][key]
        found = limits.range_of(path)
        assert found is not None
        assert found.low <= old <= found.high, path
        ways = [refusal_of(limits, path, old, old + step) for step in (found.step, -found.step)]
        assert "" in ways, (path, ways)
        # One step does not cross the whole range.
        assert found.high - found.low >= 2 * found.step, path


@pytest.mark.parametrize(
    "path",
    [
        "risk.cooldown_s",
        "risk.positions_max_count",
        "exit.answer_max_s",
        "monitor.stuck_order_s",
        "advisor.cycle_s",
        "paper.latency_ms",
        "execution.anything",
        "eval.counts",
        "signal.momentum.nothing",
        "venues.kalshi.anything",
    ],
)
def test_a_start_with_anything_else_on_the_list_is_refused(tmp_path: Path, path: str):
    folder = configured(tmp_path, f"{path}: {{low: 1, high: 100, step: 1}}")
    with pytest.raises(ConfigError, match=rf"config/eval\.yaml.*{re.escape(path)}: expected"):
        sections(folder)
