"""Messages where something else than the wire holds them: a machine's state, a JSON document.

Both are written by msgspec, which knows no model: these are its hooks, and the only ones.
"""

from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel

from proto.message import Message, Record

State = TypeVar("State")


def wire_fields(value: Any) -> dict[str, Any]:
    """What stands for a message in bytes: its fields, without those that have their default.

    Other models (settings) stand with all their fields.
    """
    if isinstance(value, Record):
        return value.wire_fields()
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"expected a message or a model, was {type(value).__name__}")


def _model_of(kind: type[Any], fields: Any) -> Any:
    if issubclass(kind, BaseModel):
        return kind.model_validate(fields)
    raise TypeError(f"expected fields of a message or a model, was for {kind.__name__}")


encode_state = msgspec.msgpack.Encoder(enc_hook=wire_fields).encode
"""A machine's state with the messages it holds, as bytes."""


def decode_state(state: bytes, kind: type[State]) -> State:
    """Read what ``encode_state`` wrote. Raises ``msgspec.DecodeError`` for anything else."""
    return msgspec.msgpack.decode(state, type=kind, dec_hook=_model_of)


def to_document(message: Message) -> dict[str, Any]:
    """A message as texts, numbers, lists and maps; what JSON cannot say is written as text."""
    document: dict[str, Any] = msgspec.to_builtins(message.wire_fields(), enc_hook=_wire_or_text)
    return document


def _wire_or_text(value: Any) -> Any:
    return value.wire_fields() if isinstance(value, Record) else str(value)


to_json = msgspec.json.Encoder(enc_hook=wire_fields).encode
"""A message as JSON, field for field as on the wire."""
