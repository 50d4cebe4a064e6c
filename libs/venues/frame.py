"""Raw frames: what a venue's socket delivered, not yet parsed."""

from typing import NamedTuple

import msgspec

FRAME_BYTES_MAX = 1024 * 1024
"""Longest frame read. A Kalshi snapshot of all 999 price levels of both sides is below 60 kB."""
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
"""What msgspec raises for bytes that are not what was expected, however hostile."""


class FrameError(ValueError):
    """A frame that is not what its venue's protocol allows; the reason is its text.

    Whoever reads a frame raises this before changing anything, so a bad frame leaves no trace.
    """


def check_length(data: bytes) -> None:
    """Refuse what is too long to be read.

    Raises:
        FrameError: for more than ``FRAME_BYTES_MAX``.
    """
    if len(data) > FRAME_BYTES_MAX:
        raise FrameError(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, was {len(data)}")


class RawFrame(NamedTuple):
    """One frame as it came: receive time in nanoseconds, the venue it came from, its bytes."""

    at: int
    source: str
    data: bytes


def rest_frame(name: str, body: bytes, **query: str) -> bytes:
    """A REST answer as a frame: ``{"_rest":"klines","query":{"symbol":"BTCUSDT"},"body":…}``.

    ``query`` is what the body does not say of itself. ``body`` is JSON, kept byte for byte.
    """
    wrapped = {"_rest": name, "query": query, "body": msgspec.Raw(body)}
    if not query:
        del wrapped["query"]
    return msgspec.json.encode(wrapped)
