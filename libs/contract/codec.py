"""Messages to bytes and back: msgpack, field names as keys, defaults left out."""

import msgspec

from libs.contract.nesting import is_nested_deeper
from proto.message import Message
from proto.subjects import TABLE, model_of

PAYLOAD_BYTES_MAX = 256 * 1024
"""A message is a few hundred bytes; the largest is a configuration section. Far below the broker's 1 MiB."""

DEPTH_MAX = 400
"""Levels of nesting; ours have five. Far below what any caller's stack has room for, so that all agree;
a payload of so many bytes cannot have more, which spares the small ones the look."""

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Message], msgspec.msgpack.Decoder[Message]] = {
    row.model: msgspec.msgpack.Decoder(row.model) for row in TABLE
}


class Unreadable(ValueError):
    """A payload that is not what its subject promises; the reason is its text."""


def encode(message: Message) -> bytes:
    """The payload of a message. The same message always gives the same bytes."""
    return _encoder.encode(message)


def decode(subject: str, payload: bytes) -> Message:
    """Read a payload by its subject.

    Raises:
        Unreadable: for a subject that is not in the table, or a payload that does not fit its model.
    """
    model = model_of(subject)
    if model is None:
        raise Unreadable(f"expected a subject of the table, was {subject[:120]!r}")
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise Unreadable(f"expected at most {PAYLOAD_BYTES_MAX} bytes, was {len(payload)}")
    if len(payload) > DEPTH_MAX and is_nested_deeper(payload, DEPTH_MAX):
        raise Unreadable(f"{model.__name__}: expected at most {DEPTH_MAX} levels of nesting")
    try:
        message = _decoders[model].decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as e:
        raise Unreadable(f"{model.__name__}: {e}"[:300]) from e
    if message.subject() != subject:
        raise Unreadable(f"expected subject {message.subject()[:120]!r}, was {subject[:120]!r}")
    return message
