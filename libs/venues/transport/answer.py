"""What an HTTP answer means: for an order, whether it may have been carried out; for a read, whether to ask again.

====================  =====================================  ==========================================
answer                to an order or a cancel                 to a question
====================  =====================================  ==========================================
2xx with JSON         the answer                              the answer
2xx without           OutcomeUnknown                          BadAnswer, asked again
429, 418              RateLimited                             RateLimited, asked again
documented 425, 503   Unavailable                             Unavailable, asked again
4xx with JSON         Refused (408: OutcomeUnknown)           Refused
3xx, 4xx without      OutcomeUnknown                          BadAnswer
anything else         OutcomeUnknown                          BadAnswer, asked again
====================  =====================================  ==========================================
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from libs.bounded import clip
from libs.venues.errors import BadAnswer, OutcomeUnknown, RateLimited, Refused, Unavailable, VenueError

REASON_CHARACTERS_MAX = 200
"""What is shown of a venue's own words; enough for a sentence, too little for a page."""
RETRY_AFTER_S_MAX = 3 * 24 * 3600.0
"""The longest ban a venue documents (Binance: three days)."""

ReadError = Callable[[int, bytes], tuple[str, str]]
"""Reads (code, text) out of an error body; raises nothing."""


class HttpAnswer(NamedTuple):
    """An answer as it came; names of ``headers`` are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unread(BadAnswer):
    """A question that got no answer, or a broken one: asking again may help."""


_json = msgspec.json.Decoder(msgspec.Raw)


def is_json(body: bytes, *, bare: bool = False) -> bool:
    """Whether a body is a JSON object or array: error pages, empty and torn bodies are not.

    ``bare`` lets any value pass, where a number or ``null`` is an answer.
    """
    if not bare and body.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        _json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def read_common_error(status: int, body: bytes) -> tuple[str, str]:
    """Code and text from the usual shapes: ``{"error": …}``, ``{"message": …}``, ``{"code": …, "msg": …}``."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", f"status {status}"
    if not isinstance(found, dict):
        return "", f"status {status}"
    inner = found.get("error")
    fields: dict[object, object] = inner if isinstance(inner, dict) else found
    text = next(
        (str(fields[k]) for k in ("message", "msg", "errorMsg", "error", "details") if fields.get(k)), ""
    )
    return str(fields.get("code", "")), text or f"status {status}"


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds of a ``Retry-After`` header; 0 when there is none or it is a date (no venue here sends one)."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(seconds, RETRY_AFTER_S_MAX) if seconds > 0 else 0.0


def printable(text: str) -> str:
    """A venue's words, fit for a log line."""
    return "".join(c if c.isprintable() else " " for c in clip(text, REASON_CHARACTERS_MAX)).strip()


class Reader:
    """Reads the meaning of a venue's answers. ``unavailable`` are the statuses it documents for a pause."""

    def __init__(self, venue: str, unavailable: frozenset[int]) -> None:
        self._venue = venue
        self._unavailable = unavailable

    def error(
        self,
        what: str,
        answer: HttpAnswer,
        effect: bool,
        read_error: ReadError | None,
        *,
        bare: bool = False,
    ) -> VenueError | None:
        """What to raise for an answer to ``what`` (method and path); ``None`` for a good one.

        ``effect``: a change was asked for. ``bare``: a good answer may be a bare value.
        """
        status = answer.status
        json = is_json(answer.body, bare=bare and 200 <= status < 300)
        if 200 <= status < 300 and json:
            return None
        code, words = (read_error or read_common_error)(status, answer.body) if json else ("", "")
        text = f"{what}: {status} {printable(words)}".strip()
        if status in (418, 429):
            return RateLimited(self._venue, text, status, retry_after_s(answer.headers))
        # A 503 is the venue's own only as JSON: a proxy in between sends a page, and proves nothing.
        if status in self._unavailable and (json or status == 425):
            return Unavailable(self._venue, text, status, code, retry_after_s(answer.headers))
        if 400 <= status < 500 and json and status != 408:
            return Refused(self._venue, text, status, code)
        was = f"{what}: expected an answer in JSON, was {status} with {len(answer.body)} bytes"
        was += f": {printable(words)}" if words else ""
        if effect:
            return OutcomeUnknown(self._venue, was)
        final = 300 <= status < 500 and status != 408
        return BadAnswer(self._venue, was) if final else Unread(self._venue, was)
