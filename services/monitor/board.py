"""The board of alerts: raised once, cleared once, never more than a fixed number at a time."""

from libs.bounded import cut
from proto.monitor import Alert, Severity
from proto.units import SECOND
from services.monitor.state import ActiveAlert, MonitorState

ALERTS_ACTIVE_MAX = 256
"""More than an operator can read; a flood beyond it is one alert of its own."""
TOPIC_CHARACTERS_MAX = 256
TEXT_CHARACTERS_MAX = 500
"""Within the 512 characters a message's text may have."""

OVERFLOW_RULE = "alerts_suppressed"
OVERFLOW_TOPIC = "monitor"


class Board:
    """Collects the alerts of one input in ``out``. Without a configuration it says nothing.

    Between two messages with ``active=True`` for one (rule, topic) there is always one with
    ``active=False``: that is the promise its users rely on.
    """

    __slots__ = ("now", "out", "state")

    def __init__(self, state: MonitorState, now: int) -> None:
        self.state = state
        self.now = now
        self.out: list[Alert] = []

    def alert(self, rule: str, severity: Severity, topic: str, text: str) -> None:
        """Raise an alert that stays until :meth:`over`; nothing happens if it is active already."""
        self._raise(rule, severity, topic, text, until=0)

    def notice(self, rule: str, severity: Severity, topic: str, text: str) -> None:
        """Raise an alert about an event; it is over ``notice_s`` after the event last happened."""
        if self.state.params is not None:
            self._raise(rule, severity, topic, text, until=self.now + self.state.params.notice_s * SECOND)

    def over(self, rule: str, topic: str, text: str = "") -> None:
        """Clear an alert; nothing happens if it is not active."""
        topics = self.state.active.get(rule)
        active = topics.pop(cut(topic, TOPIC_CHARACTERS_MAX), None) if topics else None
        if active is None or topics is None:
            return
        if not topics:
            del self.state.active[rule]
        self._emit(rule, active.severity, topic, text, active=False)

    def over_all(self, rule: str, text: str = "") -> None:
        """Clear every alert of a rule."""
        for topic in tuple(self.state.active.get(rule, ())):
            self.over(rule, topic, text)

    def is_active(self, rule: str, topic: str) -> bool:
        """Whether the alert is raised."""
        return cut(topic, TOPIC_CHARACTERS_MAX) in self.state.active.get(rule, ())

    def expire(self) -> None:
        """Clear the notices whose time has come, and the flood when it has ebbed."""
        for rule in tuple(self.state.active):
            for topic, active in tuple(self.state.active[rule].items()):
                if active.until and active.until <= self.now:
                    self.over(rule, topic, "no longer happening")
        if self.is_active(OVERFLOW_RULE, OVERFLOW_TOPIC) and self._count() <= ALERTS_ACTIVE_MAX:
            lost = self.state.notices_suppressed
            self.state.notices_suppressed = 0
            self.over(OVERFLOW_RULE, OVERFLOW_TOPIC, f"{lost} events were not shown")

    def rebase(self) -> None:
        """Start the time of every notice again: session time has jumped."""
        if self.state.params is None:
            return
        until = self.now + self.state.params.notice_s * SECOND
        for topics in self.state.active.values():
            for active in topics.values():
                if active.until:
                    active.until = until

    def _raise(self, rule: str, severity: Severity, topic: str, text: str, until: int) -> None:
        if self.state.params is None:
            return
        active = self.state.active.get(rule, {}).get(cut(topic, TOPIC_CHARACTERS_MAX))
        if active is not None:
            active.until = until
            return
        if self._count() >= ALERTS_ACTIVE_MAX:
            self._overflow(is_event=until > 0)
            return
        self._put(rule, severity, topic, text, until)

    def _overflow(self, is_event: bool) -> None:
        # A state is looked at again on the next sweep; an event would be lost, so it is counted.
        self.state.notices_suppressed += is_event
        if not self.is_active(OVERFLOW_RULE, OVERFLOW_TOPIC):
            text = f"{ALERTS_ACTIVE_MAX} alerts are active; others wait until some are over"
            self._put(OVERFLOW_RULE, Severity.CRITICAL, OVERFLOW_TOPIC, text, until=0)

    def _put(self, rule: str, severity: Severity, topic: str, text: str, until: int) -> None:
        topics = self.state.active.setdefault(rule, {})
        topics[cut(topic, TOPIC_CHARACTERS_MAX)] = ActiveAlert(severity=severity, until=until)
        self._emit(rule, severity, topic, text, active=True)

    def _emit(self, rule: str, severity: Severity, topic: str, text: str, *, active: bool) -> None:
        self.out.append(
            Alert(
                rule=rule,
                severity=severity,
                topic=cut(topic, TOPIC_CHARACTERS_MAX),
                text=cut(text, TEXT_CHARACTERS_MAX),
                active=active,
            )
        )

    def _count(self) -> int:
        return sum(map(len, self.state.active.values()))
