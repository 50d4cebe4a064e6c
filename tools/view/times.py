"""Times for people: in the operator's zone, and in UTC beside it where they are copied from."""

import os
from datetime import UTC, datetime, timedelta, tzinfo

from libs.bounded import clip
from libs.config.zone import named_zone
from proto.units import MILLISECOND, SECOND
from tools.exit_codes import UsageError

VARIABLE = "PRESAGE_TIME_ZONE"


def operator_zone() -> tzinfo | None:
    """The zone that the environment names; ``None`` is the system's.

    Raises:
        UsageError: this machine knows no zone of that name.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    try:
        return named_zone(name)
    except ValueError as e:
        raise UsageError(
            f"expected {VARIABLE} to be the name of a time zone such as Europe/Berlin, was {clip(name, 40)!r}"
        ) from e


def local(at_ns: int) -> datetime:
    """A moment in the operator's zone, to the second."""
    return _utc(at_ns).astimezone(operator_zone())


def clock(at_ns: int) -> str:
    """Time of day in the operator's zone: ``14:03:59``."""
    return f"{local(at_ns):%H:%M:%S}"


def zone_name(at_ns: int) -> str:
    """What the zone calls itself at that time: ``UTC``, ``CEST``."""
    return local(at_ns).tzname() or "UTC"


def is_utc(at_ns: int) -> bool:
    """Whether the operator's clocks show UTC at that time."""
    return local(at_ns).utcoffset() == timedelta()


def clock_and_utc(at_ns: int) -> str:
    """``14:03:59 UTC``, or ``14:03:59 CEST (12:03:59 UTC)``."""
    beside = "" if is_utc(at_ns) else f" ({_utc(at_ns):%H:%M:%S} UTC)"
    return f"{clock(at_ns)} {zone_name(at_ns)}{beside}"


def heading(word: str, now_ns: int) -> str:
    """Over a column of :func:`cell`: ``time UTC``, ``time CEST (UTC)``."""
    return f"{word} {zone_name(now_ns)}" + ("" if is_utc(now_ns) else " (UTC)")


def cell(at_ns: int, now_ns: int) -> str:
    """``14:03:59 (12:03:59Z)`` of today, else ``2026-05-13 14:03 (12:03Z)``; UTC once where it is the zone."""
    at, utc = local(at_ns), _utc(at_ns)
    is_today = at.date() == local(now_ns).date()
    time = "%H:%M:%S" if is_today else "%H:%M"
    text = f"{at:{time}}" if is_today else f"{at:%Y-%m-%d {time}}"
    if is_utc(at_ns):
        return text
    date = "" if at.date() == utc.date() else f"{utc:%Y-%m-%d} "
    return f"{text} ({date}{utc:{time}}Z)"


def exact(at_ns: int, *, date: bool = True) -> str:
    """To the millisecond: ``2026-05-13 14:03:59.250 CEST (12:03:59.250Z)``; UTC alone where it is the zone."""
    at, utc = local(at_ns), _utc(at_ns)
    milliseconds = f".{at_ns % SECOND // MILLISECOND:03d}"
    form = "%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S"
    copied = f"{utc:{form}}{milliseconds}Z"
    return copied if is_utc(at_ns) else f"{at:{form}}{milliseconds} {zone_name(at_ns)} ({copied})"


def _utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // SECOND, UTC)
