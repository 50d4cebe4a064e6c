"""Names of markets as the venues make them, from the seed: the same seed lists the same ids."""

import hashlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
_V2_MODULES = {False: 1, True: 2}


def digest(seed: int, *parts: str) -> bytes:
    """Return 32 bytes that depend on the seed and the parts alone."""
    return hashlib.sha256("/".join((f"presage-sandbox-{seed}", *parts)).encode()).digest()


def condition_id(seed: int, slug: str) -> str:
    """Return a Polymarket condition id."""
    return "0x" + digest(seed, slug, "condition").hex()


def token_ids(seed: int, slug: str) -> tuple[str, str]:
    """Return token ids of a "v1" market: large numbers that are no position ids (their zero field is not zero)."""
    first, second = (int.from_bytes(digest(seed, slug, f"token{i}")) | 1 << 64 for i in range(2))
    return str(first), str(second)


def position_ids(seed: int, slug: str, *, neg_risk: bool) -> tuple[str, tuple[str, str]]:
    """Return condition and position ids of a "v2" market.

    Byte 0 is the module, bits 40 to 103 are zero, the last byte is the outcome; the condition id is the
    first 31 bytes.
    """
    noise = digest(seed, slug, "position")
    condition = bytes([_V2_MODULES[neg_risk]]) + noise[:18] + bytes(8) + noise[18:22]
    first, second = (str(int.from_bytes(condition + bytes([i]))) for i in range(2))
    return "0x" + condition.hex(), (first, second)


def number(seed: int, slug: str) -> int:
    """Return a number of seven digits, as Gamma gives its markets and events."""
    return 1_000_000 + int.from_bytes(digest(seed, slug, "number")[:6]) % 9_000_000


def kalshi_ticker(series: str, close_s: int) -> str:
    """``KXBTC15M-26MAY131800-00``: the close in New York, seconds added where windows are that short."""
    close = datetime.fromtimestamp(close_s, UTC).astimezone(NEW_YORK)
    seconds = f"{close:%S}" if close_s % 60 else ""
    return f"{series}-{close:%y}{close:%b}{close:%d%H%M}{seconds}-{close:%M}".upper()


def named_hour(open_s: int) -> str:
    """``october-2-2026-12pm-et``: the start in New York, minutes and seconds added where windows are that short."""
    opened = datetime.fromtimestamp(open_s, UTC).astimezone(NEW_YORK)
    finer = f"-{opened:%M}" if open_s % 3600 else ""
    finer += f"-{opened:%S}" if open_s % 60 else ""
    return f"{opened:%B}-{opened.day}-{opened.year}-{opened.hour % 12 or 12}{finer}{opened:%p}-et".lower()


def window_words(open_s: int, close_s: int) -> str:
    """Write ``July 23, 7:55PM-8:00PM ET``."""
    opened, closed = (datetime.fromtimestamp(s, UTC).astimezone(NEW_YORK) for s in (open_s, close_s))
    return f"{opened:%B} {opened.day}, {_clock(opened)}-{_clock(closed)} ET"


def _clock(moment: datetime) -> str:
    seconds = f":{moment:%S}" if moment.second else ""
    return f"{moment.hour % 12 or 12}:{moment:%M}{seconds}{moment:%p}"
