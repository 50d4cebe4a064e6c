"""Which changes are tried: what ``--set`` and ``--variant`` say."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from libs.bounded import clip
from libs.config.load import parse_set
from tools.exit_codes import UsageError

VARIANTS_MAX = 12
"""Columns that a table can show, and runs that one pass can feed."""
NAME_CHARACTERS_MAX = 40

_NAMED = re.compile(r"([\w-]+):(.+)", re.DOTALL)


class Variant(NamedTuple):
    """A set of changes with a name: path → value, as text or as plain data. ``without``: proposals whose acceptance is left out."""

    name: str
    changes: Mapping[str, Any]
    without: Collection[str] = ()


def variants_of(sets: Sequence[str], named: Sequence[str]) -> list[Variant]:
    """The variants that options ask for.

    ``sets`` (``PATH=VALUE``) hold in every variant; with several values, separated by commas, there is one variant for
    each value, and with several such lists one for each combination. ``named`` (``NAME:PATH=VALUE``) makes variants by
    name; the same name again adds to it. A list in brackets and a text in quotes are one value.

    Raises:
        ConfigError: something is not ``PATH=VALUE``.
        UsageError: lists beside names, or too many variants.
    """
    common = dict(parse_set(text) for text in sets)
    lists = {path: values for path, text in common.items() if len(values := split_values(text)) > 1}
    if named and lists:
        raise UsageError(f"expected --variant or a list of values, was both: {next(iter(lists))} has several")
    found = _named(named, common) if named else _combined(common, lists)
    if len(found) > VARIANTS_MAX:
        raise UsageError(f"expected at most {VARIANTS_MAX} variants, was {len(found)}")
    return found


def _named(named: Sequence[str], common: Mapping[str, str]) -> list[Variant]:
    changes: dict[str, dict[str, str]] = {}
    for text in named:
        match = _NAMED.fullmatch(text)
        if match is None or len(match[1]) > NAME_CHARACTERS_MAX:
            raise UsageError(
                f"expected NAME:SECTION.KEY=VALUE (small:risk.bet_max=0.01), was {clip(text, 80)!r}"
            )
        path, value = parse_set(match[2])
        changes.setdefault(match[1], dict(common))[path] = value
    return [Variant(name, own) for name, own in changes.items()]


def _combined(common: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> list[Variant]:
    if not common:
        return []
    found = []
    for values in product(*lists.values()):
        varied = dict(zip(lists, values, strict=True))
        named = varied or common
        name = " ".join(f"{path}={value}" for path, value in named.items())
        found.append(Variant(name, {**common, **varied}))
    return found


def split_values(text: str) -> list[str]:
    """The values of a list, which commas outside brackets and quotes separate."""
    values, depth, quote, start = [], 0, "", 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and not depth:
            values.append(text[start:at].strip())
            start = at + 1
    values.append(text[start:].strip())
    return [value for value in values if value]
