"""What a key takes, as its model declares it: needed to read text by, and to word what is wrong with it."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from libs.config.section import FORM_KEY
from proto.units import UNIT_KEY, UNIT_MILLIONTHS

Path = tuple[str | int, ...]
"""Keys and indices from the top of a section to a value."""


class Wanted(NamedTuple):
    """A type without its annotations, what these say besides (unit, form), and whether null will do too."""

    kind: Any
    extra: Mapping[str, Any] = {}
    is_nullable: bool = False

    @property
    def is_amount(self) -> bool:
        """Whether it counts millionths."""
        return self.extra.get(UNIT_KEY) == UNIT_MILLIONTHS

    @property
    def form(self) -> str:
        """What its form is in words; empty when it has none."""
        return str(self.extra.get(FORM_KEY, ""))

    @property
    def model(self) -> type[BaseModel] | None:
        """The model it is, if it is one."""
        is_model = isinstance(self.kind, type) and issubclass(self.kind, BaseModel)
        return self.kind if is_model else None

    def below(self, key: str | int) -> "Wanted":
        """What the value at a key or an index is wanted to be; anything where nothing is declared."""
        if self.model is not None:
            field = self.model.model_fields.get(str(key))
            return ANYTHING if field is None else wanted_of(field.annotation, _extra_of(field))
        arguments = get_args(self.kind)
        if get_origin(self.kind) is dict:
            return wanted_of(arguments[1])
        if get_origin(self.kind) is tuple and arguments[-1:] != (...,):
            inside = isinstance(key, int) and key < len(arguments)
            return wanted_of(arguments[int(key)]) if inside else ANYTHING
        if get_origin(self.kind) in (tuple, list):
            return wanted_of(arguments[0])
        return ANYTHING


ANYTHING = Wanted(Any)


def wanted_of(annotation: Any, extra: Mapping[str, Any] | None = None) -> Wanted:
    """Take the annotations off a type, and ``| None`` where one other type remains."""
    said = dict(extra or {})
    is_nullable = False
    while True:
        arguments = get_args(annotation)
        if get_origin(annotation) is Annotated:
            annotation, *notes = arguments
            for note in notes:
                if isinstance(note, FieldInfo):
                    said |= _extra_of(note)
        elif get_origin(annotation) in (Union, UnionType) and NoneType in arguments and len(arguments) == 2:
            annotation = next(option for option in arguments if option is not NoneType)
            is_nullable = True
        else:
            return Wanted(annotation, said, is_nullable)


def _extra_of(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def former_names(model: type[BaseModel]) -> dict[str, str]:
    """Former name of a key → its name today."""
    return {
        field.validation_alias: name
        for name, field in model.model_fields.items()
        if isinstance(field.validation_alias, str)
    }
