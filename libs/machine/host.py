"""The live runner: machines of one service over the tape, restarts and broker failures included.

The host reads the tape in order, hands records to its cells, and publishes what they emit: one publisher
a machine, in order of cause. When a publish fails it stops publishing, lets the reader catch up with the
stream (the read-back), and publishes what the tape still lacks. A start is the same: fold from the
snapshot, compare, publish what is missing.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import nats.errors
from nats.aio.msg import Msg

from libs.machine.cell import Cell, Effect
from libs.machine.codec import Unreadable, decode, encode
from libs.machine.errors import Diverged, Failed, MachineStopped, UpgradeRefused
from libs.machine.intake import Intake
from libs.machine.machine import Machine
from libs.machine.skips import OPERATOR_PATTERN, gate, skip_in
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import LOCKSTEP_GRANT, LOCKSTEP_POLL, LOCKSTEP_REPORT, REPORT
from libs.tape.errors import BrokerUnavailable, PublishRefused, TapeError, TapeGap
from libs.tape.publisher import Publisher, Stored
from libs.tape.reader import TapeReader, read_subject
from libs.tape.record import BUILD_HEADER, CAUSE_HEADER, ID_HEADER, ROOT_HEADER, TapeRecord
from libs.tape.signing import Signer, Verifier
from libs.tape.snapshots import Snapshot, SnapshotStore
from proto.ids import MessageId
from proto.message import Message
from proto.operator import Command, Config, Session
from proto.service import Started
from proto.subjects import model_of

IN_FLIGHT_MAX = 256
"""Outputs sent and not yet acknowledged; bounds what a read-back has to sort out."""
PREPARED_MAX = 64
"""Claims under way at a time: far more orders than risk lets through in a second."""
SNAPSHOT_EVERY_SEQ = 20_000
SNAPSHOT_EVERY_S = 30.0
"""A restart folds at most this much of the tape: well under a second."""
REPORT_EVERY_S = 0.5
IDLE_WAIT_S = 0.1
RETRY_WAIT_S = 0.05
FLUSH_PATIENCE_S = 2.0
"""How long a planned stop waits for its last outputs to be acknowledged."""

log = logging.getLogger("presage.host")

_ALWAYS_READ = frozenset((Session, Config, Command))


class Fact(NamedTuple):
    """A message of a shell: what it saw outside. ``cause`` is the input it answers, 0 for none."""

    message: Message
    cause: int = 0
    root: int = 0


BeforePublish = Callable[[Effect], Awaitable[Sequence[Fact]]]
"""Called before the outputs of a cause are published; what it returns is published after them."""


@dataclass
class HostSettings:
    """What a host needs to know besides its machines. ``tape`` is the id of the current epoch."""

    service: str
    tape: str
    state: Path
    build: str
    lockstep: bool = False
    adopt: tuple[str, ...] = ()
    adopt_to: int = 0
    """Sequence up to which an adopted machine takes the tape's word: the tape's end when the run began."""


@dataclass
class HostState:
    """What a host shows of itself."""

    live: bool = False
    dead: int = 0
    retries: int = 0
    stored_to: int = 0
    refused: str = ""
    upgrade_refused: bool = False
    dead_reports: deque[tuple[TapeRecord, str]] = field(default_factory=lambda: deque(maxlen=1_000))


class Host:
    """Runs the machines of one service until ``stop`` is called or a machine stops for good."""

    def __init__(
        self,
        settings: HostSettings,
        machines: Sequence[Callable[[], Machine]],
        link: Link,
        verifier: Verifier,
        signer: Signer | None = None,
        before_publish: BeforePublish | None = None,
    ) -> None:
        self.settings = settings
        self.link = link
        self.publisher = Publisher(link)
        self.status = HostState()
        self.cells: list[Cell] = []
        self.observers: list[Callable[[TapeRecord, Message], None]] = []
        self.extra_report: Callable[[], dict[str, Any]] = dict
        self.on_dead: Callable[[TapeRecord, str], None] | None = None
        self.read_everything = False
        self._factories = list(machines)
        self._verifier = verifier
        self._signer = signer
        self._before_publish = before_publish
        self._reader: TapeReader | None = None
        self._stores: dict[str, SnapshotStore] = {}
        self._broken = False
        self._snapshot_seq = 0
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._stopping = asyncio.Event()
        self._in_flight: deque[tuple[Cell, Effect, list[asyncio.Future[Stored]]]] = deque()
        self._grants: set[tuple[str, int]] = set()
        self._preparing: dict[tuple[str, int], asyncio.Future[Sequence[Fact]]] = {}
        self._snapshot_at = monotonic()
        self._last: TapeRecord | None = None
        self._shell_counter = 0
        self._target = 0
        self._losses = link.losses
        self._skipped: dict[str, set[int]] = {}

    # --- start ----------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The sequence that every machine of this host has processed."""
        if not self.cells:
            return self._reader.position if self._reader else 0
        return min(cell.position for cell in self.cells)

    @property
    def now(self) -> int:
        """Session time in nanoseconds as the first machine sees it."""
        return self.cells[0].intake.state.timeline.now if self.cells else 0

    async def _load(self) -> None:
        """Build cells from the newest snapshots that fit the tape; open the reader there."""
        last_seq = int((await stream_state(self.link.client))["last_seq"])
        self._target = last_seq
        self.cells = []
        starts: list[int] = []
        for factory in self._factories:
            cell = await self._load_cell(factory(), last_seq)
            starts.append(cell.position)
            self.cells.append(cell)
        self._shell_counter = last_seq
        if self._reader is not None:
            await self._reader.close()
        self._reader = TapeReader(self.link, min(starts, default=last_seq))

    async def _load_cell(self, machine: Machine, last_seq: int) -> Cell:
        store = SnapshotStore(self.settings.state / "snapshots", machine.name)
        self._stores[machine.name] = store
        starts = await self._starts_of(machine.name)
        for snapshot in store.newest_first():
            if snapshot.seq > last_seq or not await self._fits(snapshot):
                continue
            cell = self._restored(machine, snapshot, starts)
            if cell is not None:
                return cell
        cell = Cell(machine, Intake(self._verifier), self.settings.build, self._signer)
        return self._prepare_cell(cell, None, starts)

    def _restored(
        self, machine: Machine, snapshot: Snapshot, starts: Sequence[tuple[int, Started]]
    ) -> Cell | None:
        """A cell that goes on from a snapshot; ``None`` when its state cannot be read."""
        try:
            machine.restore(snapshot.state)
        except msgspec.DecodeError as e:
            if snapshot.version == machine.version or machine.name in self.settings.adopt:
                return None
            text = f"expected a state that {machine.name} version {machine.version} can read, was {e}"
            raise UpgradeRefused(machine.name, snapshot.seq, f"{text}: {self._way_out(machine)}") from e
        cell = Cell(machine, Intake(self._verifier, snapshot.intake), self.settings.build, self._signer)
        cell.position = cell.verified_to = snapshot.seq
        return self._prepare_cell(cell, snapshot, starts)

    def _prepare_cell(
        self, cell: Cell, snapshot: Snapshot | None, starts: Sequence[tuple[int, Started]]
    ) -> Cell:
        """Check who decided what stands after the snapshot; know what was adopted and skipped."""
        machine = cell.machine
        later = [start for seq, start in starts if seq > cell.position]
        adopted = [s.from_seq for s in later if s.adopted and s.version == machine.version]
        if cell.name in self.settings.adopt:
            adopted.append(self.settings.adopt_to)
        else:
            self._check_version(machine, snapshot, later)
        cell.verified_to = max([cell.verified_to, *adopted])
        cell.skips |= self._skipped.get(cell.name, set())
        return cell

    async def _starts_of(self, name: str) -> list[tuple[int, Started]]:
        """Earlier starts of a machine, oldest first: they say which version decided from there on."""
        found: list[tuple[int, Started]] = []
        for record in await read_subject(self.link, f"{self.settings.service}.{Started.kind}"):
            try:
                start = decode(record.subject, record.payload)
            except Unreadable:
                continue
            if isinstance(start, Started) and start.machine == name:
                found.append((record.seq, start))
        return found

    def _check_version(self, machine: Machine, snapshot: Snapshot | None, starts: Sequence[Started]) -> None:
        """Another version's decisions may only end in a planned snapshot, or be adopted.

        Raises:
            UpgradeRefused: this version would have to recompute what another one decided.
        """
        deciding = [] if snapshot is None or snapshot.planned else [snapshot.version]
        for start in starts:
            adopted = start.adopted and start.version == machine.version
            deciding = [start.version] if adopted else [*deciding, start.version]
        other = next((version for version in deciding if version != machine.version), None)
        if other is None:
            return
        seq = snapshot.seq if snapshot is not None else 0
        text = f"expected {machine.name} version {other} after a crash, was version {machine.version}"
        raise UpgradeRefused(machine.name, seq, f"{text}: {self._way_out(machine)}")

    @staticmethod
    def _way_out(machine: Machine) -> str:
        return f"run the old build once to a planned stop, or start with --adopt {machine.name} (halted)"

    async def _fits(self, snapshot: Snapshot) -> bool:
        """Whether the tape still holds the message the snapshot was taken at."""
        if snapshot.seq == 0:
            return True
        reader = TapeReader(self.link, snapshot.seq - 1)
        try:
            batch = await reader.next_batch(2.0)
        except TapeGap:
            return False
        finally:
            await reader.close()
        return bool(batch) and batch[0].seq == snapshot.seq and batch[0].digest() == snapshot.digest

    # --- run ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            MachineStopped: a machine will not go on; the reason is in it.
        """
        reporting = asyncio.create_task(self._report_loop())
        await self.publisher.start()
        if self.settings.lockstep:
            await self._join_lockstep()
        try:
            await self._load()
        except UpgradeRefused as e:
            await self._hold(e)
            reporting.cancel()
            raise
        publishing = asyncio.create_task(self._publish_loop())
        collecting = asyncio.create_task(self._collect_loop())
        tasks = (reporting, publishing, collecting)
        try:
            await self._read_loop(tasks)
            await self._finish()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._reader is not None:
                await self._reader.close()

    def stop(self) -> None:
        """Ask for a planned stop."""
        self._stopping.set()
        self._work.set()

    async def _read_loop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        assert self._reader is not None
        while not self._stopping.is_set():
            reader = self._reader
            batch = await reader.next_batch(IDLE_WAIT_S)
            for record in batch:
                await self._take(record)
                if self._reader is not reader:
                    # A skip made everything start over: the rest of this batch comes again, in its place.
                    break
            if batch:
                self._prepare()
                self._work.set()
                self._progress.set()
                if self.settings.lockstep and self.status.live:
                    await self._report_lockstep()
            if not self.status.live and self._reader.position >= self._target:
                await self._go_live()
            self._maybe_snapshot()
            for task in tasks:
                if task.done():
                    task.result()

    async def _take(self, record: TapeRecord) -> bool:
        """Hand a record to the machines; ``False`` when one failed and all began anew from a snapshot."""
        event: Message | None = None
        reason = ""
        if self._is_read(record.subject):
            try:
                event = decode(record.subject, record.payload)
            except Unreadable as e:
                reason = str(e)
        for cell in self.cells:
            try:
                cell.take(record, event)
            except Unreadable as e:
                reason = str(e)
            except Failed as e:
                await self._fail_stop(e)
                return False
            except Diverged as e:
                await self._hold(e)
                raise
        self._last = record
        if reason:
            self._count_dead(record, reason)
        elif event is not None:
            for observer in self.observers:
                observer(record, event)
        return True

    def _is_read(self, subject: str) -> bool:
        if self.read_everything:
            return True
        model = model_of(subject)
        if model is None or model in _ALWAYS_READ or subject.startswith(("feed.", "monitor.clock")):
            return True
        return any(model in cell.machine.reads for cell in self.cells)

    def _count_dead(self, record: TapeRecord, reason: str) -> None:
        self.status.dead += 1
        self.status.dead_reports.append((record, reason))
        if self.on_dead is not None:
            self.on_dead(record, reason)

    async def _go_live(self) -> None:
        self.status.live = True
        log.info("live", extra={"service": self.settings.service, "position": self.position})
        for cell in self.cells:
            started = Started(
                service=self.settings.service,
                machine=cell.name,
                build=self.settings.build,
                version=cell.machine.version,
                from_seq=cell.verified_to,
                # A restart within the run that adopts goes on from a later snapshot: nothing is adopted then.
                adopted=cell.name in self.settings.adopt and cell.verified_to <= self.settings.adopt_to,
            )
            await self._publish_fact(Fact(started))
        if self.settings.lockstep:
            await self._report_lockstep()
        await self._report()

    async def _hold(self, stopped: MachineStopped) -> None:
        """Not live any more, nothing leaves; stay up to say so, until the operator stops the service."""
        self.status.live = False
        self.status.refused = str(stopped)
        self.status.upgrade_refused = isinstance(stopped, UpgradeRefused)
        log.error("machine stopped", extra={"service": self.settings.service, "detail": str(stopped)})
        await self._report()
        await self._stopping.wait()

    # --- a machine that raised --------------------------------------------------------------------

    async def _fail_stop(self, failure: Failed) -> None:
        """Stop everything here, report, and wait on the tape for a signed skip; then start over."""
        self.status.live = False
        self.status.refused = str(failure)
        log.error("machine failed", extra={"service": self.settings.service, "detail": str(failure)})
        await self._report()
        await self._await_skip(failure)
        self._skipped.setdefault(failure.machine, set()).add(failure.seq)
        for task in self._preparing.values():
            task.cancel()
        self._preparing.clear()
        self._in_flight.clear()
        await self._load()
        self.status.refused = ""

    async def _await_skip(self, failure: Failed) -> None:
        """Wait for a signed skip of this failure, wherever on the tape it stands.

        Raises:
            Failed: the service is to stop.
        """
        watcher = gate(self._verifier, self.settings.tape)
        reader = TapeReader(self.link, 0, filter_subject=OPERATOR_PATTERN)
        try:
            while not self._stopping.is_set():
                for record in await reader.next_batch(IDLE_WAIT_S):
                    command = skip_in(record, watcher)
                    if command and (command.machine, command.seq) == (failure.machine, failure.seq):
                        return
        finally:
            await reader.close()
        raise failure

    # --- publishing -----------------------------------------------------------------------------

    async def _publish_loop(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            if not self.status.live:
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

    def _next_effect(self) -> tuple[Cell, Effect] | None:
        """The effect with the lowest cause among the machines; in lockstep only a granted one."""
        if not self.status.live or len(self._in_flight) >= IN_FLIGHT_MAX:
            return None
        best: Cell | None = None
        for cell in self.cells:
            self._drop_settled(cell)
            if not cell.ready or cell.stopped is not None:
                continue
            if self.settings.lockstep and (cell.name, cell.ready[0].record.seq) not in self._grants:
                continue
            if best is None or cell.ready[0].record.seq < best.ready[0].record.seq:
                best = cell
        return None if best is None else (best, best.ready[0])

    def _drop_settled(self, cell: Cell) -> None:
        """Forget effects whose outputs the tape already has."""
        while cell.ready and not any((o.cause, o.index) in cell.open_outputs for o in cell.ready[0].outputs):
            effect = cell.ready.popleft()
            task = self._preparing.pop((cell.name, effect.record.seq), None)
            if task is not None:
                task.cancel()

    def _prepare(self) -> None:
        """Begin what comes before publishing for every waiting effect; publishing keeps the order.

        In lockstep only a granted effect is prepared, when its turn has come.
        """
        if self._before_publish is None or self.settings.lockstep or not self.status.live:
            return
        for cell in self.cells:
            for effect in islice(cell.ready, PREPARED_MAX):
                key = (cell.name, effect.record.seq)
                if key not in self._preparing:
                    self._preparing[key] = asyncio.ensure_future(self._before_publish(effect))

    async def _prepared(self, cell: Cell, effect: Effect) -> Sequence[Fact]:
        """The facts to publish after an effect's outputs, once what comes before them is done."""
        if self._before_publish is None:
            return ()
        key = (cell.name, effect.record.seq)
        task = self._preparing.get(key)
        if task is None:
            return await self._before_publish(effect)
        try:
            return await task
        finally:
            del self._preparing[key]

    async def _send(self, cell: Cell, effect: Effect) -> None:
        facts = await self._prepared(cell, effect)
        if not self.status.live or cell not in self.cells or not cell.ready or cell.ready[0] is not effect:
            return
        cell.ready.popleft()
        futures: list[asyncio.Future[Stored]] = []
        try:
            missing = [o for o in effect.outputs if (o.cause, o.index) in cell.open_outputs]
            for output in missing:
                self._check_connection()
                future = await self.publisher.begin(output.subject, output.payload, output.headers)
                futures.append(future)
        finally:
            self._in_flight.append((cell, effect, futures))
        for fact in facts:
            await self._publish_fact(fact)
        self._progress.set()

    def _check_connection(self) -> None:
        """Raises BrokerUnavailable when outputs may have been lost with a connection since the last read-back.

        Sent on over the next connection, later outputs would overtake them, and no reader would take them.
        """
        if self.link.losses != self._losses:
            raise BrokerUnavailable("expected an unbroken connection, was a new one")

    async def _collect_loop(self) -> None:
        """Wait for acknowledgements in order; the first missing one asks for a read-back."""
        while True:
            if not self._in_flight or self._broken:
                self._progress.clear()
                await self._progress.wait()
                continue
            cell, effect, futures = self._in_flight[0]
            try:
                await self._collect(futures)
            except (BrokerUnavailable, PublishRefused):
                self._broken = True
                self._work.set()
                continue
            if self._in_flight and self._in_flight[0][1] is effect:
                self._in_flight.popleft()
                cell.acknowledged_to = effect.record.seq
                self._grants.discard((cell.name, effect.record.seq))
                self._work.set()
                if self.settings.lockstep:
                    await self._report_lockstep()

    async def _collect(self, futures: Iterable[asyncio.Future[Stored]]) -> None:
        for future in futures:
            stored = await self.publisher.wait(future)
            self.status.stored_to = max(self.status.stored_to, stored.seq)
            if stored.duplicate:
                # Stored by an earlier attempt, or its id taken by somebody else: the tape tells which.
                raise BrokerUnavailable(f"expected a new message, was a duplicate of {stored.seq}")

    async def _read_back(self) -> None:
        """After a failure: wait for the broker, read all it has, and queue again what it lacks."""
        self.status.retries += 1
        self._losses = self.link.losses
        last_seq = int((await stream_state(self.link.client))["last_seq"])
        while self.position < last_seq and not self._stopping.is_set():
            await asyncio.sleep(RETRY_WAIT_S / 10)
        while self._in_flight:
            cell, effect, _ = self._in_flight.pop()
            cell.ready.appendleft(effect)
        for cell in self.cells:
            self._drop_settled(cell)
        self._broken = False
        self._work.set()
        self._progress.set()

    async def _publish_fact(self, fact: Fact) -> None:
        """Publish a shell's message, with an id of the shell's own counter; retried until stored."""
        self._shell_counter = max(self._shell_counter + 1, self.position)
        message_id = str(
            MessageId(self.settings.tape, f"{self.settings.service}-shell", self._shell_counter, 0)
        )
        headers = {ID_HEADER: message_id, BUILD_HEADER: self.settings.build}
        if fact.cause:
            headers |= {CAUSE_HEADER: str(fact.cause), ROOT_HEADER: str(fact.root or fact.cause)}
        payload = encode(fact.message)
        while not self._stopping.is_set():
            try:
                stored = await self.publisher.publish(fact.message.subject(), payload, headers)
            except (BrokerUnavailable, PublishRefused):
                # Refused is what a broker with a full disk says; there will be room again.
                await asyncio.sleep(RETRY_WAIT_S)
                continue
            self.status.stored_to = max(self.status.stored_to, stored.seq)
            return

    async def publish_fact(self, fact: Fact) -> None:
        """Put a fact of this service's shell on the tape."""
        await self._publish_fact(fact)

    # --- lockstep -------------------------------------------------------------------------------

    async def _join_lockstep(self) -> None:
        await self.link.client.subscribe(f"{LOCKSTEP_GRANT}.{self.settings.service}", cb=self._on_grant)
        await self.link.client.subscribe(LOCKSTEP_POLL, cb=self._on_poll)

    async def _on_grant(self, message: Msg) -> None:
        machine, _, cause = message.data.decode().partition(" ")
        if cause.isdecimal():
            self._grants.add((machine, int(cause)))
            self._work.set()

    async def _on_poll(self, _: Msg) -> None:
        if self.status.live:
            await self._report_lockstep()

    async def _report_lockstep(self) -> None:
        """Say how far the machines are and which causes wait to be published."""
        waiting: dict[str, list[int]] = {}
        for cell in self.cells:
            causes = [e.record.seq for c, e, _ in self._in_flight if c is cell]
            waiting[cell.name] = causes + [effect.record.seq for effect in cell.ready]
        body = {"position": self.position, "stored_to": self.status.stored_to, "waiting": waiting}
        try:
            await self.link.client.publish(
                f"{LOCKSTEP_REPORT}.{self.settings.service}", json.dumps(body).encode()
            )
        except (nats.errors.Error, OSError):
            log.debug("lockstep report not sent; the next poll asks again")

    # --- health ---------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """What this service says of itself, as plain data."""
        stopped = next((str(c.stopped) for c in self.cells if c.stopped is not None), "")
        state = "live" if self.status.live else ("stopped" if self.status.refused or stopped else "starting")
        if self.status.upgrade_refused:
            state = "refused"
        return {
            "service": self.settings.service,
            "state": state,
            "detail": self.status.refused or stopped,
            "position": self.position,
            "backlog": self._reader.backlog if self._reader else 0,
            "lag": self._reader.lag if self._reader else 0,
            "open_outputs": sum(len(c.open_outputs) for c in self.cells),
            "dead": self.status.dead,
            "violations": self.link.violations,
            "diverged": any(isinstance(c.stopped, Diverged) for c in self.cells),
            "retries": self.status.retries,
            "restarts": self._reader.restarts if self._reader else 0,
            "now": self.now,
            "build": self.settings.build,
            "versions": {c.name: c.machine.version for c in self.cells},
        } | self.extra_report()

    async def _report_loop(self) -> None:
        while True:
            await self._report()
            await asyncio.sleep(REPORT_EVERY_S)

    async def _report(self) -> None:
        try:
            await self.link.client.publish(
                f"{REPORT}.{self.settings.service}", msgspec.json.encode(self.health())
            )
        except (nats.errors.Error, OSError):
            log.debug("health report not sent; the next one follows")

    # --- snapshots and stop ---------------------------------------------------------------------

    def _maybe_snapshot(self) -> None:
        if not self.cells or self._last is None or not self.status.live:
            return
        due = monotonic() - self._snapshot_at > SNAPSHOT_EVERY_S
        far = self.position - self._snapshot_seq >= SNAPSHOT_EVERY_SEQ
        if (due or far) and self._settled():
            self._snapshot(planned=False)

    def _settled(self) -> bool:
        """All outputs of everything processed are acknowledged."""
        return not self._in_flight and not any(cell.ready for cell in self.cells)

    def _snapshot(self, *, planned: bool) -> None:
        self._snapshot_at = monotonic()
        if self._last is None:
            return
        for cell in self.cells:
            if cell.position != self._last.seq or cell.stopped is not None:
                continue
            self._stores[cell.name].write(
                Snapshot(
                    machine=cell.name,
                    version=cell.machine.version,
                    tape=self.settings.tape,
                    seq=cell.position,
                    digest=self._last.digest(),
                    state=cell.machine.snapshot(),
                    intake=cell.intake.state,
                    planned=planned,
                )
            )
        self._snapshot_seq = self._last.seq

    async def _finish(self) -> None:
        """A planned stop: let outputs be acknowledged, then snapshot."""
        deadline = monotonic() + FLUSH_PATIENCE_S
        while not self._settled() and monotonic() < deadline and self.link.connected:
            await asyncio.sleep(RETRY_WAIT_S / 10)
        if self._settled() and self.status.live:
            self._snapshot(planned=True)


__all__ = [
    "Fact",
    "Host",
    "HostSettings",
    "MachineStopped",
    "TapeError",
]
