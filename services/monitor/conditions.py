"""Configuration section ``alerts``: the operator's own conditions, each of which becomes an alert."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from libs.config.section import Section, amount, setting, text, whole
from proto.monitor import Severity
from proto.units import AMOUNT_MAX

SECTION = "alerts"
CONDITIONS_MAX = 64
"""More than a person keeps an eye on; each costs a comparison a second for each instrument it is about."""
REFUSED_MAX = 64
NAME_PATTERN = r"^[a-z0-9_-]{1,40}$"

Watch = Literal["price", "spread", "edge", "volume", "time_to_close", "change"]
Bound = Annotated[int, amount(-AMOUNT_MAX, AMOUNT_MAX)]
Seconds = Annotated[int, whole(1, 7 * 86_400)]


class AlertCondition(Section):
    """One condition: what of which instruments is watched, and beyond which value the operator is told."""

    name: Annotated[str, text(NAME_PATTERN, "a name of small letters, digits, '_' and '-'")] = setting(
        ..., "what it is called; each name once"
    )
    instrument: Annotated[
        str, text(r"^[^\s*]{1,255}\*?$", "an instrument (kalshi:TICKER:yes), or its beginning and *")
    ] = setting(..., "the instrument, or the beginning of several and `*`")
    watch: Watch = setting(..., "the figure that is watched")
    above: Bound | None = setting(None, "the operator is told while the figure is above this")
    below: Bound | None = setting(None, "the operator is told while the figure is below this")
    within_s: Seconds = setting(
        300, "for `volume` and `change`: over that long; for `edge`: a fair value counts that long"
    )
    again_after_s: Annotated[int, whole(0, 7 * 86_400)] = setting(
        0, "told again when it is met anew, that long after the last time at the earliest; 0: told once"
    )
    until: Annotated[
        str,
        text(
            r"^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?$", "a time as 2026-12-24T18:00:00Z"
        ),
    ] = setting("", "from then on it is not watched any more")
    severity: Severity = setting(Severity.WARNING, "of the alert")

    @model_validator(mode="after")
    def _has_a_bound(self) -> "AlertCondition":
        if self.above is None and self.below is None:
            raise ValueError("expected above or below, was neither")
        if self.until:
            moment_s(self.until)
        return self

    def is_about(self, instrument: str) -> bool:
        """Whether it watches an instrument."""
        if self.instrument.endswith("*"):
            return instrument.startswith(self.instrument[:-1])
        return instrument == self.instrument


class AlertsParams(Section):
    """The operator's own alerts. ``config/alerts.yaml`` has examples.

    A file's entry that cannot be read is left out and named in ``refused``: the monitor says so, and watches the others.
    """

    skipping: ClassVar[Mapping[str, str]] = {"conditions": "refused"}

    conditions: Annotated[tuple[AlertCondition, ...], Field(max_length=CONDITIONS_MAX)] = setting(
        (), "what is watched; each is over when it is not met any more"
    )
    refused: Annotated[tuple[str, ...], Field(max_length=REFUSED_MAX)] = setting(
        (), "written by reading the file: entries that were left out, and why"
    )


_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def moment_s(written: str) -> int:
    """Seconds since 1970 of a time written as 2026-12-24T18:00:00Z. Machines may not ask the calendar of the system.

    Raises:
        ValueError: there is no such time.
    """
    year, month, day = int(written[0:4]), int(written[5:7]), int(written[8:10])
    hour, minute, second = int(written[11:13]), int(written[14:16]), int(written[17:19])
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1970 <= year <= 2200 and 1 <= month <= 12 and hour < 24 and minute < 60 and second < 60):
        raise ValueError(f"expected a time of the calendar, was {written!r}")
    if not 1 <= day <= _LENGTHS[month - 1] + (is_leap and month == 2):
        raise ValueError(f"expected a day of the calendar, was {written!r}")
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400 - 477
    days = (year - 1970) * 365 + leap_days + _DAYS_BEFORE[month - 1] + (is_leap and month > 2) + day - 1
    return days * 86_400 + hour * 3_600 + minute * 60 + second
