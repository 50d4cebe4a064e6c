"""From YAML as written to plain values, guided by the type of each parameter.

Values are taken from the text of the file, so that ``0.1`` becomes 100_000 millionths without ever having
been a float, and ``no`` is not a truth value where a name is wanted. The rules for an integer parameter:

- written with a decimal point (quoted or not), it is an amount and becomes millionths;
- a bare integer stays as it is, unless the parameter is an amount (``Meta(extra={"unit": "millionths"})``):
  then it must be written with a point, because ``1`` could mean 1.0 or one millionth;
- a parameter that counts (its name ends in ``_s``, ``_ms``, ``_count`` or the like) takes no point.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import msgspec.inspect as mi
import yaml

from libs.config.errors import DocumentError, RefusedValueError, SecretError, UnknownKeyError
from libs.config.wording import form_of, refuse_other_form
from proto.units import UnitError, parse, show

UNIT_MILLIONTHS = "millionths"
DEPTH_MAX = 8
"""Nesting of a document; ours have two levels, and an alias to itself would have no end."""

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)\Z")
_DECIMAL = re.compile(r"[+-]?[0-9]*\.[0-9]*\Z")
_COUNTING = re.compile(r"_(s|ms|us|ns|count|ticks|bytes|bps|seed|days|hours|minutes)(_min|_max)?\Z")
_SECRET_WORDS = frozenset(
    (
        "secret",
        "key",
        "apikey",
        "password",
        "passphrase",
        "passwd",
        "token",
        "private",
        "credential",
        "mnemonic",
    )
)
_SECRET_VALUES = re.compile(r"-----BEGIN|\bnk[A-Z2-7]{20}|\b(postgres|postgresql|nats)://[^/\s]*:[^/\s]*@")


class Place(NamedTuple):
    """Where a value stands: for error messages. ``in_file`` says whether lines mean something."""

    source: str
    path: tuple[str, ...] = ()
    in_file: bool = True

    def at(self, node: yaml.Node) -> str:
        """``config/risk.yaml:12: max_bet``, or the source alone where there is no file."""
        if not self.in_file:
            return self.source
        return f"{self.source}:{node.start_mark.line + 1}: {'.'.join(self.path) or 'the document'}"

    def below(self, key: str) -> "Place":
        return Place(self.source, (*self.path, key), self.in_file)


def compose(text: str, source: str) -> yaml.Node | None:
    """The nodes of a YAML text, or ``None`` for an empty one.

    Raises:
        DocumentError: when it is not YAML.
    """
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        line = f":{e.problem_mark.line + 1}" if e.problem_mark is not None else ""
        raise DocumentError(f"{source}{line}: expected YAML, was not: {e.problem}") from e
    except (yaml.YAMLError, RecursionError) as e:
        raise DocumentError(f"{source}: expected YAML, was not: {str(e)[:200]}") from e
    return node


def resolve(node: yaml.Node, wanted: mi.Type, place: Place) -> Any:
    """The plain value of a node for a parameter of type ``wanted``.

    Raises:
        ConfigError: one of its kinds, naming file, line and key.
    """
    if len(place.path) > DEPTH_MAX:
        raise DocumentError(f"{place.at(node)}: expected at most {DEPTH_MAX} levels, was more")
    form = form_of(wanted)
    wanted, millionths = _bare(wanted)
    if isinstance(wanted, mi.UnionType):
        return _resolve_union(node, wanted, place)
    if isinstance(node, yaml.MappingNode):
        return _resolve_mapping(node, wanted, place)
    if isinstance(node, yaml.SequenceNode):
        return [
            resolve(item, _item_type(wanted, index, item, place), place.below(str(index)))
            for index, item in enumerate(node.value)
        ]
    value = _resolve_scalar(node, wanted, place, millionths)
    if form and isinstance(wanted, mi.StrType):
        refuse_other_form(value, form, wanted, place.at(node))
    return value


def pairs(node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Key, its node and its value, each key once and none of them a secret's name."""
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        if not isinstance(key, str) or key == "<<":
            raise DocumentError(f"{place.at(key_node)}: expected a name as key, was something else")
        refuse_secret(key, place.below(key).at(key_node))
        if key in seen:
            raise DocumentError(
                f"{place.below(key).at(key_node)}: expected once, was also on line {seen[key]}"
            )
        seen[key] = key_node.start_mark.line + 1
        yield key, key_node, value_node


