"""One stored message of the tape."""

import hashlib
from typing import NamedTuple

from proto.ids import parse_number

ID_HEADER = "Nats-Msg-Id"
CAUSE_HEADER = "cause"
ROOT_HEADER = "root"
BUILD_HEADER = "build"
SIGNATURE_HEADER = "sig"
KEY_ID_HEADER = "kid"


class TapeRecord(NamedTuple):
    """A message as the broker stored it. ``stored_at_ns`` is the broker's own clock."""

    seq: int
    subject: str
    headers: dict[str, str]
    payload: bytes
    stored_at_ns: int

    @property
    def message_id(self) -> str:
        """The producer's id of this message; empty for claims and foreign messages."""
        return self.headers.get(ID_HEADER, "")

    @property
    def cause(self) -> int:
        """Tape sequence of the input that caused this message; 0 when a shell took it in."""
        return parse_number(self.headers.get(CAUSE_HEADER, "")) or 0

    @property
    def root(self) -> int:
        """Tape sequence of the first cause in the chain; 0 when this message is itself the first."""
        return parse_number(self.headers.get(ROOT_HEADER, "")) or 0

    def digest(self) -> str:
        """Hash of content and place, kept in snapshots to recognise the tape they belong to."""
        head = f"{self.seq}\x00{self.subject}\x00{self.message_id}\x00".encode()
        return hashlib.sha256(head + self.payload).hexdigest()
