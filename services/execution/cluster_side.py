"""What execution does besides where the broker is a cluster: it copies claims, and watches that things get stored."""

import asyncio
import logging
from collections.abc import Callable, Collection

from libs.archive.segment import ArchiveDamaged
from libs.machine.host import Host
from libs.runtime.service import Context
from libs.tape.broker import stream_state
from libs.tape.credentials import claims_prefix, copies_prefix
from libs.tape.errors import BrokerUnavailable
from libs.tape.ledger import Ledger
from proto.execution import Claim
from services.execution.claim_copies import ClaimCopies, StoredClaim
from services.execution.gate import LAG_NS_MAX
from services.execution.high_water import parse_order_id
from services.execution.store_watch import StoreWatch

LOOK_EVERY_S = 0.5
RECOVERING_S = 3.0
"""After an outage, until the clock has ticked and everybody reads again."""
WAIT_NS_MAX = LAG_NS_MAX * 9 // 10
"""What waits longer would be refused as late."""

log = logging.getLogger("presage.execution")


class ClusterSide:
    """``copies`` puts claims on the tape, ``store`` says whether anything can be stored."""

    def __init__(self, context: Context, host: Host, ledger: Ledger, wall_ns: Callable[[], int]) -> None:
        assert context.lease is not None
        prefix = copies_prefix(claims_prefix(context.layout.password("execution")))
        self._ledger = ledger
        self._host = host
        self.copies = ClaimCopies(
            host.publisher, prefix, self._read_claim, self._find_left, lambda: host.status.speaks, wall_ns
        )
        self.store = StoreWatch(context.link, context.lease, self.copies)
        self._wall_ns = wall_ns
        ledger.on_won = self.copies.put_soon

    async def _read_claim(self, seq: int) -> StoredClaim | None:
        found = await self._ledger.at(seq)
        return None if found is None else StoredClaim(*found)

    async def _find_left(self, orders: Collection[str]) -> Collection[str]:
        """Of these orders, those whose copy is in the archive and no longer in the window, or may be."""
        history = self._host.history
        window_from = int((await stream_state(history.link.client))["first_seq"])
        before_window = [order for order in orders if not self._is_since(order, window_from)]
        if not before_window:
            return ()
        held_from, _ = await history.bounds()
        untold = {order for order in before_window if not self._is_since(order, held_from)}
        subjects = [f"{Claim.kind}.{order}" for order in before_window if order not in untold]
        try:
            records = await history.read_subjects(subjects)
        except ArchiveDamaged as e:
            log.error("archive not read", extra={"detail": str(e)})
            return before_window
        for order in untold:
            log.error("claim older than the record: not copied", extra={"order": order})
        return untold | {record.subject.removeprefix(f"{Claim.kind}.") for record in records}

    def _is_since(self, order: str, seq: int) -> bool:
        """Whether everything about an order, its claim's copy included, was stored at a sequence or later."""
        key = parse_order_id(order)
        return seq <= 1 or (key is not None and key.tape == self._host.settings.tape and key.cause >= seq)

    def is_recovering(self, approved_at: int) -> bool:
        """Whether things got stored again only just now, and an order approved then (ns) is not late yet."""
        return self.store.recovered_s() < RECOVERING_S and self._wall_ns() - approved_at < WAIT_NS_MAX

    async def copy_loop(self) -> None:
        """Look for claims without a copy until cancelled."""
        while True:
            try:
                await self.copies.look_through((await self._ledger.window()).last_seq)
            except BrokerUnavailable:
                log.debug("ledger not looked through; the next look goes on there")
            await asyncio.sleep(LOOK_EVERY_S)
