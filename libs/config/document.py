"""From the text of a YAML file to plain values, exactly as written, and where each of them stands.

Values are taken from the text of the file and read by the type that the model wants, so that ``0.1`` becomes
100_000 millionths without ever having been a float, and ``no`` is not a truth value where a name is wanted. Text
that cannot be read that way stays text: the model refuses it, and ``libs/config/wording.py`` says why.
"""

import re
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import yaml

from libs.bounded import clip
from libs.config.errors import ConfigError, Problem
from libs.config.wanted import Path, Wanted, former_names, wanted_of
from proto.units import UnitError, parse

DEPTH_MAX = 8
"""Nesting of a document; ours have two levels, and an alias to itself would have no end."""
INTEGER_CHARACTERS_MAX = 20
"""As many as a signed integer of 64 bits can have."""

INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)\Z")
DECIMAL = re.compile(r"[+-]?(?=\.?[0-9])[0-9]*\.[0-9]*\Z")
_SECRET_WORDS = frozenset(
    "secret key apikey password passphrase passwd token private credential mnemonic".split()
)
_SECRET_VALUES = re.compile(r"-----BEGIN|\bnk[A-Z2-7]{20}|\b(postgres|postgresql|nats)://[^/\s]*:[^/\s]*@")


class Document:
    """What stands in one file, or in the ``--set`` of one section, and what was wrong with it so far.

    Attributes:
        source: what to call it in a problem; lines mean something unless it is ``within`` a section.
        problems: what reading refused; validation adds to it.
        lines: path → line of the key or item; ``texts``: path → the text of a value.
    """

    def __init__(self, source: str, within: str = "") -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}
        self.texts: dict[Path, str] = {}
        self._within = within
        self._refused: set[Path] = set()
        self._paths: list[Path] = []

    def refuse(self, path: Path, text: str) -> None:
        """Add a problem with the value at a path, or the nearest above it that has a line."""
        near = next((path[:n] for n in range(len(path), -1, -1) if path[:n] in self.lines), ())
        line = 0 if self._within else self.lines.get(near, 0)
        key = ".".join([*filter(None, [self._within]), *map(str, path)])
        self.problems.append(Problem(self.source, line, key, text))
        self._refused.add(path)
        self._paths.append(path)

    def entries_refused(self, key: str) -> dict[int, Problem]:
        """The entries of the list at a key that something is wrong with: index → the first thing that is."""
        found: dict[int, Problem] = {}
        for path, problem in zip(self._paths, self.problems, strict=True):
            if len(path) > 1 and path[0] == key and isinstance(path[1], int):
                found.setdefault(path[1], problem)
        return found

    def forgive(self, key: str) -> None:
        """Take back what was wrong with entries of the list at a key: they are left out."""
        kept = [
            (path, problem)
            for path, problem in zip(self._paths, self.problems, strict=True)
            if path[:1] != (key,) or len(path) == 1
        ]
        self._paths, self.problems = [path for path, _ in kept], [problem for _, problem in kept]
        self._refused = set(self._paths)

    def is_refused(self, path: Path) -> bool:
        """Whether a value, or what it stands in, was refused."""
        return any(path[:n] in self._refused for n in range(1, len(path) + 1))

    def has_refused_key(self, path: Path, holder: Wanted) -> bool:
        """Refuse a key that is named like a secret, or by a former name; say whether it was."""
        key = str(path[-1])
        former = {} if holder.model is None else former_names(holder.model)
        if any(word in _SECRET_WORDS for word in re.split(r"[^a-z]+", key.lower())):
            self.refuse(
                path,
                "expected no secret in a configuration (it goes onto the tape), was named like one;"
                " secrets come from files or the environment",
            )
        elif key in former:
            self.refuse(path, f"expected the key {former[key]}, was its former name")
        else:
            return False
        return True

    def read(self, node: yaml.Node, wanted: Wanted, path: Path = ()) -> Any:
        """Read the plain value of a node; what is wrong with it becomes a problem."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > DEPTH_MAX:
            self.refuse(path[:1], f"expected at most {DEPTH_MAX} levels, was more")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, wanted, path)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.read(item, wanted.below(index), (*path, index)) for index, item in enumerate(node.value)
            ]
        return self._scalar(node, wanted, path)

    def _mapping(self, node: yaml.MappingNode, wanted: Wanted, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key == "<<" or not _is_unicode(key):
                self.lines[(*path, "?")] = line
                self.refuse((*path, "?"), "expected a name as key, was something else")
                continue
            below = (*path, key)
            before = self.lines.get(below)
            self.lines[below] = line
            if before is not None:
                self.refuse(below, f"expected once, was also on line {before}")
            elif not self.has_refused_key(below, wanted):
                result[key] = self.read(value_node, wanted.below(key), below)
        return result

    def _scalar(self, node: yaml.Node, wanted: Wanted, path: Path) -> Any:
        text: str = node.value
        if _SECRET_VALUES.search(text):
            self.refuse(path, "expected no secret in a configuration, was one")
            return None
        if not _is_unicode(text):
            self.refuse(path, "expected text, was half a character")
            return None
        self.texts[path] = text
        is_null = node.tag == "tag:yaml.org,2002:null"
        if wanted.kind is Any:
            return _guess(node, is_null)
        return None if is_null and wanted.is_nullable else _value(text, wanted)


def compose(text: str, source: str) -> yaml.Node | None:
    """Parse a YAML text into nodes; ``None`` for an empty one.

    Raises:
        ConfigError: when it is not YAML.
    """
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark is not None else 0
        raise ConfigError([Problem(source, line, "", f"expected YAML, was not: {e.problem}")]) from e
    except (yaml.YAMLError, RecursionError) as e:
        raise ConfigError([Problem(source, 0, "", f"expected YAML, was not: {clip(str(e), 200)}")]) from e
    return node


def _is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogate, which YAML can write and nothing can encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(text: str, wanted: Wanted) -> Any:
    """Read text as the type wanted; text that cannot be read so is returned as it is."""
    kind = wanted.kind
    if kind is int:
        return _integer(text, wanted.is_amount)
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    if kind is float:
        return float(text) if INTEGER.match(text) or DECIMAL.match(text) else text
    return next((choice for choice in choices_of(kind) if str(choice) == text), text)


def choices_of(kind: Any) -> list[Any]:
    """The values of an enumeration or a literal; none for every other type."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def _integer(text: str, is_amount: bool) -> int | str:
    """Read an amount written with a point, or a whole number written without."""
    if not is_amount:
        return int(text) if INTEGER.match(text) and len(text) <= INTEGER_CHARACTERS_MAX else text
    if not DECIMAL.match(text):
        return text
    try:
        return parse(text)
    except UnitError:
        return text


def _guess(node: yaml.Node, is_null: bool) -> Any:
    """Read a value whose key says no type: YAML's own guess, decimals as millionths."""
    text: str = node.value
    if isinstance(node, yaml.ScalarNode) and node.style in ("'", '"'):
        return text
    if is_null:
        return None
    if DECIMAL.match(text):
        return _integer(text, is_amount=True)
    value = _value(text, wanted_of(bool))
    return _value(text, wanted_of(int)) if value == text else value
