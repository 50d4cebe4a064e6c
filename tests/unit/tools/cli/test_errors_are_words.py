"""An error that a user can mend is one line and an exit code, wherever in a command it is raised."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from libs.config.errors import ConfigError, Problem
from libs.keys.signing import UnusableKey
from tools.cli import app as commands
from tools.exit_codes import FAILED, USAGE, NothingDone, UsageError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("expected an x"), USAGE),
        (ConfigError([Problem("notify.yaml", 1, "x", "expected an x")]), USAGE),
        (UnusableKey("expected an x"), USAGE),
        (NothingDone("expected an x"), FAILED),
        (OSError("expected an x"), FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_command_ends_in_a_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int):
    def failing() -> None:
        raise error

    single = typer.Typer(add_completion=False)
    single.command("status")(failing)
    monkeypatch.setattr(commands, "load", lambda _: typer.main.get_command(single))
    done = CliRunner().invoke(commands.app, ["status"])
    assert (done.exit_code, done.stderr.startswith("presage: ")) == (code, True), done.exception
    assert "expected an x" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("notify test", USAGE, "expected channels in"),
        ("notify test phone", USAGE, "expected one of the channels (none), was phone"),
        ("notify test --set notify.nothing=1", USAGE, "nothing"),
        ("notify test --set nothing", USAGE, "nothing"),
        ("notify test --config {}/none", USAGE, "notify.yaml"),
        ("strategies --state {}", USAGE, "run.json"),
        ("bootstrap --state {} --kubernetes {}/out", USAGE, "public.json"),
    ],
)
def test_what_commands_raise_by_themselves(tmp_path: Path, words: str, code: int, said: str):
    (tmp_path / "run.json").write_text("cut")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "public.json").write_text("cut")
    done = CliRunner().invoke(commands.app, words.replace("{}", str(tmp_path)).split())
    assert (done.exit_code, done.stderr.startswith("presage: ")) == (code, True), done.exception
    assert said in done.stderr


@pytest.mark.parametrize("error", [typer.Abort(), BrokenPipeError()], ids=lambda value: type(value).__name__)
def test_what_is_nobodys_error_is_none(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def ending() -> None:
        raise error

    single = typer.Typer(add_completion=False)
    single.command("status")(ending)
    monkeypatch.setattr(commands, "load", lambda _: typer.main.get_command(single))
    assert "presage:" not in CliRunner().invoke(commands.app, ["status"]).stderr
