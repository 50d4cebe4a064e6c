"""Two protocols for one made-up model: Anthropic's Messages and OpenAI's chat completions."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sandbox.models.behaviour import Behaviour, Mode
from sandbox.models.evaluator import changes_for, is_evaluation
from sandbox.models.forecaster import Truth, content_for, percent_for

BODY_BYTES_MAX = 4 << 20
CALLS_KEPT = 10_000
DRIP_S = 0.05
TOKEN_BYTES = 4
_STATUS = {
    Mode.RATE: 429,
    Mode.SERVER_ERROR: 500,
    Mode.OVERLOADED: 529,
    Mode.UNAUTHORISED: 401,
    Mode.NO_CREDIT: 402,
    Mode.LOADING: 503,
}


class ModelServer:
    """Serves both protocols. ``truth`` knows the world, ``calls`` are the texts of the questions that were answered.

    ``paid``: requests for which an answer was computed, whether it arrived or not.
    """

    def __init__(self, truth: Truth, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.calls: list[dict[str, Any]] = []
        self.paid = 0
        self._truth = truth

    def application(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes(
            [
                web.post("/v1/messages", self._messages),
                web.post("/v1/messages/count_tokens", self._count_tokens),
                web.post("/v1/chat/completions", self._completions),
                web.get("/v1/models", self._models),
                web.get("/calls", self._show_calls),
                web.get("/behaviour", self._show_behaviour),
                web.put("/behaviour", self._change_behaviour),
            ]
        )
        return app

    @staticmethod
    def urls(base: str) -> dict[str, str]:
        """Address by protocol, as the SDKs want it."""
        return {"anthropic": base, "openai": f"{base}/v1"}

    # ── settings ──

    async def _show_behaviour(self, _: web.Request) -> web.Response:
        return web.json_response(vars(self.behaviour))

    async def _change_behaviour(self, request: web.Request) -> web.Response:
        try:
            self.behaviour.change(await request.json())
        except (ValueError, TypeError, AttributeError) as e:
            return web.json_response({"error": str(e)}, status=400)
        return web.json_response(vars(self.behaviour))

    async def _show_calls(self, _: web.Request) -> web.Response:
        """Every question for which an answer was computed, by the hash of what was asked."""
        texts = [f"{call['prompt']}\x00{call['text']}" for call in self.calls]
        return web.json_response([hashlib.sha256(text.encode()).hexdigest() for text in texts])

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "sandbox", "object": "model"}]})

    async def _count_tokens(self, request: web.Request) -> web.Response:
        return web.json_response({"input_tokens": len(await request.read()) // TOKEN_BYTES})

    # ── questions ──

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = str(body.get("system", ""))
        text = "\n".join(str(message.get("content", "")) for message in body.get("messages", []))
        return await self._answer(request, body, prompt, text, _as_message)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        said = {
            str(message.get("role")): str(message.get("content", "")) for message in body.get("messages", [])
        }
        return await self._answer(request, body, said.get("system", ""), said.get("user", ""), _as_completion)

    async def _answer(
        self, request: web.Request, body: Mapping[str, Any], prompt: str, text: str, form: Any
    ) -> web.StreamResponse:
        behaviour = self.behaviour
        mode = behaviour.next_mode()
        if mode in _STATUS:
            return self._refusal(mode)
        if mode is Mode.CLOSE_BEFORE:
            return _cut(request)
        self.calls = [*self.calls[-CALLS_KEPT + 1 :], {"prompt": prompt, "text": text, "path": request.path}]
        self.paid += 1
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if mode is Mode.CLOSE:
            return _cut(request)
        if mode is Mode.HTML:
            return web.Response(text="<html><body>Welcome</body></html>", content_type="text/html")
        if mode is Mode.ERROR_BODY:
            return web.json_response(
                {"error": {"message": "context too long", "type": "invalid_request_error"}}
            )
        if is_evaluation(text) and mode is not Mode.HUGE:
            content = changes_for(text, mode)
        else:
            content = content_for(percent_for(text, prompt, self._truth, behaviour, mode), mode)
        usage = (
            (len(prompt) + len(text)) // TOKEN_BYTES,
            min(len(content) // TOKEN_BYTES, _tokens_max(body)),
        )
        document = form(body, content, usage, mode, behaviour.search_count)
        if mode is Mode.DRIP:
            return await _drip(request, document)
        return web.json_response(document)

    def _refusal(self, mode: Mode) -> web.Response:
        words = {
            "type": "error",
            "error": {"type": f"{mode.value}_error", "message": f"made up: {mode.value}"},
        }
        response = web.json_response(words, status=_STATUS[mode])
        if self.behaviour.retry_after_s is not None:
            response.headers["Retry-After"] = f"{self.behaviour.retry_after_s:g}"
        return response


def _tokens_max(body: Mapping[str, Any]) -> int:
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 1_000_000)


def _as_message(
    body: Mapping[str, Any], content: str, usage: tuple[int, int], mode: Mode, searches: int
) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": content}]
    used: dict[str, Any] = {"input_tokens": usage[0], "output_tokens": usage[1]}
    if body.get("tools") and searches:
        # What is said before a search is a text block too: the answer is the last one.
        blocks = [{"type": "text", "text": "I will look that up."}, *_search_blocks(), *blocks]
        used["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
    stop = {Mode.CUT: "max_tokens", Mode.REFUSE: "refusal"}.get(mode, "end_turn")
    return {
        "id": "msg_sandbox",
        "type": "message",
        "role": "assistant",
        "model": f"{body.get('model')}-sandbox",
        "content": [] if mode is Mode.REFUSE else blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": used,
    }


def _search_blocks() -> list[dict[str, Any]]:
    found = {
        "type": "web_search_result",
        "url": "https://example.org/report",
        "title": "A report",
        "encrypted_content": "x",
        "page_age": "1 day",
    }
    return [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "it"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [found]},
    ]


def _as_completion(
    body: Mapping[str, Any], content: str, usage: tuple[int, int], mode: Mode, _: int
) -> dict[str, Any]:
    refused = mode is Mode.REFUSE
    message = {
        "role": "assistant",
        "content": None if refused else content,
        "refusal": "I cannot help with that." if refused else None,
    }
    return {
        "id": "chatcmpl-sandbox",
        "object": "chat.completion",
        "created": 0,
        "model": f"{body.get('model')}-sandbox",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "length" if mode is Mode.CUT else "stop"}
        ],
        "usage": {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        },
    }


async def _drip(request: web.Request, document: Mapping[str, Any]) -> web.StreamResponse:
    """Send the body byte by byte, for as long as somebody listens."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for byte in json.dumps(document).encode():
        await response.write(bytes((byte,)))
        await asyncio.sleep(DRIP_S)
    await response.write_eof()
    return response


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
