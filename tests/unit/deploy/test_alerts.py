"""Alert rules by Prometheus's own tool: each fires when it should, and only then; each has a runbook with a command."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.prometheus import needed

FILE = ROOT / "deploy" / "prometheus" / "rules" / "presage.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
}
RUNBOOKS = ROOT / "docs" / "runbooks"
MONITOR = ROOT / "services" / "monitor"
NO_RULES = {"monitor", "alerts", "other", "orders", "trading", "risk", "dropped"}
"""Texts of the monitor's modules that name something else."""
SEEN_BY_FIGURES = {
    "unknown_order": "UnknownOrder",
    "halt": "NoOrdersPossible",
    "risk_state": "RiskNotActive",
    "service_missing": "ProcessDown",
    "ledger_filling": "LedgerFilling",
    "archive_behind": "ArchiveBehind",
    "archive_gap": "ArchiveBehind",
}
"""Rules of the monitor whose cause an alert sees by itself; it would be told twice."""
SEVERITIES = {"critical", "warning", "none"}
ALWAYS = "DeadMansSwitch"

Series = list[tuple[str, str]]


def active(rule: str, values: str = "1x40") -> tuple[str, str]:
    return f'presage_alert_active{{service="monitor",rule="{rule}"}}', values


def one(name: str, fires: str, quiet: str) -> tuple[Series, Series]:
    return [(name, fires)], [(name, quiet)]


def of_monitor(rule: str) -> tuple[Series, Series]:
    return [active(rule)], [active(rule, "0x40")]


# A value every 15 s for ten minutes; looked at after nine. Time begins at nought.
CASES: dict[str, tuple[Series, Series]] = {
    "NoOrdersPossible": one('presage_gate_open{service="execution"}', "0x40", "0x20 1x20"),
    "UnknownOrder": one('presage_unknown_orders{service="execution"}', "0x20 1x20", "0x30 1x4 0x6"),
    "OrderWithoutApproval": of_monitor("claim_repeated"),
    "OrderStuck": of_monitor("stuck_order"),
    "PositionWithoutExit": of_monitor("orphaned_position"),
    "ReconciliationFailing": one(
        'presage_venue_reconciled_timestamp_seconds{venue="kalshi"}', "100x40", "1+15x40"
    ),
    "VenueGateShut": one('presage_venue_gate_open{venue="kalshi"}', "0x40", "0x33 1x7"),
    "RiskNotActive": one('presage_risk_state{service="risk",state="active"}', "1x20 0x20", "1x40"),
    "DailyLossNear": one(
        'presage_headroom_daily_loss_dollars{service="risk"}', "1000x20 200x20", "1000x20 600x20"
    ),
    "DailyLossReached": one(
        'presage_headroom_daily_loss_dollars{service="risk"}', "1000x20 0x20", "1000x20 1x20"
    ),
    "DrawdownNear": one('presage_headroom_drawdown_ratio{service="risk"}', "0.05x40", "0.2x40"),
    "FeedSilent": one('presage_feed_silent_seconds{service="feed"}', "0+15x40", "1x40"),
    "VenueDataOld": one(
        'presage_venue_data_timestamp_seconds{service="monitor",venue="kalshi"}', "100x40", "1+15x40"
    ),
    "VenueDisconnected": one('presage_feed_venue_connected{venue="kalshi"}', "0x40", "0x33 1x7"),
    "BookUnreliable": ([active("book_gapped", "9x40")], [active("book_gapped", "2x40")]),
    "ProcessDown": one('up{job="presage",process="risk"}', "1x20 0x20", "1x40"),
    "ServiceNotLive": (
        [('presage_ready{service="risk",instance="a"}', "0x40"), ('up{job="presage",instance="a"}', "1x40")],
        [('presage_ready{service="risk",instance="a"}', "0x40"), ('up{job="presage",instance="a"}', "0x40")],
    ),
    "RestartingOften": one('process_start_time_seconds{process="risk"}', "1+60x40", "1x40"),
    "Divergence": one('presage_divergences_total{service="risk"}', "0x20 1x20", "0x40"),
    "ReplayMismatch": one('presage_replay_differs{service="supervisor"}', "0x20 1x20", "1x20 0x20"),
    "StandbyMissing": (
        [
            ('presage_lease_able{service="risk",instance="a"}', "1x40"),
            ('presage_lease_able{service="risk",instance="b"}', "1x20 0x20"),
        ],
        # A service that never had a second process lacks none.
        [('presage_lease_able{service="risk",instance="a"}', "1x40")],
    ),
    "CertificateExpiring": one(
        'presage_certificate_expiry_timestamp_seconds{service="console"}', "1209000x40", "1300000x40"
    ),
    "PermissionViolation": one('presage_permission_violations_total{service="feed"}', "0x25 1x15", "3x40"),
    "TapeStalled": one('presage_stream_last_sequence{stream="TAPE"}', "1+9x20 181x20", "1+9x40"),
    "ServerDown": one('presage_server_up{server="broker"}', "1x20 0x20", "1x40"),
    "TapeLag": one('presage_tape_lag_messages{service="risk"}', "9000x40", "9000x30 10x10"),
    "LedgerFilling": one('presage_ledger_fill_ratio{service="execution"}', "0.81x40", "0.79x40"),
    "DiskFilling": one('presage_disk_used_ratio{disk="state"}', "0.81x40", "0.79x40"),
    "DiskAlmostFull": one('presage_disk_used_ratio{disk="state"}', "0.96x40", "0.94x40"),
    "JournalBehind": one('presage_journal_storing{service="journal"}', "0x40", "1x40"),
    "ArchiveBehind": one('presage_archive_lost_total{service="journal"}', "0x20 5x20", "5x40"),
    "DeadLetters": one('presage_dead_inputs_total{service="feed"}', "0x20 1x20", "7x40"),
    "ClockDoubtful": of_monitor("clock_jump"),
    "RejectionStorm": of_monitor("rejection_storm"),
    "TapeFlooded": of_monitor("tape_flooded"),
    "AdvisorSpendNear": one('presage_advisor_cap_used_ratio{service="advisor"}', "0.81x40", "0.79x40"),
    "AdvisorProviderFailing": one('presage_advisor_paused{service="advisor"}', "1x40", "0x40"),
    "EvaluatorSilent": of_monitor("change_unchecked"),
    "ChangeReverted": of_monitor("change_reverted"),
    "OtherAlert": of_monitor("alerts_suppressed"),
    "NoFigures": one('up{job="presage",process="risk"}', "1x20 0x20", "1x40"),
}


