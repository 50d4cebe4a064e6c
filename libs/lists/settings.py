"""Every setting of the running session, its value and where that comes from."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.archive.history import History
from libs.changes.overrides import Override, Overrides
from libs.files import write_atomically
from libs.lists.reading import read_kinds
from libs.runtime.layout import StateLayout, decode_file
from libs.view.moment import moment
from proto.evaluation import ExitChange, SignalChange
from proto.operator import Config, Session

DEFAULT = "default"
SET = "--set"
UNKNOWN = "unknown"
"""A session that was opened before origins were kept, or not by ``presage up``."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting; ``value`` as it stands on the tape (amounts in millionths).

    ``origin``: default, the name of a file, ``--set``, or the change that set it; then ``base`` is the value underneath.
    """

    section: str
    key: str
    value: Any
    origin: str
    base: Any = None
    proposal: str = ""

    def document(self) -> dict[str, Any]:
        """As plain data."""
        names = ("section", "key", "value", "origin", "base", "proposal")
        return {name: getattr(self, name) for name in names}


def settings_of(
    sections: Mapping[str, Mapping[str, Any]], origins: Mapping[str, str], overrides: Overrides
) -> list[SettingRow]:
    """Rows in the order of the sections. ``origins``: path → where the configuration has it from."""
    rows: list[SettingRow] = []
    for section, document in sections.items():
        changed = overrides.of_section(section)
        for key, value in document.items():
            origin = origins.get(f"{section}.{key}", UNKNOWN)
            override = changed.get(key)
            if override is None or override.base != value:
                rows.append(SettingRow(section, key, value, origin))
                continue
            text = f"change {override.proposal} ({moment(override.at)} UTC), over {origin}"
            rows.append(SettingRow(section, key, override.value, text, value, override.proposal))
    return rows


async def read_overrides(history: History) -> Overrides:
    """What accepted changes have set, of archive and window as one."""
    overrides = Overrides()
    for _, message in (await read_kinds(history, (SignalChange, ExitChange))).entries:
        overrides.add(message)
    return overrides


async def read_settings(history: History, layout: StateLayout) -> list[SettingRow]:
    """Every setting of the newest session.

    Raises:
        BrokerUnavailable: the broker did not answer.
        StateFileError: the file of origins is cut or changed.
    """
    sections: dict[str, dict[str, Any]] = {}
    for _, message in (await read_kinds(history, (Session, Config))).entries:
        if isinstance(message, Session):
            sections = {}
        else:
            sections[message.section] = message.document
    return settings_of(sections, read_origins(layout), await read_overrides(history))


def read_origins(layout: StateLayout) -> dict[str, str]:
    """Path → origin, as the last start left it; empty without."""
    if not layout.origins_file.exists():
        return {}
    return decode_file(layout.origins_file, dict[str, str], "the next `presage up` writes it anew")


def write_origins(layout: StateLayout, origins: Mapping[str, str]) -> None:
    """Leave where every setting comes from."""
    write_atomically(layout.origins_file, json.dumps(dict(origins), indent=1).encode())


OVERRIDES_HEAD = """\
# A copy, for you to read: what accepted changes have set over the configuration's own values. The tape is what counts;
# `presage config show` tells the origin of every value. Put a value into the file of its section to end its change.
"""


def overrides_text(in_force: Mapping[str, Override]) -> str:
    """The content of ``overrides.yaml``: path → value, base, proposal and time. Amounts are millionths."""
    lines = [OVERRIDES_HEAD]
    lines += [_entry(path, override) for path, override in sorted(in_force.items())] or ["{}\n"]
    return "".join(lines)


def _entry(path: str, override: Override) -> str:
    items: Iterable[tuple[str, Any]] = (
        ("value", override.value),
        ("base", override.base),
        ("proposal", json.dumps(override.proposal)),
        ("at", f'"{moment(override.at)} UTC"'),
    )
    return f"{path}:\n" + "".join(f"  {name}: {value}\n" for name, value in items)
