"""While an emergency lasts, no order may rest at a venue.

One cancel-all is not enough: an order on its way when it is asked for arrives afterwards, one whose request
had no answer may appear much later, and a venue may agree and leave some. So the venue is asked what rests,
again and again, and everything is cancelled again whenever something does, or when the venue does not answer.

A process whose lease has lapsed looks at its own orders alone: what rests besides may be another one's, which leads now.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from libs.venues.gateway import VenueGateway
from services.execution.desk.order_registry import OrderRegistry

AGAIN_S = 1.0
"""Between two checks while a cancel-all failed, or an order of ours may still arrive."""
CALM_S = 10.0
"""Between two checks when every order of ours is known to have ended: a halt may last for days."""
CHECK_PATIENCE_S = 2.0
"""For the answer what rests: a gateway tries a read for 40 s, and what lands meanwhile would rest so long."""

CancelAll = Callable[[str], Awaitable[bool]]
"""Cancels everything at the venue for a reason; whether the venue agreed."""


class EmergencyCancel:
    """Keeps one venue's account free of orders while there is a reason to."""

    def __init__(
        self,
        gateway: VenueGateway,
        registry: OrderRegistry,
        cancel_all: CancelAll,
        leads: Callable[[], bool] = lambda: True,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._registry = registry
        self._cancel_all = cancel_all
        self._leads = leads
        self._now_s = now_s
        self._why = ""
        self._in_flight: frozenset[str] = frozenset()
        self._failed = False
        self._next_at_s = 0.0

    async def step(self, why: str) -> None:
        """Check once, and cancel what rests; an empty ``why`` ends the emergency."""
        began, self._why = why != self._why, why
        if not why:
            return
        in_flight = frozenset(self._registry.in_flight)
        landed, self._in_flight = self._in_flight - in_flight, in_flight
        if not (began or landed or self._now_s() >= self._next_at_s):
            return
        if began or landed or self._failed or await self._has_resting_orders():
            self._failed = not await self._cancel_all(why)
        restless = self._failed or self._registry.may_rest()
        self._next_at_s = self._now_s() + (AGAIN_S if restless else CALM_S)

    async def _has_resting_orders(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_PATIENCE_S):
                resting = await self._gateway.open_orders()
                return bool(resting) if self._leads() else any(map(self._registry.shows_own, resting))
        except Exception:  # noqa: BLE001  (whatever keeps it from answering, the answer may be yes)
            return True
