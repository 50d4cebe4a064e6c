"""What cannot be is refused before anything is made: a directory in which nothing was run, an impossible number."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.cli.app import app
from tools.exit_codes import FAILED, USAGE


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


def test_errors_of_the_operating_system_are_words(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command, said in (
            (f"synth {tmp_path}/file", f"expected {tmp_path}/file not to be there yet, was there already"),
            (
                f"keys add kalshi --pem {tmp_path}/no --key-id x",
                f"expected {tmp_path}/no to be there, was no such",
            ),
            (
                f"sandbox --venue kalshi --port-base {port} --state {tmp_path}/state",
                f"127.0.0.1:{port} to be free",
            ),
        ):
            done = CliRunner().invoke(app, command.split())
            assert (done.exit_code, said in done.stderr) == (FAILED, True), done.stderr
            assert "Errno" not in done.stderr
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["up", "--speed", "max"], ["up", "--market", "synthetic", "--speed", "2"]], ids=" ".join
)
def test_a_speed_without_a_recording_is_refused(tmp_path: Path, arguments: list[str]):
    done = CliRunner().invoke(app, [*arguments, "--state", str(tmp_path / "state")])
    assert done.exit_code == USAGE
    assert "expected --speed with a recording to play, was without one" in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["synth", "{}", "--minutes", "-1"], "expected at least 1 minute, was -1"),
        (
            ["sandbox", "--state", "{}", "--port-base", "80000"],
            "expected a port base of 0 to 65529, was 80000",
        ),
        (["sandbox", "--state", "{}", "--port-base", "-1"], "expected a port base of 0 to 65529, was -1"),
    ],
    ids=["synth", "port above", "port below"],
)
def test_a_number_that_cannot_be_is_refused(tmp_path: Path, command: list[str], said: str):
    made = tmp_path / "made"
    done = CliRunner().invoke(app, [word.format(made) for word in command], env={"COLUMNS": "200"})
    assert (done.exit_code, said in done.stderr) == (USAGE, True), done.stderr
    assert not made.exists()
