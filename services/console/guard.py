"""What stands before every request: where it was sent to, where it comes from, how large it is, what may answer.

A plain ASGI wrapper, so that it covers sockets too: middleware for requests alone would let a page of another origin open
one with the operator's cookie.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from services.console.limits import BODY_BYTES_MAX, TARGET_CHARACTERS_MAX

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline, in nobody's frame."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
SECURE_ONLY = (b"strict-transport-security", b"max-age=31536000")
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class BodyTooLarge(Exception):
    """A request's body goes beyond the limit."""


class Guard:
    """Lets a request through to ``app`` when it is meant for us and comes from us.

    ``hosts``: names with port by which the console is reached; whatever else a browser was led to by is not answered, so
    that no name of a stranger can be pointed at loopback.
    """

    def __init__(self, app: App, hosts: Collection[str], *, is_secure: bool) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._is_secure = is_secure
        scheme = "https" if is_secure else "http"
        self._origins = frozenset(f"{scheme}://{host}" for host in self._hosts)
        self._headers = (*HEADERS, SECURE_ONLY) if is_secure else HEADERS
        self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        why = self._refusal(scope)
        if why:
            self.refused += 1
            await self._refuse(scope, send, why)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        """Why a request is not answered; empty when it is."""
        headers = _headers_of(scope)
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return f"expected one of {', '.join(sorted(self._hosts))} as the host"
        target = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
        if target > TARGET_CHARACTERS_MAX:
            return f"expected a target of at most {TARGET_CHARACTERS_MAX} characters, was {target}"
        origin = headers.get("origin")
        if scope["type"] == "websocket":
            return "" if origin in self._origins else "expected a socket of this origin"
        if scope["method"] in CHANGING and not self._is_own(headers, origin):
            return "expected a request of this origin"
        if int(headers.get("content-length") or 0) > BODY_BYTES_MAX:
            return f"expected a body of at most {BODY_BYTES_MAX} bytes"
        return ""

    def _is_own(self, headers: dict[str, str], origin: str | None) -> bool:
        """Whether a request that changes something comes from a page of ours, or from a program that is no browser."""
        if origin is not None:
            return origin in self._origins
        return headers.get("sec-fetch-site", "same-origin") == "same-origin"

    async def _refuse(self, scope: Scope, send: Send, why: str) -> None:
        if scope["type"] == "websocket":
            # Before it is accepted: the server answers 403.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        body = why.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), *self._headers]
        headers.append((b"content-length", str(len(body)).encode()))
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0
        started = False

        async def bounded() -> Event:
            nonlocal taken
            event = await receive()
            taken += len(event.get("body", b""))
            if taken > BODY_BYTES_MAX:
                raise BodyTooLarge
            return event

        async def with_headers(event: Event) -> None:
            nonlocal started
            if event["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in event.get("headers", ())}
                own = [header for header in self._headers if header[0] not in present]
                if b"cache-control" not in present:
                    own.append((b"cache-control", b"no-store"))
                event["headers"] = [*event.get("headers", ()), *own]
            await send(event)

        try:
            await self._app(scope, bounded, with_headers)
        except BodyTooLarge:
            self.refused += 1
            if started:
                raise
            await self._refuse(scope, send, f"expected a body of at most {BODY_BYTES_MAX} bytes")


def _headers_of(scope: Scope) -> dict[str, str]:
    """Header → value; of one that is there twice nothing is taken for granted: both count as one odd value."""
    found: dict[str, str] = {}
    for name, value in scope.get("headers", ()):
        text = value.decode("latin-1")
        key = name.decode("latin-1").lower()
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
