"""Commands that only look make no installation of a directory in which nothing was run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.cli import app
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
