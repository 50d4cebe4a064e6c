"""Research over recordings: reports, sweeps, walk-forward; for notebooks ``from tools.research import run, sweep, load``."""

from tools.research.entry import load, run, sweep

__all__ = ["load", "run", "sweep"]
