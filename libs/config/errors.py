"""What can be wrong with a configuration: each problem names file, line and key, what was expected and what was there.

A value that may be a secret is never repeated.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong. ``line`` 0: the place has no line (a missing file, a ``--set``)."""

    source: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (place, self.key, self.text) if part)


class ConfigError(ValueError):
    """The configuration cannot be used. The text has a line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
