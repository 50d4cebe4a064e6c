"""What the operator says. Every message here is signed by an operator key, with nonce and expiry.

``expires_at`` is wall-clock time, compared with the broker's timestamp of the stored message, so that
a replay reaches the same verdict. A runner never hands an unsigned, expired or repeated one to a machine.
"""

from enum import StrEnum
from typing import Any, ClassVar

from proto.message import Message, Name, Text, token
from proto.units import Nanoseconds


class Mode(StrEnum):
    """How the session's time runs."""

    REALTIME = "realtime"
    PLAYBACK = "playback"


class ClockOwner(StrEnum):
    """Who says what time it is: the monitor when live, the player in playback."""

    MONITOR = "monitor"
    FEED = "feed"


class Prices(StrEnum):
    """Where a session's prices come from. No machine reads it; the gate before real money does."""

    UNKNOWN = "unknown"
    """Nobody can say: frames of a socket somebody named, or a session from before this was told."""
    REAL = "real"
    SANDBOX = "sandbox"
    SYNTHETIC = "synthetic"
    RECORDING = "recording"


class Session(Message, frozen=True, kw_only=True, gc=False):
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
    config_count: int = 0
    prices: Prices = Prices.UNKNOWN


class Config(Message, frozen=True, kw_only=True):
    """One resolved section of the configuration; machines read this, never a file."""

    kind: ClassVar[str] = "operator.config"

    section: Name
    document: dict[str, Any]
    nonce: Name
    expires_at: Nanoseconds

    def key(self) -> tuple[str, ...]:
        return tuple(token(part) for part in self.section.split("."))


class Verb(StrEnum):
    """What an operator can command."""

    HALT = "halt"
    RESUME = "resume"
    CLOSE_ONLY = "close_only"
    APPROVE = "approve"
    DENY = "deny"
    SKIP = "skip"


class Command(Message, frozen=True, kw_only=True, gc=False):
    """A command: ``order`` for approve and deny, ``machine`` and ``seq`` for skip."""

    kind: ClassVar[str] = "operator.command"

    verb: Verb
    nonce: Name
    expires_at: Nanoseconds
    reason: Text = ""
    order: Text = ""
    machine: Text = ""
    seq: int = 0

    def key(self) -> tuple[str, ...]:
        return (self.verb.value,)
