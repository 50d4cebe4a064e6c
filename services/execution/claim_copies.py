"""Copies of claims on the tape of a cluster, put there by execution itself.

One broker copies claims from the ledger onto the tape. In a cluster that copy stops for 5 to 46 s when the ledger's leader
crashes. Here each claim is copied by who won it, at once, under the condition that the tape has none of the order; and
whoever leads looks through the ledger for claims whose copy is missing, because their winner died in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
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
YOUNG_NS = 600 * SECOND
"""The copy of an older claim may have been on the tape and have left its window, which holds far more than this."""
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

FindLeft = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Of these orders, those whose copy has left the tape's window, or may have."""


class ClaimCopies:
    """Puts claims on the tape. ``prefix``: where the tape takes them; ``may_speak``: whether this process leads."""

    def __init__(
        self,
        publisher: Publisher,
        prefix: str,
        read_claim: ReadClaim,
        find_left: FindLeft,
        may_speak: Callable[[], bool],
        wall_ns: Callable[[], int],
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self.copied = 0
        self._publisher = publisher
        self._prefix = prefix
        self._read_claim = read_claim
        self._find_left = find_left
        self._may_speak = may_speak
        self._wall_ns = wall_ns
        self._now_s = now_s
        self._waiting: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: dict[str, None] = {}
        self._looked_to = -1
        self._unseen: dict[str, StoredClaim] = {}
        self._missing: dict[str, StoredClaim] = {}

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
        while not await self._put_once(claim, headers):
            await asyncio.sleep(RETRY_WAIT_S)

    async def _put_once(self, claim: Claim, headers: Mapping[str, str]) -> bool:
        """Try once; whether the tape has the claim. Until it has, the claim counts as waiting."""
        self._waiting.setdefault(claim.order, self._now_s())
        kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
        subject = f"{self._prefix}.{claim.subject().partition('.')[2]}"
        condition = {"Nats-Expected-Last-Subject-Sequence": "0"}
        if claim.order not in self._seen:
            try:
                await self._publisher.publish(subject, encode(claim), kept | condition)
            except PublishRefused as e:
                if not e.is_taken:
                    return False
            except BrokerUnavailable:
                return False
            else:
                self.copied += 1
        self.note_copy(claim.order)
        self._waiting.pop(claim.order, None)
        return True

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
            if found is not None and not self._is_known(found.claim.order):
                self._unseen[found.claim.order] = found
            self._looked_to += 1
        await self._decide()
        await self._copy_missing()

    def _is_known(self, order: str) -> bool:
        return order in self._seen or order in self._waiting

    async def _decide(self) -> None:
        """Sort out what has no copy, whatever its age: only one that has left the window would be a second one."""
        now_ns = self._wall_ns()
        old = [order for order, found in self._unseen.items() if now_ns - found.claim.claimed_at >= YOUNG_NS]
        left = frozenset(await self._find_left(old)) if old else frozenset()
        self._missing |= {order: found for order, found in self._unseen.items() if order not in left}
        self._unseen.clear()

    async def _copy_missing(self) -> None:
        """Copy what can be; what cannot waits for the next look and keeps no other claim waiting."""
        for order, found in list(self._missing.items()):
            before = self.copied
            if not await self._put_once(found.claim, found.headers):
                continue
            del self._missing[order]
            if self.copied > before:
                log.warning("claim without a copy", extra={"order": order})
