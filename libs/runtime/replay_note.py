"""What the last replay of a state directory's tape came to, where the supervisor's metrics find it."""

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.files import write_atomically


def note_replay(file: Path, document: Mapping[str, Any]) -> None:
    """Leave a replay's outcome; without room it is lost, and the replay was none the worse."""
    note = {"at_s": time.time(), "differs": not document["identical"], "to": document["to"]}
    with contextlib.suppress(OSError):
        write_atomically(file, json.dumps(note).encode())


def read_note(file: Path) -> dict[str, Any]:
    """The outcome of the last replay; nothing before the first, or where it cannot be read."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
