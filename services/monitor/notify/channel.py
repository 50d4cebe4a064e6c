"""One channel's queue: what waits, when the next message may leave, and what became of those before.

Everything here is plain data and arithmetic; times are given by the caller, in seconds and nanoseconds.
"""

from datetime import datetime, time, tzinfo

import msgspec

from libs.bounded import clip
from proto.monitor import Severity
from services.monitor.notify.notes import Note
from services.monitor.notify.params import ChannelParams, Event

QUEUE_MAX = 500
"""Texts that wait; beyond it the oldest that is not critical is dropped, and counted."""
TEXT_CHARACTERS_MAX = 3_500
"""Telegram refuses 4,096 and more, and what is refused is never seen; other services take no less."""
JOINED_MAX = 20
"""Texts in one message: more is no message but a log."""
BACK_OFF_S = 5.0
BACK_OFF_MAX_S = 300.0
RETRY_AFTER_MAX_S = 3_600.0
"""A service that asks for more patience is asked again all the same."""
MINUTE_S = 60.0
NANOSECONDS = 1_000_000_000


class Pending(msgspec.Struct):
    """A text that waits. ``attempted``: it was handed over, and nobody knows yet what came of it."""

    at_ns: int
    event: Event
    critical: bool
    text: str
    attempted: bool = False


class ChannelState(msgspec.Struct):
    """What outlives a restart. ``interrupted``: texts that a stop found on their way, which are not sent again."""

    pending: list[Pending] = msgspec.field(default_factory=list)
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    interrupted: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What came of a message. ``refused``: the same again would be refused again."""

    delivered: bool
    reason: str = ""
    retry_after_s: float = 0.0
    refused: bool = False


class Channel:
    """The queue of one channel."""

    def __init__(self, params: ChannelParams, state: ChannelState, zone: tzinfo | None) -> None:
        self.params = params
        self.state = state
        self.failing_since_s: float | None = None
        self.last_error = ""
        self._zone = zone
        self._tokens = float(params.per_minute_max)
        self._refilled_at_s: float | None = None
        self._blocked_until_s = 0.0
        self._failures = 0
        interrupted = [item for item in state.pending if item.attempted]
        state.interrupted += len(interrupted)
        state.pending = [item for item in state.pending if not item.attempted]

    def wants(self, note: Note) -> bool:
        """Whether the channel is told such notes."""
        if note.event not in self.params.events:
            return False
        if note.event not in ("alert", "condition"):
            return True
        rank = list(Severity)
        return rank.index(note.severity) >= rank.index(self.params.severity_min)

    def put(self, note: Note, at_ns: int) -> None:
        """Let a note wait for its turn."""
        pending = self.state.pending
        if len(pending) >= QUEUE_MAX:
            oldest = next(
                (n for n, item in enumerate(pending) if not item.critical and not item.attempted), 0
            )
            del pending[oldest]
            self.state.dropped += 1
        is_critical = note.severity is Severity.CRITICAL
        pending.append(Pending(at_ns, note.event, is_critical, clip(note.text, TEXT_CHARACTERS_MAX)))

    def expire(self, now_ns: int, age_max_s: int) -> None:
        """Drop what is too old to be news."""
        limit = now_ns - age_max_s * NANOSECONDS
        if self._is_quiet(now_ns):
            # What waits for the end of the quiet hours grows old from there on.
            for item in self.state.pending:
                item.at_ns = item.at_ns if item.critical else now_ns
        kept = [item for item in self.state.pending if item.attempted or item.at_ns >= limit]
        self.state.dropped += len(self.state.pending) - len(kept)
        self.state.pending = kept

    def next_message(self, now_ns: int, now_s: float) -> list[Pending]:
        """The texts that the next message is made of; none when nothing may leave yet."""
        if now_s < self._blocked_until_s or not self._has_token(now_s):
            return []
        chosen: list[Pending] = []
        length = 0
        quiet = self._is_quiet(now_ns)
        # What is critical goes first: nobody knows how long the rest takes.
        for item in sorted(self.state.pending, key=lambda item: not item.critical):
            if quiet and not item.critical:
                continue
            length += len(item.text) + 2
            if chosen and (length > TEXT_CHARACTERS_MAX or len(chosen) >= JOINED_MAX):
                break
            chosen.append(item)
        return chosen

    def begin(self, chosen: list[Pending]) -> str:
        """Hand a message over: its text. From here on a stop does not send it again."""
        self._tokens -= 1
        for item in chosen:
            item.attempted = True
        return "\n\n".join(item.text for item in chosen)

    def finish(self, chosen: list[Pending], outcome: Outcome, now_s: float) -> None:
        """Note what came of it: gone, or again after a while."""
        ids = {id(item) for item in chosen}
        if outcome.delivered:
            self.state.sent += 1
            self._failures, self.failing_since_s, self.last_error = 0, None, ""
        else:
            self.state.failed += 1
            self._failures += 1
            self.failing_since_s = now_s if self.failing_since_s is None else self.failing_since_s
            self.last_error = outcome.reason
            wait_s = min(BACK_OFF_S * 2 ** min(self._failures - 1, 10), BACK_OFF_MAX_S)
            if outcome.retry_after_s:
                wait_s = min(outcome.retry_after_s, RETRY_AFTER_MAX_S)
            self._blocked_until_s = now_s + wait_s
        if outcome.delivered or outcome.refused:
            self.state.dropped += 0 if outcome.delivered else len(chosen)
            self.state.pending = [item for item in self.state.pending if id(item) not in ids]
        else:
            for item in chosen:
                item.attempted = False

    def failing_s(self, now_s: float) -> float:
        """For how long nothing was delivered although something was tried; 0 while all is well."""
        return 0.0 if self.failing_since_s is None else now_s - self.failing_since_s

    def report(self) -> dict[str, object]:
        """What is told of it in the health report."""
        state = self.state
        return {
            "sent": state.sent,
            "failed": state.failed,
            "dropped": state.dropped,
            "interrupted": state.interrupted,
            "waiting": len(state.pending),
            "error": self.last_error,
        }

    def _has_token(self, now_s: float) -> bool:
        limit = self.params.per_minute_max
        if self._refilled_at_s is not None:
            self._tokens = min(self._tokens + (now_s - self._refilled_at_s) * limit / MINUTE_S, limit)
        self._refilled_at_s = now_s
        return self._tokens >= 1

    def _is_quiet(self, now_ns: int) -> bool:
        if not self.params.quiet:
            return False
        begin, end = (time.fromisoformat(hour) for hour in self.params.quiet.split("-"))
        now = datetime.fromtimestamp(now_ns / NANOSECONDS, tz=self._zone).time()
        return begin <= now < end if begin <= end else now >= begin or now < end
