"""Telegram's bots, as far as they are needed: write to a chat, and wait for what is written.

The token is a part of every address, so nothing of an address, and no text of a library's error, is ever told.
"""

from types import TracebackType
from typing import Any, Self

import httpx

from libs.bounded import clip
from services.monitor.notify.channel import Outcome

CONNECT_S = 5.0
ANSWER_S = 10.0
ANSWER_BYTES_MAX = 1 << 20
"""A hundred updates of the longest texts are half of that."""
DESCRIPTION_CHARACTERS_MAX = 200
TOO_MANY = 429
REFUSED = (400, 413)
"""The text itself is at fault: the same again would be refused again."""


class TelegramError(Exception):
    """Telegram did not do it. ``status`` 0: no answer that can be read came."""

    def __init__(self, text: str, status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after_s = retry_after_s


class Telegram:
    """One bot. Each call is one request; nothing is repeated here."""

    def __init__(self, base_url: str, token: str) -> None:
        self._url = f"{base_url}/bot{token}"
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S), follow_redirects=False, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def call(self, method: str, answer_s: float = ANSWER_S, **fields: Any) -> Any:
        """Call a method of the bot's interface: its result.

        Raises:
            TelegramError: it was refused, or no answer came.
        """
        try:
            timeout = httpx.Timeout(answer_s, connect=CONNECT_S)
            async with self._client.stream(
                "POST", f"{self._url}/{method}", json=fields, timeout=timeout
            ) as response:
                body = await _body(response)
        except httpx.InvalidURL:
            raise TelegramError("the token or the address is none") from None
        except httpx.HTTPError as e:
            raise TelegramError(f"no answer: {type(e).__name__}") from None
        if not isinstance(body, dict) or not body.get("ok"):
            raise _error(response.status_code, body if isinstance(body, dict) else {})
        return body.get("result")

    async def write(self, chat: int, text: str) -> Outcome:
        """Write a text to a chat."""
        try:
            await self.call("sendMessage", chat_id=chat, text=text, disable_web_page_preview=True)
        except TelegramError as e:
            return Outcome(False, str(e), e.retry_after_s, refused=e.status in REFUSED)
        return Outcome(True)


async def _body(response: httpx.Response) -> Any:
    """The answer as it is read; ``None`` for one that is none, or too long."""
    raw = b""
    async for part in response.aiter_bytes():
        raw += part
        if len(raw) > ANSWER_BYTES_MAX:
            return None
    try:
        return httpx.Response(200, content=raw).json()
    except ValueError:
        return None


def _error(status: int, body: dict[str, Any]) -> TelegramError:
    given = body.get("parameters")
    wait = given.get("retry_after", 0) if isinstance(given, dict) else 0
    wait_s = float(wait) if isinstance(wait, int | float) and not isinstance(wait, bool) and wait > 0 else 0.0
    description = clip(str(body.get("description", "no reason given")), DESCRIPTION_CHARACTERS_MAX)
    return TelegramError(f"{status}: {description}", status, wait_s if status == TOO_MANY else 0.0)
