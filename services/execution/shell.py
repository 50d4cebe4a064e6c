"""Execution's shell: from an accepted approval to a claim in the ledger, straight from the runner.

For each approval the machine accepted, and before that decision is published: the gate is asked, the
expiry checked on the session's clock, then the claim is made. For the paper venue the claim, copied onto
the tape by the broker, is the submission. A live order is signed first, because its claim carries the id by
which the venue can be asked, and sent by the venue's desk once the claim is won. Whatever happens, the outcome
is one of three: a claim of ours, a claim of somebody else, or the fact that there is none and will be none.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec
from nats.aio.msg import Msg

from libs.contract.codec import decode
from libs.machine.host import Fact, Host
from libs.machine.runner import Effect
from libs.runtime.layout import BUILD
from libs.runtime.service import Context
from libs.tape.credentials import HALT_SUBJECT
from libs.tape.errors import BrokerUnavailable, ContentMismatch
from libs.tape.ledger import ClaimOutcome, Ledger
from libs.tape.record import (
    BUILD_HEADER,
    CAUSE_HEADER,
    KEY_ID_HEADER,
    ROOT_HEADER,
    SIGNATURE_HEADER,
    TapeRecord,
)
from libs.venues.errors import VenueError
from libs.venues.gateway import Prepared, VenueGateway
from proto.execution import Claim, Unclaimed
from proto.ids import venue_of
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Mode, Session, Verb
from proto.risk import Approval
from services.execution.claims import claims_of
from services.execution.desk.context import Surroundings
from services.execution.desk.desk import Desk
from services.execution.desk.venue import VenueDesk
from services.execution.gate import Gate
from services.execution.machine import ExecutionMachine

RETRY_WAIT_S = 0.05
SWEEP_EVERY_S = 1.0
"""An order found waiting twice, a second apart, with nothing under way, has been left behind."""
COPY_WAIT_S = 5.0
"""In lockstep the copy of a claim must be on the tape before the decision: normally a millisecond."""

DESK_CHECK_S = 0.1
GatewayFactory = Callable[[Sequence[str]], Sequence[VenueGateway]]
"""Makes the gateways of the venues with these names."""

BLOCKED = "ledger blocked"
"""Why there is no claim when something else stands in the ledger under the order's subject."""

log = logging.getLogger("presage.execution")


def crash_point_from_environment() -> Callable[[str], None]:
    """Ends the process at the moment named by ``PRESAGE_CRASH_POINT`` (``name`` or ``name:count``)."""
    name, _, count = os.environ.get("PRESAGE_CRASH_POINT", "").partition(":")
    left = int(count or 1)

    def crash_point(reached: str) -> None:
        nonlocal left
        if name and reached == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)

    return crash_point


