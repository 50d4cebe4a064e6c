"""Fault rules: seeded, counted, in their time, and only where they belong; scripts that say what is wrong."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.catalogue import in_sandbox
from sandbox.faults.rules import (
    OPERATIONS,
    FaultKind,
    FaultRule,
    FaultScript,
    FaultScriptError,
    acted_out,
    read_script,
)
from sandbox.faults.script import Faults


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def faults_of(*rules, seed=7):
    clock = Clock()
    faults = Faults(seed, clock)
    faults.set(*rules)
    return faults, clock


def strikes(faults, times, venue="kalshi", operation="order"):
    return [faults.pick(venue, operation).kind for _ in range(times)]


def test_every_kind_strikes_somewhere_and_is_written_down():
    assert set(OPERATIONS) == set(FaultKind)
    for kind in FaultKind:
        faults, _ = faults_of(FaultRule(kind=kind))
        operation = sorted(OPERATIONS[kind])[0]
        action = faults.pick_kind(kind, "polymarket", operation, {"order": "7"})
        assert action.kind is kind
        assert faults.count(kind) == faults.count(kind, "polymarket") == 1
        assert faults.count(kind, "kalshi") == 0
        (struck,) = faults.log
        assert (struck.kind, struck.operation, struck.facts) == (kind, operation, {"order": "7"})
        elsewhere = {"order", "fill", "market_socket", "world", "read"} - OPERATIONS[kind]
        assert not any(faults.pick_kind(kind, "polymarket", op) for op in elsewhere)


def test_a_kind_strikes_only_where_it_is_acted_out():
    for venue, acted in {venue: acted_out(venue) for venue in in_sandbox()}.items():
        for kind in FaultKind:
            restarts = kind is FaultKind.RESTART_WINDOW
            faults, _ = faults_of(FaultRule(kind=kind, count=None if restarts else 1))
            operation = sorted(OPERATIONS[kind])[0]
            assert bool(faults.pick_kind(kind, venue, operation)) is (kind in acted) is bool(faults.log)
            # What did not strike is not spent.
            assert kind in acted or faults.pick_kind(kind, "polymarket", operation)


@pytest.mark.parametrize(
    "rule",
    [
        "{kind: post_only, venue: kalshi}",
        "{kind: post_only, venue: manifold}",
        "{kind: restart_window, venue: kalshi, post_only_s: 10}",
        "{kind: stale_balance, venue: kalshi}",
        "{kind: fail_settlement, venue: kalshi}",
        "{kind: duplicate_fill, venue: manifold}",
        "{kind: appear_late, venue: coinbase}",
        "{kind: drop, venue: polymrket}",
    ],
)
def test_a_rule_that_would_do_nothing_is_refused(tmp_path: Path, rule: str):
    path = tmp_path / "faults.yaml"
    path.write_text(f"faults: [{rule}]")
    with pytest.raises(FaultScriptError, match=r"expected (venue|\w+ at )"):
        read_script(path)


def test_an_old_balance_waits_for_the_balance():
    faults, _ = faults_of(FaultRule(kind=FaultKind.STALE_BALANCE, count=1))
    assert not faults.pick("polymarket", "read", {"path": "/time"})
    assert faults.pick_kind(FaultKind.STALE_BALANCE, "polymarket", "read")


@given(st.integers(0, 2**32), st.floats(0.05, 0.95), st.integers(1, 200))
def test_chances_are_seeded(seed, probability, times):
    rule = FaultRule(kind=FaultKind.DROP, probability=probability)
    one, _ = faults_of(rule, seed=seed)
    other, _ = faults_of(rule, seed=seed)
    assert strikes(one, times) == strikes(other, times)


def test_rules_do_not_change_one_anothers_chances():
    half = FaultRule(kind=FaultKind.DROP, probability=0.5, venue="kalshi")
    alone, _ = faults_of(half)
    among, _ = faults_of(half, FaultRule(kind=FaultKind.STATUS, probability=0.5, venue="polymarket"))
    expected = strikes(alone, 50)
    found = []
    for _ in range(50):
        found.append(among.pick("kalshi", "order").kind)
        among.pick("polymarket", "order")
    assert found == expected
    assert 10 < found.count(FaultKind.DROP) < 40


def test_skip_then_count():
    faults, _ = faults_of(FaultRule(kind=FaultKind.DROP, skip=2, count=3))
    assert strikes(faults, 8) == [None, None, *[FaultKind.DROP] * 3, None, None, None]


def test_time_window():
    faults, clock = faults_of(FaultRule(kind=FaultKind.DROP, from_s=5, until_s=10))
    for at_s, expected in ((0, None), (5, FaultKind.DROP), (9.9, FaultKind.DROP), (10, None)):
        clock.now_s = 100 + at_s
        assert strikes(faults, 1) == [expected]


def test_a_restart_ends_in_a_time_for_makers():
    faults, clock = faults_of(FaultRule(kind=FaultKind.RESTART_WINDOW, from_s=1, seconds=90, post_only_s=120))
    for at_s, expected in (
        (0, None),
        (1, FaultKind.RESTART_WINDOW),
        (90.9, FaultKind.RESTART_WINDOW),
        (91, FaultKind.POST_ONLY),
        (210.9, FaultKind.POST_ONLY),
        (211, None),
    ):
        clock.now_s = 100 + at_s
        assert strikes(faults, 1, "polymarket") == [expected]
        assert strikes(faults, 1, "polymarket", operation="read") == [None]
        # Kalshi has no such time.
        assert strikes(faults, 1) == [expected if expected is FaultKind.RESTART_WINDOW else None]


def test_facts_must_match():
    faults, _ = faults_of(FaultRule(kind=FaultKind.DROP, match={"method": "DELETE"}))
    assert not faults.pick("kalshi", "cancel", {"method": "POST"})
    assert faults.pick("kalshi", "cancel", {"method": "DELETE"})


def test_the_first_rule_that_strikes_counts_and_leaves_the_next_alone():
    faults, _ = faults_of(FaultRule(kind=FaultKind.STATUS, count=1), FaultRule(kind=FaultKind.DROP, count=1))
    assert strikes(faults, 3) == [FaultKind.STATUS, FaultKind.DROP, None]


def test_a_delay_comes_before_another_fault():
    faults, _ = faults_of(FaultRule(kind=FaultKind.DELAY, seconds=0.001), FaultRule(kind=FaultKind.DROP))
    assert asyncio.run(faults.at("kalshi", "order")).kind is FaultKind.DROP
    assert [s.kind for s in faults.log] == [FaultKind.DELAY, FaultKind.DROP]


def test_rules_are_set_added_and_cleared():
    faults, _ = faults_of(FaultRule(kind=FaultKind.DROP))
    faults.add(FaultRule(kind=FaultKind.STATUS))
    assert [r.kind for r in faults.rules] == [FaultKind.DROP, FaultKind.STATUS]
    faults.clear()
    assert strikes(faults, 1) == [None]


SCRIPT = """
seed: 3
faults:
  - {kind: accept_then_timeout, venue: polymarket, probability: 0.3, count: 60}
  - {kind: status, operation: order, status: 502, body: html, carried_out: true}
