"""Named moments at which a fault test ends the process."""

import os
import signal
from collections.abc import Callable

from libs.config.environment import ChildEnvironment


def crash_point_from_environment() -> Callable[[str], None]:
    """Return what ends the process at the moment named by ``PRESAGE_CRASH_POINT`` (``name`` or ``name:count``).

    Several, with commas between them, are one for each life of the process; those after the last run on.
    """
    environment = ChildEnvironment.read()
    points = environment.crash_point.split(",")
    if len(points) > 1:
        points = points[environment.restarts :] or [""]
    name, _, count = points[0].partition(":")
    left = int(count or 1)

    def crash_point(reached: str) -> None:
        nonlocal left
        if name and reached == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return crash_point
