"""Why: the causal chain of an order, a rejection, an exit, or any message of the tape."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from libs.contract.codec import Unreadable, decode
from libs.contract.plain import to_document
from libs.tape.record import TapeRecord
from libs.view.names import candidates, short_id
from proto.execution import Claim
from proto.message import Message
from proto.risk import Approval, Rejection

LINKS_MAX = 64
"""Causes followed upwards; a decision has four or five."""
FOLLOWED_MAX = 500
"""Messages that follow from it, shown at the most."""

Fetch = Callable[[int], AsyncIterator[TapeRecord]]
"""Reads one record of the tape by its sequence; nothing when the window no longer holds it."""


class SeveralMeant(ValueError):
    """What was asked for is the beginning of more than one name."""

    def __init__(self, name: str, meanings: Sequence[str]) -> None:
        super().__init__(f"expected one of the names that begin with {name!r}, was {candidates(meanings)}")


@dataclass
class CausalStep:
    """One message of the chain."""

    record: TapeRecord
    message: Message | None
    role: str

    def document(self, stored_at_ns: dict[int, int], previous_ns: int | None) -> dict[str, Any]:
        """As plain data, with the time since its cause and since the link before, in milliseconds."""
        record = self.record
        cause_ns = stored_at_ns.get(record.cause)
        return {
            "seq": record.seq,
            "role": self.role,
            "subject": record.subject,
            "message_id": record.message_id,
            "stored_at": record.stored_at_ns,
            "cause": record.cause or None,
            "root": record.root or None,
            "since_cause_ms": _milliseconds(cause_ns, record.stored_at_ns),
            "since_previous_ms": _milliseconds(previous_ns, record.stored_at_ns),
            "payload": _plain(self.message),
        }


def _milliseconds(since_ns: int | None, until_ns: int) -> float | None:
    return None if since_ns is None else round((until_ns - since_ns) / 1e6, 3)


def _plain(message: Message | None) -> Any:
    if message is None:
        return None
    plain = to_document(message)
    if isinstance(message, Claim):
        # The approval as it was signed: shown where it stands itself, here only how long it is.
        plain["payload"] = f"{len(message.payload)} bytes, the approval as it was signed"
    return plain


class Tape:
    """Everything on a tape but prices, indexed; a price is fetched when it is a cause."""

    def __init__(self) -> None:
        self.records: dict[int, TapeRecord] = {}
        self.by_order: dict[str, list[int]] = {}
        self.by_id: dict[str, int] = {}
        self.by_cause: dict[int, list[int]] = {}
        self.by_market: dict[str, int] = {}
        self.labels: dict[str, str] = {}
        """Market or instrument → its name for people."""

    def add(self, record: TapeRecord) -> None:
        """Take one record."""
        if record.subject.startswith("feed."):
            return
        self._remember(record)
        if record.message_id:
            self.by_id.setdefault(record.message_id, record.seq)
        if record.cause:
            self.by_cause.setdefault(record.cause, []).append(record.seq)
        message = _read(record)
        order = getattr(message, "order", "")
        if order:
            self.by_order.setdefault(order, []).append(record.seq)
        if isinstance(message, Approval | Rejection):
            for name in (message.market, message.instrument):
                self.by_market[name] = record.seq

    def _remember(self, record: TapeRecord) -> None:
        self.records[record.seq] = record

    async def sequences_of(self, name: str, fetch: Fetch) -> list[int]:
        """Sequences that ``name`` stands for.

        It is an order (also without the tape's part of its id), a message id, a sequence, a market or instrument
        by its id or as the view names it (its newest decision), or the beginning of one of these.

        Raises:
            SeveralMeant: it is the beginning of more than one.
        """
        named = self._names()
        exact = named.get(name.casefold())
        if exact is not None:
            return exact[1]
        if name.isdecimal() and name.isascii():
            return [int(name)] if await self._held(int(name), fetch) else []
        begun = sorted(key for key in named if key.startswith(name.casefold()))
        # A market's name begins those of its instruments: then the market is meant.
        whole = [
            key for at, key in enumerate(begun) if not any(key.startswith(short) for short in begun[:at])
        ]
        meanings = {tuple(named[key][1]): named[key][0] for key in whole}
        if len(meanings) > 1:
            raise SeveralMeant(name, sorted(meanings.values()))
        return list(next(iter(meanings), ()))

    def _names(self) -> dict[str, tuple[str, list[int]]]:
        """What may be typed, in small letters → as it is shown, and the sequences it stands for."""
        found: dict[str, tuple[str, list[int]]] = {}
        for message_id, seq in self.by_id.items():
            found[message_id.casefold()] = (message_id, [seq])
        for market, seq in self.by_market.items():
            for name in (market, market.partition(":")[2], self.labels.get(market, "")):
                if name and found.get(name.casefold(), ("", [0]))[1][-1] <= seq:
                    found[name.casefold()] = (name, [seq])
        for order, seqs in self.by_order.items():
            found[short_id(order)] = (short_id(order), seqs)
            found[order.casefold()] = (order, seqs)
        return found

    async def _held(self, seq: int, fetch: Fetch) -> bool:
        """Whether the record is here, fetched if need be."""
        if seq not in self.records:
            async for record in fetch(seq):
                if record.seq == seq:
                    self._remember(record)
        return seq in self.records

    async def chain(self, name: str, fetch: Fetch) -> list[CausalStep]:
        """From the first cause to what followed, in tape order."""
        found = await self.sequences_of(name, fetch)
        roles: dict[int, str] = dict.fromkeys(found, "asked for")
        for seq in found:
            await self._causes(seq, roles, fetch)
        for seq in found:
            proposal = self.by_id.get(getattr(_read(self.records[seq]), "proposal", ""))
            if proposal is not None:
                roles.setdefault(proposal, "proposal")
                await self._causes(proposal, roles, fetch)
        self._consequences(found, roles)
        ordered = sorted(roles)[: LINKS_MAX + FOLLOWED_MAX]
        return [CausalStep(self.records[s], _read(self.records[s]), roles[s]) for s in ordered]

    async def _causes(self, seq: int, roles: dict[int, str], fetch: Fetch) -> None:
        for _ in range(LINKS_MAX):
            cause = self.records[seq].cause
            if not cause or not await self._held(cause, fetch):
                return
            seq = cause
            roles.setdefault(seq, "cause")

    def _consequences(self, found: Sequence[int], roles: dict[int, str]) -> None:
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


def document(links: Sequence[CausalStep]) -> list[dict[str, Any]]:
    """The chain as plain data."""
    out: list[dict[str, Any]] = []
    stored = {link.record.seq: link.record.stored_at_ns for link in links}
    previous: int | None = None
    for link in links:
        out.append(link.document(stored, previous))
        previous = link.record.stored_at_ns
    return out
