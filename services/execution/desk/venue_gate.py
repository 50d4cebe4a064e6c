"""Whether new orders may go to a venue, and if not, why. Closed until the first complete reconciliation."""

from collections.abc import Callable

FAILURES_MAX = 3
"""Reconciliations in a row that may fail: a minute and a half of not knowing."""
PAUSE_S_DEFAULT = 5.0
"""After a refusal that asks to wait and does not say how long."""

BRAKE = "brake"
"""The name under which the venue's own brake closes the gate."""


class VenueGate:
    """The gate of one venue. ``now_s`` is a monotonic clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.reconciled_at = 0
        self.invalidations = 0
        self._now_s = now_s
        self._is_reconciled = False
        self._why = "not reconciled"
        self._failures = 0
        self._holds: dict[str, str] = {}
        self._paused_until_s = 0.0

    def reason(self) -> str:
        """Say why the gate is closed; empty when it is open."""
        if not self._is_reconciled:
            return self._why
        if self._failures >= FAILURES_MAX:
            return f"{self._failures} reconciliations failed"
        for reason in self._holds.values():
            return reason
        if self._now_s() < self._paused_until_s:
            return "the venue asked to wait"
        return ""

    def record_reconciliation(self, at: int, invalidations: int) -> None:
        """Record a complete reconciliation without a difference.

        It makes up for the ``invalidations`` that there were when it began; a later one needs another.
        """
        self.reconciled_at = at
        self._failures = 0
        if invalidations == self.invalidations:
            self._is_reconciled = True

    def record_failure(self) -> None:
        """Record that a reconciliation was not complete."""
        self._failures += 1

    def invalidate(self, why: str) -> None:
        """Close the gate until the next reconciliation."""
        self.invalidations += 1
        self._is_reconciled = False
        self._why = why

    def hold(self, name: str, why: str) -> None:
        """Close the gate for a reason of this name, until it is released."""
        self._holds[name] = why

    def release(self, name: str) -> None:
        """Stop closing the gate for the reason of this name."""
        self._holds.pop(name, None)

    def hold_reason(self, name: str) -> str:
        """Say why the gate is held under this name; empty when it is not."""
        return self._holds.get(name, "")

    def pause(self, seconds: float) -> None:
        """Close the gate for so long: the venue asked to wait."""
        wait_s = seconds if seconds > 0 else PAUSE_S_DEFAULT
        self._paused_until_s = max(self._paused_until_s, self._now_s() + wait_s)
