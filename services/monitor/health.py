"""Service health from reports and their absence: pure, in wall-clock nanoseconds given by the caller.

This is the shell's half of the monitor: what it says rests on observation, not on the tape, so it is a
fact that the shell puts on the tape and no machine recomputes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.bounded import cut
from proto.message import Message, as_integer, as_name, as_text
from proto.monitor import Alert, Health, ServiceState, Severity
from proto.units import SECOND
from services.monitor.rates import is_flood

MISSING_AFTER_S = 5
"""Services report once a second: five in a row do not get lost on a loopback connection."""
STARTING_MAX_S = 60
"""A start folds at most one window of the tape, which takes seconds; longer means it hangs."""
DETAIL_INTERVAL_S = 10
"""A change of words alone is told at most this often, so that a counter in them floods nothing."""
TEXT_CHARACTERS_MAX = 500
CONDITIONS_MAX = 256
"""Conditions active at a time; the callers have a handful of rules and a topic for each service."""

SERVICE_MISSING = "service_missing"
MACHINE_STOPPED = "machine_stopped"
MACHINE_REFUSED = "machine_refused"
START_HANGS = "start_hangs"
LEDGER_FILLING = "ledger_filling"
LEDGER_FULL = "ledger_full"
CLAIM_FORGOTTEN = "claim_forgotten"
TAPE_FLOODED = "tape_flooded"
ARCHIVE_BEHIND = "archive_behind"
NOTIFICATIONS_FAILING = "notifications_failing"
ARCHIVE_GAP = "archive_gap"
ARCHIVE_LEVELS = {25: Severity.WARNING, 50: Severity.CRITICAL}
"""Per cent of the tape's window; a stretch that waits for its end is 8 %. At 25 % hours are left, at the usual rates."""
LEDGER_LEVELS = {50: Severity.INFO, 80: Severity.WARNING, 90: Severity.CRITICAL}
"""Per cent of its size. It never ends, but the fuller it is, the less far it reaches back."""

_STATE_RULES = {ServiceState.STOPPED: MACHINE_STOPPED, ServiceState.REFUSED: MACHINE_REFUSED}


@dataclass(slots=True)
class _Service:
    state: ServiceState
    state_at: int
    heard_at: int
    told_at: int
    position: int = 0
    detail: str = ""
    told_detail: str = ""


