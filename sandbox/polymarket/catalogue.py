"""Gamma's paths: lists by keyset or offset with their filters, single ones, search and tags.

Source: docs/reference/venue-facts.md, Polymarket markets.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from libs.bounded import clip
from libs.venues.polymarket import POLYMARKET
from proto.units import SECOND
from sandbox.polymarket import gamma
from sandbox.polymarket.doors import Call, DoorAnswer
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

T = TypeVar("T")
LIMIT_MAX = 100
"""Items of a page at most."""
LIMIT = 20
"""Items of a page when the request names no number."""
ORDERS: dict[str, Callable[[SandboxMarket], int]] = {
    "id": lambda market: market.number,
    "endDate": lambda market: market.close_ns,
    "end_date": lambda market: market.close_ns,
    "startDate": lambda market: market.listed_ns,
    "start_date": lambda market: market.listed_ns,
    "createdAt": lambda market: market.listed_ns,
    "volume": lambda market: market.volume,
    "volumeNum": lambda market: market.volume,
    "volume_num": lambda market: market.volume,
    "volume24hr": lambda market: market.volume,
}


class GammaCatalogue:
    """Handlers of the paths under ``/gamma``."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def markets(self, call: Call) -> DoorAnswer:
        rows, _ = _slice(self._chosen(call), call, by_offset=True)
        return DoorAnswer([self._with_event(market) for market in rows])

    async def markets_keyset(self, call: Call) -> DoorAnswer:
        rows, following = _slice(self._chosen(call), call, by_offset=False)
        page: dict[str, object] = {"markets": [self._with_event(market) for market in rows]}
        return DoorAnswer(page | ({"next_cursor": following} if following else {}))

    async def events(self, call: Call) -> DoorAnswer:
        rows, _ = _slice(self._events(call), call, by_offset=True)
        return DoorAnswer([gamma.event_body(group) for group in rows])

    async def events_keyset(self, call: Call) -> DoorAnswer:
        rows, following = _slice(self._events(call), call, by_offset=False)
        page: dict[str, object] = {"events": [gamma.event_body(group) for group in rows]}
        return DoorAnswer(page | ({"next_cursor": following} if following else {}))

    async def market(self, call: Call) -> DoorAnswer:
        wanted = call.parts["market"]
        for market in self._world.markets(POLYMARKET):
            if wanted in (str(market.number), market.slug):
                return DoorAnswer(self._with_event(market))
        raise PolymarketRefusal(404, "not found")

    async def event(self, call: Call) -> DoorAnswer:
        wanted = call.parts["event"]
        for group in self._groups(self._world.markets(POLYMARKET)):
            document = gamma.event_body(group)
            if wanted in (document["id"], document["slug"]):
                return DoorAnswer(document)
        raise PolymarketRefusal(404, "not found")

    async def search(self, call: Call) -> DoorAnswer:
        words = call.query.get("q", "").lower().split()
        found = [
            group
            for group in self._groups(self._world.markets(POLYMARKET))
            if all(word in f"{group[0].event_title} {group[0].slug}".lower() for word in words)
            and not all(gamma.resolved(market) for market in group)
        ]
        limit = _number(call, "limit_per_type", LIMIT)
        rows = found[:limit]
        pagination = {"hasMore": len(found) > len(rows), "totalResults": len(found)}
        return DoorAnswer({"events": [gamma.event_body(group) for group in rows], "pagination": pagination})

    async def series(self, call: Call) -> DoorAnswer:
        slugs = _words(call, "slug")
        rows = [body for body in self._series() if not slugs or body["slug"] in slugs]
        rows, _ = _slice(rows, call, by_offset=True)
        return DoorAnswer(rows)

    async def one_series(self, call: Call) -> DoorAnswer:
        for body in self._series():
            if call.parts["series"] in (body["id"], body["slug"]):
                return DoorAnswer(body)
        raise PolymarketRefusal(404, "not found")

    def _series(self) -> list[dict[str, object]]:
        """Return every series, with its events."""
        groups: dict[str, list[list[SandboxMarket]]] = {}
        for group in self._groups(self._world.markets(POLYMARKET)):
            groups.setdefault(group[0].series, []).append(group)
        return [gamma.series_body(name, events) for name, events in groups.items()]

    async def tags(self, _call: Call) -> DoorAnswer:
        return DoorAnswer([gamma.tag_body(tag) for tag in gamma.TAGS])

    async def tag(self, call: Call) -> DoorAnswer:
        wanted = call.parts["tag"]
        for tag in gamma.TAGS:
            if wanted in (tag[0], tag[2]):
                return DoorAnswer(gamma.tag_body(tag))
        raise PolymarketRefusal(404, "not found")

    # ── choosing ────────────────────────────────────────────────────────────────────────────────────

    def _groups(self, markets: Sequence[SandboxMarket]) -> list[list[SandboxMarket]]:
        groups: dict[str, list[SandboxMarket]] = {}
        for market in markets:
            groups.setdefault(market.event_id, []).append(market)
        return list(groups.values())

    def _with_event(self, market: SandboxMarket) -> dict[str, object]:
        group = [other for other in self._world.markets(POLYMARKET) if other.event_id == market.event_id]
        body = gamma.market_body(market) | {"events": [gamma.event_body(group, nested=False)]}
        return body | {"tags": [gamma.tag_body(tag) for tag in gamma.tags_of(market)]}

    def _chosen(self, call: Call) -> list[SandboxMarket]:
        chosen = [market for market in self._world.markets(POLYMARKET) if _matches(market, call)]
        return _sorted(chosen, call)

    def _events(self, call: Call) -> list[list[SandboxMarket]]:
        chosen = _sorted(self._world.markets(POLYMARKET), call)
        return [group for group in self._groups(chosen) if _matches_event(group, call)]


