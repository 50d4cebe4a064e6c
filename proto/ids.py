"""Identifiers that carry their origin: message ids and order ids."""

from functools import partial
from hashlib import sha256
from typing import NamedTuple

from proto.message import NAME_CHARACTERS_MAX

DIGITS_MAX = 18
"""Of a sequence or an index: below 10**18 it fits a database's integer and a snapshot's."""

_DIGEST_CHARACTERS = 40


def parse_number(text: str) -> int | None:
    """Read a sequence number out of an id or a header; ``None`` for anything else, however long."""
    return int(text) if len(text) <= DIGITS_MAX and text.isdecimal() and text.isascii() else None


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


_message_id_of = partial(tuple.__new__, MessageId)


def parse_message_id(text: str) -> MessageId | None:
    """Read a message id; ``None`` if it is not of that form (operator messages, claims)."""
    parts = text.split(":")
    if len(parts) != 4:
        return None
    cause, index = parse_number(parts[2]), parse_number(parts[3])
    if cause is None or index is None:
        return None
    return _message_id_of((parts[0], parts[1], cause, index))


def venue_of(name: str) -> str:
    """The venue of a market or an instrument: what stands before the first colon."""
    return name.partition(":")[0]


def natural_key(*parts: str) -> str:
    """Parts joined by colons to the name of a fact; of too long a key, the end is replaced by its hash."""
    text = ":".join(parts)
    if len(text) <= NAME_CHARACTERS_MAX:
        return text
    digest = sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{text[: NAME_CHARACTERS_MAX - _DIGEST_CHARACTERS - 1]}:{digest}"


def order_id(tape: str, cause: int, index: int) -> str:
    """``{tape}-{cause seq}-{index}``: unique for ever, and it names the decision it came from."""
    return f"{tape}-{cause}-{index}"
