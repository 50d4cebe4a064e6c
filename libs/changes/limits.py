"""What a proposed change may be: section ``eval`` of the configuration.

Checked where a proposal is made, and again by the machine that applies it; both by ``refusal_of``.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import ValidationError, model_validator

from libs.config.section import Section, amount, setting, whole
from proto.units import AMOUNT_MAX, show

SECTION = "eval"
"""The section's name."""
COUNT_MAX = 10**9
"""Of a number that is no amount: more than any count or number of seconds that a section takes."""
Amount = Annotated[int, amount(0, AMOUNT_MAX)]
AmountStep = Annotated[int, amount(1, AMOUNT_MAX)]
Count = Annotated[int, whole(0, COUNT_MAX)]
CountStep = Annotated[int, whole(1, COUNT_MAX)]


class AmountRange(Section):
    """Bounds of a value with a decimal point, and the most that one change may move it."""

    low: Amount = setting(..., "lowest value a change may set")
    high: Amount = setting(..., "highest value a change may set")
    step: AmountStep = setting(..., "the most one change may move it")

    @model_validator(mode="after")
    def _is_rising(self) -> Self:
        if self.low > self.high:
            raise ValueError("expected low not above high")
        return self


class CountRange(Section):
    """Bounds of a whole number (counts, seconds), and the most that one change may move it."""

    low: Count = setting(..., "lowest value a change may set")
    high: Count = setting(..., "highest value a change may set")
    step: CountStep = setting(..., "the most one change may move it")

    @model_validator(mode="after")
    def _is_rising(self) -> Self:
        if self.low > self.high:
            raise ValueError("expected low not above high")
        return self


class ChangeLimits(Section):
    """What may be changed, by path (``signal.momentum.z_min``): nothing else ever is."""

    amounts: dict[str, AmountRange] = setting({}, "values with a decimal point")
    counts: dict[str, CountRange] = setting({}, "whole numbers: counts and seconds")

    def range_of(self, path: str) -> AmountRange | CountRange | None:
        """Bounds and step of a path; ``None`` for one that may not be changed."""
        return self.amounts.get(path) or self.counts.get(path)

    def paths(self) -> list[str]:
        """Every path that may be changed."""
        return [*self.amounts, *self.counts]


def split_path(path: str) -> tuple[str, str]:
    """Section and key of a path."""
    section, _, key = path.rpartition(".")
    return section, key


def unlistable(limits: ChangeLimits, models: Mapping[str, type[Section]]) -> Iterator[tuple[str, str]]:
    """Paths that must not be on the list, each with why: a start with one is refused.

    Sections that this system does not run (a strategy that is not loaded) are no fault.
    """
    for path in limits.paths():
        section, key = split_path(path)
        model = models.get(section)
        if path in limits.amounts and path in limits.counts:
            yield path, "expected it once, was among amounts and counts"
        elif model is None:
            if section.partition(".")[0] != "signal":
                yield (
                    path,
                    "expected a setting that may change while the system runs, was none of this system",
                )
        elif key not in model.model_fields:
            yield path, f"expected a key of {section}, was {key!r}"
        elif key not in model.changeable:
            yield path, "expected a setting that may change while the system runs, was one that may not"


def refusal_of(limits: ChangeLimits, path: str, old: int, new: int) -> str:
    """Why a change may not be made, whatever the section says; "" when it may. Amounts are millionths."""
    found = limits.range_of(path)
    if found is None:
        return "expected a setting on the list of what may be changed, was another"
    write = show if isinstance(found, AmountRange) else str
    if new == old:
        return "expected another value, was the same"
    if not found.low <= new <= found.high:
        return f"expected a value from {write(found.low)} to {write(found.high)}, was {write(new)}"
    if abs(new - old) > found.step:
        return f"expected a step of at most {write(found.step)}, was {write(abs(new - old))}"
    return ""


def limits_in(document: Mapping[str, Any]) -> ChangeLimits | None:
    """The list of a section as it stands on the tape, whatever else the section holds; ``None`` for one that is none."""
    own = {key: value for key, value in document.items() if key in ChangeLimits.model_fields}
    try:
        return ChangeLimits.model_validate(own)
    except ValidationError:
        return None


def words_of(limits: ChangeLimits, path: str, value: int) -> str:
    """A value as the configuration's file has it."""
    return show(value) if path in limits.amounts else str(value)
