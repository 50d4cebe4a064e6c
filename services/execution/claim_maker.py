"""For an accepted approval: a claim of ours in the ledger, one of somebody else, or the proof that there is none."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, NamedTuple

from libs.archive.segment import ArchiveDamaged
from libs.bounded import keep_newest
from libs.contract.codec import Unreadable, decode_as
from libs.machine.host import Fact, Host
from libs.runtime.layout import BUILD
from libs.runtime.service import Context
from libs.tape.errors import BrokerUnavailable, ContentMismatch
from libs.tape.ledger import ClaimOutcome, Ledger
from libs.tape.reader import read_at
from libs.tape.record import (
    BUILD_HEADER,
    CAUSE_HEADER,
    KEY_ID_HEADER,
    ROOT_HEADER,
    SIGNATURE_HEADER,
    TapeRecord,
)
from proto.execution import Claim, Unclaimed
from proto.risk import Approval
from services.execution.claims import claim_of
from services.execution.cluster_side import ClusterSide
from services.execution.gate import ClaimGate
from services.execution.high_water import parse_order_id
from services.execution.hosted import is_of_earlier_epoch, is_realtime, live_venues_of, machine_of
from services.execution.ledger_watch import LedgerWatch
from services.execution.orders import AwaitingClaim

RETRY_WAIT_S = 0.05
SWEEP_EVERY_S = 1.0
"""An order found waiting twice, a second apart, with nothing under way, has been left behind."""
RECOVERED_MAX = 1_000
"""Orders whose claim was made anew, remembered: far more than wait at a power cut."""
COPY_WAIT_S = 5.0
"""In lockstep the copy of a claim must be on the tape before the decision: normally a millisecond."""

BLOCKED = "ledger blocked"
"""Why there is no claim when something else stands in the ledger under the order's subject."""


log = logging.getLogger("presage.execution")


class ClaimState(StrEnum):
    """What the ledger knows of an order. Forgotten: approved so long ago that a claim of it may have left."""

    CLAIMED = "claimed"
    UNCLAIMED = "unclaimed"
    FORGOTTEN = "forgotten"
    UNREAD = "unread"


class ClaimResult(NamedTuple):
    """``won``: the claim was made just now, by us. ``reason``: why there is no claim and will be none; else empty."""

    won: bool = False
    reason: str = ""


