"""Time zones by their names."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def named_zone(name: str) -> ZoneInfo:
    """The zone of a name such as ``Europe/Berlin``.

    Raises:
        ValueError: this machine knows none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise ValueError("expected the name of a time zone") from e
