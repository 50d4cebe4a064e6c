"""Identifiers that carry their origin: message ids and order ids."""

from typing import NamedTuple


class MessageId(NamedTuple):
    """``{tape}:{producer}:{cause}:{index}``: the index-th output of a producer for one cause.

    For machines the cause is the tape sequence of the input; for shells it is their own counter.
    Either way (cause, index) only ever rises within a tape, which is what readers check.
    """

    tape: str
    producer: str
    cause: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    def __str__(self) -> str:
        return f"{self.tape}:{self.producer}:{self.cause}:{self.index}"


def parse_message_id(text: str) -> MessageId | None:
    """Read a message id; ``None`` if it is not of that form (operator messages, claims)."""
    parts = text.split(":")
    if len(parts) != 4 or not (parts[2].isdecimal() and parts[3].isdecimal()):
        return None
    return MessageId(parts[0], parts[1], int(parts[2]), int(parts[3]))


def order_id(tape: str, cause: int, index: int) -> str:
    """``{tape}-{cause seq}-{index}``: unique for ever, and it names the decision it came from."""
    return f"{tape}-{cause}-{index}"
