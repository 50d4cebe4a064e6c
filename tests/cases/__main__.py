"""Run scripts of an earlier build against this tree: ``python -m tests.cases [SCRIPT]``.

As a file it runs from any folder, with the project's own Python whichever was called. With a script its status is ours. Without one each script beside the recordings is run, a line each; the status is 0 when
all end with 0, and where there is no such folder, which is said.
"""

import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"
# Also as a file, which leaves the project's root out.
sys.path.insert(0, str(ROOT))
if find_spec("asyncpg") is None and PYTHON.is_file():
    # Some other Python, which has nothing of what the project needs.
    os.execv(PYTHON, [str(PYTHON), str(Path(__file__).resolve()), *sys.argv[1:]])

from tests.cases.former_names import restore  # noqa: E402
from tests.support.paths import CASES  # noqa: E402


def run_all() -> int:
    """Run every script in a process of its own; how many did not end with 0."""
    if not CASES.is_dir():
        print(f"no cases: expected a folder {CASES}")
        return 0
    wrong = 0
    for script in sorted(CASES.glob("*.py")):
        command = [sys.executable, "-m", "tests.cases", str(script)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        wrong += done.returncode != 0
        print(f"{script.stem}: {'right' if done.returncode == 0 else done.stdout + done.stderr}", flush=True)
    return wrong


if len(sys.argv) > 2:
    sys.exit(f"expected one script or none, was {sys.argv[1:]}")
if len(sys.argv) == 1:
    sys.exit(run_all())
restore()
runpy.run_path(sys.argv[1], run_name="__main__")
