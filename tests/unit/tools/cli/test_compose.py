"""``presage --compose``: which command runs in which container."""

import pytest

from tools.cli.compose import FILE, command_line

COMPOSE = ["docker", "compose"]


def test_a_command_runs_in_the_supervisors_container():
    line = command_line(["halt", "--reason", "a b"], COMPOSE, is_terminal=False)
    assert line == [
        *COMPOSE,
        "--file",
        str(FILE),
        "exec",
        "-T",
        "supervisor",
        "presage",
        "halt",
        "--reason",
        "a b",
    ]
    assert FILE.exists()
    assert "-T" not in command_line(["attach"], COMPOSE, is_terminal=True)


def test_a_password_is_made_where_the_console_keeps_it():
    line = command_line(["password", "ana", "--role", "viewer"], COMPOSE, is_terminal=True)
    assert line[-6:] == ["console", "presage", "password", "ana", "--role", "viewer"]


def test_the_operators_own_choice_of_files_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COMPOSE_FILE", "docker-compose.yml:more.yml")
    assert "--file" not in command_line(["status"], COMPOSE, is_terminal=False)


@pytest.mark.parametrize(("name", "service"), [("logs", "logs"), ("stop", "stop")])
def test_what_is_about_containers_is_composes(name: str, service: str):
    assert command_line([name, "risk"], COMPOSE, is_terminal=True)[-2:] == [service, "risk"]


@pytest.mark.parametrize(
    ("arguments", "compose", "said"),
    [
        ([], COMPOSE, "expected a command after --compose"),
        (["up"], COMPOSE, "docker compose up does that"),
        (["status"], [], "expected docker compose, or docker-compose, was neither"),
    ],
)
def test_what_cannot_run_there_says_so(arguments: list[str], compose: list[str], said: str):
    with pytest.raises(ValueError, match=said):
        command_line(arguments, compose, is_terminal=False)
