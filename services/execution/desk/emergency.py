"""While an emergency lasts, nothing may go on resting at a venue.

One cancel-all is not enough: an order on its way when it is asked for arrives afterwards, one whose request
had no answer may appear much later, and a venue may agree and leave some. So the venue is asked what rests,
again and again, and everything is cancelled again whenever something does, or when nobody says.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.execution.desk.venue import VenueDesk

AGAIN_S = 1.0
"""Between two looks while a cancel-all failed, or an order of ours may still arrive."""
CALM_S = 10.0
"""Between two looks when every order of ours is known to have ended: a halt may last for days."""
LOOK_PATIENCE_S = 2.0
"""For the answer what rests: a gateway tries a read for 40 s, and what lands meanwhile would rest so long."""


class Emptying:
    """Keeps one venue's account empty while there is a reason to."""

    def __init__(self, desk: "VenueDesk", now_s: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._now_s = now_s
        self._why = ""
        self._flying: frozenset[str] = frozenset()
        self._failed = False
        self._next_at_s = 0.0

    async def step(self, why: str) -> None:
        """Look once, and cancel what there is; an empty ``why`` ends it."""
        desk = self._desk
        began, self._why = why != self._why, why
        if not why:
            return
        flying = frozenset(desk.in_flight)
        landed, self._flying = self._flying - flying, flying
        if not (began or landed or self._now_s() >= self._next_at_s):
            return
        if began or landed or self._failed or await self._may_rest():
            self._failed = not await desk.cancel_all(why)
        restless = self._failed or desk.in_flight or any(desk.is_open(own) for own in desk.orders)
        self._next_at_s = self._now_s() + (AGAIN_S if restless else CALM_S)

    async def _may_rest(self) -> bool:
        try:
            async with asyncio.timeout(LOOK_PATIENCE_S):
                return bool(await self._desk.gateway.open_orders())
        except Exception:  # noqa: BLE001  (whatever keeps it from answering, the answer may be yes)
            return True
