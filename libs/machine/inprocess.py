"""All machines in one process, without a broker: backtests and simulations.

The rule is lockstep's: an input is processed by every machine, then waiting outputs go onto the tape one
cause at a time, lowest cause first, then in the fixed order of machines, until nothing waits. Approvals
are signed and verified here as everywhere: execution knows no other way.
"""

import heapq
from collections.abc import Callable, Sequence

from libs.contract.codec import encode
from libs.keys.signing import APPROVAL_DOMAIN, Signer, Verifier
from libs.machine.machine import Machine, Stamp
from libs.machine.routes import Routes
from libs.machine.timeline import Timeline
from proto.execution import Claim
from proto.feed import Market
from proto.ids import MessageId
from proto.message import Message
from proto.risk import Approval

Observer = Callable[[int, str, str, Message], None]
"""Called for everything that goes onto the tape: sequence, producer (machine or shell), id, message."""

ClaimOf = Callable[[Message, bytes, str, str, str, Sequence[Message]], Sequence[Claim]]
"""Claims for the outputs of execution: approval, its payload, message id, signature, key id, outputs."""

OUTPUTS_PER_INPUT_MAX = 10_000
"""A cascade longer than this is two machines answering each other for ever: stop, loudly."""


class InProcess:
    """Runs machines over inputs given one at a time. ``seq`` counts as the tape would.

    Approvals are signed by ``signer``, by a fresh key when none is given.
    """

    def __init__(
        self, machines: Sequence[Machine], tape: str, claims_of: ClaimOf, signer: Signer | None = None
    ) -> None:
        self.seq = 0
        self.tape = tape
        self.observers: list[Observer] = []
        self._claims_of = claims_of
        self._signer = signer or Signer.generate(APPROVAL_DOMAIN)
        self._verifier = Verifier({self._signer.key_id: self._signer.public_key})
        self._timeline = Timeline()
        self._machines = list(machines)
        self._waiting: list[tuple[int, int, str, Message, list[Message]]] = []
        self._signed: dict[str, tuple[bytes, str]] = {}
        self._routes = Routes(enumerate(machines))

    @property
    def now(self) -> int:
        """Session time in nanoseconds."""
        return self._timeline.now

    def feed(self, message: Message, producer: str = "feed") -> None:
        """Put one input on the tape and run until nothing waits."""
        self._append(message, producer, "")
        if self._waiting:
            self._settle()

    def feed_together(self, messages: Sequence[Message], producer: str) -> None:
        """Put several inputs on the tape, then run: a session and its configuration come as one."""
        for message in messages:
            self._append(message, producer, "")
        self._settle()

    def _settle(self) -> None:
        for _ in range(OUTPUTS_PER_INPUT_MAX):
            if not self._waiting:
                return
            self._release()
        raise RuntimeError(f"expected at most {OUTPUTS_PER_INPUT_MAX} outputs for one input, was more")

    def _append(self, message: Message, producer: str, message_id: str, *, verified: bool = True) -> None:
        self.seq = seq = self.seq + 1
        now = self._timeline.observe(message, 0)
        if self.observers:
            for observer in self.observers:
                observer(seq, producer, message_id, message)
        route = self._routes.of(message)
        if not route:
            return
        stamp = Stamp(seq, now, message_id, verified)
        for order, handle in route:
            outputs = handle(message, stamp)
            if outputs:
                heapq.heappush(self._waiting, (seq, order, message_id, message, list(outputs)))
        if type(message) is Market:
            self._routes.after_market(message)

    def _release(self) -> None:
        """Put the outputs of the lowest waiting cause on the tape."""
        cause, order, cause_id, trigger, outputs = heapq.heappop(self._waiting)
        machine = self._machines[order].name
        if machine == "execution":
            payload, signature = self._signed.get(cause_id, (b"", ""))
            key_id = self._signer.key_id
            for claim in self._claims_of(trigger, payload, cause_id, signature, key_id, outputs):
                self._append(claim, "ledger", "", verified=self._claim_verified(claim))
        for index, message in enumerate(outputs):
            message_id = str(MessageId(self.tape, machine, cause, index))
            verified = True
            if isinstance(message, Approval):
                verified = self._sign(message, message_id)
            self._append(message, machine, message_id, verified=verified)

    def _sign(self, approval: Approval, message_id: str) -> bool:
        payload = encode(approval)
        signature = self._signer.sign(self.tape, approval.subject(), message_id, payload)
        self._signed[message_id] = payload, signature
        return self._verify(approval.subject(), message_id, payload, signature)

    def _claim_verified(self, claim: Claim) -> bool:
        return self._verify(claim.approval_subject, claim.message_id, claim.payload, claim.signature)

    def _verify(self, subject: str, message_id: str, payload: bytes, signature: str) -> bool:
        return self._verifier.verify(
            APPROVAL_DOMAIN, self.tape, subject, message_id, payload, signature, self._signer.key_id
        )