def refuse_secret(key: str, where: str) -> None:
    """Raise ``SecretError`` when a key is named like a secret."""
    if any(word in _SECRET_WORDS for word in re.split(r"[^a-z]+", key.lower())):
        raise SecretError(
            f"{where}: expected no secret in a configuration (it goes onto the tape), was named like one;"
            " secrets come from files or the environment"
        )


def unknown_key(key: str, known: list[str], where: str) -> UnknownKeyError:
    """The error for a key that no parameter has, with the nearest one that exists."""
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return UnknownKeyError(f"{where}: expected a known parameter, was {key[:60]!r}{hint}")


def is_amount(wanted: mi.Type, keys: tuple[str, ...]) -> bool:
    """Whether the parameter at ``keys`` counts millionths."""
    for key in keys:
        wanted = _bare(wanted)[0]
        if isinstance(wanted, mi.StructType):
            fields = [field for field in wanted.fields if field.encode_name == key]
            if not fields:
                return False
            wanted = fields[0].type
        elif isinstance(wanted, mi.ListType | mi.VarTupleType):
            wanted = wanted.item_type
        else:
            return False
    return _bare(wanted)[1]


def _bare(wanted: mi.Type) -> tuple[mi.Type, bool]:
    """The type without its annotations, and whether they say millionths."""
    millionths = False
    while isinstance(wanted, mi.Metadata):
        millionths = millionths or (wanted.extra or {}).get("unit") == UNIT_MILLIONTHS
        wanted = wanted.type
    return wanted, millionths


def _resolve_mapping(node: yaml.MappingNode, wanted: mi.Type, place: Place) -> dict[str, Any]:
    if isinstance(wanted, mi.StructType):
        fields = {field.encode_name: field.type for field in wanted.fields}
        result = {}
        for key, key_node, value_node in pairs(node, place):
            if key not in fields:
                raise unknown_key(key, list(fields), place.below(key).at(key_node))
            result[key] = resolve(value_node, fields[key], place.below(key))
        return result
    inner: mi.Type = wanted.value_type if isinstance(wanted, mi.DictType) else mi.AnyType()
    if not isinstance(wanted, mi.DictType | mi.AnyType):
        raise RefusedValueError(f"{place.at(node)}: expected {_name(wanted)}, was a mapping")
    return {key: resolve(value, inner, place.below(key)) for key, _, value in pairs(node, place)}


def _item_type(wanted: mi.Type, index: int, node: yaml.Node, place: Place) -> mi.Type:
    if isinstance(wanted, mi.ListType | mi.VarTupleType):
        return wanted.item_type
    if isinstance(wanted, mi.TupleType) and index < len(wanted.item_types):
        return wanted.item_types[index]
    if isinstance(wanted, mi.StructType) and wanted.array_like and index < len(wanted.fields):
        return wanted.fields[index].type
    if isinstance(wanted, mi.AnyType):
        return wanted
    raise RefusedValueError(f"{place.at(node)}: expected {_name(wanted)}, was a list or one item too many")


def _resolve_union(node: yaml.Node, wanted: mi.UnionType, place: Place) -> Any:
    nullable = any(isinstance(_bare(option)[0], mi.NoneType) for option in wanted.types)
    if nullable and _is_null(node):
        return None
    options = [option for option in wanted.types if not isinstance(_bare(option)[0], mi.NoneType)]
    error: RefusedValueError | None = None
    for option in options:
        try:
            return resolve(node, option, place)
        except RefusedValueError as e:
            error = e
    raise error or RefusedValueError(f"{place.at(node)}: expected nothing, was a value")


