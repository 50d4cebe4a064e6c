"""How the system is put together: its machines, their sections of the configuration, the fixed order."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from libs.config.load import Sections, load
from libs.machine.machine import Machine
from proto.subjects import MACHINE_ORDER
from services.execution.machine import ExecutionMachine
from services.execution.paper.machine import PaperMachine, PaperParams
from services.execution.state import ExecutionParams
from services.exit.machine import ExitMachine
from services.exit.params import ExitParams
from services.monitor.machine import MonitorMachine
from services.monitor.params import MonitorParams
from services.risk.machine import RiskMachine
from services.risk.params import RiskParams
from services.signal.discovery import load_strategies
from services.signal.machine import SignalMachine

CONFIG_DIRECTORY = Path(__file__).resolve().parent.parent / "config"
DEFAULT_STRATEGIES = ("momentum",)


def factories(strategies: Sequence[str] = DEFAULT_STRATEGIES) -> dict[str, Callable[[], Machine]]:
    """A factory for each machine, in the fixed order."""
    classes = load_strategies(strategies)
    made: dict[str, Callable[[], Machine]] = {
        "signal": lambda: SignalMachine(classes),
        "risk": RiskMachine,
        "execution": ExecutionMachine,
        "paper": PaperMachine,
        "exit": ExitMachine,
        "monitor": MonitorMachine,
    }
    return {name: made[name] for name in MACHINE_ORDER}


def schemas(strategies: Sequence[str] = DEFAULT_STRATEGIES) -> dict[str, type[msgspec.Struct]]:
    """Section → parameters, in the order the sections are put on the tape."""
    found: dict[str, type[msgspec.Struct]] = {
        "risk": RiskParams,
        "execution": ExecutionParams,
        "paper": PaperParams,
        "exit": ExitParams,
        "monitor": MonitorParams,
    }
    for strategy in load_strategies(strategies):
        found[f"signal.{strategy.name}"] = strategy.params_type
    return found


def sections(
    directory: Path = CONFIG_DIRECTORY,
    overrides: Mapping[str, Any] | None = None,
    strategies: Sequence[str] = DEFAULT_STRATEGIES,
) -> Sections:
    """The resolved configuration.

    Raises:
        ConfigError: naming file, line and key.
    """
    return load(directory, schemas(strategies), overrides)
