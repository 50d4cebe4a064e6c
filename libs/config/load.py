"""The configuration: commented YAML files, resolved to the plain sections that go onto the tape.

Each section has one file below the directory: ``risk`` is ``risk.yaml``, ``signal.momentum`` is
``signal/momentum.yaml``. A resolved section holds every parameter, also those left at their default: what
a machine was told stands on the tape in full and does not change with the code's defaults.

The errors and their tree are in ``libs/config/errors.py``.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import to_json

from libs.bounded import clip
from libs.config.document import Document, compose
from libs.config.errors import ConfigError, Problem
from libs.config.section import Section
from libs.config.wanted import Wanted
from libs.config.wording import add_problems

FILE_BYTES_MAX = 256 * 1024
"""A section must fit into one message of the tape; ours are a few kilobytes."""

LEFT_OUT_CHARACTERS_MAX = 300
"""Of what is said about an entry that is left out: it must fit into an alert."""

Models = Mapping[str, type[Section]]
"""Section → its model."""
Sections = dict[str, dict[str, Any]]
"""Section → resolved document, ready for ``operator.Config``."""


def load(directory: Path, models: Models, overrides: Mapping[str, Any] | None = None) -> Sections:
    """Read and validate the file of every section, then apply ``overrides``.

    Args:
        directory: where the files are.
        models: the sections wanted and their models.
        overrides: dotted path → value; text is read like the file's (see ``parse_set``).

    Raises:
        ConfigError: everything that is wrong in all the files, each with file, line and key.
    """
    sections: Sections = {}
    problems: list[Problem] = []
    for name, model in models.items():
        try:
            path = directory.joinpath(*name.split(".")).with_suffix(".yaml")
            sections[name] = _load_file(path, model)
        except ConfigError as e:
            problems += e.problems
    if problems:
        raise ConfigError(problems)
    return override(sections, models, overrides or {})


def override(
    sections: Mapping[str, Mapping[str, Any]], models: Models, overrides: Mapping[str, Any]
) -> Sections:
    """Replace some values of sections and validate them again; the given ones are not touched.

    Sections without an override are kept as they are. One from a stored tape may have former names of keys;
    the result has today's.

    Raises:
        ConfigError: for every path that names no key, and every value that does not fit it.
    """
    result = {name: dict(document) for name, document in sections.items()}
    by_section: dict[str, dict[str, Any]] = {}
    for path, value in overrides.items():
        by_section.setdefault(section_of(path, models), {})[path] = value
    problems: list[Problem] = []
    for name, changes in by_section.items():
        try:
            if name not in result:
                raise _of_set(next(iter(changes)), f"expected a configured section, was {name!r}")
            result[name] = _overridden(models[name], result[name], name, changes)
        except ConfigError as e:
            problems += e.problems
    if problems:
        raise ConfigError(problems)
    return result


def written_keys(path: Path) -> frozenset[str]:
    """The keys that a section's file gives a value, whatever that is.

    Raises:
        ConfigError: it cannot be read.
    """
    root = compose(_text_of(path), f"{path.parent.name}/{path.name}")
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return frozenset(key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode))


def parse_set(text: str) -> tuple[str, str]:
    """Split the text of a ``--set`` into path and value: ``("risk.bet_max", "0.01")``.

    The value stays text until ``load`` or ``override`` knows the parameter it is for.

    Raises:
        ConfigError: when it is not ``SECTION.KEY=VALUE``.
    """
    path, equals, value = text.partition("=")
    path, value = path.strip(), value.strip()
    if not equals or not value or not re.fullmatch(r"\w+(\.\w+)+", path):
        raise _of_set("", f"expected SECTION.KEY=VALUE (risk.bet_max=0.01), was {clip(text, 80)!r}")
    return path, value


def parse_sets(texts: Iterable[str]) -> dict[str, str]:
    """Several ``--set`` options as the overrides of ``load``; the last one of a path counts."""
    return dict(parse_set(text) for text in texts)


def section_of(path: str, models: Models) -> str:
    """The section that a dotted path begins with: the longest that fits.

    Raises:
        ConfigError: when none fits.
    """
    fitting = [section for section in models if path.startswith(f"{section}.")]
    if not fitting:
        known = ", ".join(sorted(models))
        raise _of_set(path[:80], f"expected a path in one of {known}, was in none")
    return max(fitting, key=len)


def _of_set(path: str, text: str) -> ConfigError:
    return ConfigError([Problem("--set", 0, path, text)])


def _load_file(path: Path, model: type[Section]) -> dict[str, Any]:
    source = f"{path.parent.name}/{path.name}"
    root = compose(_text_of(path), source)
    document = Document(source)
    if root is None:
        # A file that a full disk or a crash emptied must not become the defaults.
        text = "expected keys and values, was empty: for the defaults alone, write {}"
        raise ConfigError([Problem(source, 1, "", text)])
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError([Problem(source, 1, "", "expected keys and values, was something else")])
    value = document.read(root, Wanted(model))
    return _validated(document, value, model)


def _text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: when there is none, or it is too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        text = raw.decode()
    except FileNotFoundError as e:
        problem = Problem(str(path), 0, "", "expected the file of a section, was not there")
        raise ConfigError([problem]) from e
    except (OSError, UnicodeDecodeError) as e:
        problem = Problem(str(path), 0, "", f"expected a readable UTF-8 file, was not: {e}")
        raise ConfigError([problem]) from e
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError([Problem(str(path), 0, "", f"expected at most {FILE_BYTES_MAX} bytes, was more")])
    return text


def _validated(document: Document, value: Any, model: type[Section]) -> dict[str, Any]:
    """The section in full, with defaults.

    Raises:
        ConfigError: everything that reading and the model refused, in the order of the file.
    """
    section = _read(document, value, model)
    left_out = {key: document.entries_refused(key) for key in model.skipping}
    if any(left_out.values()) and isinstance(value, dict):
        for key, wrong in left_out.items():
            if not wrong:
                continue
            document.forgive(key)
            value[key] = [entry for index, entry in enumerate(value[key]) if index not in wrong]
            value[model.skipping[key]] = [_named(key, index, problem) for index, problem in wrong.items()]
        section = _read(document, value, model)
    if document.problems or section is None:
        raise ConfigError(sorted(document.problems, key=lambda problem: problem.line))
    return section.document()


def _read(document: Document, value: Any, model: type[Section]) -> Section | None:
    """The section; ``None``, and the document has the problems, when it cannot be read."""
    try:
        # By way of JSON, where strict validation takes a list for a tuple and a mapping for a model.
        return model.model_validate_json(to_json(value), strict=True)
    except ValidationError as e:
        add_problems(document, e, Wanted(model))
        return None


def _named(key: str, index: int, problem: Problem) -> str:
    """An entry that is left out, and why: the place first, then what was expected."""
    place = f"{problem.source}:{problem.line}" if problem.line else problem.source
    inside = problem.key.rpartition(f"{key}.{index}")[2].strip(".")
    return clip(
        f"{place}: {': '.join(part for part in (inside, problem.text) if part)}", LEFT_OUT_CHARACTERS_MAX
    )


def _overridden(
    model: type[Section], stored: Mapping[str, Any], name: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """A section with its changes, keys by today's names."""
    document = Document("--set", within=name)
    value = model.model_validate(stored).document()
    for path, change in changes.items():
        _put(document, value, path[len(name) + 1 :].split("."), change, Wanted(model))
    return _validated(document, value, model)


def _put(document: Document, holder: Any, keys: list[str], change: Any, wanted: Wanted) -> None:
    """Put one change into a section: text as in a file, or plain data."""
    path = tuple(keys)
    for key in keys[:-1]:
        if not isinstance(holder, dict) or key not in holder:
            document.refuse(path, f"expected a key, was nothing of that name at {key!r}")
            return
        holder, wanted = holder[key], wanted.below(key)
    if not isinstance(holder, dict):
        document.refuse(path, "expected a key, was an item of a list: a list is set as a whole")
    elif not document.has_refused_key(path, wanted):
        node = compose(change, document.source) if isinstance(change, str) else None
        holder[keys[-1]] = change if node is None else document.read(node, wanted.below(keys[-1]), path)
