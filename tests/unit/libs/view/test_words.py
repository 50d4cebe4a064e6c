"""Words for checks and alerts: what risk and the monitor can say has a sentence, and an alert a command."""

import re

import pytest

from libs.view.check_words import check_words
from libs.view.next_command import OTHERWISE, next_command
from proto.monitor import Alert, Severity
from proto.risk import Check
from proto.units import ONE
from tests.support.names import names_of_checks
from tests.support.paths import ROOT
from tests.unit.project.test_docs import unknown_in
from tools.cli.app import ENTRIES

CHECKS = names_of_checks()
RULES = {
    rule
    for path in (ROOT / "services/monitor").glob("*.py")
    for name, rule in re.findall(r'^([A-Z][A-Z_]+) = "([a-z_]+)"$', path.read_text(), re.MULTILINE)
    if name not in {"SECTION", "OTHER", "OVERFLOW_TOPIC", "EXECUTION"}
}


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_every_check_has_words(name: str):
    said = check_words(Check(name, 2_500 * ONE, 4_000 * ONE, passed=False))
    assert " " in said
    assert "(limit" not in said


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (Check("heat", 2_500 * ONE, 4_000 * ONE, passed=False), "exposure Ṁ4,000 of Ṁ2,500"),
        (Check("kill_switch", 0, 2 * ONE, passed=False), "halted by the operator"),
        (Check("kill_switch", 0, ONE, passed=False), "close-only: no entries"),
        (Check("cooldown_s", 60, 5, passed=False), "the market rests: 5 s of 60 s"),
        (Check("drawdown", 400_000, 412_500, passed=False), "fall from the highest equity 41.25 %"),
        (Check("market_status", ONE, 3 * ONE, passed=False), "the market is closed"),
        (Check("market_status", ONE, -ONE, passed=False), "the market is not known"),
        (Check("of_tomorrow_s", 3, 4, passed=False), "of_tomorrow_s 4 (limit 3)"),
    ],
    ids=lambda value: value.name if isinstance(value, Check) else "",
)
def test_a_failed_check_is_a_sentence(check: Check, said: str):
    assert check_words(check, "Ṁ").startswith(said)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_alert_names_a_command_that_exists(rule: str):
    alert = Alert(rule=rule, severity=Severity.WARNING, topic="kalshi position X", text="t")
    said = next_command(alert)
    commands = re.findall(r"presage ([a-z-]+)", said)
    assert commands
    assert set(commands) <= set(ENTRIES)
    assert unknown_in(" ".join(f"`{command}`" for command in said.split(", then "))) == []
    assert rule in {"alerts_suppressed", "risk_state", "ledger_filling"} or said != OTHERWISE


def test_an_alert_that_is_not_known_leads_to_the_status():
    assert next_command(Alert(rule="new", severity=Severity.INFO, topic="", text="")) == OTHERWISE
