"""Which recording is to be played next: sessions as the operator opened them on the tape."""

import json
from collections.abc import AsyncIterator
from typing import NamedTuple

from libs.contract.codec import Unreadable, decode
from libs.files import write_atomically
from libs.keys.signing import Verifier
from libs.machine.input_gate import InputGate, InputGateState
from libs.runtime.layout import StateLayout, decode_file
from libs.tape.connection import Link
from libs.tape.reader import TapeReader
from libs.tape.record import TapeRecord
from proto.message import Message
from proto.operator import Config, Session

WAIT_S = 0.2


class Opened(NamedTuple):
    """A session on the tape, its whole configuration read: the sequence it is complete at."""

    seq: int
    session: Session


async def opened_sessions(link: Link, verifier: Verifier, tape: str) -> AsyncIterator[Opened]:
    """Every verified session of this tape, in order; waits for the next one for ever."""
    reader = TapeReader(link, 0, filter_subject="operator.>")
    input_gate = InputGate(verifier, InputGateState())
    opening: Session | None = None
    missing = 0
    while True:
        for record in await reader.next_batch(WAIT_S):
            event = _verified(record, input_gate)
            if isinstance(event, Session):
                opening = event if event.tape == tape else None
                missing = event.config_count
            elif isinstance(event, Config):
                missing -= 1
            if opening is not None and missing <= 0:
                yield Opened(record.seq, opening)
                opening = None


def _verified(record: TapeRecord, input_gate: InputGate) -> Message | None:
    try:
        event = decode(record.subject, record.payload)
        return event if input_gate.accept(record, event) is not None else None
    except Unreadable:
        return None


class PlaybackProgress:
    """The counter at which each session's feed began: a restarted player goes on where it was."""

    def __init__(self, layout: StateLayout) -> None:
        self._path = layout.root / "feed.json"
        self._began: dict[str, int] = {}
        if self._path.exists():
            remedy = "put a copy back, or play into another --state: nothing tells what was played already"
            self._began = decode_file(self._path, dict[str, int], remedy)

    def begin(self, session: Session, counter: int) -> int:
        """The counter before the session's first message; fixed when it is first asked for."""
        known = self._began.get(session.nonce)
        if known is None:
            known = self._began[session.nonce] = counter
            write_atomically(self._path, json.dumps(self._began).encode())
        return known

    def finished(self, session: Session) -> bool:
        """Whether the session was played to its end."""
        return f"{session.nonce}.done" in self._began

    def finish(self, session: Session, counter: int) -> None:
        """Remember that the session was played to its end."""
        self._began[f"{session.nonce}.done"] = counter
        write_atomically(self._path, json.dumps(self._began).encode())
