"""Outputs on their way: sent in order of cause, acknowledged in order, sorted out after a failure.

When a publish fails nothing more is sent; the reader catches up with the stream (the read-back), and what
the tape still lacks goes first.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice

from libs.contract.codec import encode
from libs.machine.host_state import BeforePublish, Fact, HostSettings, HostState
from libs.machine.runner import Effect, MachineRunner
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable, PublishRefused
from libs.tape.publisher import Publisher, Stored
from libs.tape.record import BUILD_HEADER, CAUSE_HEADER, ID_HEADER, ROOT_HEADER
from proto.ids import MessageId

IN_FLIGHT_MAX = 256
"""Outputs sent and not yet acknowledged; bounds what a read-back has to sort out."""
PREPARED_MAX = 64
"""Claims under way at a time: far more orders than risk lets through in a second."""
RETRY_WAIT_S = 0.05

log = logging.getLogger("presage.host")


class Outbox:
    """Publishes the outputs of a host's runners, and its shell's facts.

    ``runners`` and ``position`` ask the host; ``acknowledged`` is awaited after each effect that is stored.
    """

    def __init__(
        self,
        settings: HostSettings,
        status: HostState,
        link: Link,
        publisher: Publisher,
        before_publish: BeforePublish | None,
        runners: Callable[[], Sequence[MachineRunner]],
        position: Callable[[], int],
        acknowledged: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._status = status
        self._link = link
        self._publisher = publisher
        self._before_publish = before_publish
        self._runners = runners
        self._position = position
        self._acknowledged = acknowledged
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._stopping = asyncio.Event()
        self._in_flight: deque[tuple[MachineRunner, Effect, list[asyncio.Future[Stored]]]] = deque()
        self._grants: set[tuple[str, int]] = set()
        self._preparing: dict[tuple[str, int], asyncio.Future[Sequence[Fact]]] = {}
        self._broken = False
        self._is_sending = False
        self._losses = link.losses
        self._shell_counter = 0
        self._facts = asyncio.Lock()

    # --- for the host ---------------------------------------------------------------------------

    def begin_at(self, last_seq: int) -> None:
        """Start anew on a tape that ends at ``last_seq``: nothing is under way."""
        for task in self._preparing.values():
            task.cancel()
        self._preparing.clear()
        self._in_flight.clear()
        self._shell_counter = last_seq

    def wake(self) -> None:
        """There may be something to send, or the tape has moved on."""
        if self._broken or any(runner.ready for runner in self._runners()):
            self.prepare()
            self._work.set()

    def stop(self) -> None:
        """Give up what cannot be sent now."""
        self._stopping.set()
        self._work.set()

    def grant(self, machine: str, cause: int) -> None:
        """Lockstep: the outputs of this cause may leave."""
        self._grants.add((machine, cause))
        self._work.set()

    def waiting(self) -> dict[str, list[int]]:
        """Machine → causes whose outputs are not acknowledged yet, lowest first."""
        return {
            runner.name: [e.record.seq for c, e, _ in self._in_flight if c is runner]
            + [effect.record.seq for effect in runner.ready]
            for runner in self._runners()
        }

    def settled(self) -> bool:
        """All outputs of everything processed are acknowledged."""
        return not (self._in_flight or self._is_sending or any(runner.ready for runner in self._runners()))

    # --- publishing -----------------------------------------------------------------------------

    async def publish_loop(self) -> None:
        """Send what is ready, in order of cause, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            if not self._status.speaks:
                continue
            try:
                if self._broken:
                    await self._read_back()
                while not self._broken and (turn := self._next_effect()) is not None:
                    await self._send(*turn)
            except (BrokerUnavailable, PublishRefused) as e:
                log.warning("publish failed, reading back", extra={"detail": str(e)})
                self._broken = True
                self._work.set()
                await asyncio.sleep(RETRY_WAIT_S)

    def _next_effect(self) -> tuple[MachineRunner, Effect] | None:
        """The effect with the lowest cause among the machines; in lockstep only a granted one."""
        if not self._status.speaks or len(self._in_flight) >= IN_FLIGHT_MAX:
            return None
        best: MachineRunner | None = None
        for runner in self._runners():
            self._drop_settled(runner)
            if not runner.ready or runner.stopped is not None:
                continue
            if self._settings.lockstep and (runner.name, runner.ready[0].record.seq) not in self._grants:
                continue
            if best is None or runner.ready[0].record.seq < best.ready[0].record.seq:
                best = runner
        return None if best is None else (best, best.ready[0])

    def _drop_settled(self, runner: MachineRunner) -> None:
        """Forget effects whose outputs the tape already has."""
        while runner.ready and not any(
            (o.cause, o.index) in runner.open_outputs for o in runner.ready[0].outputs
        ):
            effect = runner.ready.popleft()
            task = self._preparing.pop((runner.name, effect.record.seq), None)
            if task is not None:
                task.cancel()

    def prepare(self) -> None:
        """Begin what comes before publishing for every waiting effect; publishing keeps the order.

        In lockstep only a granted effect is prepared, when its turn has come.
        """
        if self._before_publish is None or self._settings.lockstep or not self._status.speaks:
            return
        for runner in self._runners():
            for effect in islice(runner.ready, PREPARED_MAX):
                key = (runner.name, effect.record.seq)
                if key not in self._preparing:
                    self._preparing[key] = asyncio.ensure_future(self._before_publish(effect))

    async def _prepared(self, runner: MachineRunner, effect: Effect) -> Sequence[Fact]:
        """The facts to publish after an effect's outputs, once what comes before them is done."""
        if self._before_publish is None:
            return ()
        key = (runner.name, effect.record.seq)
        task = self._preparing.get(key)
        if task is None:
            return await self._before_publish(effect)
        try:
            return await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is None or own.cancelling() or not task.cancelled():
                raise
            # Everything began anew meanwhile: the effect comes again from the tape.
            raise BrokerUnavailable("expected the effect to be prepared, was begun anew") from None
        finally:
            if self._preparing.get(key) is task:
                del self._preparing[key]

    async def _send(self, runner: MachineRunner, effect: Effect) -> None:
        facts = await self._prepared(runner, effect)
        if (
            not self._status.speaks
            or runner not in self._runners()
            or not runner.ready
            or runner.ready[0] is not effect
        ):
            return
        runner.ready.popleft()
        self._is_sending = True
        futures: list[asyncio.Future[Stored]] = []
        try:
            missing = [o for o in effect.outputs if (o.cause, o.index) in runner.open_outputs]
            for output in missing:
                self._check_connection()
                future = await self._publisher.begin(output.subject, output.payload, output.headers)
                futures.append(future)
                if self._status.lease is not None:
                    # A cluster that elects a leader may lose one and store the next: readers never go back for it.
                    await self._collect([future])
        finally:
            self._is_sending = False
            self._in_flight.append((runner, effect, futures))
            self._progress.set()
        if facts:
            await self._collect(futures)
            self._settings.crash_point("before_facts")
        for fact in facts:
            await self.publish_fact(fact)

    def _check_connection(self) -> None:
        """Raises BrokerUnavailable when outputs may have been lost with a connection since the last read-back.

        Sent on over the next connection, later outputs would overtake them, and no reader would take them.
        """
        if self._link.losses != self._losses:
            raise BrokerUnavailable("expected an unbroken connection, was a new one")

    async def collect_loop(self) -> None:
        """Wait for acknowledgements in order; the first missing one asks for a read-back."""
        while True:
            if not self._in_flight or self._broken:
                self._progress.clear()
                await self._progress.wait()
                continue
            runner, effect, futures = self._in_flight[0]
            try:
                await self._collect(futures)
            except (BrokerUnavailable, PublishRefused):
                self._broken = True
                self._work.set()
                continue
            if self._in_flight and self._in_flight[0][1] is effect:
                self._in_flight.popleft()
                self._grants.discard((runner.name, effect.record.seq))
                self._work.set()
                await self._acknowledged()

    async def _collect(self, futures: Iterable[asyncio.Future[Stored]]) -> None:
        for future in futures:
            stored = await self._publisher.wait(future)
            self._status.stored_to = max(self._status.stored_to, stored.seq)
            if stored.duplicate:
                # Stored by an earlier attempt, or its id taken by somebody else: the tape tells which.
                raise BrokerUnavailable(f"expected a new message, was a duplicate of {stored.seq}")

    async def _read_back(self) -> None:
        """After a failure: wait for the broker, read all it has, and queue again what it lacks."""
        self._status.retries += 1
        self._losses = self._link.losses
        last_seq = int((await stream_state(self._link.client))["last_seq"])
        while self._position() < last_seq and not self._stopping.is_set():
            await asyncio.sleep(RETRY_WAIT_S / 10)
        while self._in_flight:
            runner, effect, _ = self._in_flight.pop()
            runner.ready.appendleft(effect)
        for runner in self._runners():
            self._drop_settled(runner)
        self._broken = False
        self._work.set()
        self._progress.set()

    async def publish_fact(self, fact: Fact) -> None:
        """Publish a shell's message, with an id of the shell's own counter; retried until stored.

        One at a time, in the order of the calls: a fact that is retried after a later one was stored would
        be below its producer's mark, and no reader would take it.
        """
        async with self._facts:
            await self._store_fact(fact)

    async def _store_fact(self, fact: Fact) -> None:
        producer = f"{fact.message.kind.partition('.')[0]}-shell"
        if "." not in fact.message.kind:
            producer = f"{self._settings.service}-shell"
        counter, term = self._next_fact(producer)
        message_id = str(MessageId(self._settings.tape, producer, counter, term))
        headers = {ID_HEADER: message_id, BUILD_HEADER: self._settings.build}
        if fact.cause:
            headers |= {CAUSE_HEADER: str(fact.cause), ROOT_HEADER: str(fact.root or fact.cause)}
        payload = encode(fact.message)
        while not self._stopping.is_set():
            if self._status.lease is not None and not self._status.lease.held:
                await asyncio.sleep(RETRY_WAIT_S)
                continue
            try:
                stored = await self._publisher.publish(fact.message.subject(), payload, headers)
            except (BrokerUnavailable, PublishRefused):
                # Refused is what a broker with a full disk says; there will be room again.
                await asyncio.sleep(RETRY_WAIT_S)
                continue
            self._status.stored_to = max(self._status.stored_to, stored.seq)
            return

    def _next_fact(self, producer: str) -> tuple[int, int]:
        """The number of a shell's next fact, and the term in which it is said.

        Where there are no leases the term is the tape's: it was a cluster's before.
        """
        tape, counter, term = self.mark(producer)
        known = tape == self._settings.tape
        self._shell_counter = max(self._shell_counter + 1, self._position())
        if known and term >= self._status.term:
            self._shell_counter = max(self._shell_counter, counter + 1)
        return self._shell_counter, max(self._status.term, term if known else 0)

    def mark(self, producer: str) -> tuple[str, int, int]:
        """The newest id of a producer that was read: tape, number and term."""
        runners = self._runners()
        marks = runners[0].input_gate.state.marks if runners else {}
        return marks.get(producer, ("", 0, 0))
