"""Kalshi's three shapes of an error, and what its codes mean for an order.

``{"error": {"code", "message", "details"}}`` for what is refused, ``{"code", "message", "details"}`` for what cannot be
read, and ``{"error": "too many requests"}`` from the limiter. Source: docs/reference/venue-facts.md, Kalshi errors.
"""

import msgspec

from libs.bounded import cut
from libs.venues.errors import Refused
from libs.venues.frame import DECODE_ERRORS

CODE_CHARACTERS_MAX = 80
_GONE = ("market_inactive", "market_closed", "market_not_active", "order_not_found", "not_found")


def read_error(status: int, body: bytes) -> tuple[str, str]:
    """Code and text of an error body; raises nothing. The code is in small letters, "" when there is none."""
    try:
        found = msgspec.json.decode(body)
    except DECODE_ERRORS:
        return "", f"status {status}"
    inner = found.get("error") if isinstance(found, dict) else None
    if isinstance(inner, str):
        return cut(inner.lower().replace(" ", "_"), CODE_CHARACTERS_MAX), inner
    fields = inner if isinstance(inner, dict) else found
    if not isinstance(fields, dict):
        return "", f"status {status}"
    code = str(fields.get("code") or "")
    words = [str(fields[name]) for name in ("code", "message", "details") if fields.get(name)]
    return cut(code.lower(), CODE_CHARACTERS_MAX), ": ".join(words) or f"status {status}"


def is_duplicate(error: Refused) -> bool:
    """Whether a refused order is one the venue already has: 409, and no other reason for a 409.

    An order that trades at once and finds nothing to trade with is a 409 too, with a code of its own.
    """
    return error.status == 409 and not error.code.endswith("insufficient_resting_volume")


def is_gone(error: Refused) -> bool:
    """Whether a cancel was refused because there is nothing left to cancel: unknown, or the market is over."""
    return error.status == 404 or any(word in error.code for word in _GONE)
