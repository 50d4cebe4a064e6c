"""What a normaliser makes of a frame, as a test takes it: each message for what it must be."""

from typing import Any, Protocol

from proto.message import Message


class Normaliser(Protocol):
    """As ``libs/venues/normaliser.py`` has it."""

    def normalise(self, frame: bytes, at: int, /) -> list[Message]: ...

    def tick(self, at: int, /) -> list[Message]: ...


def normalised(normaliser: Normaliser, frame: bytes, at: int) -> list[Any]:
    """The messages of one frame. One that is of another kind has not the fields that are asked for: the test fails."""
    return list(normaliser.normalise(frame, at))


def ticked(normaliser: Normaliser, at: int) -> list[Any]:
    """The same of time alone."""
    return list(normaliser.tick(at))
