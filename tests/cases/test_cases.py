"""Every script beside the recordings, at today's tree: each prints what came and what is right, and ends with 0."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import CASES, ROOT

SCRIPTS = sorted(CASES.glob("*.py"))
PATIENCE_S = 100.0
"""A script takes a second or two; one starts a database of its own."""

pytestmark = pytest.mark.recorded


def test_there_are_scripts() -> None:
    if not CASES.is_dir():
        pytest.skip(f"no cases: expected a folder {CASES}")
    assert len(SCRIPTS) >= 18


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_ends_with_0(script: Path) -> None:
    command = [sys.executable, "-m", "tests.cases", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
