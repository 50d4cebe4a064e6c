"""Bounds on what is remembered. Pure: machines use it too."""

from typing import Any


def keep_newest(entries: dict[Any, Any], limit: int) -> None:
    """Forget the entries added first until at most ``limit`` are left."""
    while len(entries) > limit:
        del entries[next(iter(entries))]