def _resolve_scalar(node: yaml.Node, wanted: mi.Type, place: Place, millionths: bool) -> Any:
    text: str = node.value
    if _SECRET_VALUES.search(text):
        raise SecretError(f"{place.at(node)}: expected no secret in a configuration, was one")
    if isinstance(wanted, mi.IntType):
        number = _integer(text, place.path[-1] if place.path else "", millionths, place.at(node))
        _refuse_outside(number, wanted, text, millionths, place.at(node))
        return number
    if isinstance(wanted, mi.BoolType):
        if text in ("true", "false"):
            return text == "true"
        raise RefusedValueError(f"{place.at(node)}: expected true or false, was {text[:40]!r}")
    if isinstance(wanted, mi.FloatType):
        return _float(text, place.at(node))
    if isinstance(wanted, mi.StrType):
        return text
    if isinstance(wanted, mi.EnumType | mi.LiteralType):
        return _choice(text, wanted, place.at(node))
    if isinstance(wanted, mi.AnyType):
        return _guess(node, place)
    raise RefusedValueError(f"{place.at(node)}: expected {_name(wanted)}, was {text[:40]!r}")


def _integer(text: str, key: str, millionths: bool, where: str) -> int:
    if _DECIMAL.match(text):
        if not millionths and _COUNTING.search(key):
            raise RefusedValueError(f"{where}: expected a whole number, was {text[:40]!r}")
        try:
            return parse(text)
        except UnitError as e:
            raise RefusedValueError(f"{where}: {e}") from e
    if not _INTEGER.match(text) or len(text) > len(str(1 << 63)):
        raise RefusedValueError(f"{where}: expected a number, was {text[:40]!r}")
    if millionths:
        raise RefusedValueError(
            f"{where}: expected an amount with a decimal point, was {text!r}: write {text}.0"
            f" (or {show(int(text))} for that many millionths)"
        )
    return int(text)


def _float(text: str, where: str) -> float:
    if not (_INTEGER.match(text) or _DECIMAL.match(text)) or not any(c.isdigit() for c in text):
        raise RefusedValueError(f"{where}: expected a plain number, was {text[:40]!r}")
    return float(text)


def _refuse_outside(number: int, wanted: mi.IntType, text: str, millionths: bool, where: str) -> None:
    low = wanted.ge if wanted.ge is not None or wanted.gt is None else wanted.gt + 1
    high = wanted.le if wanted.le is not None or wanted.lt is None else wanted.lt - 1
    write = show if millionths or _DECIMAL.match(text) else str
    if low is not None and number < low:
        raise RefusedValueError(f"{where}: expected at least {write(int(low))}, was {text[:40]}")
    if high is not None and number > high:
        raise RefusedValueError(f"{where}: expected at most {write(int(high))}, was {text[:40]}")


def _choice(text: str, wanted: mi.EnumType | mi.LiteralType, where: str) -> Any:
    """One of a few names or numbers."""
    choices: list[Any] = (
        [member.value for member in wanted.cls] if isinstance(wanted, mi.EnumType) else list(wanted.values)
    )
    for choice in choices:
        if str(choice) == text:
            return choice
    raise RefusedValueError(f"{where}: expected one of {', '.join(map(str, choices))}, was {text[:40]!r}")


def _guess(node: yaml.Node, place: Place) -> Any:
    """A value whose parameter has no type: YAML's own guess, decimals as millionths."""
    text: str = node.value
    if isinstance(node, yaml.ScalarNode) and node.style in ("'", '"'):
        return text
    if _is_null(node):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.match(text) or (_DECIMAL.match(text) and any(c.isdigit() for c in text)):
        return _integer(text, "", False, place.at(node))
    return text


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _name(wanted: mi.Type) -> str:
    """What to call a type in an error message."""
    if isinstance(wanted, mi.StructType | mi.DictType):
        return "a mapping"
    if isinstance(wanted, mi.ListType | mi.VarTupleType | mi.TupleType):
        return "a list"
    return {mi.IntType: "a number", mi.BoolType: "true or false", mi.StrType: "text"}.get(
        type(wanted), type(wanted).__name__.removesuffix("Type").lower()
    )


def type_of(params: type[msgspec.Struct]) -> mi.Type:
    """The type of a section, as ``resolve`` wants it."""
    return mi.type_info(params)
