"""Finding strategies by entry point, module or file. Impure: done once, before the machine starts."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from services.signal.strategy import Strategy, StrategyParams

ENTRY_POINT_GROUP = "presage.strategies"

BUILT_IN = {
    "momentum": "services.signal.momentum:Momentum",
    "model_edge": "services.signal.model_edge:ModelEdge",
    "near_certainty": "services.signal.near_certainty:NearCertainty",
    "ma_cross": "services.signal.ma_cross:MaCross",
    "macd": "services.signal.macd:MacdTrend",
    "mean_reversion": "services.signal.mean_reversion:MeanReversion",
    "consensus": "services.signal.consensus:Consensus",
    "implication": "services.signal.implication:Implication",
    "pairs": "services.signal.pairs:Pairs",
    "patterns": "services.signal.patterns:Patterns",
    "events": "services.signal.events:Events",
}
"""Strategies that need no installed entry point."""


class StrategyNotFound(ValueError):
    """A strategy's specification leads to no usable class; the text says what was expected."""


def load_strategies(specs: Iterable[str]) -> list[type[Strategy[Any, Any]]]:
    """The strategy classes of ``specs``, in their order.

    A spec is the name of a built-in strategy or of an entry point of the group ``presage.strategies``,
    or ``package.module:Class``, or ``path/to/file.py:Class``.

    Raises:
        StrategyNotFound: if one cannot be found or is not usable, or if two have the same name.
    """
    strategies: list[type[Strategy[Any, Any]]] = []
    for spec in specs:
        strategy = _load(spec)
        if any(strategy.name == other.name for other in strategies):
            raise StrategyNotFound(f"expected strategies of different names, was {strategy.name!r} twice")
        strategies.append(strategy)
    return strategies


def lasting_spec(spec: str) -> str:
    """A spec that means the same from any directory: a file by its whole path."""
    where, sign, class_name = spec.rpartition(":")
    return f"{Path(where).resolve()}{sign}{class_name}" if where.endswith(".py") else spec


def _load(spec: str) -> type[Strategy[Any, Any]]:
    target = BUILT_IN.get(spec, spec)
    where, _, class_name = target.rpartition(":")
    if not where:
        return _check(spec, _from_entry_point(spec))
    try:
        module = _from_file(where) if where.endswith(".py") else importlib.import_module(where)
    except (ImportError, OSError, SyntaxError) as e:
        raise StrategyNotFound(f"expected a module or file for {spec!r}, was {e}") from e
    return _check(spec, getattr(module, class_name, None))


def _from_entry_point(name: str) -> object:
    points = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if not points:
        raise StrategyNotFound(
            f"expected a built-in strategy ({', '.join(BUILT_IN)}), an entry point of {ENTRY_POINT_GROUP}, "
            f"module:Class or file.py:Class, was {name!r}"
        )
    return next(iter(points)).load()


def _from_file(path: str) -> ModuleType:
    """Import a file under a name made of its path, so that two files of one name do not meet."""
    file = Path(path).resolve()
    if not file.is_file():
        raise FileNotFoundError(f"no file {path}")
    name = "presage_strategy_" + "_".join(file.with_suffix("").parts[1:])
    module_spec = importlib.util.spec_from_file_location(name, file)
    if module_spec is None or module_spec.loader is None:
        raise ImportError(f"not a Python file: {path}")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    module_spec.loader.exec_module(module)
    return module


def _check(spec: str, found: object) -> type[Strategy[Any, Any]]:
    if not (
        inspect.isclass(found)
        and issubclass(found, Strategy)
        and isinstance(getattr(found, "name", None), str)
    ):
        raise StrategyNotFound(f"expected a subclass of Strategy with a name for {spec!r}, was {found!r}")
    params: object = found.params_type
    if not (inspect.isclass(params) and issubclass(params, StrategyParams)):
        raise StrategyNotFound(
            f"expected a subclass of StrategyParams as params_type of {spec!r}, was {params!r}"
        )
    return found
