"""Settings as a file writes them: amounts with a decimal point, not in millionths as on the tape."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from libs.lists.settings import SettingRow
from proto.units import show
from services.console.live import encode

_ANY = "*"
_AMOUNTS: Mapping[str, tuple[str, ...]] = {
    section: tuple(paths)
    for section, paths in json.loads((Path(__file__).parent / "amounts.json").read_text()).items()
}
"""Section → paths of its amounts, made by `make generate` from the models of the sections, which are other services'."""


def values_of(row: SettingRow) -> list[tuple[str, str]]:
    """Path within the section and text of a setting: one, or one for each key of a setting that has keys."""
    return list(_flat(row.section, (row.key,), row.value))


def is_known(section: str) -> bool:
    """Whether it is known here which of its settings are amounts: not of a strategy that came from elsewhere."""
    return section in _AMOUNTS


def written_of(section: str, key: str, value: Any) -> str:
    """The text of a setting that has one value."""
    written = _written(section, (key,), value)
    return written if isinstance(written, str) else encode(written)


def _flat(section: str, path: tuple[str, ...], value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(section, (*path, str(key)), item)
    else:
        written = _written(section, path, value)
        yield ".".join(path), written if isinstance(written, str) else encode(written)


def _written(section: str, path: tuple[str, ...], value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _written(section, (*path, str(key)), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written(section, (*path, _ANY), item) for item in value]
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return show(value) if is_number and _is_amount(section, path) else value


def _is_amount(section: str, path: tuple[str, ...]) -> bool:
    return any(_fits(pattern.split("."), path) for pattern in _AMOUNTS.get(section, ()))


def _fits(pattern: list[str], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(
        part in (_ANY, name) for part, name in zip(pattern, path, strict=True)
    )
