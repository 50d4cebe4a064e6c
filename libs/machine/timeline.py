"""Time is on the tape: what time it is for a machine."""

import msgspec

from proto.feed import Book, FeedClock, Gap, Market, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import ClockOwner, Mode, Session
from proto.units import SECOND

SKEW_NS_MAX = 5 * SECOND
"""A live message further than this from its own broker timestamp does not move now."""
JUMP_NS_MAX = 60 * SECOND
"""The furthest that one live message moves now: longer than a restart of the broker or the monitor takes."""
TICKS_TO_BELIEVE = 5
"""Ticks in a row, a second apart, that make another time the time."""

_FEED = (Quote, Book, Trade, Market, Gap)
_TICKS = {ClockOwner.MONITOR: Clock, ClockOwner.FEED: FeedClock}
"""Whose word a session's clock is."""


class Timeline(msgspec.Struct):
    """Now is the largest ``at`` read since the session began; a session sets it anew.

    In real time no single message moves it far: one whose ``at`` is not near its own broker timestamp is not believed,
    and neither is one further than ``JUMP_NS_MAX`` ahead, since a clock that is set wrong moves both. When the session's
    clock goes on saying another time (``TICKS_TO_BELIEVE`` ticks in a row), that is the time, back as well. Meanwhile
    ``is_doubtful``: nobody knows how old a book is or whether an approval has expired.

    ``skewed`` counts live messages that were not believed, ``jumps`` how often the time was set by such ticks. ``apart``
    counts those in a row, ``apart_at`` is the last of them. ``is_fresh``: nothing was believed since the session began.
    """

    tape: str = ""
    mode: Mode = Mode.REALTIME
    clock_owner: ClockOwner = ClockOwner.MONITOR
    now: int = 0
    skewed: int = 0
    jumps: int = 0
    apart: int = 0
    apart_at: int = 0
    is_fresh: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether the clock says another time than now."""
        return self.apart > 0

    def observe(self, event: Message, stored_at_ns: int) -> int:
        """Take one message into account; return the time after it."""
        kind = type(event)
        if kind is Quote or kind is Book or kind is Trade:
            at: int = event.at  # type: ignore[attr-defined]
        elif kind is Session:
            self._open(event)  # type: ignore[arg-type]
            return self.now
        elif kind is _TICKS[self.clock_owner]:
            at = event.at  # type: ignore[attr-defined]
            if self.mode is Mode.REALTIME:
                return self._tick(at, stored_at_ns)
        elif kind in _FEED:
            at = event.at  # type: ignore[attr-defined]
        else:
            return self.now
        if at <= self.now:
            return self.now
        if self.mode is Mode.REALTIME:
            return self._advance(at, stored_at_ns)
        self.is_fresh = False
        self.now = at
        return at

    def _advance(self, at: int, stored_at_ns: int) -> int:
        """A later moment was said live: believe it, unless it is far from what is known."""
        if (not self.is_fresh and at > self.now + JUMP_NS_MAX) or abs(at - stored_at_ns) > SKEW_NS_MAX:
            self.skewed += 1
        else:
            self.now = at
            self.is_fresh = False
        return self.now

    def _tick(self, at: int, stored_at_ns: int) -> int:
        """A tick of a live session's clock."""
        if abs(at - stored_at_ns) > SKEW_NS_MAX:
            self.skewed += 1
        elif self.is_fresh or -SKEW_NS_MAX <= at - self.now <= JUMP_NS_MAX:
            self.now = max(self.now, at)
            self.apart = 0
            self.is_fresh = False
        else:
            goes_on = self.apart > 0 and 0 <= at - self.apart_at <= JUMP_NS_MAX
            self.apart = self.apart + 1 if goes_on else 1
            self.apart_at = at
            self.skewed += 1
            if self.apart >= TICKS_TO_BELIEVE:
                self.now, self.apart = at, 0
                self.jumps += 1
        return self.now

    def _open(self, session: Session) -> None:
        self.tape = session.tape
        self.mode = session.mode
        self.clock_owner = session.clock_owner
        self.now = session.started_at
        self.apart = 0
        self.is_fresh = True
