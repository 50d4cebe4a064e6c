"""Hypothesis strategies for any message, made from its type information: every field, every bound."""

import functools
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from proto.message import Message

_SAFE_TEXT = st.characters(exclude_categories=["Cs"])  # lone surrogates are no UTF-8
_INT64 = 2**63 - 1
_SHORT = 24  # as long as a drawn text or list gets where its type allows much more


def messages(model: type[Message]) -> st.SearchStrategy[Message]:
    """Valid instances of ``model``."""
    return _struct(model)


@functools.cache
def _struct(model: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    fields = {field.name: _of(field.type) for field in info.fields}
    names = list(fields)
    return st.tuples(*fields.values()).map(
        lambda values: msgspec.convert(
            dict(zip(names, values, strict=True)) if not info.array_like else list(values), model, strict=True
        )
    )


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 (one return a kind of type)
    match info:
        case inspect.Metadata():
            return _of(info.type)
        case inspect.IntType():
            low = info.ge if info.ge is not None else -_INT64
            high = info.le if info.le is not None else _INT64
            return st.integers(int(low), int(high))
        case inspect.BoolType():
            return st.booleans()
        case inspect.StrType():
            longest = min(info.max_length or _SHORT, _SHORT)
            return st.text(_SAFE_TEXT, min_size=info.min_length or 0, max_size=longest)
        case inspect.BytesType():
            return st.binary(max_size=_SHORT)
        case inspect.NoneType():
            return st.none()
        case inspect.EnumType():
            return st.sampled_from(list(info.cls))
        case inspect.StructType():
            return _struct(info.cls)
        case inspect.UnionType():
            return st.one_of(*(_of(part) for part in info.types))
        case inspect.VarTupleType():
            return st.lists(_of(info.item_type), max_size=3).map(tuple)
        case inspect.DictType():
            return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=3)
        case inspect.AnyType():
            return st.recursive(
                st.none() | st.booleans() | st.integers(-_INT64, _INT64) | st.text(_SAFE_TEXT, max_size=8),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(_SAFE_TEXT, max_size=8), inner, max_size=3)
                ),
                max_leaves=6,
            )
    raise TypeError(f"expected a type that messages use, was {info!r}")
