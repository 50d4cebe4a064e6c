"""Outputs of the unchanged machines behind the last one on the record: stored later, lost with the tail, or new.

A machine stores its outputs in order, and writes a snapshot only when all are stored. So an output can be lost only
behind both: there the machine was stopped before it had stored what it said. Anything else that the record does not
have is a difference.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tools.offline.what_if.recorded import RecordedTape

NOTHING_LIKE_IT = "the machine says {}, the tape has nothing like it"


class Where(NamedTuple):
    """Which output: of which epoch and machine, to which input, and which of that input's (zero-based)."""

    tape: str
    machine: str
    cause: int
    number: int

    @property
    def place(self) -> tuple[int, int]:
        return self.cause, self.number


class Unstored:
    """``settled``: machine → the sequence up to which all that it said is stored."""

    def __init__(self, recorded: RecordedTape, settled: Mapping[str, int]) -> None:
        self._recorded = recorded
        self._settled = settled
        self._found: dict[Where, tuple[str, bytes]] = {}

    def __contains__(self, where: Where) -> bool:
        return where in self._found

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, where: Where, subject: str, digest: bytes) -> None:
        """Note an output that the window does not have."""
        self._found[where] = subject, digest

    @property
    def is_decided(self) -> bool:
        """Whether every machine in question has spoken since: what was not stored until then never was."""
        last_place = self._recorded.last_place
        return all(last_place.get(where.machine, (0, 0)) >= where.place for where in self._found)

    def differences(self) -> Iterator[tuple[Where, str]]:
        """Outputs, with their subjects, that cannot have been lost and were not stored; in the order they were said."""
        for where, (subject, digest) in self._found.items():
            if not self._is_stored(where, digest) and not self._is_open(where):
                yield where, subject

    @property
    def lost(self) -> int:
        """How many were lost with the end of the record."""
        return sum(
            not self._is_stored(where, digest) and self._is_open(where)
            for where, (_, digest) in self._found.items()
        )

    def _is_stored(self, where: Where, digest: bytes) -> bool:
        stored = self._recorded.outputs_of(where.machine, where.tape, where.cause)
        return any(output.digest == digest for output in stored)

    def _is_open(self, where: Where) -> bool:
        spoken = self._recorded.last_place.get(where.machine, (0, 0))
        return where.place > spoken and where.cause > self._settled.get(where.machine, 0)
