"""A halt takes effect before the command line is read, whatever that costs on a busy machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tools.exit_codes import USAGE

HEAVY = {"asyncio", "cryptography", "msgspec", "nats", "pydantic", "rich", "typer", "uvloop"}
MODULES_MAX = 90
"""Of a Python that has started and imported what opens a file; the command in full takes more than a thousand."""
LOOKED_AT = """
import json, sys
from libs.operator import halt_file
from tools.cli import __main__

write = halt_file.write_halt_file

def noted(*arguments):
    write(*arguments)
    print(json.dumps(sorted(sys.modules)), flush=True)
    halt_file.write_halt_file = write

halt_file.write_halt_file = noted
sys.argv = ["presage", *sys.argv[1:]]
__main__.main()
"""


def halted(state: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOOKED_AT, "halt", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


@pytest.mark.parametrize("given", ["--state {}", "--state={} --json", "by the variable"])
def test_the_file_is_there_before_anything_heavy_is_imported(tmp_path: Path, given: str):
    words, environment = given.format(tmp_path).split(), {}
    if given == "by the variable":
        words, environment = [], {"PRESAGE_STATE": str(tmp_path)}
    done = halted(tmp_path, "--reason", "too fast", *words, **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "HALT").read_text() == "too fast"
    modules = set(json.loads(done.stdout.splitlines()[0]))
    assert not modules & HEAVY
    assert len(modules) < MODULES_MAX


def test_a_new_reason_takes_the_place_of_a_longer_one(tmp_path: Path):
    (tmp_path / "HALT").write_text("a very long reason")
    assert halted(tmp_path, "--state", str(tmp_path)).returncode == 0
    assert (tmp_path / "HALT").read_text() == "operator"


@pytest.mark.parametrize("wrong", [["--reson", "x"], ["now"], ["--state"], ["--help"]], ids=" ".join)
def test_what_is_not_understood_halts_nothing_and_says_so(tmp_path: Path, wrong: list[str]):
    done = halted(tmp_path, *wrong, PRESAGE_STATE=str(tmp_path))
    assert done.returncode == (0 if wrong == ["--help"] else USAGE)
    assert not (tmp_path / "HALT").exists()


def test_a_state_directory_that_is_none_is_told(tmp_path: Path):
    done = halted(tmp_path, "--state", str(tmp_path / "typo"))
    assert done.returncode == USAGE
    assert "expected a state directory" in done.stderr
    assert not (tmp_path / "typo").exists()
