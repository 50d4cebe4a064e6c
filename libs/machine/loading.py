"""Making runners at a start: the newest snapshot that fits the tape, and who may go on from it."""

from collections.abc import Mapping, Sequence

import msgspec

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from libs.keys.signing import Signer, Verifier
from libs.machine.errors import UpgradeRefused
from libs.machine.host_state import HostSettings
from libs.machine.input_gate import InputGate
from libs.machine.machine import Machine
from libs.machine.runner import MachineRunner
from libs.machine.snapshots import Snapshot, SnapshotStore
from proto.service import Started


class CellLoader:
    """Loads the runners of one host. ``skipped``: sequences that machines were told to leave out in this run."""

    def __init__(
        self,
        settings: HostSettings,
        history: History,
        verifier: Verifier,
        signer: Signer | None,
        skipped: Mapping[str, set[int]],
    ) -> None:
        self._settings = settings
        self._history = history
        self._verifier = verifier
        self._signer = signer
        self._skipped = skipped

    async def load(self, machine: Machine, store: SnapshotStore, last_seq: int) -> MachineRunner:
        """The runner of a fresh machine, restored as far as a snapshot goes.

        Raises:
            UpgradeRefused: another version decided what this one would have to recompute.
        """
        for snapshot in store.each_newest_first():
            if snapshot.seq > last_seq or not await self._fits(snapshot):
                continue
            # Only what started after it matters: the archive of all time is read for a machine without a snapshot.
            starts = await self._starts_of(machine.name, snapshot.seq)
            runner = self._restored(machine, snapshot, starts)
            if runner is not None:
                return runner
        runner = MachineRunner(machine, InputGate(self._verifier), self._settings.build, self._signer)
        return self._prepare_cell(runner, None, await self._starts_of(machine.name, 0))

    def _restored(
        self, machine: Machine, snapshot: Snapshot, starts: Sequence[tuple[int, Started]]
    ) -> MachineRunner | None:
        """A runner that goes on from a snapshot; ``None`` when its state cannot be read."""
        try:
            machine.restore(snapshot.state)
        except msgspec.DecodeError as e:
            if snapshot.version == machine.version or machine.name in self._settings.adopt:
                return None
            text = f"expected a state that {machine.name} version {machine.version} can read, was {e}"
            raise UpgradeRefused(machine.name, snapshot.seq, f"{text}: {self._way_out(machine)}") from e
        runner = MachineRunner(
            machine, InputGate(self._verifier, snapshot.input_gate), self._settings.build, self._signer
        )
        runner.position = runner.verified_to = snapshot.seq
        return self._prepare_cell(runner, snapshot, starts)

    def _prepare_cell(
        self, runner: MachineRunner, snapshot: Snapshot | None, starts: Sequence[tuple[int, Started]]
    ) -> MachineRunner:
        """Check who decided what stands after the snapshot; know what was adopted and skipped."""
        machine = runner.machine
        later = [start for seq, start in starts if seq > runner.position]
        adopted = [s.from_seq for s in later if s.adopted and s.version == machine.version]
        if runner.name in self._settings.adopt:
            adopted.append(self._settings.adopt_to)
        else:
            self._check_version(machine, snapshot, later)
        runner.verified_to = max([runner.verified_to, *adopted])
        runner.skips |= self._skipped.get(runner.name, set())
        return runner

    async def _starts_of(self, name: str, after: int) -> list[tuple[int, Started]]:
        """Earlier starts of a machine after a sequence, oldest first: they say which version decided from there on."""
        found: list[tuple[int, Started]] = []
        for record in await self._history.read_subject(f"{self._settings.service}.{Started.kind}", after):
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
        """Whether the tape or its archive holds the message the snapshot was taken at."""
        if snapshot.seq == 0:
            return True
        record = await self._history.at(snapshot.seq)
        return record is not None and record.digest() == snapshot.digest
