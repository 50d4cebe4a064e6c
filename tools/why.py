"""Why: the causal chain of an order, a rejection, an exit, or any message of the tape."""

from dataclasses import dataclass
from typing import Any

import msgspec

from libs.machine.codec import Unreadable, decode
from libs.tape.record import TapeRecord
from proto.message import Message

LINKS_MAX = 64
"""Causes followed upwards; a decision has four or five."""
FOLLOWED_MAX = 500
"""Messages that follow from it, shown at the most."""


@dataclass
class Link:
    """One message of the chain."""

    record: TapeRecord
    message: Message | None
    role: str

    def document(self, previous_ns: int | None) -> dict[str, Any]:
        """As plain data, with the time since the link before in milliseconds."""
        payload = msgspec.to_builtins(self.message, enc_hook=str) if self.message is not None else None
        took = None if previous_ns is None else round((self.record.stored_at_ns - previous_ns) / 1e6, 3)
        return {
            "seq": self.record.seq,
            "role": self.role,
            "subject": self.record.subject,
            "message_id": self.record.message_id,
            "cause": self.record.cause or None,
            "root": self.record.root or None,
            "since_previous_ms": took,
            "payload": payload,
        }


class Tape:
    """The part of a tape that is not prices, indexed, with prices fetched when they are a cause."""

    def __init__(self) -> None:
        self.records: dict[int, TapeRecord] = {}
        self.by_order: dict[str, list[int]] = {}
        self.by_id: dict[str, int] = {}
        self.by_cause: dict[int, list[int]] = {}

    def add(self, record: TapeRecord) -> None:
        """Take one record."""
        self.records[record.seq] = record
        if record.message_id:
            self.by_id.setdefault(record.message_id, record.seq)
        if record.cause:
            self.by_cause.setdefault(record.cause, []).append(record.seq)
        if not record.subject.startswith("feed."):
            order = getattr(_read(record), "order", "")
            if order:
                self.by_order.setdefault(order, []).append(record.seq)

    def find(self, name: str) -> list[int]:
        """Sequences that ``name`` stands for: an order, a message id, a sequence, or a market's name."""
        if name in self.by_order:
            return self.by_order[name]
        if name in self.by_id:
            return [self.by_id[name]]
        if name.isdecimal() and int(name) in self.records:
            return [int(name)]
        return []

    def chain(self, name: str) -> list[Link]:
        """From the first cause to what followed, in tape order."""
        found = self.find(name)
        if not found:
            return []
        roles: dict[int, str] = dict.fromkeys(found, "asked for")
        for seq in found:
            self._causes(seq, roles)
        self._proposals(found, roles)
        self._consequences(found, roles)
        ordered = sorted(roles)[: LINKS_MAX + FOLLOWED_MAX]
        return [Link(self.records[s], _read(self.records[s]), roles[s]) for s in ordered if s in self.records]

    def _causes(self, seq: int, roles: dict[int, str]) -> None:
        for _ in range(LINKS_MAX):
            record = self.records.get(seq)
            if record is None or not record.cause:
                return
            seq = record.cause
            roles.setdefault(seq, "cause")

    def _proposals(self, found: list[int], roles: dict[int, str]) -> None:
        """The proposal an approval or rejection names, with its own causes."""
        for seq in found:
            proposal = getattr(_read(self.records[seq]), "proposal", "")
            if proposal in self.by_id:
                roles.setdefault(self.by_id[proposal], "proposal")
                self._causes(self.by_id[proposal], roles)

    def _consequences(self, found: list[int], roles: dict[int, str]) -> None:
        waiting = list(found)
        for _ in range(FOLLOWED_MAX):
            if not waiting:
                return
            for seq in self.by_cause.get(waiting.pop(), []):
                if seq not in roles:
                    roles[seq] = "consequence"
                    waiting.append(seq)


def _read(record: TapeRecord) -> Message | None:
    try:
        return decode(record.subject, record.payload)
    except Unreadable:
        return None


def document(links: list[Link]) -> list[dict[str, Any]]:
    """The chain as plain data."""
    out: list[dict[str, Any]] = []
    previous: int | None = None
    for link in links:
        out.append(link.document(previous))
        previous = link.record.stored_at_ns
    return out
