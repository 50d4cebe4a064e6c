"""What the operator says. Every message here is signed by an operator key, with nonce and expiry.

``expires_at`` is wall-clock time, compared with the broker's timestamp of the stored message, so that
a replay reaches the same verdict. A runner never hands an unsigned, expired or repeated one to a machine.
"""

from typing import Annotated, Any, ClassVar

import msgpack
from pydantic import AfterValidator, Field

from proto.message import PAYLOAD_BYTES_MAX, Integer, Message, Name, Text, Word, token
from proto.units import Nanoseconds


class Mode(Word):
    """How the session's time runs."""

    REALTIME = "realtime"
    PLAYBACK = "playback"


class ClockOwner(Word):
    """Who says what time it is: the monitor when live, the player in playback."""

    MONITOR = "monitor"
    FEED = "feed"


class Prices(Word):
    """Where a session's prices come from. No machine reads it; the gate before real money does."""

    UNKNOWN = "unknown"
    """Nobody can say: frames of a socket somebody named, or a session from before this was told."""
    REAL = "real"
    SANDBOX = "sandbox"
    SYNTHETIC = "synthetic"
    RECORDING = "recording"


class Session(Message):
    """Opens a session: now restarts at ``started_at``. ``halted``: a new epoch starts halted.

    ``config_count`` configuration sections follow right behind; a player waits for them.
    """

    kind: ClassVar[str] = "operator.session"

    tape: Name
    mode: Mode
    clock_owner: ClockOwner
    started_at: Nanoseconds
    nonce: Name
    expires_at: Nanoseconds
    recording: Text = ""
    halted: bool = False
    config_count: Integer = 0
    prices: Prices = Prices.UNKNOWN


DOCUMENT_BYTES_MAX = PAYLOAD_BYTES_MAX * 3 // 4
"""Of a section: what is left is enough for the message's other fields."""


def _as_read(document: dict[str, Any]) -> dict[str, Any]:
    """The document as its reader will see it, lists for tuples and texts for words."""
    try:
        packed: bytes = msgpack.packb(document)
        if len(packed) > DOCUMENT_BYTES_MAX:
            raise ValueError(f"expected at most {DOCUMENT_BYTES_MAX} bytes, was {len(packed)}")
        read: dict[str, Any] = msgpack.unpackb(packed)
    except (TypeError, OverflowError) as e:
        raise ValueError(f"expected what msgpack can carry, was {e}") from e
    return read


Document = Annotated[dict[str, Any], AfterValidator(_as_read), Field(title="Document")]
"""Settings by name: texts, numbers, lists and maps."""
Section = Annotated[str, Field(title="Section", min_length=1, max_length=120, pattern=r"^[^.]+(\.[^.]+)*$")]
"""Name of a section; its parts are tokens of a subject, so that none is empty."""


class Config(Message):
    """One resolved section of the configuration; machines read this, never a file."""

    kind: ClassVar[str] = "operator.config"

    section: Section
    document: Document
    nonce: Name
    expires_at: Nanoseconds

    def key(self) -> tuple[str, ...]:
        return tuple(token(part) for part in self.section.split("."))


class Verb(Word):
    """What an operator can command."""

    HALT = "halt"
    RESUME = "resume"
    CLOSE_ONLY = "close_only"
    APPROVE = "approve"
    DENY = "deny"
    SKIP = "skip"
    FLATTEN = "flatten"
    """Leave one position, or all."""
    ACCEPT = "accept"
    """Apply a proposed change; the monitor may take it back once within the hour."""
    REJECT = "reject"


class Command(Message):
    """A command: ``order`` for approve and deny, ``machine`` and ``seq`` for skip.

    ``close_only`` for resume: exits go again, and no entry does.
    ``instrument`` for flatten: empty leaves every position. ``proposal`` for accept and reject; accept says the change in
    full: ``path``, ``section_hash``, ``old`` and ``new`` as in the proposal's edit.
    """

    kind: ClassVar[str] = "operator.command"

    verb: Verb
    nonce: Name
    expires_at: Nanoseconds
    reason: Text = ""
    order: Text = ""
    machine: Text = ""
    seq: Integer = 0
    instrument: Text = ""
    proposal: Text = ""
    path: Text = ""
    section_hash: Text = ""
    old: Integer = 0
    new: Integer = 0
    close_only: bool = False

    def key(self) -> tuple[str, ...]:
        return (self.verb.value,)
