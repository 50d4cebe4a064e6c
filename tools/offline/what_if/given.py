"""What the branches of a what-if are given: the record as the gate let it through, and what holds for all of them."""

from typing import NamedTuple

from libs.machine.machine import Stamp
from libs.tape.record import TapeRecord
from proto.message import Message
from tools.exit_codes import NothingDone
from tools.offline.what_if.recorded import RecordedTape
from tools.offline.what_if.unstored import Unstored


class Departure(NamedTuple):
    """Where a branch says something else than the tape."""

    seq: int
    machine: str
    text: str


class MachineRaised(NothingDone):
    """A machine of a branch stopped at an input; ``seq`` is that input's."""

    def __init__(self, machine: str, seq: int, text: str) -> None:
        super().__init__(f"expected the machines to go on, but {machine} stopped at {seq}: {text}")
        self.machine = machine
        self.seq = seq


class Input(NamedTuple):
    """A record as the gate let it through. ``machine``: whose output it is; empty for what comes from outside."""

    record: TapeRecord
    event: Message
    stamp: Stamp
    machine: str = ""
    is_repeated: bool = False


class Rules(NamedTuple):
    """What holds for every branch of a what-if.

    ``unstored``: outputs of the unchanged machines behind the last one that each has on the record; the baseline finds
    them if it ``must_agree`` with the record.
    """

    recorded: RecordedTape
    forked_at: int
    """The last sequence that all branches share."""
    is_live: bool
    """Whether the record's orders went to real venues; on a branch they go to the paper venue."""
    must_agree: bool
    held_at_fork: frozenset[str]
    """Instruments."""
    skipping: frozenset[tuple[str, int]]
    """Inputs that a machine was told to leave out."""
    unstored: Unstored
