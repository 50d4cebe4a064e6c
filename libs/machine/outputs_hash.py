"""One hash over all outputs of the machines, comparable between runs on different tapes.

Order ids and message ids hold the tape's id and sequence numbers, which differ from run to run. Each is
replaced by its order of appearance, so that two runs that decided the same have the same hash.
"""

import hashlib
import re

import msgspec

from proto.ids import parse_message_id
from proto.subjects import MACHINE_ORDER


class OutputsHash:
    """Takes outputs in tape order; ``hexdigest`` at any time."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()
        self._names: dict[str, str] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._marks: dict[str, tuple[str, int, int]] = {}

    def add_record(self, message_id: str, subject: str, payload: bytes) -> None:
        """Take a stored message if it is a machine's output not seen before; others are ignored."""
        parsed = parse_message_id(message_id)
        if parsed is None or parsed.producer not in MACHINE_ORDER:
            return
        mark = self._marks.get(parsed.producer)
        place = (parsed.tape, parsed.cause, parsed.index)
        if mark is not None and mark[0] == parsed.tape and place <= mark:
            return
        self._marks[parsed.producer] = place
        self.add(parsed.tape, parsed.producer, subject, payload)

    def add(self, tape: str, machine: str, subject: str, payload: bytes) -> None:
        """Take one output of ``machine``."""
        self.count += 1
        content = msgspec.json.encode(msgspec.msgpack.decode(payload)).decode()
        pattern = self._patterns.get(tape)
        if pattern is None:
            escaped = re.escape(tape)
            pattern = re.compile(rf"{escaped}-\d+-\d+|{escaped}:\w+:\d+:\d+")
            self._patterns[tape] = pattern
        text = f"{machine}\x00{subject}\x00{content}\x00"
        self._hash.update(pattern.sub(self._rename, text).encode())

    def _rename(self, match: re.Match[str]) -> str:
        return self._names.setdefault(match.group(), f"#{len(self._names)}")

    def hexdigest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()
