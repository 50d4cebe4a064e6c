"""Repeats are folded: the first of a group is told at once, more of it together when its time is up."""

import msgspec

from libs.bounded import clip, keep_newest
from proto.monitor import Severity
from services.monitor.notify.notes import Note
from services.monitor.notify.params import Event

WINDOWS_MAX = 1_000
"""Groups that were told lately; a monitor has some forty rules, and a few critical topics of each."""
HELD_MAX = 10
"""Topics of which the newest text is kept; the others are counted."""
HELD_CHARACTERS_MAX = 300

NANOSECONDS = 1_000_000_000


class Window(msgspec.Struct):
    """Since a group was told: until when more of it is held back, how many there were, and the newest of each topic."""

    until: int
    event: Event
    severity: Severity
    count: int = 0
    held: dict[str, str] = msgspec.field(default_factory=dict)


def add(windows: dict[str, Window], note: Note, now: int, fold_s: int) -> Note | None:
    """Take a note; what is to be told at once, if it is."""
    window = windows.get(note.group)
    if window is None:
        windows[note.group] = Window(now + fold_s * NANOSECONDS, note.event, note.severity)
        keep_newest(windows, WINDOWS_MAX)
        return note
    window.count += 1
    window.held.pop(note.topic, None)
    window.held[note.topic] = clip(note.text, HELD_CHARACTERS_MAX)
    keep_newest(window.held, HELD_MAX)
    return None


def due(windows: dict[str, Window], now: int, fold_s: int) -> list[Note]:
    """What was held back and is to be told now; a group without more is told at once again from here on."""
    out: list[Note] = []
    for group, window in list(windows.items()):
        if window.until > now:
            continue
        if not window.count:
            del windows[group]
            continue
        span = f"{fold_s // 60} min" if fold_s >= 60 else f"{fold_s} s"
        lines = [f"{group}: {window.count} more in {span}", *window.held.values()]
        out.append(Note(window.event, window.severity, group, "", "\n".join(lines)))
        windows[group] = Window(now + fold_s * NANOSECONDS, window.event, window.severity)
    return out
