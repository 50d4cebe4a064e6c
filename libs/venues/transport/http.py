"""HTTP to one venue: keeps limits, classifies answers, repeats reads, never orders."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import httpx

from libs.venues.errors import BadAnswer, NotSent, OutcomeUnknown, RateLimited, Unavailable, VenueError
from libs.venues.transport.answer import HttpAnswer, Reader, ReadError, Unread
from libs.venues.transport.line import AnswerTooLong, Lines
from libs.venues.transport.rate_limit import TokenBucket

READ_ATTEMPTS_MAX = 4
"""A question is asked so often; with the pauses below that spans about two seconds."""
BACKOFF_S_MIN = 0.2
BACKOFF_S_MAX = 5.0
"""Pauses between attempts double from the one to the other, each shortened by up to half at random."""
RETRY_AFTER_S_WAITED_MAX = 10.0
"""A longer ``Retry-After`` is raised to the caller, and the bucket is paused."""
BODY_BYTES_MAX = 16 * 1024 * 1024
"""Longest answer read. The largest expected, 1,000 Gamma markets, is about 8 MB."""
CONNECTIONS_MAX = 20
KEEPALIVE_S = 30.0
"""Idle connections are dropped before a venue drops them (60 s at the usual load balancers): an order
written to a connection that is just being closed has an unknown outcome."""
CACHE_ENTRIES_MAX = 1_000
COMMON_HEADERS = {"user-agent": "presage", "accept": "application/json"}
EFFECT_WAIT_S_MAX = 2.0
"""An order that waits longer for its token is refused: its price is old by then."""
READ_WAIT_S_MAX = 60.0

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]] | None
Query = Mapping[str, str | int] | Sequence[tuple[str, str | int]] | None


class Timeouts(NamedTuple):
    """Seconds: for a connection, and for a whole request with its body."""

    connect_s: float = 3.0
    total_s: float = 10.0


class _Progress:
    """Whether a byte of a request may have left."""

    __slots__ = ("sending",)

    def __init__(self) -> None:
        self.sending = False

    def begin(self) -> None:
        """The first byte is about to leave."""
        self.sending = True

    async def trace(self, event: str, _info: object) -> None:
        """Called by the HTTP library at each of its steps."""
        if event.endswith("send_request_headers.started"):
            self.begin()


class VenueHttp:
    """One venue's HTTP interface.

    ``buckets`` are its limits by name; ``default`` is used where no other is named, and none at all is
    no limit. ``unavailable`` are the statuses by which the venue says that it takes no request now.
    Proxies and .netrc of the environment are ignored: credentials go to the venue and nowhere else.
    Counters: ``requests`` sent, ``retries``, ``cached`` answers given without asking.
    """

    def __init__(
        self,
        venue: str,
        base_url: str,
        buckets: Mapping[str, TokenBucket] | None = None,
        *,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a NamedTuple never changes
        unavailable: frozenset[int] = frozenset({425}),
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self.venue = venue
        self.base_url = base_url.rstrip("/")
        self.requests = 0
        self.retries = 0
        self.cached = 0
        self._buckets = dict(buckets or {})
        self._timeouts = timeouts
        self._reader = Reader(venue, unavailable)
        self._body_bytes_max = body_bytes_max
        self._cache: OrderedDict[tuple[str, str], tuple[float, HttpAnswer]] = OrderedDict()
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeouts.total_s, connect=timeouts.connect_s),
            limits=httpx.Limits(
                max_connections=CONNECTIONS_MAX,
                max_keepalive_connections=CONNECTIONS_MAX,
                keepalive_expiry=KEEPALIVE_S,
            ),
            headers=COMMON_HEADERS,
            trust_env=False,
        )
        # Orders wait for nobody: neither for a library's layers nor behind a long list on its connection.
        self._lines = Lines(
            self.base_url,
            connect_s=timeouts.connect_s,
            keepalive_s=KEEPALIVE_S,
            body_bytes_max=body_bytes_max,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        self._lines.close()
        await self._client.aclose()
        # What was broken off is closed in the next turn of the loop.
        await asyncio.sleep(0)

    async def request(  # noqa: PLR0913 - what a request is made of, each by its name
        self,
        method: str,
        path: str,
        *,
        effect: bool,
        query: Query = None,
        body: bytes | None = None,
        headers: Headers = None,
        bucket: str = "default",
        cost: float = 1.0,
        read_error: ReadError | None = None,
        cache_s: float = 0.0,
        bare: bool = False,
    ) -> HttpAnswer:
        """Send one request; the answer has a 2xx status and a JSON body.

        ``effect`` says that it changes something at the venue (order, cancel): it is sent at most once.
        Otherwise it is repeated, boundedly, and an answer not older than ``cache_s`` may be a kept one.
        ``headers`` may be a function, called for each attempt: signatures carry the time.
        ``bare``: a number or ``null`` is an answer too.

        Raises:
            VenueError: of the kind that ``libs.venues.transport.answer`` tells.
        """
        url = httpx.URL(self.base_url + path, params=_params(query)) if query else self.base_url + path
        build = _Request(method, path, str(url), body, headers, bucket, cost, bare)
        if effect:
            return await self._once(build, effect=True, read_error=read_error)
        key = (method, build.url)
        kept = self._cache.get(key)
        if kept is not None and cache_s > 0 and time.monotonic() - kept[0] <= cache_s:
            self.cached += 1
            return kept[1]
        answer = await self._read(build, read_error)
        if cache_s > 0:
            self._cache[key] = (time.monotonic(), answer)
            self._cache.move_to_end(key)
            if len(self._cache) > CACHE_ENTRIES_MAX:
                self._cache.popitem(last=False)
        return answer

    async def _read(self, request: "_Request", read_error: ReadError | None) -> HttpAnswer:
        """Ask until answered, at most ``READ_ATTEMPTS_MAX`` times."""
        for attempt in range(1, READ_ATTEMPTS_MAX + 1):
            try:
                return await self._once(request, effect=False, read_error=read_error)
            except VenueError as e:
                wait_s = e.retry_after_s if isinstance(e, RateLimited | Unavailable) else 0.0
                if attempt == READ_ATTEMPTS_MAX or wait_s > RETRY_AFTER_S_WAITED_MAX:
                    raise
                if not isinstance(e, Unread | NotSent | RateLimited | Unavailable):
                    raise
                self.retries += 1
                await asyncio.sleep(max(wait_s, _backoff_s(attempt)))
        raise AssertionError("unreachable")

    async def _once(self, request: "_Request", effect: bool, read_error: ReadError | None) -> HttpAnswer:
        """One attempt."""
        await self._acquire(request, EFFECT_WAIT_S_MAX if effect else READ_WAIT_S_MAX)
        progress = _Progress()
        try:
            async with asyncio.timeout(self._timeouts.total_s):
                answer = await (self._effect if effect else self._exchange)(request, progress)
        except (httpx.HTTPError, httpx.InvalidURL, AnswerTooLong, TimeoutError, OSError) as e:
            raise self._broken(request, progress, effect, e) from e
        error = self._reader.error(request.what, answer, effect, read_error, bare=request.bare)
        if error is None:
            return answer
        if isinstance(error, RateLimited) and (bucket := self._buckets.get(request.bucket)) is not None:
            bucket.pause_for(error.retry_after_s or BACKOFF_S_MIN)
        raise error

    async def _effect(self, request: "_Request", progress: _Progress) -> HttpAnswer:
        """Send what is sent once, and read the answer."""
        headers = COMMON_HEADERS | {"accept-encoding": "identity"} | request.headers_now()
        self.requests += 1
        return await self._lines.send(
            request.method, request.url, headers, request.body or b"", progress.begin
        )

    async def _exchange(self, request: "_Request", progress: _Progress) -> HttpAnswer:
        """Send, and read the answer as far as it is allowed to be long."""
        sent = self._client.build_request(
            request.method,
            request.url,
            content=request.body,
            headers=request.headers_now(),
            extensions={"trace": progress.trace},
        )
        self.requests += 1
        response = await self._client.send(sent, stream=True)
        try:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self._body_bytes_max:
                    raise AnswerTooLong
                parts.append(part)
        finally:
            await response.aclose()
        return HttpAnswer(response.status_code, dict(response.headers), b"".join(parts))

    def _broken(self, request: "_Request", progress: _Progress, effect: bool, error: Exception) -> VenueError:
        """Classify a request without an answer: nothing happened if nothing was sent, else the outcome is unknown."""
        # The library's text may hold the address with its query; the name of the error says enough.
        text = f"{request.what}: {type(error).__name__}"
        if not progress.sending:
            if (found := self._buckets.get(request.bucket)) is not None:
                found.give_back(request.cost)
            return NotSent(self.venue, text)
        if effect:
            return OutcomeUnknown(self.venue, text)
        return BadAnswer(self.venue, text) if isinstance(error, AnswerTooLong) else Unread(self.venue, text)

    async def _acquire(self, request: "_Request", wait_s_max: float) -> None:
        bucket = self._buckets.get(request.bucket)
        if bucket is None:
            return
        wait_s = bucket.wait_s(request.cost)
        text = f"{request.what}: our own limit ({request.bucket}) is used up"
        if wait_s > wait_s_max:
            raise RateLimited(self.venue, text, retry_after_s=wait_s)
        try:
            async with asyncio.timeout(wait_s_max):
                await bucket.acquire(request.cost)
        except TimeoutError:
            raise RateLimited(self.venue, text, retry_after_s=bucket.wait_s(request.cost)) from None


class _Request(NamedTuple):
    method: str
    path: str
    url: str
    body: bytes | None
    headers: Headers
    bucket: str
    cost: float
    bare: bool = False

    @property
    def what(self) -> str:
        """For messages: never with the query, which may hold an address or a key."""
        return f"{self.method} {self.path}"

    def headers_now(self) -> dict[str, str]:
        """The headers of this attempt."""
        headers = dict((self.headers() if callable(self.headers) else self.headers) or {})
        if self.body is not None:
            headers.setdefault("content-type", "application/json")
        return headers


def _params(query: Query) -> httpx.QueryParams:
    pairs = query.items() if isinstance(query, Mapping) else (query or ())
    return httpx.QueryParams([(name, str(value)) for name, value in pairs])


def _backoff_s(attempt: int) -> float:
    whole = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2.0 ** (attempt - 1))
    return whole * random.uniform(0.5, 1.0)
