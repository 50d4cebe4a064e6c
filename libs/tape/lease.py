"""Leases: which process of a service leads, where several of it run.

A lease is the newest message of one subject in the stream ``LEASE`` of a cluster: who holds it, and its term, which rises with
each change. It is taken and renewed by a publish under the condition that nothing was stored there since (compare and
set), so the broker lets one process through. Times are measured by each process's own steady clock: a holder that has not
renewed for ``HOLD_S`` speaks no more, and somebody else takes over only when he has seen no renewal for ``TAKE_S``, which is
longer. No clocks are compared.
"""

import asyncio
import base64
import json
import logging
import secrets
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import nats.errors

from libs.tape.connection import Link
from libs.tape.credentials import LEASE_PREFIX, lease_subject
from libs.tape.errors import BrokerUnavailable, PublishRefused, TapeError
from libs.tape.publisher import Publisher
from proto.subjects import LEASE

HOLD_S = 1.5
"""How long a holder may speak after it sent the renewal that was stored last. Renewals are twice a second: three may be lost."""
TAKE_S = 2.0
"""How long nobody renewed before another process takes over; more than ``HOLD_S``, by what clocks may differ in speed."""
RENEW_EVERY_S = 0.5
RETRY_EVERY_S = 0.1
LOOK_EVERY_S = 0.2
"""Between two looks of a process that waits: a holder that resigned is followed within this time."""
GRACE_S = 0.5
"""After an outage of the broker the holder, who tries all the time, comes before those who wait."""
ANSWER_S = 1.0
"""For the broker's answer to a look or a renewal; it takes a millisecond or two."""
SERVED_S_MAX = 9.0
"""A node that answers nothing for so long is left for another: longer than an election, in which all nodes are alike."""
NOT_FOUND = 404
OWNER_DIGITS = 8

log = logging.getLogger("presage.lease")


class LeaseLost(TapeError):
    """Another process leads now: this one must end. Started again it waits as a standby."""


class Holding(msgspec.Struct, frozen=True):
    """What a lease's message says. Nobody is the owner once the holder has resigned."""

    owner: str = ""
    term: int = 0


class Stored(NamedTuple):
    """The newest message of a lease, and its sequence; 0 when there is none."""

    seq: int
    holding: Holding


