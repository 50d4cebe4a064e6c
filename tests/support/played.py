"""A recording played once by ``presage up``, for every test of the run that only asks about what was played."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from tests.fault.rig import BUSY, busy_recording
from tests.support.cluster import with_cluster
from tools.cli.app import app

SETTINGS = BUSY | {"risk.cooldown_s": "5"}
"""Orders by the dozen in half a minute, and proposals that risk rejects."""


class Played(NamedTuple):
    """A state directory, and what came of playing a recording in it."""

    state: Path
    summary: dict[str, Any]


def played_in(factory: pytest.TempPathFactory) -> Played:
    """A copy of the caller's own of the played state directory, its servers down; played by who comes first."""
    base = factory.getbasetemp()
    # pytest's workers have a folder each, in one of the run's.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "played"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "summary.json").exists():
            summary = _play(shared)
            (shared / "summary.json").write_text(json.dumps(summary))
    state = factory.mktemp("played") / "state"
    copy_of(shared / "state", state)
    return Played(state, json.loads((shared / "summary.json").read_text()))


def copy_of(state: Path, target: Path) -> None:
    """Copy a stopped state directory, all but its database and logs.

    Without the broker's port too: with the same one and the same passwords, who asks after one copy could be
    answered by the broker of another.
    """
    shutil.copytree(state, target, ignore=shutil.ignore_patterns("postgres", "logs", "port"))


def _play(folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder / "state", ignore_errors=True)
    recording = busy_recording(folder)
    with_cluster(folder / "state" / "postgres")
    sets = [argument for name, value in SETTINGS.items() for argument in ("--set", f"{name}={value}")]
    arguments = ("--recording", str(recording), "--speed", "max", "--state", str(folder / "state"))
    result = CliRunner().invoke(app, ["up", *arguments, "--headless", "--json", *sets])
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary
