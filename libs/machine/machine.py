"""The contract of a machine: a deterministic state machine without I/O.

A machine reads the tape in sequence order and emits messages. It knows no wall clock, randomness,
environment, file, socket or thread; ``now`` is on the tape. The lint proves what it can
(``tests/unit/project/test_purity.py`` and the import contracts), replay proves the rest.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from libs.contract.plain import decode_state, encode_state
from proto.message import Message

NOTHING: tuple[Message, ...] = ()
"""What a handler returns when it has nothing to say."""


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """Where and when an input stands on the tape.

    ``now`` is the session's time in nanoseconds after this input. ``verified`` says that the runner
    checked the signature of a message that must carry one (approvals, claims); it is true for kinds
    that carry none. ``message_id`` is the input's own id. ``is_doubtful``: the session's clock says another time.

    ``index`` is 0 for everything on a tape. A what-if puts messages between two of the tape's: they have the sequence of
    the one before and an index of their own, so that (``seq``, ``index``) rises and names every decision once.
    """

    seq: int
    now: int
    message_id: str = ""
    verified: bool = True
    is_doubtful: bool = False
    index: int = 0


State = TypeVar("State", bound=msgspec.Struct)


Handler = Callable[[Any, Stamp], Sequence[Message]]


class Machine(Protocol):
    """What runners need of a machine.

    ``version`` goes up when state or decisions change meaning. ``reads`` are the message classes it
    handles; a runner may skip all others.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def reads(self) -> tuple[type[Message], ...]: ...

    def on(self, event: Message, stamp: Stamp) -> Sequence[Message]:
        """Take one input; return the outputs it causes, in order."""
        ...

    def handler(self, kind: type[Message]) -> Handler:
        """What ``on`` calls for a message class, for runners that route by class; the same for ever."""
        ...

    def snapshot(self) -> bytes:
        """The whole state as bytes; ``restore`` of them gives the same outputs from here on."""
        ...

    def restore(self, state: bytes) -> None:
        """Replace the state by one that ``snapshot`` made. Raises ``msgspec.DecodeError`` if it cannot."""
        ...


class StateMachine(Generic[State]):
    """Base of the machines: state in one Struct, one handler a message class.

    A subclass sets ``name``, ``version``, passes its fresh state and fills ``handlers``.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def __init__(self, state: State) -> None:
        self.state = state
        self.handlers: dict[type[Message], Handler] = {}

    @property
    def reads(self) -> tuple[type[Message], ...]:
        return tuple(self.handlers)

    def on(self, event: Message, stamp: Stamp) -> Sequence[Message]:
        handler = self.handlers.get(type(event))
        return NOTHING if handler is None else handler(event, stamp)

    def handler(self, kind: type[Message]) -> Handler:
        return self.handlers[kind]

    def snapshot(self) -> bytes:
        return encode_state(self.state)

    def restore(self, state: bytes) -> None:
        self.state = decode_state(state, type(self.state))
