"""Research from a notebook: ``from tools.research import run, sweep, load``.

``run`` is one backtest and its report's document, ``sweep`` is many with different settings, ``load`` what a sweep left in a
folder. All of them take recordings as paths and settings as ``--set`` does, and return plain data.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.offline.backtest import Backtest
from tools.research.collector import Collector
from tools.research.report import Report
from tools.research.sweeping import Plan, Results, load_results
from tools.research.sweeping import sweep as sweep_plan
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES, sections

Paths = Sequence[Path | str]


def run(
    recordings: Paths,
    settings: Mapping[str, str] | None = None,
    strategies: Sequence[str] = DEFAULT_STRATEGIES,
    config: Path = CONFIG_DIRECTORY,
    trials: int = 0,
) -> dict[str, Any]:
    """A backtest as the document of its report; money in millionths."""
    paths, given = [Path(path) for path in recordings], dict(settings or {})
    configured = sections(config, given, strategies)
    test = Backtest(configured, strategies)
    collected = Collector(test, configured["paper"])
    test.run(paths)
    return Report(test, collected, configured, strategies, given, trials).document(paths)


def sweep(
    recordings: Paths,
    vary: Mapping[str, Sequence[str]],
    folder: Path | str,
    settings: Mapping[str, str] | None = None,
    strategies: Sequence[str] = DEFAULT_STRATEGIES,
    jobs: int = 0,
) -> Results:
    """Backtests with every combination of the varied settings; what the folder has already is not run again."""
    paths, varied = [Path(path) for path in recordings], {path: list(values) for path, values in vary.items()}
    plan = Plan(paths, list(strategies), CONFIG_DIRECTORY, dict(settings or {}), varied)
    return sweep_plan(plan, Path(folder), jobs)


def load(folder: Path | str) -> Results:
    """What a sweep left in its folder."""
    return load_results(Path(folder))