"""


def test_a_script_is_read_from_yaml_and_json(tmp_path: Path):
    path = tmp_path / "faults.yaml"
    path.write_text(SCRIPT)
    script = read_script(path)
    assert script.seed == 3
    assert script.faults[1] == FaultRule(
        kind=FaultKind.STATUS, operation="order", status=502, body="html", carried_out=True
    )
    path.write_bytes(msgspec.json.encode(script))
    assert read_script(path) == script
    path.write_text("")
    assert read_script(path) == FaultScript()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("faults: [{kind: dealy}]", "dealy"),
        ("faults: [{kind: delay, secs: 1}]", "secs"),
        ("faults: [{kind: over_fill, operation: order}]", "operation"),
        ("faults: [{kind: over_fill, amount: '-1'}]", "amount"),
        ("faults: [{kind: drop, probability: 2}]", "probability"),
        ("faults: [", "expected"),
        ("[1]", "object"),
    ],
)
def test_a_wrong_script_says_what_is_wrong(tmp_path: Path, text, says):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(FaultScriptError, match=says) as e:
        read_script(path)
    assert str(path) in str(e.value)


def test_a_missing_script_names_its_file(tmp_path: Path):
    with pytest.raises(FaultScriptError, match=r"nowhere\.yaml"):
        read_script(tmp_path / "nowhere.yaml")
