"""Where things stand around the tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project."""
RECORDINGS = ROOT.parent / "shared" / "data"
"""Recorded sessions, which are not part of the project: tests that read them are marked ``recorded``."""
CASES = ROOT.parent / "shared" / "cases"
"""Scripts with small inputs that an earlier build got wrong; not part of the project either."""
