"""The leak rules, and running them over a day."""

from typing import NamedTuple

from libs.evaluation import rules_entries, rules_exits, rules_results
from libs.evaluation.day import TradingDay
from libs.evaluation.finding import CASES_MIN, Finding, Rule

RULES: tuple[Rule, ...] = (
    Rule(
        "cooldown", "cooldown refuses more than is let in, and it would have gained", rules_entries.cooldown
    ),
    Rule("losing_family", "a family of markets loses more than it wins", rules_results.losing_family),
    Rule("stops_recovered", "stops that were followed by recovery", rules_exits.stops_recovered),
    Rule("targets_near", "targets behind which the price went on", rules_exits.targets_near),
    Rule("decay_early", "exits for lack of movement that cost more than they free", rules_exits.decay_early),
    Rule("fees_above_edge", "fees that take most of the edge", rules_results.fees_above_edge),
    Rule("slippage_above_edge", "slippage that takes most of the edge", rules_results.slippage_above_edge),
    Rule("bad_hours", "fills worse than the signal's price at some hours", rules_entries.bad_hours),
    Rule("late_entries", "entries shortly before the end that lose", rules_entries.late_entries),
    Rule("one_limit", "one limit refuses what would have won", rules_entries.one_limit),
    Rule("unfilled", "unfilled entries whose market then moved their way", rules_entries.unfilled),
    Rule("edge_not_captured", "a strategy captures less than it expects", rules_results.edge_not_captured),
    Rule(
        "again_after_loss",
        "the same market again within an hour after a loss",
        rules_results.again_after_loss,
    ),
    Rule("role_worse", "a role of the advisor is worse than the market", rules_results.role_worse),
    Rule("paid_for_nothing", "models are paid for and nothing rests on them", rules_results.paid_for_nothing),
    Rule("stale_books", "refusals for stale or gapped books of one venue", rules_entries.stale_books),
)
FINDINGS_MAX = 50
"""Of one day, the dearest: nobody reads more."""


class Report(NamedTuple):
    """What the rules say of a day: findings, the dearest first; rules without enough cases, with how many there were."""

    findings: tuple[Finding, ...]
    not_enough: dict[str, int]
    clear: tuple[str, ...]


def evaluate(day: TradingDay) -> Report:
    """Run every rule."""
    findings: list[Finding] = []
    not_enough: dict[str, int] = {}
    clear: list[str] = []
    for rule in RULES:
        checked = rule.check(day)
        if checked.findings:
            findings += checked.findings
        elif checked.cases < CASES_MIN:
            not_enough[rule.name] = checked.cases
        else:
            clear.append(rule.name)
    findings.sort(key=lambda finding: (not finding.is_enough, -finding.cost, finding.rule, finding.topic))
    return Report(tuple(findings[:FINDINGS_MAX]), not_enough, tuple(clear))
