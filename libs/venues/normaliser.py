"""What every venue's normaliser offers: raw frames in, feed messages out, pure and replayable."""

from typing import Protocol

from proto.message import Message


class Normaliser(Protocol):
    """One venue's frames and REST bodies, in the order they were received.

    A REST answer that matters is a frame too, wrapped as ``{"_rest":"<name>","body":…}``, and so are
    connects and disconnects: a recording of the frames is a recording of everything.

    ``errors`` counts those the venue reported on its socket, ``last_error`` is the last in its words.
    """

    errors: int
    last_error: str

    def normalise(self, data: bytes, at: int) -> list[Message]:
        """What one frame received at ``at`` (ns) changed. Raises ``FrameError``; nothing changed then."""

    def tick(self, at: int) -> list[Message]:
        """What the passing of time alone brings; called ten times a second."""

    def resend(self, at: int) -> list[Message]:
        """All markets and whole books as snapshots, after the broker was away."""

    def commands(self, at: int) -> list[bytes]:
        """Frames to send to the venue now, such as a request for the snapshot of a broken book."""

    def invalidate(self, market: str, at: int, reason: str) -> list[Message]:
        """Drop the books of ``market`` (``kalshi:T``), which may be out of date, and wait for whole ones.

        Returns a ``Gap`` for each instrument that was whole; nothing for a market it does not know or whose
        books are not whole anyway. The next book of each instrument is a snapshot.
        """
