"""The last gate before a claim: closed by anything that makes a new order doubtful.

Halt reaches it three ways: through the machine (the tape), through a core message, and through the HALT
file; the latter two work whatever the backlog and even without the broker. The supervisor closes it with
the file PAUSED while a server's disk is full, and opens it again when there is room.
"""

from collections.abc import Callable
from pathlib import Path

LAG_NS_MAX = 1_000_000_000
"""Execution refuses to claim while its machine is further than this behind the tape's clock."""
CLOCK_AGE_NS_MAX = 5_000_000_000
"""A live session's clock ticks every second; five without a tick mean that there is no clock."""


class ClaimGate:
    """Says why a new order must not be claimed, or the empty string when it may.

    ``clock_at_ns`` is what the session's clock said last. The feed's messages move the machine's time too,
    but they are no clock: when the monitor is gone, nobody watches the services.
    """

    def __init__(self, halt_file: Path, pause_file: Path, wall_ns: Callable[[], int]) -> None:
        self.halted = False
        self.clock_at_ns = 0
        self._halt_file = halt_file
        self._pause_file = pause_file
        self._wall_ns = wall_ns

    def approval_reason(self, *, live: bool, realtime: bool, stored_at_ns: int, connected: bool) -> str:
        """Say why an approval that the broker stored at ``stored_at_ns`` must not be acted on.

        The clock rules hold in real time only: in playback the player decides what time it is.
        """
        reason = self.reason(live=live, realtime=realtime, connected=connected)
        if not reason and realtime and self._wall_ns() - stored_at_ns > LAG_NS_MAX:
            return "lagging"
        return reason

    def reason(self, *, live: bool, realtime: bool, connected: bool) -> str:
        """Say why the gate is closed for everything, whatever the approval."""
        if self.halted or self._halt_file.exists():
            return "halted"
        if self._pause_file.exists():
            return "paused"
        if not live:
            return "not live"
        if not connected:
            return "broker gone"
        if realtime and self._wall_ns() - self.clock_at_ns > CLOCK_AGE_NS_MAX:
            return "clock gone"
        return ""
