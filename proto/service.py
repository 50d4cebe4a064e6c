"""What every service, and the journal, says about itself."""

from typing import ClassVar

from proto.message import Integer, Message, Name, Text, token
from proto.units import Nanoseconds


class Started(Message):
    """A machine started: which build and version, under which configuration, from which sequence."""

    kind: ClassVar[str] = "started"

    service: Name
    machine: Name
    build: Text
    version: Integer
    from_seq: Integer
    config: Text = ""
    adopted: bool = False

    def subject(self) -> str:
        return f"{token(self.service)}.{self.kind}"


class Anchor(Message):
    """The head of the journal's hash chain: ``rows`` rows up to tape sequence ``seq`` end in ``head``."""

    kind: ClassVar[str] = "journal.anchor"

    day: Name
    seq: Integer
    rows: Integer
    head: Name
    at: Nanoseconds = 0
