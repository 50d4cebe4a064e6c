"""The how-to for a strategy, done: its files are written, its commands typed, and what it promises comes."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.paths import ROOT
from tools.cli.app import app

PAGE = (ROOT / "docs/how-to/write-a-strategy.md").read_text()
MINUTES = 3
"""Of a synthetic market: enough for some dips, in a second."""


def block(language: str) -> str:
    """The one block of code in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def shown(command: str) -> list[list[str]]:
    """What the page says to type, by the command's name."""
    lines = re.findall(rf"^ {{4}}presage ({command} .*)$", PAGE, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def typed(words: list[str]) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the page was followed up to its backtests."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dip.py").write_text(block("python"))
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config/signal/dip.yaml").write_text(block("yaml"))
    (words,) = shown("synth")
    words[words.index("--minutes") + 1] = str(MINUTES)
    assert "wrote tape" in typed(words)
    return tmp_path


def test_the_strategy_of_the_page_trades(followed: Path, monkeypatch: pytest.MonkeyPatch):
    plain, changed, named = (words for words in shown("backtest") if words[-1] != "--json")
    said = typed(plain)
    assert "outputs_hash" in said
    first, again, tight = (json.loads(typed([*words, "--json"])) for words in (plain, plain, changed))
    assert first["proposals"] > tight["proposals"] > 0
    assert first["fills"] > 0
    assert first["outputs_hash"] == again["outputs_hash"] != tight["outputs_hash"]
    # Installed: the package's own description of its entry point is what the page shows.
    (group, name, target) = re.findall(r'entry-points\."(.+?)"\]\n(\w+) = "(.+?)"', block("toml"))[0]
    about = followed / "site" / "dip-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dip\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    (followed / "dip.py").rename(followed / "site" / "dip.py")
    monkeypatch.syspath_prepend(str(followed / "site"))
    monkeypatch.delitem(sys.modules, "dip", raising=False)
    assert json.loads(typed([*named, "--json"]))["outputs_hash"] == first["outputs_hash"]
    listed = json.loads(typed(["strategies", "--json", "--state", str(followed / "none")]))["strategies"]
    assert [row["about"] for row in listed if row["name"] == "dip"] == [
        "Buys an outcome whose ask has fallen below its average."
    ]


def test_a_section_that_is_not_there_or_is_wrong_is_told(followed: Path):
    plain, *_ = shown("backtest")
    wrong = CliRunner().invoke(app, [*plain, "--set", "signal.dip.dip_mn=0.05"])
    assert (wrong.exit_code, "dip_mn" in wrong.output) == (2, True)
    (followed / "config/signal/dip.yaml").unlink()
    gone = CliRunner().invoke(app, plain)
    assert gone.exit_code == 2
    assert "dip.yaml: expected the file of a section" in gone.output
