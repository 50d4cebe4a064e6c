"""Hypothesis strategies for any message, made from its type information: every field, every bound."""

import functools
import types
import typing
from enum import Enum
from typing import Annotated, Any

from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proto.message import ROWS_MAX, Message

_SAFE_TEXT = st.characters(exclude_categories=["Cs"])  # lone surrogates are no UTF-8
_INT64 = 2**63 - 1
_SHORT = 24  # as long as a drawn text or list gets where its type allows much more

_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-_INT64, _INT64) | st.text(_SAFE_TEXT, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(_SAFE_TEXT, max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def messages(model: type[Message]) -> st.SearchStrategy[Message]:
    """Valid instances of ``model``."""
    return _record(model)


def fields_of(thing: type[Any]) -> dict[str, Any]:
    """Names and annotations of a model's or a row's fields."""
    hints = typing.get_type_hints(thing, include_extras=True)
    names = thing.model_fields if issubclass(thing, BaseModel) else thing._fields
    return {name: hints[name] for name in names}


def bounds_of(extras: typing.Iterable[Any]) -> dict[str, Any]:
    """The bounds that annotations state, by the names pydantic gives them."""
    parts = [part for extra in extras if isinstance(extra, FieldInfo) for part in extra.metadata]
    names = ("ge", "le", "min_length", "max_length", "pattern")
    return {name: getattr(part, name) for part in parts for name in names if hasattr(part, name)}


@functools.cache
def _record(model: type[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({name: _of(kind) for name, kind in fields_of(model).items()}).map(
        lambda values: model(**values)
    )


def _of(annotation: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _plain(arguments[0], bounds_of(arguments[1:]))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(_of(part) for part in arguments))
    return _plain(annotation, {})


def _plain(kind: Any, bounds: dict[str, Any]) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 (one a kind)
    if typing.get_origin(kind) is tuple:
        return st.lists(_of(typing.get_args(kind)[0]), max_size=min(3, ROWS_MAX)).map(tuple)
    if typing.get_origin(kind) is dict:
        return st.dictionaries(st.text(_SAFE_TEXT, max_size=_SHORT), _ANYTHING, max_size=3)
    if kind is type(None):
        return st.none()
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(bounds["ge"], bounds["le"])
    if kind is bytes:
        return st.binary(max_size=min(_SHORT, bounds["max_length"]))
    if kind is str and "pattern" in bounds:
        texts = st.from_regex(bounds["pattern"], fullmatch=True, alphabet=_SAFE_TEXT)
        return texts.filter(lambda text: len(text) <= bounds["max_length"])
    if kind is str:
        longest = min(_SHORT, bounds["max_length"])
        return st.text(_SAFE_TEXT, min_size=bounds.get("min_length", 0), max_size=longest)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if issubclass(kind, BaseModel | tuple):
        return _record(kind)
    raise TypeError(f"expected a type that messages use, was {kind!r}")
