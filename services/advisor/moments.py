"""Dates from nanoseconds, without a clock or a time zone: UTC, in the proleptic Gregorian calendar."""

from proto.units import SECOND, Nanoseconds

DAY_S = 86_400
DAY = DAY_S * SECOND


def civil_date(days: int) -> tuple[int, int, int]:
    """Year, month and day of a count of days since 1970-01-01 (H. Hinnant, chrono-compatible date algorithms)."""
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def month_of(at: Nanoseconds) -> int:
    """A moment's month as one rising number: year · 12 + month − 1."""
    year, month, _ = civil_date(at // DAY)
    return year * 12 + month - 1


def moment_text(at: Nanoseconds) -> str:
    """``2026-12-01 11:40:18 UTC``."""
    year, month, day = civil_date(at // DAY)
    seconds = at // SECOND % DAY_S
    return f"{year:04d}-{month:02d}-{day:02d} {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d} UTC"


def span_text(seconds: int) -> str:
    """``14 min 20 s``, ``3 h 5 min``, ``2 d 4 h``."""
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 2 * DAY_S:
        return f"{seconds // 3600} h {seconds // 60 % 60} min"
    return f"{seconds // DAY_S} d {seconds // 3600 % 24} h"
