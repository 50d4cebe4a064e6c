"""A server on loopback that speaks Telegram's wire as far as it is used: sendMessage and getUpdates.

Answers, limits and errors as https://core.telegram.org/bots/api describes them; a test scripts what goes wrong.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self

from aiohttp import web

TOKEN = "123456:test-token"
TEXT_CHARACTERS_MAX = 4_096
UPDATES_MAX = 100


class TelegramServer:
    """One bot. ``sent``: what was written, as (chat, text); ``script``: what the next calls of a method answer instead."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str]] = []
        self.calls: list[str] = []
        self.offsets: list[int] = []
        self.script: dict[str, deque[tuple[int, dict[str, Any]]]] = {}
        self.url = ""
        self._updates: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._arrived.set()
        assert self._runner is not None
        await self._runner.cleanup()

    def will_answer(self, method: str, status: int, **body: Any) -> None:
        """Let the next call of a method fail."""
        answer = {"ok": False, "error_code": status} | body
        self.script.setdefault(method, deque()).append((status, answer))

    def says(self, chat: int, text: str, user: int = 0) -> None:
        """Somebody writes to the bot."""
        number = len(self._updates) + 1
        message = {"message_id": number, "chat": {"id": chat}, "from": {"id": user or chat}, "text": text}
        self._updates.append({"update_id": 1_000 + number, "message": message})
        self._arrived.set()

    def arrives(self, update: dict[str, Any]) -> None:
        """Any other update."""
        self._updates.append({"update_id": 1_001 + len(self._updates)} | update)
        self._arrived.set()

    async def _answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.calls.append(method)
        if request.match_info["token"] != TOKEN:
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        if self.script.get(method):
            status, body = self.script[method].popleft()
            return web.json_response(body, status=status)
        fields = await request.json()
        if method == "sendMessage":
            return self._write(fields)
        if method == "getUpdates":
            return await self._update(fields)
        return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)

    def _write(self, fields: dict[str, Any]) -> web.Response:
        text = fields["text"]
        if not text or len(text) > TEXT_CHARACTERS_MAX:
            description = "Bad Request: message is too long"
            return web.json_response({"ok": False, "error_code": 400, "description": description}, status=400)
        self.sent.append((fields["chat_id"], text))
        return web.json_response({"ok": True, "result": {"message_id": len(self.sent)}})

    async def _update(self, fields: dict[str, Any]) -> web.Response:
        """What came since ``offset``, which confirms all before it; waits as long as it is asked to."""
        offset = int(fields.get("offset", 0))
        self.offsets.append(offset)
        try:
            async with asyncio.timeout(float(fields.get("timeout", 0))):
                while not self._since(offset) and not self._closing:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        return web.json_response({"ok": True, "result": self._since(offset)})

    def _since(self, offset: int) -> list[dict[str, Any]]:
        return [update for update in self._updates if update["update_id"] >= offset][:UPDATES_MAX]
