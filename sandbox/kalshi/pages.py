"""Lists page by page, so that no row is missing or twice while rows are added."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from sandbox.kalshi.refusals import bad_request

Row = TypeVar("Row")
LIMIT_DEFAULT = 100
LIST_LIMIT = 1_000
"""Most rows of a page; the documentation of 2026 names 200 for some lists, the venue allows more."""


def limit_of(request: web.Request, most: int) -> int:
    """Read the ``limit`` of a request. Raises ``Refusal`` for one out of range."""
    text = request.query.get("limit", str(LIMIT_DEFAULT))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise bad_request("invalid limit")
    return int(text)


def number_of(request: web.Request, name: str, default: int) -> int:
    """Return a whole number of a request's query."""
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or len(text) > 15:
        raise bad_request(f"invalid {name}")
    return int(text)


def index_of(request: web.Request) -> int | None:
    """Return the shard that a request's query names, if it does."""
    text = request.query.get("exchange_index", "")
    if text in ("", "-1"):
        return int(text) if text else None
    return number_of(request, "exchange_index", 0)


def newest_first(
    request: web.Request, rows: Sequence[Row], wanted: Callable[[Row], bool], most: int
) -> tuple[list[Row], str]:
    """Return a page of an append-only list, and the cursor of the next: the index below which that begins."""
    limit = limit_of(request, most)
    index = _read_cursor(request, len(rows))
    page: list[Row] = []
    while index > 0:
        index -= 1
        if wanted(rows[index]):
            page.append(rows[index])
            if len(page) == limit:
                break
    more = any(wanted(row) for row in rows[:index])
    return page, _cursor(index) if more else ""


def _read_cursor(request: web.Request, default: int) -> int:
    text = request.query.get("cursor", "")
    if not text:
        return default
    try:
        index = int(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error):
        raise bad_request("invalid cursor") from None
    if not 0 <= index <= default:
        raise bad_request("invalid cursor")
    return index


def _cursor(index: int) -> str:
    return base64.urlsafe_b64encode(str(index).encode()).decode()


def flag(request: web.Request, name: str) -> bool:
    """Return a boolean of a request's query."""
    return request.query.get(name, "").lower() == "true"


Body = dict[str, Any]
