"""Raw frames: what a venue's socket delivered, before anybody has read it."""

from typing import NamedTuple

FRAME_BYTES_MAX = 1024 * 1024
"""Longest frame read. A Kalshi snapshot of all 999 price levels of both sides is below 60 kB."""


class FrameError(ValueError):
    """A frame that is not what its venue's protocol allows; the reason is its text.

    Whoever reads a frame raises this before changing anything, so a bad frame leaves no trace.
    """


class RawFrame(NamedTuple):
    """One frame as it came: receive time in nanoseconds, the venue it came from, its bytes."""

    at: int
    source: str
    data: bytes
