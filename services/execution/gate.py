"""The last gate before a claim: closed by anything that makes a new order doubtful.

Halt reaches it three ways: through the machine (the tape), through a core message, and through the HALT
file; the latter two work whatever the backlog and even without the broker.
"""

from collections.abc import Callable
from pathlib import Path

LAG_NS_MAX = 1_000_000_000
"""Execution refuses to claim while its machine is further than this behind the tape's clock."""
CLOCK_AGE_NS_MAX = 5_000_000_000
"""A live session's clock ticks every second; five without a tick mean that nobody says what time it is."""


class Gate:
    """Says why a new order must not leave, or the empty string when it may."""

    def __init__(self, halt_file: Path, wall_ns: Callable[[], int]) -> None:
        self.halted = False
        self._halt_file = halt_file
        self._wall_ns = wall_ns

    def closed(self, *, live: bool, realtime: bool, now_ns: int, stored_at_ns: int, connected: bool) -> str:
        """Why the gate is closed.

        ``now_ns`` is the machine's time, ``stored_at_ns`` the broker's timestamp of the approval. The
        clock rules hold in real time only: in playback the player decides what time it is.
        """
        if self.halted or self._halt_file.exists():
            return "halted"
        if not live:
            return "not live"
        if not connected:
            return "broker gone"
        if realtime:
            wall = self._wall_ns()
            if wall - stored_at_ns > LAG_NS_MAX:
                return "lagging"
            if wall - now_ns > CLOCK_AGE_NS_MAX:
                return "clock gone"
        return ""
