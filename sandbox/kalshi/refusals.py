"""Kalshi's refusals, in all three shapes in which they come."""

from typing import Any

import msgspec
from aiohttp import web


class KalshiRefusal(Exception):
    """A request is refused: ``status`` and ``code``; ``shape`` is how the body looks.

    ``wire``: ``{"error": {"code", "message", "details"}}``, what the real venue answers most often;
    ``documented``: ``{"code", "message", "details"}``; ``bare``: ``{"error": "words"}``, from its limiter.
    """

    def __init__(self, status: int, code: str, details: str = "", shape: str = "wire") -> None:
        super().__init__(f"{status} {code} {details}")
        self.status = status
        self.code = code
        self.details = details
        self.shape = shape

    def fields(self) -> dict[str, Any]:
        """Return the error object, as batches carry it too."""
        return {"code": self.code, "message": self.code.replace("_", " ").lower(), "details": self.details}

    def response(self) -> web.Response:
        """Return the answer."""
        body: dict[str, Any] = self.fields()
        if self.shape == "bare":
            body = {"error": self.code}
        elif self.shape == "wire":
            body = {"error": body}
        return answer(body, self.status)


def bad_request(details: str) -> KalshiRefusal:
    """Make a 400, as the wire shows it."""
    return KalshiRefusal(400, "bad_request", details)


def not_found(details: str) -> KalshiRefusal:
    """Make a 404, as the documentation shows it."""
    return KalshiRefusal(404, "not_found", details, shape="documented")


def too_many() -> KalshiRefusal:
    """Make a 429 without Retry-After: the venue gives none."""
    return KalshiRefusal(429, "too many requests", shape="bare")


def answer(body: object, status: int = 200) -> web.Response:
    """Return a body as JSON."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", charset="utf-8"
    )
