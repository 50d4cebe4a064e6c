"""What every service, and the journal, says about itself."""

from typing import ClassVar

from proto.message import Message, Name, Text, token
from proto.units import Nanoseconds


class Started(Message, frozen=True, kw_only=True, gc=False):
    """A machine started: which build and version, under which configuration, from which sequence."""

    kind: ClassVar[str] = "started"

    service: Name
    machine: Name
    build: Text
    version: int
    from_seq: int
    config: Text = ""
    adopted: bool = False

    def subject(self) -> str:
        return f"{token(self.service)}.{self.kind}"


class Anchor(Message, frozen=True, kw_only=True, gc=False):
    """The head of the journal's hash chain: ``rows`` rows up to tape sequence ``seq`` end in ``head``."""

    kind: ClassVar[str] = "journal.anchor"

    day: Name
    seq: int
    rows: int
    head: Name
    at: Nanoseconds = 0
