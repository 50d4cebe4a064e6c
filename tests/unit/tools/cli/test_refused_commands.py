"""What cannot be is refused before anything is made: a directory in which nothing was run, an impossible number."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.cli.app import app
from tools.exit_codes import USAGE


@pytest.mark.parametrize(
    "command",
    [["status"], ["resume"], ["why", "1"], ["replay"], ["journal", "verify"], ["journal", "export"]],
    ids=" ".join,
)
def test_a_mistyped_state_directory_is_told_and_stays_away(tmp_path: Path, command: list[str]):
    state = tmp_path / "typo"
    done = CliRunner().invoke(app, [*command, "--state", str(state)])
    assert done.exit_code == USAGE
    assert f"expected a system that was run before in {state}, was none" in done.stderr
    assert not state.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["synth", "{}", "--minutes", "-1"], "expected at least 1 minute, was -1"),
        (
            ["sandbox", "--state", "{}", "--port-base", "80000"],
            "expected a port base of 0 to 65530, was 80000",
        ),
        (["sandbox", "--state", "{}", "--port-base", "-1"], "expected a port base of 0 to 65530, was -1"),
    ],
    ids=["synth", "port above", "port below"],
)
def test_a_number_that_cannot_be_is_refused(tmp_path: Path, command: list[str], said: str):
    made = tmp_path / "made"
    done = CliRunner().invoke(app, [word.format(made) for word in command], env={"COLUMNS": "200"})
    assert (done.exit_code, said in done.stderr) == (USAGE, True), done.stderr
    assert not made.exists()
