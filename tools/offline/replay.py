"""Replay: every machine again over the stored tape, output bytes compared; and what-if.

A replay runs the machines through the same runners and the same gate as live. What differs is reported with
its sequence, its machine and the fields. A what-if runs the machines twice in one process over the
recorded inputs, as they were and with a change, both against the paper venue, and compares what came of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from libs.config.load import override, section_of
from libs.contract.codec import Unreadable, decode
from libs.keys.signing import Verifier
from libs.machine.errors import Diverged, Failed
from libs.machine.inprocess import InProcess
from libs.machine.input_gate import InputGate
from libs.machine.machine import Machine
from libs.machine.runner import MachineRunner
from libs.machine.snapshots import Snapshot, SnapshotStore
from libs.tape.record import TapeRecord
from proto.ids import parse_message_id
from proto.message import Message
from proto.operator import Config, Session
from proto.service import Started
from proto.subjects import MACHINE_ORDER
from proto.units import show
from services.execution.claims import claims_of
from tools.system.composition import factories, schemas
from tools.system.summary import Summary
from tools.view.moment import moment

BUILD = "replay"


@dataclass
class Difference:
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
class History:
    """What a replay has to know beforehand: starts, signed skips, and where the tape begins and ends."""

    starts: list[tuple[int, Started]] = field(default_factory=list)
    skips: dict[str, set[int]] = field(default_factory=dict)
    fits: Callable[[Snapshot], bool] = lambda _: True

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
    difference: Difference | None = None
    starts: list[tuple[int, Started]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    broke_at: tuple[TapeRecord, Message] | None = None
    _runners: list[MachineRunner] = field(default_factory=list)
    _settled: dict[str, int] = field(default_factory=dict)
    _history: History = field(default_factory=History)

    def start(self, state: Path, history: History, from_seq: int) -> int:
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
        return min(runner.position for runner in self._runners) + 1

    def _runner(self, machine: Machine, store: SnapshotStore, from_seq: int) -> MachineRunner:
        snapshots = [snapshot for snapshot in store.newest_first() if self._history.fits(snapshot)]
        self._settled[machine.name] = max((snapshot.seq for snapshot in snapshots), default=0)
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

    def take(self, record: TapeRecord) -> bool:
        """Take the next record; ``False`` when the replay is over (a difference, or a break)."""
        self.messages += 1
        try:
            event: Message | None = decode(record.subject, record.payload)
        except Unreadable:
            event = None
        if isinstance(event, Started):
            self.starts.append((record.seq, event))
        for runner in self._runners:
            try:
                runner.take(record, event)
            except Unreadable:
                continue
            except Failed as e:
                if record.seq in self._history.skips.get(runner.name, ()):
                    self.skipping = (runner.name, record.seq)
                else:
                    self.difference = Difference(record.seq, runner.name, str(e))
                return False
            except Diverged as e:
                self._differs(runner, record, str(e))
                return False
        if event is not None and self.break_on is not None and self.break_on(record, event):
            self.broke_at = (record, event)
            return False
        return True

    def _differs(self, runner: MachineRunner, record: TapeRecord, text: str) -> None:
        self.difference = Difference(record.seq, runner.name, text)
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
        what lies behind both may still have been on its way when the tape was read.
        """
        self.compared = sum(runner.confirmed for runner in self._runners)
        if self.difference is not None or self.broke_at is not None:
            return
        for runner in self._runners:
            settled = max((self._settled[runner.name], OUTPUTS_MAX), runner.confirmed_to)
            missing = sorted(place for place in runner.open_outputs if place <= settled)
            if missing:
                first = runner.open_outputs[missing[0]]
                text = f"recomputed {first.subject} for the input {first.cause}, the tape has nothing"
                self.difference = Difference(first.cause, runner.name, text)
                return

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


# --- what-if --------------------------------------------------------------------------------------


class WhatIf:
    """Runs recorded inputs in one process, with or without a change of the configuration."""

    def __init__(self, changes: Mapping[str, str], strategies: Sequence[str]) -> None:
        self.summary = Summary()
        self.decisions: dict[str, str] = {}
        self._changes = changes
        self._schemas = schemas(strategies)
        self._runner = InProcess([make() for make in factories(strategies).values()], WHAT_IF_TAPE, claims_of)
        self._runner.observers.append(self._observe)
        self._opening: list[Message] = []
        self._missing = 0
        self._sections = {section_of(path, self._schemas) for path in changes}
        self._found: set[str] = set()

    def _observe(self, seq: int, _producer: str, _message_id: str, message: Message) -> None:
        self.summary.add(seq, message)
        kind = message.kind
        if kind in ("risk.approval", "risk.rejection"):
            at = f"{self._runner.now}|{getattr(message, 'instrument', '')}"
            self.decisions.setdefault(at, _decision(message))

    def feed(self, message: Message) -> None:
        """Put one recorded input in; what machines said is left out, they say it again."""
        if isinstance(message, Session):
            self._opening = [msgspec.structs.replace(message, tape=WHAT_IF_TAPE)]
            self._missing = message.config_count
        elif isinstance(message, Config) and self._opening:
            self._opening.append(self._changed(message))
            self._missing -= 1
        else:
            self._runner.feed(message)
            return
        if self._missing <= 0:
            self._runner.feed_together(self._opening, "operator")
            self._opening = []

    @property
    def unused(self) -> list[str]:
        """Changed sections that the tape never configured: the change changed nothing."""
        return sorted(self._sections - self._found)

    def _changed(self, config: Config) -> Config:
        self._found.add(config.section)
        if config.section == "execution":
            # What a real venue did cannot be asked what it would have done: everything is paper.
            config = msgspec.structs.replace(config, document=config.document | {"live_venues": []})
        schema = self._schemas.get(config.section)
        mine = {k: v for k, v in self._changes.items() if k.startswith(config.section + ".")}
        if schema is None or not mine:
            return config
        document = override({config.section: config.document}, {config.section: schema}, mine)
        return msgspec.structs.replace(config, document=document[config.section])


WHAT_IF_TAPE = "whatif"
_INPUTS = ("feed.", "operator.", "monitor.clock")


def is_input(subject: str) -> bool:
    """Whether a message came from outside the machines; the paper venue answers anew in a what-if."""
    return subject.startswith(_INPUTS)


def _decision(message: Message) -> str:
    if message.kind == "risk.approval":
        quantity = getattr(message, "quantity", 0)
        return f"approved {show(quantity)}"
    failed = ", ".join(check.name for check in getattr(message, "failed", ()))
    return f"rejected ({failed})"


def compare(baseline: WhatIf, changed: WhatIf) -> dict[str, Any]:
    """How decisions and profit differ."""
    different: list[dict[str, str]] = []
    for key in dict.fromkeys([*baseline.decisions, *changed.decisions]):
        before, after = baseline.decisions.get(key, "no decision"), changed.decisions.get(key, "no decision")
        if before != after:
            at, _, instrument = key.partition("|")
            different.append(
                {"at": moment(int(at)), "instrument": instrument, "baseline": before, "changed": after}
            )
    first, second = baseline.summary.document(), changed.summary.document()
    names = ("proposals", "approvals", "rejected", "orders", "fills", "equity", "realised_profit", "fees")
    return {
        "simulated": True,
        "baseline": {name: first[name] for name in names},
        "changed": {name: second[name] for name in names},
        "profit_difference": round(second["equity"] - first["equity"], 6),
        "decisions_differing": len(different),
        "decisions": different,
    }


__all__ = ["Difference", "History", "Replay", "WhatIf", "compare", "differing", "is_input"]
