"""Whether what is published gets stored, where the broker is a cluster.

There a crash of a stream's leader leaves the connection up: for some seconds nothing can be stored. One broker is either
there or gone, and the connection tells.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from libs.tape.broker import STREAM_STATE_TIMEOUT_S, stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from libs.tape.lease import Lease
from proto.subjects import LEDGER, TAPE
from services.execution.claim_copies import LATE_S, ClaimCopies
from services.execution.desk.live_desk import BROKER_PATIENCE_S

LOOK_EVERY_S = 0.25
CANCEL_AFTER_S = 10.0
"""A cluster elects another leader in 4 to 8 s. When nothing can be stored for longer, nobody can say halt in time, and
nothing may rest at a venue."""


class StoreWatch:
    """Asks the leaders of tape and ledger four times a second. ``copies``: claims on their way to the tape."""

    def __init__(
        self, link: Link, lease: Lease, copies: ClaimCopies, now_s: Callable[[], float] = monotonic
    ) -> None:
        self._link = link
        self._lease = lease
        self._copies = copies
        self._now_s = now_s
        self._silent: dict[str, float] = {}
        self._failing_since_s: float | None = None
        self._was_shut = False
        self._recovered_at_s = float("-inf")

    async def loop(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.gather(*(self._look(stream) for stream in (TAPE, LEDGER)))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, stream: str) -> None:
        began_s = self._now_s()
        try:
            await stream_state(self._link.client, stream, STREAM_STATE_TIMEOUT_S / 2)
        except BrokerUnavailable:
            self._silent.setdefault(stream, began_s)
        else:
            self._silent.pop(stream, None)

    def refusal(self, *, reduce_only: bool = False) -> str:
        """Say why nothing new may leave, or no exit; empty while everything is stored.

        An exit waits for no other claim's copy: that something cannot be copied is a reason more to get out.
        """
        outage = self._outage()
        if not outage:
            self._failing_since_s = None
        elif self._failing_since_s is None:
            self._failing_since_s = self._now_s()
        entries = outage or ("claims not on the tape" if self._copies.late_s > LATE_S else "")
        if self._was_shut and not entries:
            self._recovered_at_s = self._now_s()
        self._was_shut = bool(entries)
        return outage if reduce_only else entries

    def _outage(self) -> str:
        if not self._lease.held or self._lease.is_failing:
            return "lease not renewed"
        return f"{min(self._silent)} has no leader" if self._silent else ""

    def recovered_s(self) -> float:
        """How long ago an outage ended; nought while one lasts."""
        return 0.0 if self.refusal() else self._now_s() - self._recovered_at_s

    def away_s(self) -> float:
        """For how long the broker has been gone, where one that stores nothing counts once it should have recovered."""
        self.refusal()
        since_s = self._failing_since_s
        failing_s = 0.0 if since_s is None else self._now_s() - since_s
        return max(self._link.away_s(), failing_s - CANCEL_AFTER_S + BROKER_PATIENCE_S)
