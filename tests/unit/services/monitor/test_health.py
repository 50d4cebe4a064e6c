"""Service health from reports and silence."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from proto.message import Message
from proto.monitor import Alert, Health, ServiceState, Severity
from proto.units import SECOND
from services.monitor.health import CONDITIONS_MAX, Conditions, HealthWatch

LIVE, STOPPED, STARTING = ServiceState.LIVE, ServiceState.STOPPED, ServiceState.STARTING


def said(messages: Sequence[Message]) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = []
    for message in messages:
        if isinstance(message, Health):
            out.append(("health", message.service, message.state.value))
        if isinstance(message, Alert):
            out.append((message.rule, message.topic, "on" if message.active else "off"))
    return out


def test_health_is_told_on_change_only() -> None:
    watch = HealthWatch(["risk"], 0)
    assert said(watch.report("risk", LIVE, 10, "", SECOND)) == [("health", "risk", "live")]
    assert watch.report("risk", LIVE, 20, "", 2 * SECOND) == []
    assert watch.tick(3 * SECOND) == []
    assert watch.states() == {"risk": LIVE}


def test_a_service_that_falls_silent_is_missing_and_comes_back() -> None:
    watch = HealthWatch(["risk"], 0)
    watch.report("risk", LIVE, 10, "", SECOND)
    assert watch.tick(6 * SECOND) == []
    assert said(watch.tick(6 * SECOND + 1)) == [
        ("health", "risk", "missing"),
        ("service_missing", "risk", "on"),
    ]
    assert watch.tick(99 * SECOND) == []
    assert said(watch.report("risk", LIVE, 10, "", 100 * SECOND)) == [
        ("health", "risk", "live"),
        ("service_missing", "risk", "off"),
    ]


def test_a_service_that_never_speaks_is_missing_after_its_start() -> None:
    watch = HealthWatch(["risk"], 0)
    assert watch.tick(60 * SECOND) == []
    assert ("service_missing", "risk", "on") in said(watch.tick(61 * SECOND))


def test_a_stopped_machine_is_critical_until_it_lives() -> None:
    watch = HealthWatch(["risk"], 0)
    out = watch.report("risk", STOPPED, 7, "ZeroDivisionError at 7", SECOND)
    assert said(out) == [("health", "risk", "stopped"), ("machine_stopped", "risk", "on")]
    alert = out[1]
    assert isinstance(alert, Alert)
    assert alert.severity is Severity.CRITICAL
    assert "ZeroDivisionError at 7" in alert.text
    assert ("machine_stopped", "risk", "off") in said(watch.report("risk", LIVE, 8, "", 2 * SECOND))


def test_a_start_that_hangs_is_told() -> None:
    watch = HealthWatch([], 0)
    watch.report("risk", STARTING, 0, "restoring", 0)
    watch.report("risk", STARTING, 0, "restoring", 60 * SECOND)
    assert watch.tick(60 * SECOND) == []
    assert said(watch.tick(61 * SECOND)) == [("start_hangs", "risk", "on")]
    assert ("start_hangs", "risk", "off") in said(watch.report("risk", LIVE, 0, "", 62 * SECOND))


def test_new_words_alone_are_told_seldom_and_not_lost() -> None:
    watch = HealthWatch(["risk"], 0)
    watch.report("risk", LIVE, 0, "", 0)
    told = [len(watch.report("risk", LIVE, 0, f"lag {s}", s * SECOND)) for s in range(1, 31)]
    assert sum(told) == 3
    assert len(watch.report("risk", LIVE, 0, "final", 40 * SECOND)) == 1


def test_a_planned_stop_clears_and_is_not_missed() -> None:
    watch = HealthWatch(["risk"], 0)
    watch.report("risk", STOPPED, 0, "", SECOND)
    assert said(watch.forget("risk")) == [("machine_stopped", "risk", "off")]
    assert watch.tick(1_000 * SECOND) == []
    assert watch.forget("risk") == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(ServiceState), st.integers(0, 90))))
def test_alerts_take_turns_under_any_reports(reports: list[tuple[str, ServiceState, int]]) -> None:
    watch = HealthWatch(["a"], 0)
    now, out = 0, list[Message]()
    for service, state, wait_s in reports:
        now += wait_s * SECOND
        out += watch.tick(now)
        out += watch.report(service, state, 0, "", now)
    active: set[tuple[str, str]] = set()
    for alert in (message for message in out if isinstance(message, Alert)):
        assert alert.active == ((alert.rule, alert.topic) not in active)
        (active.add if alert.active else active.remove)((alert.rule, alert.topic))
    assert active == set(watch.conditions.active)


def test_conditions_are_edges_and_bounded() -> None:
    conditions = Conditions()
    assert len(conditions.hold("disk", Severity.WARNING, "tape", "91 %", wrong=True)) == 1
    assert conditions.hold("disk", Severity.WARNING, "tape", "92 %", wrong=True) == []
    assert len(conditions.hold("disk", Severity.INFO, "tape", "50 %", wrong=False)) == 1
    assert conditions.hold("disk", Severity.INFO, "tape", "50 %", wrong=False) == []
    raised = sum(
        len(conditions.hold("x", Severity.INFO, str(number), "", wrong=True)) for number in range(999)
    )
    assert raised == CONDITIONS_MAX


def test_a_filling_ledger_is_told_at_each_level_and_once():
    watch = HealthWatch((), 0)
    assert said(watch.ledger({})) == []
    assert said(watch.ledger({"entries": "ledger not read"})) == [], "execution has only begun"
    assert said(watch.ledger({"percent": 49})) == []
    assert said(watch.ledger({"percent": 81})) == [
        ("ledger_filling", "50 %", "on"),
        ("ledger_filling", "80 %", "on"),
    ]
    assert said(watch.ledger({"percent": 81})) == []
    full = {"percent": 97, "entries": "ledger 97 % full", "forgotten": ["t-1-0"]}
    assert said(watch.ledger(full)) == [
        ("ledger_filling", "90 %", "on"),
        ("ledger_full", "entries", "on"),
        ("claim_forgotten", "orders", "on"),
    ]
    assert [word for _, _, word in said(watch.ledger({"percent": 10}))] == ["off"] * 5


def test_an_archive_that_falls_behind_is_told_long_before_something_is_lost():
    watch = HealthWatch((), 0)
    assert said(watch.archive({})) == said(watch.archive({"percent": 9})) == []
    assert said(watch.archive({"percent": 26})) == [("archive_behind", "25 %", "on")]
    assert said(watch.archive({"percent": 60})) == [("archive_behind", "50 %", "on")]
    assert said(watch.archive({"percent": 9, "lost": 5})) == [
        ("archive_behind", "25 %", "off"),
        ("archive_behind", "50 %", "off"),
        ("archive_gap", "archive", "on"),
    ]


def test_a_producer_that_floods_the_tape_is_named_until_it_stops():
    watch = HealthWatch((), 0)
    assert said(watch.floods({"feed": 9_000, "signal": 900})) == []
    assert said(watch.floods({"feed": 9_000, "signal": 1_001})) == [("tape_flooded", "signal", "on")]
    assert said(watch.floods({"feed": 10_001})) == [
        ("tape_flooded", "feed", "on"),
        ("tape_flooded", "signal", "off"),
    ]
