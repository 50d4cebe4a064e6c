"""Whether new orders may go to a venue, and if not, why. Closed until the first complete reconciliation."""

from collections.abc import Callable

FAILURES_MAX = 3
"""Reconciliations in a row that may fail: a minute and a half of not knowing."""
PAUSE_S_DEFAULT = 5.0
"""After a refusal that asks to wait and does not say how long."""

BRAKE = "brake"
"""The name under which the venue's own brake closes the gate."""


class VenueGate:
    """The gate of one venue. ``now_s`` is a clock that only rises."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.reconciled_at = 0
        self.doubts = 0
        self._now_s = now_s
        self._reconciled = False
        self._why = "not reconciled"
        self._failures = 0
        self._reasons: dict[str, str] = {}
        self._paused_until_s = 0.0

    def reason(self) -> str:
        """Why the gate is closed; empty when it is open."""
        if not self._reconciled:
            return self._why
        if self._failures >= FAILURES_MAX:
            return f"{self._failures} reconciliations failed"
        for reason in self._reasons.values():
            return reason
        if self._now_s() < self._paused_until_s:
            return "the venue asked to wait"
        return ""

    def reconciled(self, at: int, doubts: int) -> None:
        """A complete reconciliation explains everything, up to the ``doubts`` that there were when it began."""
        self.reconciled_at = at
        self._failures = 0
        if doubts == self.doubts:
            self._reconciled = True

    def failed(self) -> None:
        """A reconciliation was not complete."""
        self._failures += 1

    def doubt(self, why: str) -> None:
        """Something happened that only a reconciliation can make good."""
        self.doubts += 1
        self._reconciled = False
        self._why = why

    def hold(self, name: str, why: str) -> None:
        """Close (or with an empty ``why`` stop closing) for a reason of this name."""
        if why:
            self._reasons[name] = why
        else:
            self._reasons.pop(name, None)

    def held(self, name: str) -> str:
        """Why the gate is closed for a reason of this name; empty when it is not."""
        return self._reasons.get(name, "")

    def pause(self, seconds: float) -> None:
        """The venue takes no requests for so long."""
        wait_s = seconds if seconds > 0 else PAUSE_S_DEFAULT
        self._paused_until_s = max(self._paused_until_s, self._now_s() + wait_s)
