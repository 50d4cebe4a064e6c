"""Execution's look at its ledger, once a second: which orders it can vouch for, and how full it is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from libs.bounded import keep_newest
from libs.tape.errors import BrokerUnavailable
from libs.tape.ledger_window import LedgerWindow
from proto.units import SECOND

LOOK_EVERY_S = 1.0
"""Far less than the slack that an approval must be younger than the oldest claim."""
FORGOTTEN_MAX = 1_000
"""Orders named that are neither claimed nor given up, the newest: each waits for a person."""
UNREAD = "ledger not read"

log = logging.getLogger("presage.execution")


class LedgerWatch:
    """Remembers the ledger's last known window. What it holds back to only rises, and slowly.

    ``read_window`` asks the ledger for it.
    """

    def __init__(self, read_window: Callable[[], Awaitable[LedgerWindow]]) -> None:
        self.window: LedgerWindow | None = None
        self._read_window = read_window
        self._forgotten: dict[str, None] = {}

    async def loop(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                # An answer that cannot be read says nothing: what was known stays, and the next look may tell more.
                log.exception("ledger not read")
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look now; without an answer, what was known stays."""
        try:
            self.window = await self._read_window()
        except BrokerUnavailable:
            return

    def refusal(self, approved_at: int, *, reduce_only: bool) -> str:
        """Say why an order approved at ``approved_at`` (ns) may not be claimed; empty when it may.

        Exits depend on what the ledger can vouch for, never on its room.
        """
        if self.window is None:
            return UNREAD
        if not self.window.proves_absence(approved_at):
            return "ledger forgotten"
        return "" if reduce_only else self.window.entries_refusal

    def note_forgotten(self, order: str, *, is_forgotten: bool) -> None:
        """Keep count of the orders that can neither be claimed nor given up."""
        if is_forgotten:
            self._forgotten[order] = None
            keep_newest(self._forgotten, FORGOTTEN_MAX)
        else:
            self._forgotten.pop(order, None)

    def report(self) -> dict[str, Any]:
        """Return what execution says of its ledger; ``entries`` is why none may leave."""
        window = self.window
        if window is None:
            return {"entries": UNREAD}
        return {
            "percent": window.percent,
            "claims": window.claims,
            "reach_s": window.reach // SECOND,
            "entries": window.entries_refusal,
            "forgotten": sorted(self._forgotten),
        }
