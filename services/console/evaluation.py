"""The nightly evaluation for people and programs: findings, proposed changes as diffs, and what became of them."""

from typing import Any

from libs.archive.history import History
from libs.changes.limits import ChangeLimits, words_of
from libs.lists.changes import OPEN, ChangeRow, read_changes, read_limits
from libs.lists.reading import read_kinds
from libs.view import wording
from proto.evaluation import Finding, Tally
from proto.units import show

FINDINGS_SHOWN = 60
CHANGES_SHOWN = 40
FIGURES = ("trades", "orders", "fills", "rejections", "errors")


async def read_evaluation(history: History, now_ns: int) -> dict[str, Any]:
    """Findings and changes, newest first; money as decimals.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    limits = await read_limits(history)
    queue = await read_changes(history, now_ns)
    findings = [message for _, message in (await read_kinds(history, (Finding,))).entries]
    rows = list(reversed(queue.rows.values()))[:CHANGES_SHOWN]
    return {
        "findings": [_finding(found) for found in findings[-FINDINGS_SHOWN:][::-1]],
        "changes": [_change(row, limits) for row in rows],
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "finding": found.finding,
        "rule": found.rule,
        "day": found.day,
        "scope": found.scope,
        "text": wording.clean(found.text),
        "cost": show(found.cost),
        "count": found.count,
        "enough": found.is_enough,
        "evidence": [{"id": entry.id, "cost": show(entry.cost)} for entry in found.evidence],
    }


def _change(row: ChangeRow, limits: ChangeLimits) -> dict[str, Any]:
    proposal = row.proposal
    edit = proposal.edit
    return {
        "proposal": proposal.proposal,
        "state": row.state,
        "open": row.state in OPEN,
        "reason_of_state": wording.clean(row.reason),
        "path": edit.path,
        "section_hash": edit.section_hash,
        "old": words_of(limits, edit.path, edit.old),
        "new": words_of(limits, edit.path, edit.new),
        "day": proposal.day,
        "reason": wording.clean(proposal.reason),
        "findings": [found.finding for found in proposal.findings],
        "model": proposal.model,
        "measured": proposal.is_measured,
        "without": _tally(proposal.without),
        "changed": _tally(proposal.changed),
        "is_worse": _is_worse(proposal.without, proposal.changed),
        "differing": proposal.differing,
        "detail": wording.clean(proposal.detail),
        "at": str(proposal.at),
        "expires_at": str(proposal.expires_at),
        "seq": str(row.seq),
        "decided_seq": str(row.decided_seq),
        "verdicts": [
            {
                "minutes": verdict.minutes,
                "ruling": verdict.ruling.value,
                "reason": wording.clean(verdict.reason),
                "loss": show(verdict.loss),
                "limit": show(verdict.limit),
            }
            for verdict in row.verdicts
        ],
    }


def _tally(tally: Tally | None) -> dict[str, Any] | None:
    if tally is None:
        return None
    counted: dict[str, Any] = {name: getattr(tally, name) for name in FIGURES}
    return counted | {"profit": show(tally.profit), "drawdown": show(tally.drawdown)}


def _is_worse(without: Tally | None, changed: Tally | None) -> bool:
    """Whether the change would have made its own day worse."""
    return without is not None and changed is not None and changed.profit < without.profit
