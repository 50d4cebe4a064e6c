"""Live orders: signed first, because the claim carries the id by which the venue can be asked, then claimed and sent."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from libs.bounded import clip
from libs.machine.host import Host
from libs.machine.runner import Effect
from libs.runtime.service import Context
from libs.tape.record import TapeRecord
from libs.venues.errors import VenueError
from libs.venues.gateway import Prepared, VenueGateway
from proto.execution import Claim
from proto.ids import venue_of
from proto.message import Message
from proto.risk import Approval
from services.execution.claim_maker import RETRY_WAIT_S, ClaimMaker, ClaimState
from services.execution.desk.context import DeskContext
from services.execution.desk.live_desk import LiveDesk
from services.execution.desk.venue import VenueDesk
from services.execution.gate import ClaimGate
from services.execution.hosted import is_of_earlier_epoch, is_realtime, live_venues_of, machine_of

DESK_CHECK_S = 0.1
"""Between two checks whether the tape names live venues."""

GatewayFactory = Callable[[Sequence[str]], Sequence[VenueGateway]]
"""Makes the gateways of the venues with these names."""

log = logging.getLogger("presage.execution")


class _Preparation(NamedTuple):
    """The desk and the signed request of a live order, or ``refusal``: why there is none."""

    desk: VenueDesk | None = None
    prepared: Prepared | None = None
    refusal: str = ""


class LiveTrading:
    """Trades at the live venues. ``make_gateways`` is asked once the tape has said which they are."""

    def __init__(
        self,
        context: Context,
        host: Host,
        gate: ClaimGate,
        claims: ClaimMaker,
        make_gateways: GatewayFactory,
        wall_ns: Callable[[], int],
        crash_point: Callable[[str], None],
    ) -> None:
        self.desk: LiveDesk | None = None
        self._context = context
        self._host = host
        self._gate = gate
        self._claims = claims
        self._make_gateways = make_gateways
        self._wall_ns = wall_ns
        self._crash_point = crash_point
        self._no_desk = "no gateway"

    # ── running ──

    async def run(self) -> None:
        """Wait until the tape names live venues, then trade there until cancelled."""
        host = self._host
        while not (host.status.live and live_venues_of(host)):
            await asyncio.sleep(DESK_CHECK_S)
        try:
            gateways = self._make_gateways(live_venues_of(host))
        except Exception as e:
            # Whatever is wrong with keys or addresses: nothing is traded, and the operator sees why.
            self._no_desk = clip(f"no gateway: {e}", 300)
            log.exception("no gateways")
            return
        layout, cluster = self._context.layout, self._claims.cluster
        context = DeskContext(
            publish=host.publish_fact,
            spool=layout.claims / "facts.jsonl",
            state=lambda: machine_of(host).state,
            away_s=self._context.link.away_s if cluster is None else cluster.store.away_s,
            halted=lambda: self._gate.halted or layout.halt_file.exists(),
            refusal=lambda reduce_only: self._claims.gate_reason(reduce_only=reduce_only),
            leads=lambda: host.status.lease is None or host.status.lease.held,
            crash_point=self._crash_point,
            wall_ns=self._wall_ns,
        )
        desk = LiveDesk(gateways, context)
        await desk.start(self._claims.stored_claim)
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

    def observe(self, record: TapeRecord, event: Message) -> None:
        """Handle a message read from the tape."""
        if self.desk is not None:
            self.desk.observe(record, event, live=self._host.status.live)

    def report(self) -> dict[str, object]:
        """Return the state of each live venue's gate; nothing while everything is paper."""
        venues = live_venues_of(self._host)
        if not venues:
            return {}
        reports = self.desk.report() if self.desk is not None else {}
        return {"venues": {venue: reports.get(venue, {"gate": self._no_desk}) for venue in venues}}

    # ── orders ──

    async def claim(self, claim: Claim, effect: Effect) -> str:
        """Sign, claim and send a live order; the reason why there is no claim and will be none, else empty."""
        record, approval = effect.record, effect.event
        assert isinstance(approval, Approval)
        if is_of_earlier_epoch(claim.order, self._host):
            await self._claims.recover(claim, record.stored_at_ns)
            return ""
        if self._claims.ledger.remembers(claim.order):
            while (
                state := await self._claims.state_of(claim.order, record.stored_at_ns)
            ) is ClaimState.UNREAD:
                await asyncio.sleep(RETRY_WAIT_S)
            if state is not ClaimState.UNCLAIMED:
                # Claimed before, by this process or the one before it, and perhaps sent: never again.
                return ""
        desk, prepared, refusal = await self._prepare(approval, record.stored_at_ns)
        if prepared is not None:
            claim = claim.replace(client_order_id=prepared.client_order_id)
        result = await self._claims.claim(
            claim,
            record,
            reduce_only=approval.reduce_only,
            live_refusal=lambda: refusal or self._refusal(approval),
        )
        # A process that was stopped in between, and no longer leads, leaves it to the one that does to find that out.
        if result.won and self._host.status.speaks and desk is not None and prepared is not None:
            desk.begin(claim, approval, prepared)
        return result.reason

    def _refusal(self, approval: Approval) -> str:
        """Say why an order may not go to a live venue, besides what holds for every order."""
        if venue_of(approval.market) not in live_venues_of(self._host):
            return "venue not live"
        if not is_realtime(self._host):
            return "live venue in playback"
        if self._wall_ns() >= approval.expires_at:
            return "expired"
        return self.desk.reason(approval.market) if self.desk is not None else self._no_desk

    async def _prepare(self, approval: Approval, approved_at: int) -> _Preparation:
        """Build and sign a live order."""
        desk = self.desk.desk_of(approval.market) if self.desk is not None else None
        reason = self._refusal(approval)
        if desk is None or reason:
            return _Preparation(refusal=reason or "no gateway")
        try:
            prepared = await desk.order_builder.prepare_with_market(approval, approved_at)
        except (VenueError, TimeoutError) as e:
            return _Preparation(refusal=(str(e) or "market not read in time")[:300])
        except Exception as e:
            log.exception("prepare failed", extra={"order": approval.order})
            return _Preparation(refusal=f"prepare failed: {type(e).__name__}")
        return _Preparation(desk, prepared)
