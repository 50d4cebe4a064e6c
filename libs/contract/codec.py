"""Messages to bytes and back: msgpack, field names as keys, defaults left out.

Bytes are checked here, once, where they enter a process; inside it, a message is handed on as the object.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import msgpack
from pydantic import BaseModel, TypeAdapter, ValidationError

from libs.bounded import clip
from libs.contract.direct import reader_of
from libs.contract.plain import wire_fields
from proto.message import PAYLOAD_BYTES_MAX, Message
from proto.subjects import TABLE, model_of

REASON_CHARACTERS_MAX = 300
"""Of a refusal: a line in a log, a row and an alert."""
SHOWN_CHARACTERS_MAX = 60
"""Of the value that was refused."""
_SHOWN = (str, bytes, int, float, type(None))

Model = TypeVar("Model", bound=Message)


class Unreadable(ValueError):
    """A payload that is not what its subject promises; the reason is its text."""


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("expected each key once, was one twice")
    try:
        "".join(fields)
    except TypeError as e:
        raise ValueError("expected texts for keys, was bytes") from e
    return fields


def _no_extension(code: int, _: bytes) -> None:
    raise ValueError(f"expected no extension type, was {code}")


_pack: Final[Callable[[Message], bytes]] = msgpack.Packer(default=wire_fields).pack
_FIXMAP = 0x80
_FIELDS_SHORT_MAX = 15
_wide: Final = frozenset(row.model for row in TABLE if len(row.model.model_fields) > _FIELDS_SHORT_MAX)
"""Models whose map has a length of 16 bits however few fields are set: so their payloads have always been."""

_readers: Final = {row.model: read for row in TABLE if (read := reader_of(row.model)) is not None}
_validate: Final[dict[type[Message], Callable[[Any], Any]]] = {
    row.model: TypeAdapter(row.model).validator.validate_python for row in TABLE
}


def _is_flat(model: type[Message]) -> bool:
    """Whether no field of a model is a map or holds one."""
    kinds = [field.annotation for field in model.model_fields.values()]
    parts = [part for kind in kinds for part in (kind, get_origin(kind), *get_args(kind))]
    return not any(isinstance(part, type) and issubclass(part, BaseModel | dict) for part in parts)


_flat_fields: Final = {row.model: frozenset(row.model.model_fields) for row in TABLE if _is_flat(row.model)}
"""Models whose payload is one map of known keys, without a map in any of them, with these keys."""


def encode(message: Message) -> bytes:
    """Return the payload of a message. Equal messages give equal bytes."""
    payload = _pack(message)
    first = payload[0]
    if type(message) in _wide and _FIXMAP <= first <= _FIXMAP + _FIELDS_SHORT_MAX:
        return b"\xde\x00%c%b" % (first - _FIXMAP, payload[1:])
    return payload


def decode(subject: str, payload: bytes) -> Message:
    """Read a payload by its subject.

    Raises:
        Unreadable: for a subject that is not in the table, or a payload that does not fit its model.
    """
    model = model_of(subject)
    if model is None:
        raise Unreadable(f"expected a subject of the table, was {clip(subject, 120)!r}")
    message = decode_as(model, payload)
    if message.subject() != subject:
        raise Unreadable(f"expected subject {clip(message.subject(), 120)!r}, was {clip(subject, 120)!r}")
    return message


def decode_as(model: type[Model], payload: bytes) -> Model:
    """Read the payload of a message that must be of this model. Raises ``Unreadable`` as ``decode`` does."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise Unreadable(f"expected at most {PAYLOAD_BYTES_MAX} bytes, was {len(payload)}")
    read = _readers.get(model)
    if read is not None and (found := read(payload)) is not None:
        return cast("Model", found)
    return decode_by_model(model, payload)


def decode_by_model(model: type[Model], payload: bytes) -> Model:
    """Read a payload by its model alone, field by field: the verdict, and the words of a refusal."""
    try:
        message: Model = _validate[model](_fields_of(model, payload))
    except ValidationError as e:
        raise Unreadable(clip(f"{model.__name__}: {_first_fault(e)}", REASON_CHARACTERS_MAX)) from e
    except ValueError as e:
        reason = str(e) or type(e).__name__
        raise Unreadable(clip(f"{model.__name__}: {reason}", REASON_CHARACTERS_MAX)) from e
    return message


def _fields_of(model: type[Message], payload: bytes) -> Any:
    """Unpack a payload; no map in it may hold a key twice, or one that is no text. Raises ``ValueError``.

    Left alone are maps within what a longer row than ours ends with, which nobody reads.
    """
    # The unpacker keeps its own stack of a fixed size: its verdict does not depend on the caller's.
    known = _flat_fields.get(model)
    if known is not None and payload:
        fields = msgpack.unpackb(payload, ext_hook=_no_extension)
        # As many known keys as the map's first byte counts: none was there twice. A map as the value of one of
        # them fits no field. Looking at each pair costs half a microsecond, more than all the rest of a quote.
        if type(fields) is dict and payload[0] == _FIXMAP + len(fields) and fields.keys() <= known:
            return fields
    return msgpack.unpackb(payload, object_pairs_hook=_unique, ext_hook=_no_extension)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "payload"
    value = fault["input"]
    # Containers are not shown: they may be nested deeper than text can be made of.
    shown = clip(repr(value), SHOWN_CHARACTERS_MAX) if isinstance(value, _SHOWN) else type(value).__name__
    return f"{place}: {fault['msg']}, was {shown}"
