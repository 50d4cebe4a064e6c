"""Bounds on what is remembered and on what is shown. Pure: machines use it too."""

from typing import Any

VALUE_CHARACTERS_MAX = 80
"""Of a value in an error: enough to recognise it, and short enough for a line."""
REASON_CHARACTERS_MAX = 300
"""Of a reason in a log, a report, a row and an alert: a sentence with its values."""


def keep_newest(entries: dict[Any, Any], limit: int) -> None:
    """Forget the entries added first until at most ``limit`` are left."""
    while len(entries) > limit:
        del entries[next(iter(entries))]


def shown(text: str) -> str:
    """The beginning of a value for an error or a log."""
    return text[:VALUE_CHARACTERS_MAX]


def reason_of(text: object) -> str:
    """The beginning of an explanation, mostly an exception's own words."""
    return str(text)[:REASON_CHARACTERS_MAX]
