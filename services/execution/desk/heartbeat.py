"""The dead man's switch of one venue, kept alive while orders may rest."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.execution.desk.venue import VenueDesk

HEARTBEATS_MISSED_MAX = 2
"""Heartbeats that may fail before everything is cancelled: the venue is about to do it itself."""


class Heartbeat:
    """Beats for one venue's desk, and counts what the venue did not hear."""

    def __init__(self, desk: "VenueDesk") -> None:
        self._desk = desk
        self._missed = 0

    async def beat(self) -> None:
        """One beat; none is needed while nothing can rest."""
        desk = self._desk
        if not desk.in_flight and not any(desk.is_open(own) for own in desk.orders):
            self._missed = 0
            desk.gate.hold("heartbeat", "")
            return
        try:
            await desk.gateway.heartbeat()
        except Exception as e:  # noqa: BLE001  (reported, and acted on)
            # Also for an error of the adapter's own: what rests must not outlive it.
            self._missed += 1
            desk.gate.hold("heartbeat", f"heartbeat failed: {e}"[:200])
            if self._missed >= HEARTBEATS_MISSED_MAX:
                await desk.cancel_all("heartbeat failed")
            return
        if self._missed:
            # The venue may have cancelled what rested.
            desk.gate.doubt("heartbeat was away")
            desk.reconciler.soon()
        self._missed = 0
        desk.gate.hold("heartbeat", "")