class Conditions:
    """Alerts by edge: ``hold`` says on every look whether something is wrong, changes become alerts."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], Severity] = {}

    def hold(self, rule: str, severity: Severity, topic: str, text: str, *, wrong: bool) -> list[Message]:
        """One look at one condition; returns at most one alert. Beyond the bound nothing is raised."""
        key = (rule, topic)
        if wrong == (key in self._active):
            return []
        if wrong:
            if len(self._active) >= CONDITIONS_MAX:
                return []
            self._active[key] = severity
        else:
            severity = self._active.pop(key)
        alert = Alert(rule=rule, severity=severity, topic=as_text(topic), text=as_text(text), active=wrong)
        return [alert]

    @property
    def active(self) -> tuple[tuple[str, str], ...]:
        """The (rule, topic) pairs that are wrong now, oldest first."""
        return tuple(self._active)


class HealthWatch:
    """Follows the expected services.

    ``report`` takes what a service said of itself, ``tick`` looks at the time. Both return the Health
    and Alert messages that the change causes, in order; without a change they return nothing.
    A service that has never reported counts as starting since the watch began.
    """

    def __init__(
        self, services: Iterable[str], started_at_ns: int, missing_after_s: int = MISSING_AFTER_S
    ) -> None:
        self.conditions = Conditions()
        self._missing_after_ns = missing_after_s * SECOND
        self._services = {
            name: _Service(ServiceState.STARTING, started_at_ns, started_at_ns, started_at_ns)
            for name in services
        }

    def report(
        self, service: str, state: ServiceState, position: int, detail: str, at_ns: int
    ) -> list[Message]:
        """A service reports. One that is not expected is followed from here on."""
        detail = cut(detail, TEXT_CHARACTERS_MAX)
        known = self._services.get(service)
        if known is None:
            known = _Service(state, at_ns, at_ns, at_ns, position, detail, detail)
            self._services[service] = known
            return [self._health(service, known), *self._alerts(service, known)]
        known.heard_at = max(known.heard_at, at_ns)
        known.position = position
        known.detail = detail
        if state is not known.state:
            return self._transition(service, known, state, at_ns)
        if detail != known.told_detail and at_ns - known.told_at >= DETAIL_INTERVAL_S * SECOND:
            return [self._report(service, known, at_ns)]
        return []

    def tick(self, at_ns: int) -> list[Message]:
        """Time passes: services that have fallen silent go missing, starts that hang are told."""
        out: list[Message] = []
        for name, known in self._services.items():
            silent_ns = at_ns - known.heard_at
            limit_ns = self._missing_after_ns
            if known.state is ServiceState.STARTING:
                # A service that folds its tape may be too busy to report.
                limit_ns = STARTING_MAX_S * SECOND
                out += self._starting(name, known, at_ns)
            if known.state is not ServiceState.MISSING and silent_ns > limit_ns:
                known.detail = f"no report for {silent_ns // SECOND} s"
                out += self._transition(name, known, ServiceState.MISSING, at_ns)
        return out

    def forget(self, service: str) -> list[Message]:
        """A service was stopped by plan: clear its alerts and expect it no longer."""
        known = self._services.pop(service, None)
        if known is None:
            return []
        known.state = ServiceState.LIVE
        return self._alerts(service, known)

    def ledger(self, report: Mapping[str, Any]) -> list[Message]:
        """Execution reports how its ledger of claims is: an alert at each level, and for what it keeps back."""
        out: list[Message] = []
        if "percent" not in report:
            # Execution has only begun, and has not looked yet.
            return out
        hold = self.conditions.hold
        percent, hours = int(report.get("percent", 0)), int(report.get("reach_s", 0)) // 3_600
        for level, severity in LEDGER_LEVELS.items():
            text = f"{percent} % full; it reaches back {hours} h, the oldest claims make room"
            out += hold(LEDGER_FILLING, severity, f"{level} %", text, wrong=percent >= level)
        refusal = str(report.get("entries", ""))
        out += hold(LEDGER_FULL, Severity.CRITICAL, "entries", f"exits only: {refusal}", wrong=bool(refusal))
        orders = ", ".join(str(order) for order in report.get("forgotten", ()))
        text = f"neither claimed nor given up, look them up at the venue: {orders}"
        out += hold(CLAIM_FORGOTTEN, Severity.CRITICAL, "orders", text, wrong=bool(orders))
        return out

    def archive(self, report: Mapping[str, Any]) -> list[Message]:
        """The journal reports how its archive is: an alert long before the window drops what is not archived."""
        out: list[Message] = []
        hold = self.conditions.hold
        percent, detail = int(report.get("percent", 0)), str(report.get("detail", ""))
        for level, severity in ARCHIVE_LEVELS.items():
            text = f"what is not archived fills {percent} % of the tape's window; {detail}".rstrip("; ")
            out += hold(ARCHIVE_BEHIND, severity, f"{level} %", text, wrong=percent >= level)
        lost = int(report.get("lost", 0))
        text = f"{lost} messages left the window before they were archived"
        return out + hold(ARCHIVE_GAP, Severity.CRITICAL, "archive", text, wrong=bool(lost))

    def channels(self, failing: Mapping[str, str]) -> list[Message]:
        """Channels of notifications that deliver nothing, and why: an alert for each, and when it is over."""
        out: list[Message] = []
        told = {topic for rule, topic in self.conditions.active if rule == NOTIFICATIONS_FAILING}
        for name in sorted(told | set(failing)):
            text = f"nothing delivered for a minute: {failing.get(name, '')}".rstrip(": ")
            wrong = name in failing
            out += self.conditions.hold(NOTIFICATIONS_FAILING, Severity.CRITICAL, name, text, wrong=wrong)
        return out

    def floods(self, per_second: Mapping[str, int]) -> list[Message]:
        """How much each producer said lately: an alert for each that floods the tape, and when it is over."""
        out: list[Message] = []
        told = {topic for rule, topic in self.conditions.active if rule == TAPE_FLOODED}
        for producer in sorted(told | set(per_second)):
            rate = per_second.get(producer, 0)
            text = f"{rate} messages a second push the record out of the tape's window"
            flooding = is_flood(producer, rate)
            out += self.conditions.hold(TAPE_FLOODED, Severity.CRITICAL, producer, text, wrong=flooding)
        return out

    def states(self) -> dict[str, ServiceState]:
        """The state of every followed service."""
        return {name: known.state for name, known in self._services.items()}

    def _starting(self, name: str, known: _Service, at_ns: int) -> list[Message]:
        hangs = at_ns - known.state_at > STARTING_MAX_S * SECOND
        text = f"starting for more than {STARTING_MAX_S} s: {known.detail}"
        return self.conditions.hold(START_HANGS, Severity.WARNING, name, text, wrong=hangs)

    def _transition(self, name: str, known: _Service, state: ServiceState, at_ns: int) -> list[Message]:
        known.state = state
        known.state_at = at_ns
        return [self._report(name, known, at_ns), *self._alerts(name, known)]

    def _report(self, name: str, known: _Service, at_ns: int) -> Health:
        known.told_at = at_ns
        known.told_detail = known.detail
        return self._health(name, known)

    def _health(self, name: str, known: _Service) -> Health:
        return Health(
            service=as_name(name),
            state=known.state,
            detail=as_text(known.detail),
            position=as_integer(known.position),
        )

    def _alerts(self, name: str, known: _Service) -> list[Message]:
        hold = self.conditions.hold
        text = f"{known.state.value}: {known.detail}" if known.detail else known.state.value
        missing = known.state is ServiceState.MISSING
        out = hold(SERVICE_MISSING, Severity.CRITICAL, name, text, wrong=missing)
        for state, rule in _STATE_RULES.items():
            out += hold(rule, Severity.CRITICAL, name, text, wrong=known.state is state)
        if known.state is not ServiceState.STARTING:
            out += hold(START_HANGS, Severity.WARNING, name, text, wrong=False)
        return out
