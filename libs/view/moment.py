"""Moments for people."""

from datetime import UTC, datetime

from proto.units import MILLISECOND, SECOND


def moment(at_ns: int, *, date: bool = True) -> str:
    """UTC to the millisecond, ``2026-05-13 21:51:30.250Z``; without the date on request."""
    at = datetime.fromtimestamp(at_ns // SECOND, UTC)
    return f"{at:{'%Y-%m-%d ' if date else ''}%H:%M:%S}.{at_ns % SECOND // MILLISECOND:03d}Z"