class ExecutionShell:
    """Makes claims for the execution machine of one host, and trades at the live venues.

    ``make_gateways`` is asked once the tape has said which venues are live.
    """

    def __init__(
        self,
        context: Context,
        make_gateways: GatewayFactory = lambda _: (),
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.gate = Gate(context.layout.halt_file, context.layout.pause_file, wall_ns)
        self.claimed = 0
        self.lost = 0
        self.unclaimed = 0
        self.desk: Desk | None = None
        self._no_desk = "no gateway"
        self._make_gateways = make_gateways
        self._context = context
        self._wall_ns = wall_ns
        self._crash_point = crash_point_from_environment()
        self._host: Host | None = None
        self._ledger: Ledger | None = None
        self._won: set[str] = set()
        self._copies: dict[str, int] = {}
        self._copied = asyncio.Event()

    async def start(self, host: Host) -> None:
        """Open the claims file and listen to halts beside the tape."""
        self._host = host
        host.settings.crash_point = self._crash_point
        host.observers.append(self._observe)
        host.extra_report = self.report
        name = "-".join(filter(None, ("execution", self._context.instance)))
        file = self._context.layout.claims / f"{name}.log"
        self._ledger = Ledger(self._context.link, host.publisher, file, self._crash_point)
        await self._context.link.client.subscribe(HALT_SUBJECT, cb=self._on_halt)

    async def _on_halt(self, _: Msg) -> None:
        # Closing on an unsigned message is safe: anyone may halt. Only a signed resume opens again.
        self.gate.halted = True

    # ── the live venues ──

    async def trade_loop(self) -> None:
        """Wait until the tape names live venues, then trade there until cancelled."""
        assert self._host is not None
        assert self._ledger is not None
        host = self._host
        while not (host.status.live and self._machine().live_venues):
            await asyncio.sleep(DESK_CHECK_S)
        try:
            gateways = self._make_gateways(self._machine().live_venues)
        except Exception as e:
            # Whatever is wrong with keys or addresses: nothing is traded, and the operator is told why.
            self._no_desk = f"no gateway: {e}"[:300]
            log.exception("no gateways")
            return
        around = Surroundings(
            publish=host.publish_fact,
            spool=self._context.layout.claims / "facts.jsonl",
            state=lambda: self._machine().state,
            away_s=self._context.link.away_s,
            halted=lambda: self.gate.halted or self._context.layout.halt_file.exists(),
            refusal=self._standing,
            crash_point=self._crash_point,
            wall_ns=self._wall_ns,
        )
        desk = Desk(gateways, around)
        await desk.start(self._ledger.read)
        self.desk = desk
        await desk.run()

    async def stop(self) -> None:
        """Come to a planned stop: nothing new leaves, resting entries are cancelled."""
        if self.desk is not None:
            await self.desk.stop()

    async def close(self) -> None:
        """Close the gateways."""
        if self.desk is not None:
            await self.desk.close()

    def _machine(self) -> ExecutionMachine:
        assert self._host is not None
        machine = self._host.runners[0].machine
        assert isinstance(machine, ExecutionMachine)
        return machine

    def _live_refusal(self, approval: Approval) -> str:
        """Why an order may not go to a live venue, besides what holds for every order."""
        if venue_of(approval.market) not in self._machine().live_venues:
            return "venue not live"
        if not self._realtime():
            return "live venue in playback"
        if self._wall_ns() >= approval.expires_at:
            return "expired"
        return self.desk.reason(approval.market) if self.desk is not None else self._no_desk

    async def _settle_live(self, claim: Claim, record: TapeRecord) -> str:
        """As ``_settle`` for a live order: signed, claimed under the venue's id, sent by the desk."""
        assert self._ledger is not None
        approval = decode(claim.approval_subject, claim.payload)
        assert isinstance(approval, Approval)
        if self._ledger.remembers(claim.order):
            while (unclaimed := await self._is_unclaimed(claim)) is None:
                await asyncio.sleep(RETRY_WAIT_S)
            if not unclaimed:
                # Claimed before, by this process or the one before it, and perhaps sent: never again.
                return ""
        desk, prepared, refused = await self._prepare(claim, approval, record.stored_at_ns)
        if prepared is not None:
            claim = msgspec.structs.replace(claim, client_order_id=prepared.client_order_id)
        reason = await self._settle(claim, record, lambda: refused or self._live_refusal(approval))
        if desk is not None and prepared is not None and claim.order in self._won:
            self._won.discard(claim.order)
            desk.begin(claim, approval, prepared)
        return reason

    async def _prepare(
        self, claim: Claim, approval: Approval, approved_at: int
    ) -> tuple[VenueDesk | None, Prepared | None, str]:
        """Build and sign a live order: the desk, the request, or why there is none.

        Meanwhile the claim is written down, which has to be before it is made.
        """
        assert self._ledger is not None
        desk = self.desk.at(approval.market) if self.desk is not None else None
        reason = self._live_refusal(approval)
        if desk is None or reason:
            return None, None, reason or "no gateway"
        self._ledger.begin(claim)
        try:
            return desk, await desk.prepare_known(approval, approved_at), ""
        except (VenueError, TimeoutError) as e:
            return None, None, (str(e) or "market not read in time")[:300]
        except Exception as e:
            log.exception("prepare failed", extra={"order": approval.order})
            return None, None, f"prepare failed: {type(e).__name__}"

    # ── claims ──

    def _observe(self, record: TapeRecord, event: Message) -> None:
        if self.desk is not None:
            assert self._host is not None
            self.desk.observe(record, event, live=self._host.status.live)
        if isinstance(event, Claim):
            if self._context.run.lockstep:
                self._copies[event.order] = record.seq
                self._copied.set()
        elif isinstance(event, Command) and event.verb in (Verb.RESUME, Verb.HALT):
            self.gate.halted = event.verb is Verb.HALT
        elif isinstance(event, Clock):
            self.gate.clock_at_ns = event.at
        elif isinstance(event, Session):
            self.gate.clock_at_ns = event.started_at

    def report(self) -> dict[str, object]:
        """What execution adds to its health report."""
        assert self._host is not None
        return {
            "gate": (self._standing() if self._host.runners else "not live") or "open",
            "instance": self._context.instance,
            "claimed": self.claimed,
            "lost": self.lost,
            "unclaimed": self.unclaimed,
        } | self._venues_report()

    def _standing(self) -> str:
        assert self._host is not None
        return self.gate.standing(
            live=self._host.status.live, realtime=self._realtime(), connected=self._context.link.connected
        )

    def _venues_report(self) -> dict[str, object]:
        """State of each live venue's gate; nothing while everything is paper."""
        assert self._host is not None
        venues = self._machine().live_venues if self._host.runners else ()
        if not venues:
            return {}
        reports = self.desk.report() if self.desk is not None else {}
        return {"venues": {venue: reports.get(venue, {"gate": self._no_desk}) for venue in venues}}

    async def before_publish(self, effect: Effect) -> Sequence[Fact]:
        """Claim what the outputs call for; the facts to be published after them."""
        facts: list[Fact] = []
        for claim in self._claims(effect):
            live = bool(self._machine().live_venues)
            settle = self._settle_live if live else self._settle
            reason = await settle(claim, effect.record)
            self._crash_point("before_publish")
            if reason:
                self.unclaimed += 1
                facts.append(
                    Fact(Unclaimed(order=claim.order, reason=reason), effect.record.seq, effect.record.root)
                )
        return facts

    def _claims(self, effect: Effect) -> Sequence[Claim]:
        record = effect.record
        if not record.subject.startswith("risk.approval."):
            return ()
        headers = record.headers
        claims = claims_of(
            decode(record.subject, record.payload),
            record.message_id,
            headers.get(SIGNATURE_HEADER, ""),
            headers.get(KEY_ID_HEADER, ""),
            [output.message for output in effect.outputs],
        )
        nonce = secrets.token_hex(8)
        return [
            msgspec.structs.replace(c, payload=record.payload, nonce=nonce, claimed_at=self._wall_ns())
            for c in claims
        ]

    async def _settle(
        self, claim: Claim, record: TapeRecord, refusal: Callable[[], str] | None = None
    ) -> str:
        """Claim, or find out that there is no claim; the reason why there is none.

        ``refusal`` makes the order a live one, and adds its own reasons why it must not be claimed.
        """
        assert self._ledger is not None
        headers = {
            CAUSE_HEADER: str(record.seq),
            ROOT_HEADER: str(record.root or record.seq),
            BUILD_HEADER: BUILD,
        }
        while True:
            reason = self._refusal(record) or (refusal() if refusal is not None else "")
            if reason:
                absent = await self._is_unclaimed(claim)
                if absent is not None:
                    return reason if absent else ""
            else:
                outcome = await self._ledger.claim(claim, headers)
                if refusal is None:
                    self._crash_point("after_submit")
                if outcome is ClaimOutcome.WON:
                    self.claimed += 1
                    if refusal is not None:
                        self._won.add(claim.order)
                    await self._await_copy(claim.order)
                    return ""
                if outcome is ClaimOutcome.LOST:
                    self.lost += 1
                    return ""
                if outcome is ClaimOutcome.BLOCKED:
                    return BLOCKED
            await asyncio.sleep(RETRY_WAIT_S)

    def _refusal(self, record: TapeRecord) -> str:
        assert self._host is not None
        return self.gate.closed(
            live=self._host.status.live,
            realtime=self._realtime(),
            stored_at_ns=record.stored_at_ns,
            connected=self._context.link.connected,
        )

    async def sweep_loop(self) -> None:
        """Find orders that a crash left between their decision and the fact that there is no claim."""
        before: set[str] = set()
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            stranded = self._stranded()
            for order in stranded:
                if order in before:
                    await self._tell_if_unclaimed(order)
            before = set(stranded)

    def _stranded(self) -> list[str]:
        """Orders that wait for a claim although nothing of execution's is on its way any more."""
        host = self._host
        if host is None or not host.status.live or not host.settled:
            return []
        machine = host.runners[0].machine
        assert isinstance(machine, ExecutionMachine)
        return [waiting.order for waiting in machine.awaiting_claim()]

    async def _tell_if_unclaimed(self, order: str) -> None:
        """Nobody will claim it any more: if nobody did, say so, and risk releases what it reserved."""
        assert self._host is not None
        assert self._ledger is not None
        try:
            claim = await self._ledger.read(order)
        except ContentMismatch:
            claim = None
        except BrokerUnavailable:
            return
        if claim is None:
            self.unclaimed += 1
            await self._host.publish_fact(Fact(Unclaimed(order=order, reason="stranded")))

    def _realtime(self) -> bool:
        """Whether this session's clock is the wall's; an execution without a machine yet is not live."""
        assert self._host is not None
        runners = self._host.runners
        return bool(runners) and runners[0].input_gate.state.timeline.mode is Mode.REALTIME

    async def _is_unclaimed(self, claim: Claim) -> bool | None:
        """Whether the ledger has no claim of this order; ``None`` when it cannot be read."""
        assert self._ledger is not None
        try:
            return await self._ledger.read(claim.order) is None
        except ContentMismatch:
            return True
        except BrokerUnavailable:
            return None

    async def _await_copy(self, order: str) -> None:
        """In lockstep: the copy on the tape comes before the decision, in every run alike."""
        assert self._host is not None
        if not self._context.run.lockstep:
            return
        while order not in self._copies:
            self._copied.clear()
            async with asyncio.timeout(COPY_WAIT_S):
                await self._copied.wait()
        self._host.status.stored_to = max(self._host.status.stored_to, self._copies.pop(order))
