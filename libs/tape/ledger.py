"""Claims: the right to send one order, won at most once.

Order and nonce are noted in a file of this process, then the claim is appended to ``LEDGER`` under the condition that its
subject is empty: that publish is the claim. The broker lets one claimant through. When the answer is lost or is a refusal,
the stored claim is read back: our own nonce means that we won.

The note is not synced: it is there for whoever takes over from a killed process, and the page cache survives that. Neither is
the ledger before an order leaves (the broker syncs every second). What a power cut takes of both, the new epoch finds out at
the venue; see docs/concepts/exactly-one-order.md.
"""

import base64
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import nats.errors

from libs.contract.codec import Unreadable, decode_as, encode
from libs.tape.claim_notes import ClaimNotes
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable, ContentMismatch, PublishRefused
from libs.tape.ledger_window import LedgerWindow, ledger_window
from libs.tape.publisher import Publisher
from proto.execution import Claim
from proto.subjects import LEDGER

READ_TIMEOUT_S = 2.0


class ClaimOutcome(StrEnum):
    """How an attempt to claim ended. Blocked: something that is no claim of this order has its place."""

    WON = "won"
    LOST = "lost"
    UNAVAILABLE = "unavailable"
    BLOCKED = "blocked"


def headers_in(block: bytes) -> dict[str, str]:
    """The headers in a stored block of them."""
    lines = [line.partition(":") for line in block.decode("utf-8", "replace").split("\r\n")]
    return {name.strip(): value.strip() for name, colon, value in lines if colon}


class Ledger:
    """Makes and reads claims. ``on_won`` is called with each claim of ours. ``crash_point`` is called at named moments; tests end the process there.

    ``claims`` is the prefix under which the ledger takes claims (``credentials.claims_prefix``).
    """

    def __init__(
        self,
        link: Link,
        publisher: Publisher,
        file: Path,
        claims: str,
        crash_point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.on_won: Callable[[Claim, Mapping[str, str]], None] = lambda _claim, _headers: None
        self._link = link
        self._publisher = publisher
        self._claims = claims
        self._crash_point = crash_point
        self._notes = ClaimNotes(file)

    def remembers(self, order: str) -> bool:
        """Whether this or an earlier process of ours ever tried to claim the order."""
        return order in self._notes

    def _noted(self, claim: Claim) -> str:
        """Note the claim's nonce, unless one is noted for this order already; the nonce that is."""
        noted = self._notes.nonce_of(claim.order)
        if noted is None:
            self._crash_point("before_claim")
            self._notes.add(claim.order, claim.nonce)
        return noted or claim.nonce

    async def claim(self, claim: Claim, headers: Mapping[str, str]) -> ClaimOutcome:
        """Try to win the order. Safe to repeat: a claim already ours is won again, without a second one."""
        nonce = self._noted(claim)
        if nonce != claim.nonce:
            claim = claim.replace(nonce=nonce)
        try:
            await self._publisher.publish(
                f"{self._claims}.{claim.subject().partition('.')[2]}",
                encode(claim),
                {**headers, "Nats-Expected-Last-Subject-Sequence": "0"},
            )
        except (BrokerUnavailable, PublishRefused):
            outcome = await self._read_back(claim)
        else:
            self._crash_point("after_claim")
            outcome = ClaimOutcome.WON
        if outcome is ClaimOutcome.WON:
            self.on_won(claim, headers)
        return outcome

    async def _read_back(self, claim: Claim) -> ClaimOutcome:
        try:
            stored = await self.read(claim.order)
        except BrokerUnavailable:
            return ClaimOutcome.UNAVAILABLE
        except ContentMismatch:
            return ClaimOutcome.BLOCKED
        if stored is None:
            return ClaimOutcome.UNAVAILABLE
        if stored.nonce == claim.nonce:
            return ClaimOutcome.WON
        same = stored.payload == claim.payload and stored.signature == claim.signature
        return ClaimOutcome.LOST if same else ClaimOutcome.BLOCKED

    async def read(self, order: str) -> Claim | None:
        """The stored claim of an order, or ``None`` when there is none.

        Raises:
            BrokerUnavailable: nothing is known.
            ContentMismatch: what is stored there is no claim. The broker itself can be made to write its
                own answers under any subject; nobody can claim this order any more.
        """
        answer = await self._ask("MSG.GET", {"last_by_subj": f"{Claim.kind}.{order}"})
        if "error" in answer:
            if answer["error"].get("code") == 404:
                return None
            raise BrokerUnavailable(f"expected a claim or its absence, was {answer['error']}")
        try:
            # An empty message comes without "data".
            stored: Claim = decode_as(Claim, base64.b64decode(answer["message"].get("data", "")))
        except Unreadable as e:
            raise ContentMismatch(f"expected a claim of {order}, was {e}") from e
        return stored

    async def at(self, seq: int) -> tuple[Claim, dict[str, str]] | None:
        """The claim stored at a sequence, with its headers; ``None`` for what is none, or was dropped.

        Raises:
            BrokerUnavailable: nothing is known.
        """
        answer = await self._ask("MSG.GET", {"seq": seq})
        if "error" in answer:
            if answer["error"].get("code") == 404:
                return None
            raise BrokerUnavailable(f"expected a claim or its absence, was {answer['error']}")
        message = answer["message"]
        try:
            claim: Claim = decode_as(Claim, base64.b64decode(message.get("data", "")))
        except Unreadable:
            return None
        return claim, headers_in(base64.b64decode(message.get("hdrs", "")))

    async def window(self) -> LedgerWindow:
        """What the ledger holds now.

        Raises:
            BrokerUnavailable: nothing is known.
        """
        answer = await self._ask("INFO")
        if "error" in answer:
            raise BrokerUnavailable(f"expected the state of the ledger, was {answer['error']}")
        return ledger_window(answer)

    async def _ask(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        payload = b"" if body is None else json.dumps(body).encode()
        try:
            reply = await self._link.client.request(
                f"$JS.API.STREAM.{verb}.{LEDGER}", payload, timeout=READ_TIMEOUT_S
            )
        except (nats.errors.Error, TimeoutError, OSError) as e:
            raise BrokerUnavailable(f"expected the ledger to answer, was {e!r}") from e
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    def close(self) -> None:
        """Close the file of notes."""
        self._notes.close()
