"""The middleware of every venue's server: it records arrivals and injects faults."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from libs.tasks import cancel_all
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import FaultAction
from sandbox.venue import ARRIVAL, FAULT, HTML, RECEIVED_NS, VenueServer

log = logging.getLogger(__name__)

HELD_S = 60.0
"""A request without an answer is held so long, then its connection is cut: clients give up sooner."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_REFUSALS = frozenset({FaultKind.STATUS, FaultKind.RATE_LIMIT, FaultKind.RESTART_WINDOW})
_CHANGES = frozenset({"order", "orders", "cancel", "heartbeat"})


class FaultyHandlers:
    """The middleware of one venue's application, and the requests it carries out later.

    ``before_answer`` is called when a request was carried out and nothing of its answer has left yet.
    """

    def __init__(self, server: VenueServer, before_answer: Callable[[], None] = lambda: None) -> None:
        self._server = server
        self._before_answer = before_answer
        self._late: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Drop what was to be carried out later."""
        await cancel_all(self._late)

    def application(self) -> web.Application:
        """Return the venue's application."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._handle(request, handler)

        app = web.Application(middlewares=[handle], client_max_size=self._server.client_max_bytes)
        app.add_routes(self._server.routes())
        return app

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        server = self._server
        operation = server.operation(request)
        if operation is None:
            return await handler(request)
        request[RECEIVED_NS] = time.time_ns()
        arrival = server.arrivals.record(server.venue, operation) if operation in _CHANGES else None
        if arrival is not None:
            request[ARRIVAL] = arrival
        facts = {"path": request.path, "method": request.method}
        action = await server.faults.at(server.venue, operation, facts)
        request[FAULT] = action
        response = await self._act(request, handler, action)
        self._before_answer()
        if arrival is not None:
            arrival.fault = action.kind or ""
            arrival.status = 0 if _keeps_answer(action) else response.status
        return response

    async def _act(self, request: web.Request, handler: Handler, action: FaultAction) -> web.StreamResponse:
        kind = action.kind
        if kind in _REFUSALS:
            if action.carried_out:
                await handler(request)
            return self._refuse(action)
        if kind is FaultKind.DROP or kind is FaultKind.ACCEPT_THEN_TIMEOUT:
            if action.carried_out or kind is FaultKind.ACCEPT_THEN_TIMEOUT:
                await handler(request)
            return await _keep_back(request, action.seconds or HELD_S)
        if kind is FaultKind.RESET_CONNECTION:
            if action.carried_out:
                await handler(request)
            return _cut(request)
        if kind is FaultKind.APPEAR_LATE:
            await request.read()
            self._carry_out_later(request, handler, action.seconds)
            return await _keep_back(request, HELD_S)
        return await handler(request)

    def _refuse(self, action: FaultAction) -> web.Response:
        rule = action.rule
        if rule is not None and rule.body == "html":
            response = web.Response(status=rule.status, text=HTML, content_type="text/html")
        elif rule is not None and rule.body == "empty":
            response = web.Response(status=rule.status)
        elif rule is not None and rule.body == "hollow":
            response = web.json_response({}, status=rule.status)
        else:
            response = self._server.refusal(action)
        if rule is not None and rule.retry_after_s is not None:
            response.headers["Retry-After"] = f"{rule.retry_after_s:g}"
        return response

    def _carry_out_later(self, request: web.Request, handler: Handler, seconds: float) -> None:
        async def carry_out() -> None:
            await asyncio.sleep(seconds)
            try:
                await handler(request)
            except web.HTTPException as e:
                log.info("%s: a late request was refused: %s", self._server.venue, e.status)

        task = asyncio.create_task(carry_out())
        self._late.add(task)
        task.add_done_callback(self._carried_out)

    def _carried_out(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: a late request failed: %r", self._server.venue, error)


def _keeps_answer(action: FaultAction) -> bool:
    return action.kind in (
        FaultKind.DROP,
        FaultKind.ACCEPT_THEN_TIMEOUT,
        FaultKind.APPEAR_LATE,
        FaultKind.RESET_CONNECTION,
    )


async def _keep_back(request: web.Request, seconds: float) -> web.Response:
    """Send no answer while the client waits; then cut its connection."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(min(0.1, seconds))
    return _cut(request)


def _cut(request: web.Request) -> web.Response:
    """Cut the connection without a byte; the response is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
