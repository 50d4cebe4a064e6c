"""Logs are shown in the order of time, and followed over the file that takes the place of a full one."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from libs.runtime.layout import RunFile, StateLayout
from tools.cli.app import app
from tools.cli.commands import logs
from tools.exit_codes import FAILED, USAGE


def line(second: int, service: str, text: str, level: str = "info", **more: object) -> str:
    at = f"2026-12-01T03:51:{second:02d}.000+00:00"
    return json.dumps({"at": at, "level": level, "service": service, "logger": "x", "text": text, **more})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    layout = StateLayout(tmp_path / "state")
    layout.prepare()
    layout.write_run(RunFile(broker_url="", tape="t"))
    layout.tape_file.write_text("{}")
    rows = {
        "risk": [line(1, "risk", "live"), line(5, "risk", "odd", "warning", seq=7)],
        "feed": [line(3, "feed", "up")],
    }
    for name, content in rows.items():
        (layout.logs / f"{name}.log").write_text("\n".join(content) + "\n")
    with (layout.logs / "feed.log").open("a") as file:
        file.write("Traceback of a library\n")
    return layout.root


def shown(state: Path, *arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["logs", "--state", str(state), *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return [" ".join(row.split()) for row in done.stdout.splitlines()]


def test_lines_of_all_services_come_in_the_order_of_time(state: Path):
    assert shown(state) == [
        "feed Traceback of a library",
        "03:51:01 risk live",
        "03:51:03 feed up",
        "03:51:05 risk warning odd seq 7",
    ]
    assert shown(state, "risk", "--lines", "1") == ["03:51:05 risk warning odd seq 7"]
    assert [json.loads(row)["text"] for row in shown(state, "risk", "--json")] == ["live", "odd"]


def test_a_service_without_a_log_is_told(state: Path):
    done = CliRunner().invoke(app, ["logs", "exit", "--state", str(state)])
    assert (done.exit_code, "expected one of feed, risk, was 'exit'" in done.stderr) == (USAGE, True)
    for path in StateLayout(state).logs.iterdir():
        path.unlink()
    assert CliRunner().invoke(app, ["logs", "--state", str(state)]).exit_code == FAILED


def test_following_hands_out_whole_lines_once_also_after_the_file_was_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "risk.log"
    path.write_text("old\n")

    def append(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def put_aside() -> None:
        path.replace(tmp_path / "risk.log.1")
        append("new and longer than all that was there\n")

    writes = iter([lambda: append("one\nha"), lambda: append("lf\n"), put_aside])
    monkeypatch.setattr(time, "sleep", lambda _: next(writes)())
    following = logs.following([path])
    assert [next(following).text for _ in range(3)] == [
        "one",
        "half",
        "new and longer than all that was there",
    ]


def test_following_goes_on_in_a_file_that_was_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "risk.log"
    path.write_text("old and long\n")

    def append(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def emptied() -> None:
        path.write_text("")
        append("anew\n")

    writes = iter([lambda: append("one\n"), emptied, lambda: append("two\n")])
    monkeypatch.setattr(time, "sleep", lambda _: next(writes)())
    following = logs.following([path])
    assert [next(following).text for _ in range(3)] == ["one", "anew", "two"]
