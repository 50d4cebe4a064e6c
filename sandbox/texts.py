"""Numbers and times as the venues write them."""

from datetime import UTC, datetime

from proto.units import ONE, SECOND


def fixed(value: int, places: int) -> str:
    """Write millionths with so many decimals, exactly: ``fixed(450_000, 4)`` is ``"0.4500"``; finer is cut off."""
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), ONE)
    digits = f"{fraction:06d}".ljust(places, "0")[:places]
    return f"{sign}{whole}.{digits}" if places else f"{sign}{whole}"


def iso(at_ns: int, places: int = 6) -> str:
    """Write ``2026-11-21T14:41:47.123456Z``; 0 places leave the fraction out."""
    moment = datetime.fromtimestamp(at_ns // SECOND, UTC)
    fraction = f".{at_ns % SECOND:09d}"[: places + 1] if places else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
