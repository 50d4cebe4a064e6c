"""The live runner: machines of one service over the tape, restarts and broker failures included.

The host reads the tape in order, hands records to its runners, and publishes what they emit: one publisher
a machine, in order of cause. When a publish fails it stops publishing, lets the reader catch up with the
stream (the read-back), and publishes what the tape still lacks. A start is the same: fold from the
snapshot, compare, publish what is missing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from libs.archive.archive import Archive
from libs.archive.history import History, HistoryReader
from libs.contract.codec import Unreadable, decode
from libs.keys.signing import Signer, Verifier
from libs.machine.errors import Diverged, Failed, MachineStopped, UpgradeRefused
from libs.machine.host_state import BeforePublish, Fact, HostSettings, HostState
from libs.machine.leading import Leadership
from libs.machine.loading import CellLoader
from libs.machine.lockstep import LockstepMember
from libs.machine.machine import Machine
from libs.machine.outbox import Outbox
from libs.machine.runner import MachineRunner
from libs.machine.skips import OPERATOR_PATTERN, gate, skip_in
from libs.machine.snapshot_writer import SnapshotWriter
from libs.machine.snapshots import Encoded, Snapshot, SnapshotStore, encoded
from libs.tape.broker import STREAM_STATE_TIMEOUT_S, stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from libs.tape.lease import Lease
from libs.tape.publisher import Publisher
from libs.tape.reader import TapeReader
from libs.tape.record import TapeRecord
from libs.tape.reports import report_for_ever, send_report
from libs.tasks import cancel_all
from proto.message import Message
from proto.operator import Command, Config, Session
from proto.service import Started
from proto.subjects import model_of

SNAPSHOT_EVERY_SEQ = 20_000
SNAPSHOT_EVERY_S = 30.0
"""A restart folds at most this much of the tape: well under a second."""
IDLE_WAIT_S = 0.1
RETRY_WAIT_S = 0.05
FLUSH_PATIENCE_S = 2.0
"""How long a planned stop waits for its last outputs to be acknowledged."""

log = logging.getLogger("presage.host")

_ALWAYS_READ = frozenset((Session, Config, Command))


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
        lease: Lease | None = None,
    ) -> None:
        self.settings = settings
        self.link = link
        self.publisher = Publisher(link)
        self.status = HostState(lease=lease)
        self.runners: list[MachineRunner] = []
        self.leading = Leadership(settings.service, self.status, lambda: self.runners)
        self.observers: list[Callable[[TapeRecord, Message], None]] = []
        self.extra_report: Callable[[], dict[str, Any]] = dict
        self.on_dead: Callable[[TapeRecord, str], None] | None = None
        self.before_live: Callable[[], None] = lambda: None
        self.read_everything = False
        self.rest_s = 0.0
        self._factories = list(machines)
        self._verifier = verifier
        archive = Archive(settings.archive or settings.state / "archive")
        self.history = History(link, archive, STREAM_STATE_TIMEOUT_S)
        self._reader: HistoryReader | None = None
        self._stores: dict[str, SnapshotStore] = {}
        self._snapshots = SnapshotWriter()
        self._snapshot_seq = 0
        self._snapshot_at = monotonic()
        self._stopping = asyncio.Event()
        self._last: TapeRecord | None = None
        self._target = 0
        self._skipped: dict[str, set[int]] = {}
        self._loader = CellLoader(settings, self.history, verifier, signer, self._skipped)
        self._lockstep = LockstepMember(settings.service, link, self.status, lambda: self.position)
        self._outbox = Outbox(
            settings,
            self.status,
            link,
            self.publisher,
            before_publish,
            runners=lambda: self.runners,
            position=lambda: self.position,
            acknowledged=self._lockstep.report,
        )

    # --- start ----------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The sequence that every machine of this host has processed."""
        if not self.runners:
            return self._reader.position if self._reader else 0
        return min(runner.position for runner in self.runners)

    @property
    def now(self) -> int:
        """Session time in nanoseconds as the first machine sees it."""
        return self.runners[0].input_gate.state.timeline.now if self.runners else 0

    async def _load(self) -> None:
        """Build runners from the newest snapshots that fit the tape; open the reader there."""
        last_seq = int((await stream_state(self.link.client))["last_seq"])
        self._target = last_seq
        self.runners = []
        starts: list[int] = []
        for factory in self._factories:
            machine = factory()
            store = SnapshotStore(self.settings.state / "snapshots", machine.name)
            self._stores[machine.name] = store
            runner = await self._loader.load(machine, store, last_seq)
            starts.append(runner.position)
            self.runners.append(runner)
        self._outbox.begin_at(last_seq)
        if self._reader is not None:
            await self._reader.close()
        self._reader = self.history.reader(min(starts, default=last_seq), rest_s=self.rest_s)

    # --- run ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            MachineStopped: a machine will not go on; the reason is in it.
        """
        reporting = asyncio.create_task(report_for_ever(self._report))
        await self.publisher.start()
        if self.settings.lockstep:
            await self._lockstep.join(self._outbox)
        try:
            await self._load()
        except UpgradeRefused as e:
            await self._hold(e)
            reporting.cancel()
            raise
        publishing = asyncio.create_task(self._outbox.publish_loop())
        collecting = asyncio.create_task(self._outbox.collect_loop())
        tasks = (reporting, publishing, collecting)
        try:
            await self._read_loop(tasks)
            await self._finish()
        finally:
            await cancel_all(tasks)
            await self._snapshots.wait()
            if self._reader is not None:
                await self._reader.close()

    def stop(self) -> None:
        """Ask for a planned stop."""
        self._stopping.set()
        self._outbox.stop()

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
                await self._let_leave(record)
            if batch:
                self._outbox.wake()
                await self._lockstep.report()
            if not self.status.live and self._reader.position >= self._target and await self._may_lead():
                await self._go_live()
                self._outbox.wake()
            elif self.status.lease is not None:
                # What waited while it was not renewed.
                self._outbox.wake()
            self._maybe_snapshot()
            for task in tasks:
                if task.done():
                    task.result()

    async def _may_lead(self) -> bool:
        """Whether it is this process that speaks: it has read all that a leader before it said."""
        if not self.leading.is_new_term():
            return self.leading.may_speak()
        try:
            self._target = int((await stream_state(self.link.client))["last_seq"])
        except BrokerUnavailable:
            return False
        self.leading.begin_term()
        return self.position >= self._target

    async def _let_leave(self, record: TapeRecord) -> None:
        """What a record calls for leaves now, not after the rest of what was read with it."""
        if self.status.live and any(
            runner.ready and runner.ready[-1].record is record for runner in self.runners
        ):
            self._outbox.wake()
            await asyncio.sleep(0)

    async def _take(self, record: TapeRecord) -> None:
        """Hand a record to the machines; when one fails, all begin anew with another reader after a skip."""
        event: Message | None = None
        reason = ""
        if self._is_read(record.subject):
            try:
                event = decode(record.subject, record.payload)
            except Unreadable as e:
                reason = str(e)
        for runner in self.runners:
            try:
                runner.take(record, event)
            except Unreadable as e:
                reason = str(e)
            except Failed as e:
                await self._fail_stop(e)
                return
            except Diverged as e:
                await self._hold(e)
                raise
        self._last = record
        if reason:
            self._count_dead(record, reason)
        elif event is not None:
            for observer in self.observers:
                observer(record, event)

    def _is_read(self, subject: str) -> bool:
        if self.read_everything:
            return True
        model = model_of(subject)
        if model is None or model in _ALWAYS_READ or subject.startswith(("feed.", "monitor.clock")):
            return True
        return any(model in runner.machine.reads for runner in self.runners)

    def _count_dead(self, record: TapeRecord, reason: str) -> None:
        self.status.dead += 1
        if self.on_dead is not None:
            self.on_dead(record, reason)

    async def _go_live(self) -> None:
        self.before_live()
        self.status.live = True
        log.info("live", extra={"service": self.settings.service, "position": self.position})
        for runner in self.runners:
            started = Started(
                service=self.settings.service,
                machine=runner.name,
                build=self.settings.build,
                version=runner.machine.version,
                from_seq=runner.verified_to,
                # A restart within the run that adopts goes on from a later snapshot: nothing is adopted then.
                adopted=runner.name in self.settings.adopt and runner.verified_to <= self.settings.adopt_to,
            )
            await self.publish_fact(Fact(started))
        await self._lockstep.report()
        await self._report()

    async def _hold(self, stopped: MachineStopped) -> None:
        """Not live any more, nothing leaves; stay up to say so, until the operator stops the service."""
        self.status.live = False
        self.leading.resign()
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

    @property
    def settled(self) -> bool:
        """Whether all outputs of everything processed are acknowledged."""
        return self._outbox.settled()

    async def publish_fact(self, fact: Fact) -> None:
        """Put a fact of this service's shell on the tape; returns when it is stored."""
        await self._outbox.publish_fact(fact)

    # --- health ---------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """What this service says of itself, as plain data."""
        stopped = next((str(c.stopped) for c in self.runners if c.stopped is not None), "")
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
            "open_outputs": sum(len(c.open_outputs) for c in self.runners),
            "dead": self.status.dead,
            "violations": self.link.violations,
            "diverged": any(isinstance(c.stopped, Diverged) for c in self.runners),
            "retries": self.status.retries,
            "restarts": self._reader.restarts if self._reader else 0,
            "now": self.now,
            "build": self.settings.build,
            "versions": {c.name: c.machine.version for c in self.runners},
        } | self.leading.report(self.extra_report, state)

    async def _report(self) -> None:
        report = self.health()
        await send_report(self.link, report["service"], report)

    # --- snapshots and stop ---------------------------------------------------------------------

    def _maybe_snapshot(self) -> None:
        self._snapshots.check()
        if not self.runners or self._last is None or not (self.status.live or self.leading.follows):
            return
        due = monotonic() - self._snapshot_at > SNAPSHOT_EVERY_S
        far = self.position - self._snapshot_seq >= SNAPSHOT_EVERY_SEQ
        if (due or far) and not self._snapshots.is_busy and self._outbox.settled():
            self._snapshots.begin(self._taken(planned=False))

    def _taken(self, *, planned: bool) -> list[tuple[SnapshotStore, Encoded]]:
        """Every machine's snapshot of now, to be written where it belongs."""
        self._snapshot_at = monotonic()
        taken: list[tuple[SnapshotStore, Encoded]] = []
        if self._last is None:
            return taken
        for runner in self.runners:
            if runner.position != self._last.seq or runner.stopped is not None:
                continue
            if (
                not planned
                and self.status.lease is not None
                and self._stores[runner.name].has(runner.position)
            ):
                # Its leader's, by a planned stop perhaps.
                continue
            snapshot = Snapshot(
                machine=runner.name,
                version=runner.machine.version,
                tape=self.settings.tape,
                seq=runner.position,
                digest=self._last.digest(),
                state=runner.machine.snapshot(),
                input_gate=runner.input_gate.state,
                planned=planned,
            )
            taken.append((self._stores[runner.name], encoded(snapshot)))
        self._snapshot_seq = self._last.seq
        return taken

    async def _finish(self) -> None:
        """A planned stop: let outputs be acknowledged, then snapshot."""
        deadline = monotonic() + FLUSH_PATIENCE_S
        while not self._outbox.settled() and monotonic() < deadline and self.link.connected:
            await asyncio.sleep(RETRY_WAIT_S / 10)
        await self._snapshots.wait()
        if self._outbox.settled() and self.status.speaks:
            for store, snapshot in self._taken(planned=True):
                store.keep(snapshot)


__all__ = ["Fact", "Host", "HostSettings"]
