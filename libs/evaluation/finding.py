"""What a rule says of a day: findings with their evidence, or why there is none."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from libs.evaluation.day import TradingDay

CASES_MIN = 3
"""Fewer cases are not even a hint: a rule then reports that there are not enough."""
COUNT_MIN = 10
"""Fewer cases are a hint and no finding to act on: it is shown as such."""
EVIDENCE_MAX = 10
"""Ids beside a finding: enough to look at, few enough to read."""


class Finding(NamedTuple):
    """A leak. ``topic``: what of (a strategy, a family, an hour); ``cost``: money it cost in the day, estimated.

    ``evidence``: ids that ``presage why`` accepts. ``paths``: settings of which a change may help, none where it is no
    matter of tuning.
    """

    rule: str
    topic: str
    text: str
    cases: int
    cost: int
    evidence: tuple[str, ...]
    paths: tuple[str, ...] = ()

    @property
    def is_enough(self) -> bool:
        """Whether there are enough cases to act on; else it is a hint."""
        return self.cases >= COUNT_MIN


class Checked(NamedTuple):
    """What a rule looked at: how many cases, and what it found in them."""

    cases: int
    findings: tuple[Finding, ...] = ()


class Rule(NamedTuple):
    """A leak rule: ``about`` says in a sentence what it looks for."""

    name: str
    about: str
    check: Callable[[TradingDay], Checked]


def evidence_of(rows: Sequence[object]) -> tuple[str, ...]:
    """The ids of rows, as many as a finding carries."""
    return tuple(str(getattr(row, "id")) for row in rows[:EVIDENCE_MAX])  # noqa: B009 - rows of any kind


def dollars(money: int) -> str:
    """Money in a finding's text: whole cents, with its sign when it is a loss."""
    cents = (abs(money) + 5_000) // 10_000
    return f"{'-' if money < 0 else ''}${cents // 100}.{cents % 100:02d}"


def percent(part: int, whole: int) -> str:
    """A share in whole per cent."""
    return f"{part * 100 // whole if whole else 0} %"
