"""The configuration: commented YAML files, resolved to the plain sections that go onto the tape.

Each section has one file below the directory: ``risk`` is ``risk.yaml``, ``signal.momentum`` is
``signal/momentum.yaml``. A resolved section holds every parameter, also those left at their default: what
a machine was told stands on the tape in full and does not change with the code's defaults.

The errors and their tree are in ``libs/config/errors.py``.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from libs.config.errors import (
    ConfigError,
    DocumentError,
    MissingFileError,
    OverrideError,
    RefusedValueError,
)
from libs.config.resolve import Place, compose, is_amount, refuse_secret, resolve, type_of
from proto.units import show

FILE_BYTES_MAX = 256 * 1024
"""A section must fit into one message of the tape; ours are a few kilobytes."""

Schemas = Mapping[str, type[msgspec.Struct]]
"""Section → the struct of its parameters."""
Sections = dict[str, dict[str, Any]]
"""Section → resolved document, ready for ``operator.Config``."""

_CONVERT_PATH = re.compile(r"(?P<what>.*?) - at `\$(?P<path>[^`]*)`\Z", re.DOTALL)


def load(directory: Path, schemas: Schemas, overrides: Mapping[str, Any] | None = None) -> Sections:
    """Read, resolve and validate the file of every section, then apply ``overrides``.

    Args:
        directory: where the files are.
        schemas: the sections wanted and their parameters.
        overrides: dotted path → value; text is read like the file's (see ``parse_set``).

    Raises:
        ConfigError: one of its kinds, naming file, line and key.
    """
    sections: Sections = {}
    for section, params in schemas.items():
        path = directory.joinpath(*section.split(".")).with_suffix(".yaml")
        sections[section] = _load_file(path, params)
    return override(sections, schemas, overrides or {})


def override(
    sections: Mapping[str, Mapping[str, Any]], schemas: Schemas, overrides: Mapping[str, Any]
) -> Sections:
    """Sections with some values replaced, validated again; the given ones are not touched.

    Sections without a schema are kept as they are, unless an override names them.

    Raises:
        ConfigError: for a path that names no parameter, or a value that does not fit it.
    """
    result = {section: _copy(document) for section, document in sections.items()}
    for path, value in overrides.items():
        section = section_of(path, schemas)
        if section not in result:
            raise OverrideError(f"--set {path}: expected a configured section, was {section!r}")
        keys = path[len(section) + 1 :].split(".")
        document = result[section]
        _put(document, keys, value, schemas[section], f"--set {path}")
        result[section] = _validated(document, schemas[section], f"--set {path}", None)
    return result


def parse_set(text: str) -> tuple[str, str]:
    """Split the text of a ``--set`` into path and value: ``("risk.max_bet", "0.01")``.

    The value stays text until ``load`` or ``override`` knows the parameter it is for.

    Raises:
        OverrideError: when it is not ``SECTION.KEY=VALUE``.
    """
    path, equals, value = text.partition("=")
    path, value = path.strip(), value.strip()
    if not equals or not value or not re.fullmatch(r"\w+(\.\w+)+", path):
        raise OverrideError(f"expected SECTION.KEY=VALUE (risk.max_bet=0.01), was {text[:80]!r}")
    return path, value


def parse_sets(texts: Iterable[str]) -> dict[str, str]:
    """Several ``--set`` options as the overrides of ``load``; the last one of a path counts."""
    return dict(parse_set(text) for text in texts)


def section_of(path: str, schemas: Schemas) -> str:
    """The section that a dotted path begins with: the longest that fits.

    Raises:
        OverrideError: when none fits.
    """
    fitting = [section for section in schemas if path.startswith(f"{section}.")]
    if not fitting:
        known = ", ".join(sorted(schemas))
        raise OverrideError(f"--set {path[:80]}: expected a path in one of {known}, was in none")
    return max(fitting, key=len)


def config_hash(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """SHA-256 (hexadecimal) of resolved sections; the order of keys does not matter."""
    return hashlib.sha256(msgspec.json.encode(sections, order="deterministic")).hexdigest()


def _load_file(path: Path, params: type[msgspec.Struct]) -> dict[str, Any]:
    source = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        text = raw.decode()
    except FileNotFoundError as e:
        raise MissingFileError(f"{path}: expected the file of a section, was not there") from e
    except (OSError, UnicodeDecodeError) as e:
        raise DocumentError(f"{path}: expected a readable UTF-8 file, was not: {e}") from e
    if len(raw) > FILE_BYTES_MAX:
        raise DocumentError(f"{path}: expected at most {FILE_BYTES_MAX} bytes, was more")
    root = compose(text, source)
    if root is None:
        return _validated({}, params, source, None)
    if not isinstance(root, yaml.MappingNode):
        raise DocumentError(f"{source}:1: expected keys and values, was something else")
    return _validated(resolve(root, type_of(params), Place(source)), params, source, root)


def _validated(
    document: dict[str, Any], params: type[msgspec.Struct], source: str, root: yaml.MappingNode | None
) -> dict[str, Any]:
    """The document in full, with defaults; the error says on which line of ``root`` a value stands."""
    try:
        converted = msgspec.convert(document, params)
    except msgspec.ValidationError as e:
        raise _refusal(str(e), params, source, root) from e
    full = msgspec.to_builtins(converted)
    if not isinstance(full, dict):
        raise ConfigError(f"{source}: expected a struct with named fields, was {params.__name__}")
    plain: dict[str, Any] = _copy(full)
    return plain


def _refusal(
    text: str, params: type[msgspec.Struct], source: str, root: yaml.MappingNode | None
) -> RefusedValueError:
    found = _CONVERT_PATH.match(text)
    what, path = (found["what"], found["path"]) if found else (text, "")
    what = what[:1].lower() + what[1:]
    keys = tuple(re.findall(r"[^.\[\]]+", path))
    if is_amount(type_of(params), keys):
        # The bound as it would be written in the file, not in millionths.
        what = re.sub(r"(?<=[<>]=\s)-?\d+|(?<=[<>]\s)-?\d+", lambda bound: show(int(bound.group())), what)
    if root is None:
        return RefusedValueError(f"{source}: {what}")
    return RefusedValueError(f"{Place(source, keys).at(_find(root, keys))}: {what}")


def _find(node: yaml.Node, keys: tuple[str, ...]) -> yaml.Node:
    """The node at a path, or the nearest above it."""
    for key in keys:
        below = None
        if isinstance(node, yaml.MappingNode):
            below = next((value for name, value in node.value if name.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and key.isdecimal() and int(key) < len(node.value):
            below = node.value[int(key)]
        if below is None:
            break
        node = below
    return node


def _put(
    document: dict[str, Any], keys: list[str], value: Any, params: type[msgspec.Struct], source: str
) -> None:
    """Replace one value of a resolved document by ``value``: text as in a file, or plain."""
    for key in keys:
        refuse_secret(key, source)
    node = _nested(keys, value, source)
    resolved = (
        resolve(node, type_of(params), Place(source, in_file=False)) if isinstance(value, str) else node
    )
    holder: Any = document
    for key in keys[:-1]:
        if not isinstance(holder, dict) or key not in holder:
            raise OverrideError(f"{source}: expected a parameter, was nothing of that name at {key!r}")
        holder, resolved = holder[key], resolved[key]
    if not isinstance(holder, dict):
        raise OverrideError(f"{source}: expected a parameter, was an item of a list: set the whole list")
    holder[keys[-1]] = resolved[keys[-1]]


def _nested(keys: list[str], value: Any, source: str) -> Any:
    """``value`` below its keys: as YAML nodes for text, as plain mappings for everything else."""
    if not isinstance(value, str):
        for key in reversed(keys):
            value = {key: value}
        return value
    node = compose(value, source)
    if node is None:
        raise OverrideError(f"{source}: expected a value, was nothing")
    for key in reversed(keys):
        name = yaml.ScalarNode("tag:yaml.org,2002:str", key, node.start_mark, node.end_mark)
        node = yaml.MappingNode("tag:yaml.org,2002:map", [(name, node)], node.start_mark, node.end_mark)
    return node


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value
