"""Hops of a decision, measured on the tape: when the broker stored a message and what caused it.

One clock, the broker's, so hops of separate processes compare without clock skew. The first hop (feed)
is the exception: it ends at the broker's clock and begins where the feed took the message in.
"""

from array import array

from proto.execution import Claim, OrderUpdate
from proto.exit import ExitProposal
from proto.feed import Book, Quote, Trade
from proto.message import Message
from proto.risk import Approval, Pending, Rejection
from proto.signal import Proposal
from proto.units import SECOND
from proto.venue import Ack, Fill

HOP_OF: dict[type[Message], str] = {
    Proposal: "signal",
    Approval: "risk",
    Rejection: "risk",
    Pending: "risk",
    OrderUpdate: "execution",
    Claim: "claim",
    Ack: "venue",
    Fill: "venue",
    ExitProposal: "exit",
}
"""The hop that ends with a message of this class: from its cause stored to itself stored."""

FEED_HOP = "feed"
HOPS = (FEED_HOP, "signal", "risk", "execution", "claim", "venue", "exit")
"""All hops in the order a decision takes them."""

HOP_NS_MAX = 60 * SECOND
"""Longer than this is no latency: a recording carries old times, a backlog after a restart old causes."""

_REMEMBERED_BITS = 16
_MARKET_DATA = (Quote, Book, Trade)


class StoredTimes:
    """When the last 65,536 messages of the tape were stored; causes lie a few messages back."""

    def __init__(self) -> None:
        size = 1 << _REMEMBERED_BITS
        self._mask = size - 1
        self._seqs = array("q", bytes(8 * size))
        self._times = array("q", bytes(8 * size))

    def put(self, seq: int, stored_at_ns: int) -> None:
        """Remember when ``seq`` was stored."""
        place = seq & self._mask
        self._seqs[place] = seq
        self._times[place] = stored_at_ns

    def get(self, seq: int) -> int | None:
        """When ``seq`` was stored, in nanoseconds; ``None`` if it is unknown or too long ago."""
        place = seq & self._mask
        return self._times[place] if seq > 0 and self._seqs[place] == seq else None


def hop_ns(message: Message, stored_at_ns: int, cause_stored_at_ns: int | None) -> tuple[str, int] | None:
    """The hop that ends with ``message`` and how long it took, or ``None`` if it ends none."""
    if isinstance(message, _MARKET_DATA):
        took = stored_at_ns - message.at
        return (FEED_HOP, took) if 0 <= took <= HOP_NS_MAX else None
    hop = HOP_OF.get(type(message))
    if hop is None or cause_stored_at_ns is None:
        return None
    took = stored_at_ns - cause_stored_at_ns
    return (hop, took) if 0 <= took <= HOP_NS_MAX else None