class ClaimMaker:
    """Makes claims while the gate is open."""

    def __init__(
        self,
        context: Context,
        host: Host,
        ledger: Ledger,
        gate: ClaimGate,
        crash_point: Callable[[str], None],
    ) -> None:
        self.ledger = ledger
        self.claimed = 0
        self.lost = 0
        self.unclaimed = 0
        self.watch = LedgerWatch(ledger.window)
        self.cluster: ClusterSide | None = None
        self._host = host
        self._gate = gate
        self._link = context.link
        self._lockstep = context.run.lockstep
        self._tape = context.run.tape
        self._crash_point = crash_point
        self._copies: dict[str, int] = {}
        self._copied = asyncio.Event()
        self._recovered: dict[str, None] = {}

    async def claim(
        self,
        claim: Claim,
        record: TapeRecord,
        *,
        reduce_only: bool,
        live_refusal: Callable[[], str] | None = None,
    ) -> ClaimResult:
        """Claim an order, or find out that there is no claim of it.

        ``record`` is its approval. An order that the ledger may have forgotten is neither claimed nor given up:
        it stays as it is, and its exposure with it.

        ``live_refusal`` makes the order a live one, and adds its own reasons why it must not be claimed.
        """
        headers = {
            CAUSE_HEADER: str(record.seq),
            ROOT_HEADER: str(record.root or record.seq),
            BUILD_HEADER: BUILD,
        }
        while True:
            if self.watch.window is None:
                await self.watch.look()
            reason = self._refusal(record, reduce_only=reduce_only) or (
                live_refusal() if live_refusal is not None else ""
            )
            reason = reason or self.watch.refusal(record.stored_at_ns, reduce_only=reduce_only)
            if reason and not self._may_pass(record):
                state = await self.state_of(claim.order, record.stored_at_ns)
                if state is not ClaimState.UNREAD:
                    return ClaimResult(reason=reason if state is ClaimState.UNCLAIMED else "")
            elif not reason:
                outcome = await self.ledger.claim(claim, headers)
                if live_refusal is None:
                    self._crash_point("after_submit")
                if outcome is ClaimOutcome.WON:
                    self.claimed += 1
                    await self._wait_for_copy(claim.order)
                    return ClaimResult(won=True)
                if outcome is ClaimOutcome.LOST:
                    self.lost += 1
                    return ClaimResult()
                if outcome is ClaimOutcome.BLOCKED:
                    return ClaimResult(reason=BLOCKED)
            await asyncio.sleep(RETRY_WAIT_S)

    def _may_pass(self, record: TapeRecord) -> bool:
        """Whether what keeps an order back may be over in a moment, and the approval is young enough to wait for it.

        After a cluster has elected a leader the first approval comes before the first tick of the clock.
        """
        return self.cluster is not None and self.cluster.is_recovering(record.stored_at_ns)

    async def recover(self, claim: Claim, approved_at: int) -> None:
        """Claim an order of an epoch whose tail was lost, and do not send it. ``approved_at``: ns, by the broker.

        That the ledger has no claim of it proves nothing: the claim may be part of what was lost, and the order at the
        venue. With a claim it is tracked, its exposure reserved, until the venue has said what became of it. Its name
        there is not known here: the claim has the order's id in its place.
        """
        recovered = claim.replace(client_order_id=claim.order, claimed_at=approved_at)
        while await self.ledger.claim(recovered, {}) is ClaimOutcome.UNAVAILABLE:
            await asyncio.sleep(RETRY_WAIT_S)

    def gate_reason(self, *, reduce_only: bool = False) -> str:
        """Say why no order may be claimed, whatever its approval; empty when one may."""
        return self._storing_refusal(reduce_only=reduce_only) or self._gate.reason(
            live=self._host.status.live,
            realtime=is_realtime(self._host),
            connected=self._link.connected,
        )

    def _storing_refusal(self, *, reduce_only: bool) -> str:
        if self.cluster is None or not self._host.status.live:
            return ""
        return self.cluster.store.refusal(reduce_only=reduce_only)

    def _refusal(self, record: TapeRecord, *, reduce_only: bool) -> str:
        return self._storing_refusal(reduce_only=reduce_only) or self._gate.approval_reason(
            live=self._host.status.live,
            realtime=is_realtime(self._host),
            stored_at_ns=record.stored_at_ns,
            connected=self._link.connected,
        )

    async def state_of(self, order: str, approved_at: int | None) -> ClaimState:
        """Look an order up. ``approved_at``: when the broker stored its approval (ns); ``None``: not known."""
        try:
            if await self.ledger.read(order) is not None:
                return ClaimState.CLAIMED
            window = await self.ledger.window()
        except ContentMismatch:
            return ClaimState.UNCLAIMED
        except BrokerUnavailable:
            return ClaimState.UNREAD
        # The window was asked after the claim: what it holds back to was held then.
        if window.proves_absence(approved_at or 0):
            return ClaimState.UNCLAIMED
        try:
            copy = await self._copy_of(order)
        except BrokerUnavailable:
            return ClaimState.UNREAD
        # A copy proves the claim. That there is none proves nothing: the copy comes after the claim, and may be lost.
        return ClaimState.CLAIMED if copy is not None else ClaimState.FORGOTTEN

    async def stored_claim(self, order: str) -> Claim | None:
        """Return the claim of an order from the ledger, or its copy on the tape or in its archive.

        Raises:
            BrokerUnavailable: nothing is known.
            ContentMismatch: what is stored there is no claim.
        """
        claim = await self.ledger.read(order)
        return claim if claim is not None else await self._copy_of(order)

    async def _copy_of(self, order: str) -> Claim | None:
        # A claim follows the message that its order was made for: what is older need not be looked through.
        key = parse_order_id(order)
        after = key.cause if key is not None and key.tape == self._tape else 0
        try:
            records = await self._host.history.read_subject(f"{Claim.kind}.{order}", after)
        except ArchiveDamaged as e:
            log.error("archive not read", extra={"order": order, "detail": str(e)})
            return None
        for record in records:
            try:
                return decode_as(Claim, record.payload)
            except Unreadable:
                continue
        return None

    # ── lockstep ──

    def record_copy(self, order: str, seq: int) -> None:
        """Record where the copy of a claim stands on the tape."""
        if self.cluster is not None:
            self.cluster.copies.note_copy(order)
        if self._lockstep:
            self._copies[order] = seq
            self._copied.set()

    async def _wait_for_copy(self, order: str) -> None:
        """Wait, in lockstep, for the copy on the tape: it comes before the decision in every run alike."""
        if not self._lockstep:
            return
        while order not in self._copies:
            self._copied.clear()
            async with asyncio.timeout(COPY_WAIT_S):
                await self._copied.wait()
        self._host.status.stored_to = max(self._host.status.stored_to, self._copies.pop(order))

    # ── stranded orders ──

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs beside the host until it is cancelled."""
        own = (self.sweep_loop(), self.watch.loop())
        return own if self.cluster is None else (*own, self.cluster.store.loop(), self.cluster.copy_loop())

    async def sweep_loop(self) -> None:
        """Find orders that a crash left between their decision and the fact that there is no claim."""
        before: set[str] = set()
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            stranded = self._stranded_orders()
            for waiting in stranded:
                if waiting.order not in before:
                    continue
                try:
                    await self._free(waiting)
                except Exception:
                    # Nobody else looks after the other orders: they would stay reserved for ever.
                    log.exception("stranded order not freed", extra={"order": waiting.order})
            before = {waiting.order for waiting in stranded}

    async def _free(self, waiting: AwaitingClaim) -> None:
        # At a live venue the missing claim of an order from before a lost tail proves nothing.
        if live_venues_of(self._host) and is_of_earlier_epoch(waiting.order, self._host):
            await self._recover_stranded(waiting)
        else:
            await self._publish_if_unclaimed(waiting.order)

    async def _approved_at(self, order: str) -> int | None:
        """When the broker stored the message that an order of this tape was approved for, if it can be read."""
        window, key = self.watch.window, parse_order_id(order)
        if window is None or not window.held_from or key is None or key.tape != self._tape:
            return None
        record = await read_at(self._link, key.cause)
        return None if record is None else record.stored_at_ns

    def _stranded_orders(self) -> list[AwaitingClaim]:
        """Return the orders that wait for a claim although nothing of execution's is on its way any more."""
        host = self._host
        return machine_of(host).awaiting_claim() if host.status.speaks and host.settled else []

    async def _recover_stranded(self, waiting: AwaitingClaim) -> None:
        """Claim an order of an earlier epoch whose decision the tape has and whose claim is lost; once.

        Without its approval nobody can ask the venue about it: it stays reserved, and the report names it.
        """
        order = waiting.order
        if order in self._recovered:
            return
        try:
            records = await self._host.history.read_subject(f"{Approval.kind}.{order}")
        except (ArchiveDamaged, BrokerUnavailable) as e:
            log.error("approval not read", extra={"order": order, "detail": str(e)})
            return
        # The one that the machine accepted: its signature holds. Anybody may write under the subject.
        record = next((record for record in records if record.message_id == waiting.message_id), None)
        self.watch.note_forgotten(order, is_forgotten=record is None)
        if record is not None:
            claim = _claim_of(record)
            await self.recover(claim.replace(nonce=secrets.token_hex(8)), record.stored_at_ns)
        self._recovered[order] = None
        keep_newest(self._recovered, RECOVERED_MAX)

    async def _publish_if_unclaimed(self, order: str) -> None:
        """Publish that a stranded order has no claim, if so: then risk releases what it reserved."""
        state = await self.state_of(order, await self._approved_at(order))
        self.watch.note_forgotten(order, is_forgotten=state is ClaimState.FORGOTTEN)
        if state is ClaimState.UNCLAIMED:
            self.unclaimed += 1
            await self._host.publish_fact(Fact(Unclaimed(order=order, reason="stranded")))


def _claim_of(record: TapeRecord) -> Claim:
    """Return the claim of an approval on the tape."""
    headers = record.headers
    signature, key_id = headers.get(SIGNATURE_HEADER, ""), headers.get(KEY_ID_HEADER, "")
    approval = decode_as(Approval, record.payload)
    return claim_of(approval, record.payload, record.message_id, signature, key_id)
