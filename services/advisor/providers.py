"""Asking a provider, by its official SDK: one request, one answer or the reason why there is none.

What the SDKs do not do is done here and in ``calls.py``: no retry of theirs (one sleeps through any Retry-After), the
whole answer has a deadline (their timeouts are per read), the last text block is the answer (before it may stand what
was said before a search), an answer cut at the token limit is told with its tokens, and any exception at all is an
answer "failed". Each SDK is imported when a provider of its kind is made, and nowhere else in the system.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from libs.bounded import cut
from proto.advisor import SHORT_CHARACTERS_MAX, Question, Source
from services.advisor.opinion import answer_schema
from services.advisor.proposing import ROLE, changes_schema

SEARCH_TOOL = "web_search_20260318"
BLOCKED_DOMAINS = (
    "polymarket.com", "kalshi.com", "manifold.markets", "predictit.org", "metaculus.com", "betfair.com",
    "smarkets.com",
)  # fmt: skip
"""A search that finds the market's price makes the forecast a copy of it."""
CONNECT_S = 10.0
NO_KEY = "none"
"""A server on this machine wants no key, the SDKs want one: they get this word."""


def schema_for(role: str) -> dict[str, Any]:
    """The JSON schema of an answer in that role."""
    return changes_schema() if role == ROLE else answer_schema()


@dataclass
class Reply:
    """What a provider sent. ``stop``: end, cut, refused; unknown figures are 0."""

    text: str = ""
    stop: str = "end"
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    searches: int = 0
    sources: list[Source] = field(default_factory=list)


