"""Bounds on what is remembered, said and shown. Pure: machines use it too."""

from typing import Any


def keep_newest(entries: dict[Any, Any], limit: int) -> None:
    """Forget the entries added first until at most ``limit`` are left."""
    while len(entries) > limit:
        del entries[next(iter(entries))]


def clip(text: str, characters_max: int) -> str:
    """A text for people, in at most so many characters: a longer one ends in ``…``, which shows that it was cut."""
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def cut(text: str, characters_max: int) -> str:
    """A text in at most so many characters, without a mark: a name, or words of a machine, whose bytes must stay."""
    return text[:characters_max]
