"""Clock, health, alerts and dead letters."""

from typing import Annotated, ClassVar

from pydantic import Field

from proto.message import Integer, Message, Name, Text, Word, token
from proto.units import Nanoseconds

DEAD_EXCERPT_BYTES_MAX = 256
"""How much of an unreadable payload is kept: enough to recognise it, too little to fill a disk."""


class Clock(Message):
    """The time, once a second, in a live session."""

    kind: ClassVar[str] = "monitor.clock"

    at: Nanoseconds


class Severity(Word):
    """How soon somebody has to look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Alert(Message):
    """Something an operator must know. ``active=False`` says that it is over."""

    kind: ClassVar[str] = "monitor.alert"

    rule: Name
    severity: Severity
    topic: Text
    text: Text
    active: bool = True

    def key(self) -> tuple[str, ...]:
        return (token(self.rule),)


class ServiceState(Word):
    """How a service is."""

    STARTING = "starting"
    LIVE = "live"
    STOPPED = "stopped"
    REFUSED = "refused"
    MISSING = "missing"


class Health(Message):
    """A service's health changed, as its health report or its absence showed."""

    kind: ClassVar[str] = "monitor.health"

    service: Name
    state: ServiceState
    detail: Text = ""
    position: Integer = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.service),)


class Dead(Message):
    """Unreadable input, with the reason; ``seq`` is its tape sequence, 0 for a raw frame.

    ``count`` is how many like it were seen since the last one reported: reports are limited in rate.
    """

    kind: ClassVar[str] = "monitor.dead"

    producer: Name
    reason: Text
    seq: Integer = 0
    topic: Text = ""
    excerpt: Annotated[bytes, Field(max_length=DEAD_EXCERPT_BYTES_MAX)] = b""
    count: Integer = 1

    def key(self) -> tuple[str, ...]:
        return (token(self.producer),)