def _number(call: Call, name: str, otherwise: int) -> int:
    text = call.query.get(name, "")
    return min(int(text), LIMIT_MAX) if text.isdecimal() else otherwise


def _words(call: Call, *names: str) -> set[str]:
    """Return the values of a filter, which may be repeated or separated by commas."""
    return {word for name in names for text in call.query.getall(name, []) for word in text.split(",")}


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PolymarketRefusal(422, f"invalid timestamp {clip(text, 40)!r}") from None
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * SECOND


def _within(call: Call, name: str, at_ns: int) -> bool:
    query = call.query
    low, high = query.get(f"{name}_min"), query.get(f"{name}_max")
    return (not low or at_ns >= _moment(low)) and (not high or at_ns <= _moment(high))


def _open_as_asked(call: Call, closed: bool, otherwise: bool | None) -> bool:
    asked = call.query.get("closed")
    if asked is None:
        return otherwise is None or closed is otherwise
    return closed is (asked.lower() == "true")


def _in_time(market: SandboxMarket, call: Call) -> bool:
    return _within(call, "end_date", market.close_ns) and _within(call, "start_date", market.listed_ns)


def _tagged(market: SandboxMarket, call: Call) -> bool:
    ids, slugs = _words(call, "tag_id"), _words(call, "tag_slug")
    tags = gamma.tags_of(market)
    return (not ids or any(tag[0] in ids for tag in tags)) and (
        not slugs or any(tag[2] in slugs for tag in tags)
    )


def _matches(market: SandboxMarket, call: Call) -> bool:
    filters = (
        (_words(call, "id"), {str(market.number)}),
        (_words(call, "slug"), {market.slug}),
        (_words(call, "condition_ids"), {market.id}),
        (_words(call, "question_ids"), {gamma.question_id(market)}),
        (_words(call, "clob_token_ids"), set(market.tokens) if market.version == "v1" else set()),
        (_words(call, "position_ids"), set(market.tokens) if market.version == "v2" else set()),
        (_words(call, "version"), {market.version}),
        (_words(call, "uma_resolution_status"), {gamma.oracle_status(market)}),
    )
    if any(wanted and wanted.isdisjoint(has) for wanted, has in filters):
        return False
    # Like the venue, a list of markets leaves closed ones out unless they are asked for by name.
    named = any(wanted for wanted, _ in filters[:6])
    closed = _open_as_asked(call, gamma.resolved(market), None if named else False)
    return closed and _in_time(market, call) and _tagged(market, call)


def _matches_event(group: list[SandboxMarket], call: Call) -> bool:
    first = group[0]
    closed = all(gamma.resolved(market) for market in group)
    ids, slugs = _words(call, "id"), _words(call, "slug")
    document = gamma.event_body(group, nested=False)
    if (ids and document["id"] not in ids) or (slugs and document["slug"] not in slugs):
        return False
    series = _words(call, "series_slug")
    if series and first.series not in series:
        return False
    active = call.query.get("active", "true").lower() == "true"
    return active and _open_as_asked(call, closed, None) and _in_time(first, call) and _tagged(first, call)


def _sorted(markets: Sequence[SandboxMarket], call: Call) -> list[SandboxMarket]:
    word = call.query.get("order", "id").split(",")[0]
    key = ORDERS.get(word)
    if key is None:
        raise PolymarketRefusal(422, f"order {clip(word, 40)!r} is not a field")
    descending = call.query.get("ascending", "true").lower() == "false"
    return sorted(markets, key=lambda market: (key(market), market.number), reverse=descending)


def _slice(rows: list[T], call: Call, *, by_offset: bool) -> tuple[list[T], str]:
    limit = _number(call, "limit", LIMIT)
    if by_offset:
        start = int(call.query["offset"]) if call.query.get("offset", "").isdecimal() else 0
    else:
        start = _after(call.query.get("after_cursor", ""))
    following = start + limit
    more = following < len(rows)
    return rows[start:following], base64.b64encode(str(following).encode()).decode() if more else ""


def _after(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        raise PolymarketRefusal(422, "invalid cursor") from None
