"""The one websocket: which tables a browser wants, a snapshot of them, then numbered changes."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from time import monotonic
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from services.console.limits import (
    CLIENTS_MAX,
    INBOUND_BYTES_MAX,
    INBOUND_PER_S_MAX,
    SESSION_CHECK_S,
)
from services.console.live import Client
from services.console.service import Console

LOGGED_OUT, TOO_MANY, UNEXPECTED = 4401, 4429, 4400
"""Codes with which a socket is closed, after the HTTP ones they are like."""
FIRST_WORD_S = 10.0
"""A browser says at once what it wants."""


def router_of(console: Console) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.websocket("/api/v1/live")
    async def live(socket: WebSocket) -> None:
        if console.gatekeeper.session_of(socket) is None:
            # Accepted first, so that the browser is told why: before, all it sees is a failure.
            await socket.accept()
            await socket.close(LOGGED_OUT)
            return
        await socket.accept()
        if len(console.live.clients) >= CLIENTS_MAX:
            await socket.close(TOO_MANY)
            return
        await _serve(console, socket)

    return router


async def _serve(console: Console, socket: WebSocket) -> None:
    try:
        async with asyncio.timeout(FIRST_WORD_S):
            client = Client(tables_of(await socket.receive()))
    except (TimeoutError, ValueError, WebSocketDisconnect):
        await _close(socket, UNEXPECTED)
        return
    console.live.clients.add(client)
    tasks = [
        asyncio.create_task(_send(client, socket)),
        asyncio.create_task(_receive(socket)),
        asyncio.create_task(_check_session(console, socket)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if isinstance(error := task.exception(), _Close):
                await _close(socket, error.code)
    finally:
        console.live.clients.discard(client)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _close(socket, 1001)


class _Close(Exception):
    """The socket is to be closed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def tables_of(event: Mapping[str, Any]) -> list[str]:
    """The tables that a browser's first word names.

    Raises:
        ValueError: it is something else.
        WebSocketDisconnect: it is gone.
    """
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1005))
    text = event.get("text")
    if not isinstance(text, str) or len(text) > INBOUND_BYTES_MAX:
        raise ValueError(f"expected text of at most {INBOUND_BYTES_MAX} characters")
    try:
        document = json.loads(text)
    except RecursionError as e:
        raise ValueError("expected a document of two levels, was a deeper one") from e
    tables = document.get("tables") if isinstance(document, dict) else None
    if not isinstance(tables, list) or not all(isinstance(name, str) for name in tables):
        raise ValueError('expected {"tables": [names]}')
    return tables


async def _send(client: Client, socket: WebSocket) -> None:
    while True:
        await socket.send_text(await client.queue.get())


async def _receive(socket: WebSocket) -> None:
    """Nothing more is expected; who says much is cut off."""
    said, since = 0, monotonic()
    while True:
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            return
        if monotonic() - since > 1.0:
            said, since = 0, monotonic()
        said += 1
        if said > INBOUND_PER_S_MAX or len(event.get("text") or event.get("bytes") or "") > INBOUND_BYTES_MAX:
            raise _Close(UNEXPECTED)


async def _check_session(console: Console, socket: WebSocket) -> None:
    while True:
        await asyncio.sleep(SESSION_CHECK_S)
        if console.gatekeeper.session_of(socket) is None:
            raise _Close(LOGGED_OUT)


async def _close(socket: WebSocket, code: int) -> None:
    if socket.application_state is WebSocketState.CONNECTED:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(code)
