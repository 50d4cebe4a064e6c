"""From a handler's answer or refusal to HTTP, the same for every path."""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct
from multidict import MultiMapping

from proto.units import SECOND
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.order_checks import BAD_PAYLOAD
from sandbox.venue import received_ns

PREFIX = "/clob"
"""Where the CLOB's host is on the sandbox's one port; clients sign the path behind it."""
PAGE = 100
"""Items of a page of the CLOB's lists."""
START, END = "MA==", "LTE="
T = TypeVar("T")


class DoorAnswer(Struct, frozen=True):
    """A 200: what becomes its JSON, and headers beside the usual ones."""

    body: object
    headers: Mapping[str, str] = {}


class Call(NamedTuple):
    """A request whose body has been read."""

    request: web.Request
    body: bytes

    @property
    def query(self) -> MultiMapping[str]:
        return self.request.query

    @property
    def parts(self) -> Mapping[str, str]:
        """The named parts of the path."""
        return self.request.match_info

    @property
    def received_s(self) -> float:
        """When it arrived, unix seconds: what signed timestamps are compared with."""
        return received_ns(self.request) / SECOND


Handler = Callable[[Call], Awaitable[DoorAnswer]]


def door(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return an aiohttp handler of a handler of ours."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = await handler(Call(request, await request.read()))
        except PolymarketRefusal as refusal:
            return refused(refusal)
        return web.json_response(answer.body, headers=dict(answer.headers), dumps=_compact)

    return handle


def refused(refusal: PolymarketRefusal) -> web.Response:
    """Make ``{"error": …}`` with the refusal's other fields; ``Retry-After`` where it has a time."""
    wait = refusal.extra.get("retry_after_seconds")
    headers = {} if wait is None else {"Retry-After": str(wait)}
    extra = refusal.extra if refusal.status != 429 else {}
    return web.json_response({"error": refusal.text, **extra}, status=refusal.status, headers=headers)


def _compact(body: object) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def decode(body: bytes, kind: type[T], most: int | None = None) -> T:
    """Return a body of a kind, a list of at most so many elements; else 400."""
    try:
        value = msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        raise PolymarketRefusal(400, BAD_PAYLOAD) from None
    if most is not None and isinstance(value, list) and len(value) > most:
        raise PolymarketRefusal(400, BAD_PAYLOAD)
    return value


def page(items: list[dict[str, object]], call: Call) -> dict[str, object]:
    """Return one page; the cursor is the offset in base64, -1 at the end."""
    cursor = call.query.get("next_cursor") or START
    try:
        start = int(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        raise PolymarketRefusal(400, "Invalid next_cursor") from None
    rows = items[start : start + PAGE] if start >= 0 else []
    following = start + PAGE
    more = start >= 0 and following < len(items)
    return {
        "data": rows,
        "next_cursor": base64.b64encode(str(following).encode()).decode() if more else END,
        "limit": PAGE,
        "count": len(rows),
    }
