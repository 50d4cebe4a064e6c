"""What execution's shell, or a test, gives to the desks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.execution.desk.queue import Publish
from services.execution.state import ExecutionState


@dataclass(frozen=True)
class DeskContext:
    """What the desks ask of execution's shell.

    ``away_s``: for how long the broker has been gone; ``halted``: whether a halt came beside the tape;
    ``refusal``: why new orders must not leave, or exits when asked with ``reduce_only``; ``spool``: the file for facts
    that cannot be published. ``leads``: whether this process may act for the whole account; one whose lease has lapsed
    may not, for another one may lead by now.
    """

    publish: Publish
    spool: Path
    state: Callable[[], ExecutionState]
    away_s: Callable[[], float]
    halted: Callable[[], bool]
    refusal: Callable[[bool], str]
    """Called with whether the order is reduce-only."""
    leads: Callable[[], bool] = lambda: True
    crash_point: Callable[[str], None] = lambda _: None
    wall_ns: Callable[[], int] = time.time_ns
