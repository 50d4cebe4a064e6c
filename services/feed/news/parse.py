"""From the bytes of a feed to its items: RSS and Atom by feedparser, JSON Feed by ourselves. Whatever comes, no exception."""

import calendar
import hashlib
import html
import json
import re
import time
from typing import Any, NamedTuple

from proto.message import TEXT_CHARACTERS_MAX, as_text

ITEMS_READ_MAX = 500
"""Items looked at in one feed, however many it has."""
ID_DIGITS = 32
_TAGS = re.compile(r"<[^>]{0,2000}>")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]+")


class Item(NamedTuple):
    """One item: what it is known by, its words, where it is, when it was published (s since 1970, 0 if it does not say)."""

    item: str
    title: str
    summary: str
    address: str
    published_s: int


def parse_feed(body: bytes) -> list[Item]:
    """The items of a feed in its order.

    Raises:
        ValueError: it is no feed.
    """
    if body.lstrip()[:1] == b"{":
        return _items_of_json(body)
    import feedparser

    found = feedparser.parse(body, sanitize_html=False, resolve_relative_uris=False)
    entries = list(found.get("entries", []))[:ITEMS_READ_MAX]
    if not entries and not found.get("version"):
        raise ValueError("expected RSS, Atom or JSON Feed, was something else")
    return [item for entry in entries if (item := _item_of_entry(entry)) is not None]


def _item_of_entry(entry: Any) -> Item | None:
    moment = entry.get("published_parsed") or entry.get("updated_parsed")
    try:
        published_s = calendar.timegm(moment) if moment else 0
    except (TypeError, ValueError, OverflowError):
        published_s = 0
    return _item(
        entry.get("id") or entry.get("link"),
        entry.get("title"),
        entry.get("summary"),
        entry.get("link"),
        published_s,
    )


def _items_of_json(body: bytes) -> list[Item]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"expected JSON Feed: {e}") from e
    rows = document.get("items") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ValueError(  # noqa: TRY004 - one kind of error for whatever is no feed
            "expected JSON Feed with items, was without"
        )
    found = []
    for row in rows[:ITEMS_READ_MAX]:
        if isinstance(row, dict):
            item = _item(
                row.get("id") or row.get("url"),
                row.get("title"),
                row.get("summary") or row.get("content_text"),
                row.get("url"),
                _seconds_of(row.get("date_published")),
            )
            if item is not None:
                found.append(item)
    return found


def _seconds_of(text: Any) -> int:
    """RFC 3339 as seconds since 1970; 0 for anything else."""
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(str(text)).timestamp())
    except (ValueError, OverflowError):
        return 0


def _item(name: Any, title: Any, summary: Any, address: Any, published_s: int) -> Item | None:
    words = _plain(title)
    if not words:
        return None
    key = f"{name}" if name else words
    digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:ID_DIGITS]
    where = str(address or "")
    is_address = where.startswith(("https://", "http://"))
    seconds = published_s if 0 < published_s < time.time() + 86_400 else 0
    return Item(digest, words, _plain(summary), as_text(where) if is_address else "", seconds)


def _plain(text: Any) -> str:
    """Words without tags, entities and control characters, cut."""
    raw = str(text or "")[: TEXT_CHARACTERS_MAX * 20]
    return as_text(_SPACE.sub(" ", html.unescape(_TAGS.sub(" ", raw))).strip())
