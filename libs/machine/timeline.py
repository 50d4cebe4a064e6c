"""Time is on the tape: what time it is for a machine."""

import msgspec

from proto.feed import Book, FeedClock, Gap, Market, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import ClockOwner, Mode, Session
from proto.units import SECOND

SKEW_NS_MAX = 5 * SECOND
"""A live message further than this from its own broker timestamp does not move now."""

_FEED = (Quote, Book, Trade, Market, Gap)


class Timeline(msgspec.Struct):
    """Now is the largest ``at`` read since the session began; a session sets it anew.

    ``skewed`` counts live messages whose ``at`` was too far from the broker's clock to be believed.
    """

    tape: str = ""
    mode: Mode = Mode.REALTIME
    clock_owner: ClockOwner = ClockOwner.MONITOR
    now: int = 0
    skewed: int = 0

    def observe(self, event: Message, stored_at_ns: int) -> int:
        """Take one message into account; return the time after it."""
        kind = type(event)
        if kind is Quote or kind is Book or kind is Trade:
            at: int = event.at  # type: ignore[attr-defined]
        elif kind is Session:
            self._open(event)  # type: ignore[arg-type]
            return self.now
        elif kind is Clock:
            if self.clock_owner is not ClockOwner.MONITOR:
                return self.now
            at = event.at  # type: ignore[attr-defined]
        elif kind is FeedClock:
            if self.clock_owner is not ClockOwner.FEED:
                return self.now
            at = event.at  # type: ignore[attr-defined]
        elif kind in _FEED:
            at = event.at  # type: ignore[attr-defined]
        else:
            return self.now
        if at > self.now:
            if self.mode is Mode.REALTIME and abs(at - stored_at_ns) > SKEW_NS_MAX:
                self.skewed += 1
            else:
                self.now = at
        return self.now

    def _open(self, session: Session) -> None:
        self.tape = session.tape
        self.mode = session.mode
        self.clock_owner = session.clock_owner
        self.now = session.started_at