class Lease:
    """The lease of one service, as one process sees it: ``keep`` waits for it, then renews it.

    ``is_ready`` is asked before the lease is taken: whether this process could lead now. ``known_term`` is a term that the
    tape knows already: a new one is above it, also where the stream of leases was made anew.
    """

    def __init__(
        self,
        link: Link,
        service: str,
        password: str,
        instance: str = "",
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self.term = 0
        self.changes = 0
        self.is_failing = False
        self.is_ready: Callable[[], bool] = lambda: True
        self.known_term: Callable[[], int] = lambda: 0
        self.owner = f"{instance or 'first'}-{secrets.token_hex(OWNER_DIGITS // 2)}"
        self._link = link
        self._publisher = Publisher(link)
        self._subject = lease_subject(service, password)
        self._stored_as = f"{LEASE_PREFIX}.{service}"
        self._service = service
        self._now_s = now_s
        self._seq = 0
        self._until_s = float("-inf")
        self._is_held = False
        self._is_resigned = False
        self._taken = asyncio.Event()
        self._seen_term = 0
        self._renewed_at_s: float | None = None
        self._served_at_s = now_s()

    @property
    def held(self) -> bool:
        """Whether this process may speak for the service, now."""
        return self._is_held and self._now_s() < self._until_s

    def report(self) -> dict[str, Any]:
        """What this process says of the lease; ``is_able``: it leads, or could take over."""
        waits = not self._is_held and not self._is_resigned
        age_s = {} if self._renewed_at_s is None else {"age_s": max(0.0, self._now_s() - self._renewed_at_s)}
        return {
            "is_held": self.held,
            "is_able": self.held or (waits and self.is_ready()),
            "term": max(self.term, self._seen_term),
            "changes": self.changes,
        } | age_s

    async def wait(self) -> None:
        """Wait until the lease was taken."""
        await self._taken.wait()

    def resign(self) -> None:
        """Never lead again: something is wrong with this process. A lease it holds is given back soon."""
        self._is_resigned = True

    async def keep(self) -> None:
        """Wait for the lease, and renew it until cancelled; ``release`` gives it back.

        Raises:
            LeaseLost: somebody else has taken it.
        """
        await self._publisher.start()
        await self._campaign()
        while not self._is_resigned:
            renewed = await self._renew()
            await asyncio.sleep(RENEW_EVERY_S if renewed else RETRY_EVERY_S)
        await self.release()
        await asyncio.Event().wait()

    # ── waiting ──

    async def _campaign(self) -> None:
        """Look again and again until the lease is free or has lapsed, and take it."""
        seen_seq, seen_at_s, answering_since_s = -1, self._now_s(), self._now_s()
        while True:
            began_s = self._now_s()
            stored = await self._look()
            if stored is None:
                answering_since_s = self._now_s() + RETRY_EVERY_S
            else:
                if stored.seq != seen_seq:
                    seen_seq, seen_at_s = stored.seq, self._now_s()
                    self._seen_term, self._renewed_at_s = stored.holding.term, seen_at_s
                lapsed = began_s - seen_at_s >= TAKE_S and began_s - answering_since_s >= GRACE_S
                is_free = not stored.holding.owner or lapsed
                if is_free and not self._is_resigned and self.is_ready() and await self._take(stored):
                    return
            await asyncio.sleep(RETRY_EVERY_S if stored is None else LOOK_EVERY_S)

    async def _look(self) -> Stored | None:
        """What is stored; ``None`` when nobody answers."""
        try:
            found = await self._read()
        except BrokerUnavailable:
            await self._move_if_unserved()
            return None
        self._served_at_s = self._now_s()
        return found

    async def _read(self) -> Stored:
        answer = await self._ask({"last_by_subj": self._stored_as})
        if "error" in answer:
            if answer["error"].get("code") == NOT_FOUND and "message" not in answer:
                return Stored(0, Holding())
            raise BrokerUnavailable(f"expected a lease or none, was {answer['error']}")
        message = answer["message"]
        try:
            holding = msgspec.json.decode(base64.b64decode(message.get("data", "")), type=Holding)
        except (msgspec.DecodeError, ValueError):
            # Of nobody we know: it counts as held until it is old enough.
            holding = Holding(owner="unreadable")
        return Stored(int(message["seq"]), holding)

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = await self._link.client.request(
                f"$JS.API.STREAM.MSG.GET.{LEASE}", json.dumps(body).encode(), timeout=ANSWER_S
            )
            answer: dict[str, Any] = json.loads(reply.data)
        except (nats.errors.Error, TimeoutError, OSError, ValueError) as e:
            raise BrokerUnavailable(f"expected the leases to answer, was {e!r}") from e
        return answer

    async def _take(self, stored: Stored) -> bool:
        began_s = self._now_s()
        holding = Holding(self.owner, max(stored.holding.term, self.known_term()) + 1)
        seq = await self._store(holding, stored.seq)
        if seq is None:
            found = await self._look()
            # Its answer may have been lost: what counts is what is stored.
            if found is None or found.holding != holding:
                return False
            seq = found.seq
        self._seq, self.term = seq, holding.term
        self._until_s = began_s + HOLD_S
        self._renewed_at_s = began_s
        self._is_held = True
        self.is_failing = False
        self.changes += 1
        log.info(
            "lease taken", extra={"service": self._service, "detail": f"term {self.term} as {self.owner}"}
        )
        self._taken.set()
        return True

    # ── holding ──

    async def _renew(self) -> bool:
        """Renew once; whether it was stored.

        Raises:
            LeaseLost: somebody else has it.
        """
        began_s = self._now_s()
        seq = await self._store(Holding(self.owner, self.term), self._seq)
        if seq is None:
            self.is_failing = True
            found = await self._look()
            if found is not None and found.seq != self._seq:
                if found.holding != Holding(self.owner, self.term):
                    self._is_held = False
                    raise LeaseLost(
                        f"expected to lead {self._service} in term {self.term}, was {found.holding.owner}"
                        f" in term {found.holding.term}"
                    )
                # A renewal of ours whose answer was lost.
                self._seq = found.seq
            return False
        self._seq = seq
        self._until_s = began_s + HOLD_S
        self._renewed_at_s = began_s
        self._served_at_s = self._now_s()
        self.is_failing = False
        return True

    async def _store(self, holding: Holding, after: int) -> int | None:
        """Store a message after the one at a sequence; its own, or ``None``: refused, or nobody knows."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(after)}
        try:
            future = await self._publisher.begin(self._subject, msgspec.json.encode(holding), headers)
            async with asyncio.timeout(ANSWER_S):
                return (await future).seq
        except (BrokerUnavailable, PublishRefused, TimeoutError):
            return None

    async def _move_if_unserved(self) -> None:
        """Go to another node when this one has answered nothing for long although it is there."""
        if self._link.connected and self._now_s() - self._served_at_s > SERVED_S_MAX:
            self._served_at_s = self._now_s()
            await self._link.move()

    async def release(self) -> None:
        """Give the lease back, so that another process need not wait until it lapses."""
        if not self._is_held:
            return
        self._is_held = False
        await self._store(Holding("", self.term), self._seq)