def promtool(*arguments: str) -> None:
    done = subprocess.run([needed("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]


def look(alert: str, series: Series, firing: int) -> dict[str, Any]:
    """One test of the tool: how many alerts of a rule fire after nine minutes of these series."""
    wanted = [{"labels": "{}", "value": firing}] if firing else []
    expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    return {
        "interval": "15s",
        "name": f"{alert} {'fires' if firing else 'is quiet'}",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [{"expr": expression, "eval_time": "9m", "exp_samples": wanted}],
    }


def test_the_rules_are_valid():
    promtool("check", "rules", str(FILE))


def test_each_rule_fires_when_it_should_and_only_then(tmp_path: Path):
    assert set(CASES) == set(RULES) - {ALWAYS}
    tests = [look(ALWAYS, [("up", "1x40")], 1)]
    for alert, (fires, quiet) in CASES.items():
        tests += [look(alert, fires, 1), look(alert, quiet, 0)]
    file = tmp_path / "rules_test.yml"
    document = {"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(document))
    promtool("test", "rules", str(file))


def test_a_journal_that_stores_too_slowly_is_told_of(tmp_path: Path):
    storing = ('presage_journal_storing{service="journal"}', "1x40")
    lag = 'presage_tape_lag_messages{service="journal"}'
    tests = [
        look("JournalBehind", [storing, (lag, "20000x40")], 1),
        look("JournalBehind", [storing, (lag, "100x40")], 0),
    ]
    file = tmp_path / "rules_test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(file))


def test_a_standby_that_waits_is_no_service_that_does_not_work(tmp_path: Path):
    waits = [
        ('presage_ready{service="risk",instance="b"}', "0x40"),
        ('up{job="presage",instance="b"}', "1x40"),
    ]
    able = 'presage_lease_able{service="risk",instance="b"}'
    tests = [
        look("ServiceNotLive", [*waits, (able, "1x40")], 0),
        look("ServiceNotLive", [*waits, (able, "0x40")], 1),
        look("StandbyMissing", [(able, "1x40"), (able.replace('"b"', '"a"'), "1x20 0x4 1x16")], 0),
    ]
    file = tmp_path / "rules_test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(file))


def test_an_evaluator_that_measures_nothing_is_told_of(tmp_path: Path):
    waited = 'presage_eval_unmeasured_seconds{service="advisor"}'
    tests = [
        look("EvaluatorSilent", [(waited, "14300+15x40")], 1),
        look("EvaluatorSilent", [(waited, "3600+15x40")], 0),
    ]
    file = tmp_path / "rules_test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(file))


def test_the_check_sees_a_rule_that_does_not_fire(tmp_path: Path):
    file = tmp_path / "rules_test.yml"
    tests = [look("UnknownOrder", CASES["UnknownOrder"][1], 1)]
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "15s", "tests": tests}))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", str(file))


def test_what_an_alert_says_names_what_it_is_about(tmp_path: Path):
    file = tmp_path / "rules_test.yml"
    expected = {
        "exp_labels": {"severity": "critical", "service": "monitor", "rule": "claim_repeated"},
        "exp_annotations": {
            "summary": "An order was sent that risk has not approved, or twice (claim_repeated)",
            "runbook": "docs/runbooks/order-without-approval.md",
        },
    }
    test = {
        "interval": "15s",
        "input_series": [dict(zip(("series", "values"), active("claim_repeated"), strict=True))],
        "alert_rule_test": [
            {"alertname": "OrderWithoutApproval", "eval_time": "1m", "exp_alerts": [expected]}
        ],
    }
    file.write_text(
        yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "15s", "tests": [test]})
    )
    promtool("test", "rules", str(file))


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_has_a_runbook_that_begins_with_a_command(alert: str):
    rule = RULES[alert]
    assert rule["labels"]["severity"] in SEVERITIES
    page = ROOT / rule["annotations"]["runbook"]
    lines = [line for line in page.read_text().splitlines() if line]
    assert lines[0] == f"# {alert}"
    assert re.match(r"    (presage|docker|df|timedatectl)\b", lines[1]), lines[1]
    shown = " ".join(" ".join(line.split()) for line in lines if line.startswith("    "))
    assert " ".join(str(rule["expr"]).split()) in shown, "the page shows the rule as it is"


