"""Copies of claims on the tape of a cluster, put there by execution itself.

One broker copies claims from the ledger onto the tape. In a cluster that copy stops for 5 to 46 s when the ledger's leader
crashes. Here each claim is copied by who won it, at once, under the condition that the tape has none of the order; and
whoever leads looks through the ledger for claims whose copy is missing, because their winner died in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import NamedTuple

from libs.bounded import keep_newest
from libs.contract.codec import encode
from libs.tape.errors import BrokerUnavailable, PublishRefused
from libs.tape.publisher import Publisher
from libs.tape.record import BUILD_HEADER, CAUSE_HEADER, ROOT_HEADER
from proto.execution import Claim
from proto.units import SECOND

RETRY_WAIT_S = 0.05
LATE_S = 1.0
"""A copy that waits longer than this closes the gate: machines do not know what left."""
LOOKED_BACK = 1_000
"""Claims that a new leader looks through; risk lets some tens of orders a minute through."""
AGE_NS_MAX = 600 * SECOND
"""Older claims are not copied: their copy may have been on the tape and have left its window."""
SEEN_MAX = 10_000
"""Orders whose copy was read, remembered; ten times what is looked through."""
KEPT_HEADERS = (CAUSE_HEADER, ROOT_HEADER, BUILD_HEADER)

log = logging.getLogger("presage.execution")


class StoredClaim(NamedTuple):
    """A claim as the ledger has it, with the headers it was published with."""

    claim: Claim
    headers: dict[str, str]


ReadClaim = Callable[[int], Awaitable[StoredClaim | None]]
"""Reads the ledger at a sequence; ``None`` for what is no claim, or no longer there."""


class ClaimCopies:
    """Puts claims on the tape. ``prefix``: where the tape takes them; ``may_speak``: whether this process leads."""

    def __init__(
        self,
        publisher: Publisher,
        prefix: str,
        read_claim: ReadClaim,
        may_speak: Callable[[], bool],
        wall_ns: Callable[[], int],
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self.copied = 0
        self._publisher = publisher
        self._prefix = prefix
        self._read_claim = read_claim
        self._may_speak = may_speak
        self._wall_ns = wall_ns
        self._now_s = now_s
        self._waiting: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: dict[str, None] = {}
        self._looked_to = -1

    def note_copy(self, order: str) -> None:
        """A copy was read on the tape."""
        self._seen[order] = None
        keep_newest(self._seen, SEEN_MAX)

    def put_soon(self, claim: Claim, headers: Mapping[str, str]) -> None:
        """Copy a claim that was won just now; returns at once, for its order must not wait."""
        self._waiting.setdefault(claim.order, self._now_s())
        task = asyncio.create_task(self.put(claim, headers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def put(self, claim: Claim, headers: Mapping[str, str]) -> None:
        """Put a claim on the tape, unless it is there; returns when it is."""
        self._waiting.setdefault(claim.order, self._now_s())
        kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
        subject = f"{self._prefix}.{claim.subject().partition('.')[2]}"
        condition = {"Nats-Expected-Last-Subject-Sequence": "0"}
        while claim.order not in self._seen:
            try:
                await self._publisher.publish(subject, encode(claim), kept | condition)
            except PublishRefused as e:
                if e.is_taken:
                    break
                await asyncio.sleep(RETRY_WAIT_S)
            except BrokerUnavailable:
                await asyncio.sleep(RETRY_WAIT_S)
            else:
                self.copied += 1
                break
        self.note_copy(claim.order)
        self._waiting.pop(claim.order, None)

    @property
    def late_s(self) -> float:
        """For how long the oldest claim has waited for its copy."""
        return self._now_s() - min(self._waiting.values()) if self._waiting else 0.0

    async def look_through(self, last_seq: int) -> None:
        """Copy what the ledger has up to a sequence, and the tape lacks; while this process leads.

        Raises:
            BrokerUnavailable: the ledger did not answer; the next look goes on there.
        """
        if not self._may_speak():
            return
        if self._looked_to < 0:
            self._looked_to = max(0, last_seq - LOOKED_BACK)
        while self._looked_to < last_seq:
            found = await self._read_claim(self._looked_to + 1)
            if found is not None and self._is_missing(found.claim):
                log.warning("claim without a copy", extra={"order": found.claim.order})
                await self.put(found.claim, found.headers)
            self._looked_to += 1

    def _is_missing(self, claim: Claim) -> bool:
        is_known = claim.order in self._seen or claim.order in self._waiting
        return not is_known and self._wall_ns() - claim.claimed_at < AGE_NS_MAX