class CallFailed(Exception):
    """No answer. ``is_unpaid``: it is certain that nothing was computed, so that the question may be put again.

    ``retry_after_s``: when the provider said so.
    """

    def __init__(
        self, kind: str, detail: str, *, is_unpaid: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(cut(f"{kind}: {detail}", 300))
        self.kind = kind
        self.is_unpaid = is_unpaid
        self.retry_after_s = retry_after_s


class Provider(Protocol):
    """One provider's client."""

    async def ask(self, question: Question, prompt: str) -> Reply:
        """Send one request. Raises CallFailed; may raise anything else, which counts as failed too."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class SdkMissing(Exception):
    """The provider's SDK is not installed; the text says how to install it."""


def make_provider(kind: str, base_url: str, key: str) -> Provider:
    """The client of a provider: ``anthropic``, or ``openai`` for all that speak its protocol (the sandbox does).

    Raises:
        SdkMissing: its package is not installed.
    """
    # The SDKs' own transport writes a line a request: what matters of it is on the tape.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        return AnthropicProvider(base_url, key) if kind == "anthropic" else OpenAiProvider(base_url, key)
    except ImportError as e:
        raise SdkMissing(
            f"expected the package {e.name}, was not installed: pip install 'presage[advisor]'"
        ) from e


class AnthropicProvider:
    """Anthropic's Messages."""

    def __init__(self, base_url: str, key: str) -> None:
        import anthropic

        self._sdk = anthropic
        self._client = anthropic.AsyncAnthropic(
            auth_token=key or NO_KEY, base_url=base_url or None, max_retries=0
        )

    async def ask(self, question: Question, prompt: str) -> Reply:
        options: dict[str, Any] = {}
        if question.searches_max:
            options["tools"] = [
                {
                    "type": SEARCH_TOOL,
                    "name": "web_search",
                    "max_uses": question.searches_max,
                    "blocked_domains": list(BLOCKED_DOMAINS),
                }
            ]
        try:
            message = await self._client.messages.create(
                model=question.model,
                max_tokens=question.tokens_max,
                system=prompt,
                messages=[{"role": "user", "content": question.text}],
                output_config={"format": {"type": "json_schema", "schema": schema_for(question.role)}},
                **options,
            )
        except self._sdk.APIError as e:
            raise _as_failure(e) from e
        document = _document(message)
        usage = _map(document.get("usage"))
        blocks = [block for block in _list(document.get("content")) if isinstance(block, Mapping)]
        texts = [str(block.get("text", "")) for block in blocks if block.get("type") == "text"]
        return Reply(
            text=texts[-1] if texts else "",
            stop={"max_tokens": "cut", "refusal": "refused", "model_context_window_exceeded": "cut"}.get(
                str(document.get("stop_reason")), "end"
            ),
            model=str(document.get("model", "")),
            # What was read from a cache or written into it is counted as read in full: never too little.
            tokens_in=sum(
                _count(usage.get(name))
                for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
            ),
            tokens_out=_count(usage.get("output_tokens")),
            searches=_count(_map(usage.get("server_tool_use")).get("web_search_requests")),
            sources=_anthropic_sources(blocks),
        )

    async def close(self) -> None:
        await self._client.close()


class OpenAiProvider:
    """Chat completions: OpenAI's, or any server's with its protocol."""

    def __init__(self, base_url: str, key: str) -> None:
        import openai

        self._sdk = openai
        # OpenAI's own models know the new name of the limit alone, many local servers only the old one.
        self._limit = "max_tokens" if base_url else "max_completion_tokens"
        self._client = openai.AsyncOpenAI(api_key=key or NO_KEY, base_url=base_url or None, max_retries=0)

    async def ask(self, question: Question, prompt: str) -> Reply:
        schema = {"name": "answer", "strict": True, "schema": schema_for(question.role)}
        options: dict[str, Any] = {
            self._limit: question.tokens_max,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        try:
            completion = await self._client.chat.completions.create(
                model=question.model,
                messages=[
                    {"role": "system", "content": prompt},
                    {"role": "user", "content": question.text},
                ],
                **options,
            )
        except self._sdk.APIError as e:
            raise _as_failure(e) from e
        document = _document(completion)
        usage = _map(document.get("usage"))
        choices = _list(document.get("choices"))
        choice = _map(choices[0]) if choices else {}
        message = _map(choice.get("message"))
        refused = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
        return Reply(
            text=str(message.get("content") or ""),
            stop="refused" if refused else "cut" if choice.get("finish_reason") == "length" else "end",
            model=str(document.get("model", "")),
            tokens_in=_count(usage.get("prompt_tokens")),
            tokens_out=_count(usage.get("completion_tokens")),
        )

    async def close(self) -> None:
        await self._client.close()


# ── reading what came ───────────────────────────────────────────────────────────────────────────────


def _as_failure(error: Any) -> CallFailed:
    """An SDK's exception in our words. Only a refusal by status is certain not to be paid."""
    status = getattr(error, "status_code", None)
    if status is None:
        cause = error.__cause__
        # Nothing was sent when no connection came about; of a broken one nobody knows.
        is_unpaid = type(cause).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout")
        return CallFailed(
            "connection", f"{type(error).__name__}: {type(cause).__name__}", is_unpaid=is_unpaid
        )
    kinds = {401: "unauthorised", 403: "unauthorised", 402: "no credit", 429: "rate", 529: "overloaded"}
    kind = kinds.get(status, "server" if status >= 500 else "request")
    is_unpaid = status in (429, 503, 529)
    return CallFailed(kind, f"status {status}", is_unpaid=is_unpaid, retry_after_s=_retry_after(error))


def _retry_after(error: Any) -> float | None:
    text = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        return None


def _document(answer: Any) -> Mapping[str, Any]:
    """An SDK's object as plain data. A server that is none of its kind makes it a text, or half an object."""
    if not hasattr(answer, "model_dump"):
        raise CallFailed("garbage", f"expected an answer of the protocol, was {type(answer).__name__}")
    document = answer.model_dump(warnings=False)
    if not isinstance(document, Mapping):
        raise CallFailed("garbage", "expected an object")
    return document


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int:
    """A figure of usage: a whole number that a message can carry, else 0."""
    return min(value, 10**12) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _anthropic_sources(blocks: list[Mapping[str, Any]]) -> list[Source]:
    """The results that a web search put before the model."""
    rows = [
        row
        for block in blocks
        if block.get("type") == "web_search_tool_result"
        for row in _list(block.get("content"))
        if isinstance(row, Mapping)
    ]
    return [
        Source(
            cut(str(row.get("url", "")), SHORT_CHARACTERS_MAX),
            cut(str(row.get("title", "")), SHORT_CHARACTERS_MAX),
        )
        for row in rows
    ]
