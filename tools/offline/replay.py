"""Replay: every machine again over the stored tape, output bytes compared.

A replay runs the machines through the same runners and the same gate as live. What differs is reported with
its sequence, its machine and the fields.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from libs.contract.codec import Unreadable, decode
from libs.keys.signing import Verifier
from libs.machine.errors import Diverged, Failed
from libs.machine.input_gate import InputGate, InputGateState
from libs.machine.machine import Machine
from libs.machine.runner import MachineRunner
from libs.machine.snapshots import Snapshot, SnapshotStore
from libs.machine.together import Together
from libs.tape.record import TapeRecord
from proto.ids import parse_message_id
from proto.message import Message
from proto.service import Started
from proto.subjects import MACHINE_ORDER
from tools.system.composition import factories

BUILD = "replay"


@dataclass
class ReplayDifference:
    """The first place where a machine's recomputed output is not the stored one."""

    seq: int
    machine: str
    text: str
    fields: list[tuple[str, Any, Any]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As plain data."""
        rows = [{"field": name, "stored": a, "recomputed": b} for name, a, b in self.fields]
        return {"seq": self.seq, "machine": self.machine, "text": self.text, "fields": rows}


@dataclass
class TapeHistory:
    """What a replay has to know beforehand.

    Starts, signed skips, which snapshots belong to the tape, and machine → the newest of those (its sequence).
    """

    starts: list[tuple[int, Started]] = field(default_factory=list)
    skips: dict[str, set[int]] = field(default_factory=dict)
    fits: Callable[[Snapshot], bool] = lambda _: True
    snapshots: Mapping[str, int] = field(default_factory=dict)

    def settled_to(self, machine: str) -> int:
        """The sequence up to which all that a machine said is stored.

        A snapshot is written only when all outputs are acknowledged, and a start names the one it went on from.
        A machine that nobody ever started lost nothing.
        """
        began = [start.from_seq for _, start in self.starts if start.machine == machine]
        if self.starts and not began and machine not in self.snapshots:
            return sys.maxsize
        return max([self.snapshots.get(machine, 0), *began])

    def decided_by_others(self, machine: Machine) -> tuple[int, str]:
        """Up to where another version decided (or an adoption reaches), and the words for it.

        When the newest start is another version's, nothing is left out: comparing this build with that
        tape is what the replay was asked for.
        """
        reach, text, other = 0, "", 0
        for _, start in self.starts:
            if start.machine != machine.name:
                continue
            if start.version != machine.version:
                other = start.version
            elif start.adopted:
                reach, text, other = start.from_seq, f"adopted by version {start.version}", 0
            elif other:
                reach, text, other = start.from_seq, f"decided by version {other}", 0
        return reach, text


@dataclass
class Replay:
    """Feed it the records of a tape in order; then ask ``finish``.

    ``machines`` limits it to some machines, ``break_on`` is called for each message and may stop it.
    ``raised_at`` holds inputs at which a machine raised and went on after a signed skip: when one more is
    found, ``skipping`` names it and the replay has to be begun again with it.
    """

    verifier: Verifier
    machines: Sequence[str] = MACHINE_ORDER
    strategies: Sequence[str] = ("momentum",)
    break_on: Callable[[TapeRecord, Message], bool] | None = None
    raised_at: Sequence[tuple[str, int]] = ()
    skipping: tuple[str, int] | None = None
    messages: int = 0
    compared: int = 0
    unstored: int = 0
    difference: ReplayDifference | None = None
    starts: list[tuple[int, Started]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    broke_at: tuple[TapeRecord, Message] | None = None
    _runners: list[MachineRunner] = field(default_factory=list)
    _together: Together | None = None
    _history: TapeHistory = field(default_factory=TapeHistory)

    def start(self, state: Path, history: TapeHistory, from_seq: int) -> int:
        """Make the runners, from snapshots at or before ``from_seq`` when it is not the beginning.

        Returns the sequence to read from.
        """
        self._history = history
        makers = factories(self.strategies)
        for name in self.machines:
            self._runners.append(
                self._runner(makers[name](), SnapshotStore(state / "snapshots", name), from_seq)
            )
        self._share_gates()
        if Together.fit(self._runners):
            self._together = Together(self._runners)
        return min(runner.position for runner in self._runners) + 1

    def _runner(self, machine: Machine, store: SnapshotStore, from_seq: int) -> MachineRunner:
        snapshots = [snapshot for snapshot in store.newest_first() if self._history.fits(snapshot)]
        reach, text = self._history.decided_by_others(machine)
        if reach:
            self.left_out.append({"machine": machine.name, "to": reach, "text": text})
        runner = MachineRunner(machine, InputGate(self.verifier), BUILD)
        for snapshot in snapshots:
            usable = snapshot.seq <= reach or (
                snapshot.seq < from_seq and snapshot.version == machine.version
            )
            if usable and self._restore(machine, snapshot):
                runner.input_gate.state = snapshot.input_gate
                runner.position = runner.verified_to = snapshot.seq
                break
        runner.verified_to = max(runner.verified_to, reach)
        runner.skips = {seq for name, seq in self.raised_at if name == machine.name}
        return runner

    def _share_gates(self) -> None:
        """Machines that begin at the same place with the same memory share one gate: it is asked once."""
        gates: dict[tuple[int, bytes], InputGate] = {}
        for runner in self._runners:
            input_gate = gates.setdefault(
                (runner.position, msgspec.msgpack.encode(runner.input_gate.state)), runner.input_gate
            )
            input_gate.shared = True
            runner.input_gate = input_gate

    @staticmethod
    def _restore(machine: Machine, snapshot: Snapshot) -> bool:
        try:
            machine.restore(snapshot.state)
        except msgspec.DecodeError:
            return False
        return True

    def handle(self, record: TapeRecord) -> bool:
        """Take the next record; ``False`` when the replay is over (a difference, or a break)."""
        self.messages += 1
        try:
            event: Message | None = decode(record.subject, record.payload)
        except Unreadable:
            event = None
        if isinstance(event, Started):
            self.starts.append((record.seq, event))
        if not self._hand_out(record, event):
            return False
        if event is not None and self.break_on is not None and self.break_on(record, event):
            self.broke_at = (record, event)
            return False
        return True

    def _hand_out(self, record: TapeRecord, event: Message | None) -> bool:
        """Let every machine take a record; ``False`` when one of them ends the replay."""
        try:
            if self._together is not None and self._together.take(record, event):
                return True
        except Failed as e:
            return self._fails(record, e)
        for runner in self._runners:
            try:
                runner.take(record, event)
            except Unreadable:
                continue
            except Failed as e:
                return self._fails(record, e)
            except Diverged as e:
                self._differs(runner, record, str(e))
                return False
        return True

    def _fails(self, record: TapeRecord, failed: Failed) -> bool:
        if record.seq in self._history.skips.get(failed.machine, ()):
            self.skipping = (failed.machine, record.seq)
        else:
            self.difference = ReplayDifference(record.seq, failed.machine, str(failed))
        return False

    def _differs(self, runner: MachineRunner, record: TapeRecord, text: str) -> None:
        self.difference = ReplayDifference(record.seq, runner.name, text)
        if runner.mismatch is None:
            return
        try:
            stored = msgspec.msgpack.decode(record.payload)
            mine = msgspec.msgpack.decode(runner.mismatch.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        self.difference.fields = list(differing(stored, mine))

    @property
    def waiting(self) -> bool:
        """Whether recomputed outputs have not been seen on the tape so far."""
        over = self.difference or self.broke_at or self.skipping
        return not over and any(runner.open_outputs for runner in self._runners)

    def confirm(self, record: TapeRecord) -> bool:
        """Look only for outputs in a record behind the window; ``False`` when there is a difference."""
        parsed = parse_message_id(record.message_id)
        if self._together is not None:
            self._together.part()
        for runner in self._runners:
            if parsed is None or parsed.producer != runner.name or parsed.cause > runner.position:
                continue
            try:
                runner.confirm(record)
            except Diverged as e:
                self._differs(runner, record, str(e))
                return False
        return True

    def finish(self) -> None:
        """Outputs that were recomputed and are not on the tape are a difference too.

        A machine's outputs are stored in order, and a snapshot is only taken when all are stored. Only
        what lies behind both may still have been on its way when the tape was read: ``unstored`` counts it.
        """
        self.compared = sum(runner.confirmed for runner in self._runners)
        if self.difference is not None or self.broke_at is not None:
            return
        for runner in self._runners:
            settled = max((self._history.settled_to(runner.name), OUTPUTS_MAX), runner.confirmed_to)
            missing = sorted(place for place in runner.open_outputs if place <= settled)
            if missing:
                first = runner.open_outputs[missing[0]]
                text = f"recomputed {first.subject} for the input {first.cause}, the tape has nothing"
                self.difference = ReplayDifference(first.cause, runner.name, text)
                return
            self.unstored += len(runner.open_outputs)

    def states(self) -> dict[str, bytes]:
        """Every machine's state where the replay stopped, encoded."""
        return {runner.name: runner.machine.snapshot() for runner in self._runners}

    def gate_state(self) -> InputGateState:
        """What the gate remembers there: the same for all, when all have come to the same place."""
        return self._runners[0].input_gate.state

    def state_of(self, machine: str) -> Any:
        """A machine's state where the replay stopped, as plain data."""
        for runner in self._runners:
            if runner.name == machine:
                return msgspec.msgpack.decode(runner.machine.snapshot())
        return None


OUTPUTS_MAX = 1_000_000
"""Above any index of an output."""


def differing(stored: Any, recomputed: Any, path: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Field by field, where two payloads differ: path, stored, recomputed."""
    if isinstance(stored, dict) and isinstance(recomputed, dict):
        for key in dict.fromkeys([*stored, *recomputed]):
            yield from differing(stored.get(key), recomputed.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(stored, list) and isinstance(recomputed, list) and len(stored) == len(recomputed):
        for index, (a, b) in enumerate(zip(stored, recomputed, strict=True)):
            yield from differing(a, b, f"{path}[{index}]")
    elif stored != recomputed:
        yield path, stored, recomputed


__all__ = ["Replay", "ReplayDifference", "TapeHistory", "differing"]
