"""The dead man's switch of one venue, kept alive while orders may rest."""

from collections.abc import Callable
from enum import Enum, auto

from libs.bounded import clip
from libs.venues.gateway import VenueGateway
from services.execution.desk.venue_gate import VenueGate

HEARTBEATS_MISSED_MAX = 2
"""Heartbeats that may fail before everything is cancelled: the venue is about to do it itself."""
HEARTBEAT = "heartbeat"
"""The name under which a failing heartbeat closes the gate."""


class HeartbeatResult(Enum):
    """What a heartbeat calls for."""

    NOTHING = auto()
    CANCEL_ALL = auto()
    RECONCILE = auto()


class VenueHeartbeat:
    """Sends one venue's heartbeats, and counts those that fail. ``may_rest``: whether an order may rest there."""

    def __init__(self, gateway: VenueGateway, gate: VenueGate, may_rest: Callable[[], bool]) -> None:
        self._gateway = gateway
        self._gate = gate
        self._may_rest = may_rest
        self._missed = 0

    async def beat(self) -> HeartbeatResult:
        """Send one heartbeat; none is needed while nothing can rest."""
        if not self._may_rest():
            self._recover()
            return HeartbeatResult.NOTHING
        try:
            await self._gateway.heartbeat()
        except Exception as e:  # noqa: BLE001  (reported, and acted on)
            # Also for an error of the adapter's own: what rests must not outlive it.
            self._missed += 1
            self._gate.hold(HEARTBEAT, clip(f"heartbeat failed: {e}", 200))
            give_up = self._missed >= HEARTBEATS_MISSED_MAX
            return HeartbeatResult.CANCEL_ALL if give_up else HeartbeatResult.NOTHING
        if not self._recover():
            return HeartbeatResult.NOTHING
        # The venue may have cancelled what rested.
        self._gate.invalidate("heartbeat was away")
        return HeartbeatResult.RECONCILE

    def _recover(self) -> bool:
        """Count from zero again, and stop closing the gate; whether heartbeats had failed."""
        missed, self._missed = self._missed, 0
        self._gate.release(HEARTBEAT)
        return bool(missed)
