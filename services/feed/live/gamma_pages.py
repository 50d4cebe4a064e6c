"""What Polymarket's Gamma is asked for markets, and the rows of its pages as far as the feed looks at them."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from libs.venues.frame import DECODE_ERRORS
from libs.venues.polymarket.params import PolymarketParams
from proto.units import UnitError, parse

PAGE_ROWS = 50
"""Markets a page. One is about 8 kB, so that a page stays below the longest frame."""
WINDOW_S = {"5m": 300, "15m": 900, "4h": 14_400}
"""Lengths of the up-or-down series whose windows carry the second of their start, by the end of their name."""
HOURLY_SUFFIX = "-up-or-down"
"""Series of a window each hour, named by New York's clock (``bitcoin-up-or-down-october-2-2026-12pm-et``)."""
HOUR_S = 3_600
WINDOWS_AHEAD = 1
"""Windows followed beyond the running one: the next is there before it opens."""

Query = dict[str, str | int]


class _Page(msgspec.Struct, gc=False):
    markets: list[msgspec.Raw] = []
    next_cursor: str | None = None


class _Row(msgspec.Struct, gc=False):
    """What the filters look at; numbers come as text, as numbers, or not at all."""

    volume: str | float | None = None
    category: str | None = None
    negRisk: bool | None = None  # noqa: N815 - the venue's name


_page = msgspec.json.Decoder(_Page)
_rows = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(_Row)


def window_slugs(series: Iterable[str], now_s: int) -> list[str]:
    """Slugs of the running windows and the next ones: they carry the second of their start, or its hour."""
    slugs = []
    for name in series:
        is_hourly = name.endswith(HOURLY_SUFFIX)
        length_s = HOUR_S if is_hourly else WINDOW_S.get(name.rpartition("-")[2], 0)
        if length_s:
            start_s = now_s - now_s % length_s
            starts = [start_s + n * length_s for n in range(WINDOWS_AHEAD + 1)]
            slugs += [f"{name}-{new_york_hour(at_s) if is_hourly else at_s}" for at_s in starts]
    return slugs


def new_york_hour(at_s: int) -> str:
    """An hour as the venue names it: ``october-2-2026-12pm-et``."""
    moment = datetime.fromtimestamp(at_s + new_york_offset_s(at_s), UTC)
    half = "am" if moment.hour < 12 else "pm"
    return f"{moment:%B}-{moment.day}-{moment.year}-{moment.hour % 12 or 12}{half}-et".lower()


def new_york_offset_s(at_s: int) -> int:
    """New York's clock against UTC, by the rule since 2007: daylight time from March to November, changed at 2:00.

    Computed, since a machine need not have a table of time zones.
    """
    year = datetime.fromtimestamp(at_s, UTC).year
    # 2:00 of the standard time on the second Sunday of March, 2:00 of the daylight time on the first of November.
    begins_s = _first_sunday_s(year, 3) + 7 * 86_400 + 7 * HOUR_S
    ends_s = _first_sunday_s(year, 11) + 6 * HOUR_S
    return (-4 if begins_s <= at_s < ends_s else -5) * HOUR_S


def _first_sunday_s(year: int, month: int) -> int:
    """The first Sunday of a month, at midnight UTC."""
    first = datetime(year, month, 1, tzinfo=UTC)
    return int(first.timestamp()) + (6 - first.weekday()) * 86_400


def tag_query(tag: str, hours_ahead: int, now_s: int) -> Query:
    """Open markets of a tag (of any, without) that should be decided soon, those that come first in front."""
    return _query(tag) | {
        "end_date_min": _utc(now_s),
        "end_date_max": _utc(now_s + hours_ahead * HOUR_S),
        "ascending": "true",
    }


def past_query(tag: str, now_s: int) -> Query:
    """Open markets of a tag that should have been decided by now, the newest in front: they may trade on."""
    return _query(tag) | {"end_date_max": _utc(now_s), "ascending": "false"}


def _query(tag: str) -> Query:
    query: Query = {"closed": "false", "order": "endDate", "limit": PAGE_ROWS}
    return query | {"tag_id": tag} if tag else query


def passes(raw: msgspec.Raw, params: PolymarketParams) -> bool:
    """Whether a market found by tag is one that is wanted."""
    try:
        row = _row.decode(raw)
        volume = parse(f"{float(row.volume or 0):.6f}")
    except (*DECODE_ERRORS, ValueError, UnitError):
        return False
    neg_risk = {"any": True, "only": bool(row.negRisk), "none": not row.negRisk}[params.neg_risk]
    category = not params.categories or (row.category or "") in params.categories
    return neg_risk and category and volume >= params.volume_min


def rows_of(body: bytes) -> list[msgspec.Raw]:
    """The markets of an answer: a plain array, or a page with a cursor. Anything else has none."""
    try:
        return _rows.decode(body) if body.lstrip()[:1] == b"[" else _page.decode(body).markets
    except DECODE_ERRORS:
        return []


def cursor_of(body: bytes) -> str:
    """Where the next page begins; "" after the last."""
    try:
        return _page.decode(body).next_cursor or ""
    except DECODE_ERRORS:
        return ""


def _utc(at_s: int) -> str:
    """A moment as Gamma's filters want it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