def test_no_runbook_is_without_its_alert():
    named = {Path(rule["annotations"]["runbook"]).name for rule in RULES.values()}
    assert {page.name for page in RUNBOOKS.glob("*.md")} == named | {"README.md"}
    index = (RUNBOOKS / "README.md").read_text()
    assert all(f"({name})" in index for name in named)


def test_every_rule_of_the_monitor_reaches_an_alert():
    text = " ".join(str(rule["expr"]) for rule in RULES.values())
    found = {
        name
        for module in MONITOR.glob("*.py")
        for name in re.findall(r'^[A-Z_]+ = "([a-z_]+)"$', module.read_text(), re.MULTILINE)
    } - NO_RULES
    assert len(found) > 20
    missing = {name for name in found if not re.search(rf"\b{name}\b", text)}
    assert missing == set(SEEN_BY_FIGURES)
    assert set(SEEN_BY_FIGURES.values()) <= set(RULES)


def test_no_rule_relies_on_the_source_lag_of_a_stream():
    """It reads nought while a source is stuck."""
    assert not any("source_lag" in str(rule["expr"]) for rule in RULES.values())


def test_the_number_of_rules_is_as_it_is_told():
    pages = (ROOT / "CHANGELOG.md", ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    told = {
        (page.name, int(count))
        for page in pages
        for count in re.findall(r"\b(\d+) alert rules", page.read_text())
    }
    assert told == {("CHANGELOG.md", len(RULES))}
