"""What a host is told, what it shows of itself, and what its shell puts on the tape."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from libs.machine.runner import Effect
from libs.tape.lease import Lease
from proto.message import Message


class Fact(NamedTuple):
    """A message of a shell: what it saw outside. ``cause`` is the input it answers, 0 for none."""

    message: Message
    cause: int = 0
    root: int = 0


BeforePublish = Callable[[Effect], Awaitable[Sequence[Fact]]]
"""Called before the outputs of a cause are published; what it returns is published after them."""


@dataclass
class HostSettings:
    """What a host needs to know besides its machines. ``tape`` is the id of the current epoch."""

    service: str
    tape: str
    state: Path
    build: str
    archive: Path | None = None
    """The folder of the tape's archive: a start from before the window reads it."""
    lockstep: bool = False
    adopt: tuple[str, ...] = ()
    adopt_to: int = 0
    """Sequence up to which an adopted machine takes the tape's word: the tape's end when the run began."""
    crash_point: Callable[[str], None] = lambda _: None
    """Called at named moments; fault tests end the process there."""


@dataclass
class HostState:
    """What a host shows of itself. ``live``: it has the tape, and has begun to speak.

    ``lease``: where several processes of the service run, the one of them that holds it speaks.
    """

    live: bool = False
    lease: Lease | None = None
    dead: int = 0
    retries: int = 0
    stored_to: int = 0
    refused: str = ""
    upgrade_refused: bool = False

    @property
    def speaks(self) -> bool:
        """Whether anything may be published now."""
        return self.live and (self.lease is None or self.lease.held)

    @property
    def term(self) -> int:
        """The term in which this process leads; 0 where there are no leases."""
        return 0 if self.lease is None else self.lease.term
