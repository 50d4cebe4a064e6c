"""The base of every message on the tape: bounded fields, checked when a message is made."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache, partial
from typing import (
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    get_args,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

PAYLOAD_BYTES_MAX = 256 * 1024
"""A message is a few hundred bytes; the largest is a configuration section. Far below the broker's 1 MiB."""
ROWS_MAX = 100
"""Levels, checks and the like in one message: three times what any has, and always below the payload's limit."""
INTEGER_MAX = 2**63 - 1
"""What a database's integer and every msgpack library hold."""

TEXT_CHARACTERS_MAX = 512
Text = Annotated[str, Field(title="Text", max_length=TEXT_CHARACTERS_MAX)]
"""Free text: bounded, because it ends up in logs, rows and terminals."""
NAME_CHARACTERS_MAX = 120
Name = Annotated[
    str,
    Field(title="Name", min_length=1, max_length=NAME_CHARACTERS_MAX),
]
"""An identifier: instrument, market, order, strategy."""
Integer = Annotated[int, Field(title="Integer", ge=-INTEGER_MAX - 1, le=INTEGER_MAX)]
"""A count or a figure in a unit of its own."""

_SPECIAL = re.compile(r"[\x00-\x20\x7f.*>%]")


class Word(StrEnum):
    """One of a few words. The wire carries the text of it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        words: dict[str, Any] = {**handler(source), "strict": False}
        return core_schema.chain_schema([core_schema.str_schema(strict=True), cast("CoreSchema", words)])

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema["steps"][1])


def _text_of(kind: type[Any]) -> str:
    """A docstring without its indentation, which newer Pythons leave out and older ones keep."""
    return "\n".join(line.strip() for line in (kind.__doc__ or "").strip().splitlines())


class _RowsSchema:
    """How ``Rows`` is checked: each row an array of as many items as its NamedTuple has fields.

    What a newer producer appends is ignored, what an older one does not say has its default.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        row = get_args(source)[0]
        items = []
        for name, annotation in get_type_hints(row, include_extras=True).items():
            item = handler.generate_schema(annotation)
            if name in row._field_defaults:
                item = core_schema.with_default_schema(item, default=row._field_defaults[name])
            items.append(item)

        made = core_schema.no_info_after_validator_function(
            partial(tuple.__new__, row), core_schema.tuple_schema(items, strict=False)
        )
        longer = core_schema.no_info_after_validator_function(
            lambda values: row._make(values[: len(items)]),
            core_schema.tuple_schema(
                [*items, core_schema.any_schema()], variadic_item_index=len(items), strict=False
            ),
            metadata={"pydantic_js_updates": {"title": row.__name__, "description": _text_of(row)}},
        )
        # The usual row costs no call of Python's; only a longer one is cut.
        either = core_schema.union_schema([(made, "row"), (longer, "row")], mode="left_to_right")
        return core_schema.tuple_schema([either], variadic_item_index=0, max_length=ROWS_MAX, strict=False)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        rows = handler(schema)
        rows["items"] = rows["items"]["anyOf"][1]
        return rows


Row = TypeVar("Row", bound=NamedTuple)
ROWS = _RowsSchema()
Rows = Annotated[tuple[Row, ...], ROWS]
"""Any number of rows of one kind; the wire carries each as an array, without the names of its fields."""


class Record(BaseModel):
    """A frozen map with known fields; those that have their default value are left out of the bytes."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    _defaults: ClassVar[tuple[tuple[str, Any], ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        fields = cls.model_fields.items()
        cls._defaults = tuple((name, field.default) for name, field in fields if not field.is_required())

    def wire_fields(self) -> dict[str, Any]:
        """What the wire carries: fields in their order, without those that have their default."""
        fields = self.__dict__.copy()
        for name, default in self._defaults:
            if fields[name] == default:
                del fields[name]
        return fields

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked like any other."""
        return type(self)(**(self.__dict__ | changes))


Parameters = ParamSpec("Parameters")
Made = TypeVar("Made", bound=Record)


def unchecked(model: Callable[Parameters, Made]) -> Callable[Parameters, Made]:
    """A constructor without checks, for a hot kind whose makers have the values within bounds already.

    What is read from bytes never comes this way. All fields without a default must be given.
    """
    assert isinstance(model, type)
    assert issubclass(model, Record)
    fields = {name: field.default for name, field in model.model_fields.items()}
    new = object.__new__
    # The four places of a model, set without looking each up by its name.
    put_fields, put_fields_set, put_extra, put_private = (
        BaseModel.__dict__[place].__set__
        for place in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
    )
    nothing_set: set[str] = set()

    def make(*_: Parameters.args, **values: Parameters.kwargs) -> Made:
        made = new(model)
        put_fields(made, {**fields, **values})
        put_fields_set(made, nothing_set)
        put_extra(made, None)
        put_private(made, None)
        return cast("Made", made)

    return make


class Message(Record):
    """An immutable fact, proposal, decision or command.

    ``kind`` is the first two tokens of the subject: producer and noun. ``key`` gives the rest.
    Fields that have their default value are left out of the payload, so adding a field with a default
    changes no old byte. Unknown fields are ignored: a newer producer does not stop an older reader.
    What is made can be read again: every field is bounded, and a value out of bounds raises
    ``pydantic.ValidationError`` where the message is made.
    """

    kind: ClassVar[str]

    def key(self) -> tuple[str, ...]:
        """The subject's tokens after ``kind``; empty when the subject is ``kind`` alone."""
        return ()

    def subject(self) -> str:
        """The subject this message is published on."""
        return ".".join((self.kind, *self.key()))


def as_integer(value: int) -> int:
    """The figure nearest to a computed one that a message can carry."""
    return min(max(value, -INTEGER_MAX - 1), INTEGER_MAX)


def as_text(text: str) -> str:
    """Any text, cut to what a message carries; what is no character (a lone surrogate) becomes ``?``."""
    return text[:TEXT_CHARACTERS_MAX].encode("utf-8", "replace").decode()


def as_name(text: str) -> str:
    """A name made of any text: cut like ``as_text``, and never empty."""
    if 0 < len(text) <= NAME_CHARACTERS_MAX and text.isascii():
        return text
    return as_text(text)[:NAME_CHARACTERS_MAX] or "unknown"


@lru_cache(maxsize=4096)
def token(text: str) -> str:
    """Escape one subject token: ``.``, ``*``, ``>``, ``%``, blanks and control characters become ``%XX``.

    Venue names may hold a dot (``FED-23DEC-T3.00``), which would split a subject; the broker refuses
    blanks and control characters.
    """
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", text)
