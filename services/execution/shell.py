"""Execution's shell: from an accepted approval to a claim in the ledger, straight from the runner.

For each approval the machine accepted, and before that decision is published: the gate is asked, the
expiry checked on the session's clock, then the claim is made. For the paper venue the claim, copied onto
the tape by the broker, is the submission; a live order is signed before and sent after (``live_trading``).
Whatever happens, the outcome is one of three: a claim of ours, a claim of somebody else, or the fact that there
is none and will be none.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence

from nats.aio.msg import Msg

from libs.machine.host import Fact, Host
from libs.machine.runner import Effect
from libs.runtime.service import Context
from libs.tape.credentials import HALT_SUBJECT, claims_prefix
from libs.tape.ledger import Ledger
from libs.tape.record import KEY_ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.execution import Claim, Unclaimed
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Session, Verb
from proto.risk import Approval
from services.execution.claim_maker import ClaimMaker
from services.execution.claims import claims_of
from services.execution.cluster_side import ClusterSide
from services.execution.crash_point import crash_point_from_environment
from services.execution.gate import ClaimGate
from services.execution.hosted import live_venues_of, machine_of
from services.execution.live_trading import GatewayFactory, LiveTrading


class ExecutionShell:
    """Makes claims for the execution machine of one host, and trades at the live venues."""

    def __init__(
        self,
        context: Context,
        host: Host,
        make_gateways: GatewayFactory = lambda _: (),
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        crash_point = crash_point_from_environment()
        name = "-".join(filter(None, ("execution", context.instance)))
        prefix = claims_prefix(context.layout.password("execution"))
        ledger = Ledger(
            context.link, host.publisher, context.layout.claims / f"{name}.log", prefix, crash_point
        )
        self.gate = ClaimGate(context.layout.halt_file, context.layout.pause_file, wall_ns)
        self.claims = ClaimMaker(context, host, ledger, self.gate, crash_point)
        if context.lease is not None:
            self.claims.cluster = ClusterSide(context, host, ledger, wall_ns)
        self.live = LiveTrading(context, host, self.gate, self.claims, make_gateways, wall_ns, crash_point)
        self._context = context
        self._host = host
        self._wall_ns = wall_ns
        self._crash_point = crash_point

    async def start(self) -> None:
        """Follow what the host reads, and listen to halts beside the tape."""
        self._host.settings.crash_point = self._crash_point
        self._host.observers.append(self._observe)
        self._host.extra_report = self.report
        await self._context.link.client.subscribe(HALT_SUBJECT, cb=self._handle_halt)

    async def _handle_halt(self, _: Msg) -> None:
        # Closing on an unsigned message is safe: anyone may halt. Only a signed resume opens again.
        self.gate.halted = True

    def _observe(self, record: TapeRecord, event: Message) -> None:
        self.live.observe(record, event)
        if isinstance(event, Claim):
            self.claims.record_copy(event.order, record.seq)
        elif isinstance(event, Command) and event.verb in (Verb.RESUME, Verb.HALT):
            self.gate.halted = event.verb is Verb.HALT
        elif isinstance(event, Clock):
            self.gate.clock_at_ns = event.at
        elif isinstance(event, Session):
            self.gate.clock_at_ns = event.started_at

    def report(self) -> dict[str, object]:
        """Return what execution adds to its health report."""
        return {
            "gate": (self.claims.gate_reason() if self._host.runners else "not live") or "open",
            "instance": self._context.instance,
            "claimed": self.claims.claimed,
            "lost": self.claims.lost,
            "unclaimed": self.claims.unclaimed,
            "ledger": self.claims.watch.report(),
            "orders": self._orders_by_status(),
        } | self.live.report()

    def _orders_by_status(self) -> dict[str, int]:
        """Status → how many of the orders that can still change."""
        if not self._host.runners:
            return {}
        return dict(Counter(tracked.status.value for tracked in machine_of(self._host).state.live.values()))

    async def before_publish(self, effect: Effect) -> Sequence[Fact]:
        """Claim what the outputs call for; the facts to be published after them."""
        record = effect.record
        facts: list[Fact] = []
        for claim in self._claims_of(effect):
            if live_venues_of(self._host):
                reason = await self.live.claim(claim, effect)
            else:
                assert isinstance(effect.event, Approval)
                result = await self.claims.claim(claim, record, reduce_only=effect.event.reduce_only)
                reason = result.reason
            self._crash_point("before_publish")
            if reason:
                self.claims.unclaimed += 1
                facts.append(Fact(Unclaimed(order=claim.order, reason=reason), record.seq, record.root))
        return facts

    def _claims_of(self, effect: Effect) -> Sequence[Claim]:
        record = effect.record
        if not record.subject.startswith("risk.approval."):
            return ()
        headers = record.headers
        claims = claims_of(
            effect.event,
            record.payload,
            record.message_id,
            headers.get(SIGNATURE_HEADER, ""),
            headers.get(KEY_ID_HEADER, ""),
            [output.message for output in effect.outputs],
        )
        nonce = secrets.token_hex(8)
        return [claim.replace(nonce=nonce, claimed_at=self._wall_ns()) for claim in claims]
