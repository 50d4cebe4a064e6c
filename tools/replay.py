"""Replay: every machine again over the stored tape, output bytes compared; and what-if.

A replay runs the machines through the same cells and the same gate as live. What differs is reported with
its sequence, its machine and the fields. A what-if runs the machines twice in one process over the
recorded inputs, as they were and with a change, both against the paper venue, and compares what came of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from libs.config.load import override
from libs.machine.cell import Cell
from libs.machine.codec import Unreadable, decode
from libs.machine.errors import Diverged, Failed
from libs.machine.inprocess import InProcess
from libs.machine.intake import Intake
from libs.tape.record import TapeRecord
from libs.tape.signing import Verifier
from libs.tape.snapshots import SnapshotStore
from proto.ids import parse_message_id
from proto.message import Message
from proto.operator import Command, Config, Session, Verb
from proto.service import Started
from proto.subjects import MACHINE_ORDER
from services.execution.claims import claims_of
from tools.composition import factories, schemas
from tools.summary import Summary

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
class Replay:
    """Feed it the records of a tape in order; then ask ``finish``.

    ``machines`` limits it to some machines, ``break_on`` is called for each message and may stop it.
    """

    verifier: Verifier
    machines: Sequence[str] = MACHINE_ORDER
    strategies: Sequence[str] = ("momentum",)
    break_on: Callable[[TapeRecord, Message], bool] | None = None
    messages: int = 0
    compared: int = 0
    difference: Difference | None = None
    starts: list[tuple[int, Started]] = field(default_factory=list)
    broke_at: tuple[TapeRecord, Message] | None = None
    _cells: list[Cell] = field(default_factory=list)
    _from: int = 1

    def start(self, state: Path, records_skips: Mapping[str, set[int]], from_seq: int) -> int:
        """Make the cells, from snapshots at or before ``from_seq`` when it is not the beginning.

        Returns the sequence to read from.
        """
        makers = factories(self.strategies)
        for name in self.machines:
            machine = makers[name]()
            cell = Cell(machine, Intake(self.verifier), BUILD)
            cell.skips = set(records_skips.get(name, set()))
            if from_seq > 1:
                for snapshot in SnapshotStore(state / "snapshots", name).newest_first():
                    if snapshot.seq < from_seq and snapshot.version == machine.version:
                        machine.restore(snapshot.state)
                        cell.intake = Intake(self.verifier, snapshot.intake)
                        cell.position = cell.verified_to = snapshot.seq
                        break
            self._cells.append(cell)
        return min(cell.position for cell in self._cells) + 1

    def take(self, record: TapeRecord) -> bool:
        """Take the next record; ``False`` when the replay is over (a difference, or a break)."""
        self.messages += 1
        try:
            event: Message | None = decode(record.subject, record.payload)
        except Unreadable:
            event = None
        if isinstance(event, Started):
            self.starts.append((record.seq, event))
            self._adopt(event, record.seq)
        for cell in self._cells:
            if cell.stopped is not None:
                continue
            try:
                cell.take(record, event)
            except Unreadable:
                continue
            except (Diverged, Failed) as e:
                self._differs(cell, record, str(e))
                return False
        if event is not None and self.break_on is not None and self.break_on(record, event):
            self.broke_at = (record, event)
            return False
        return True

    def _adopt(self, started: Started, seq: int) -> None:
        """A machine that was adopted took the tape's word for everything before: so does its replay."""
        for cell in self._cells:
            if started.adopted and cell.name == started.machine:
                cell.open_outputs.clear()
                cell.verified_to = max(cell.verified_to, seq)

    def _differs(self, cell: Cell, record: TapeRecord, text: str) -> None:
        self.difference = Difference(record.seq, cell.name, text)
        parsed = parse_message_id(record.message_id)
        if parsed is None or cell.mismatch is None:
            return
        try:
            stored = msgspec.msgpack.decode(record.payload)
            mine = msgspec.msgpack.decode(cell.mismatch.payload)
        except msgspec.DecodeError:
            return
        self.difference.fields = list(differing(stored, mine))

    def finish(self, last_seq: int) -> None:
        """Outputs that were recomputed and are not on the tape are a difference too.

        Those of the very last inputs may still have been on their way when the tape was read.
        """
        self.compared = sum(cell.confirmed for cell in self._cells)
        if self.difference is not None or self.broke_at is not None:
            return
        for cell in self._cells:
            missing = [o for o in cell.open_outputs.values() if o.cause > cell.verified_to]
            if missing and missing[0].cause < last_seq - TAIL_SEQ:
                first = missing[0]
                text = f"recomputed {first.subject} for the input {first.cause}, the tape has nothing"
                self.difference = Difference(first.cause, cell.name, text)
                return

    def state_of(self, machine: str) -> Any:
        """A machine's state where the replay stopped, as plain data."""
        for cell in self._cells:
            if cell.name == machine:
                return msgspec.msgpack.decode(cell.machine.snapshot())
        return None


TAIL_SEQ = 50
"""Inputs at the end of a tape whose outputs a killed system may not have published yet."""


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


def skips_in(records: Iterable[TapeRecord]) -> dict[str, set[int]]:
    """Sequences the operator told machines to skip."""
    skips: dict[str, set[int]] = {}
    for record in records:
        if not record.subject.startswith("operator.command.skip"):
            continue
        try:
            command = decode(record.subject, record.payload)
        except Unreadable:
            continue
        if isinstance(command, Command) and command.verb is Verb.SKIP:
            skips.setdefault(command.machine, set()).add(command.seq)
    return skips


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

    def _changed(self, config: Config) -> Config:
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
        return f"approved {quantity / 1e6:g}"
    failed = ", ".join(check.name for check in getattr(message, "failed", ()))
    return f"rejected ({failed})"


def compare(baseline: WhatIf, changed: WhatIf) -> dict[str, Any]:
    """How decisions and profit differ."""
    different: list[dict[str, str]] = []
    for key in dict.fromkeys([*baseline.decisions, *changed.decisions]):
        before, after = baseline.decisions.get(key, "no decision"), changed.decisions.get(key, "no decision")
        if before != after:
            at, _, instrument = key.partition("|")
            different.append({"at": at, "instrument": instrument, "baseline": before, "changed": after})
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


__all__ = ["Difference", "Replay", "WhatIf", "compare", "differing", "is_input", "skips_in"]
