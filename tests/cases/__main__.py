"""Run one script of an earlier build against this tree: ``python -m tests.cases SCRIPT``; its status is ours."""

import runpy
import sys

from tests.cases.former_names import restore

if len(sys.argv) != 2:
    sys.exit(f"expected one script, was {sys.argv[1:]}")
restore()
sys.path.insert(0, ".")
runpy.run_path(sys.argv[1], run_name="__main__")
