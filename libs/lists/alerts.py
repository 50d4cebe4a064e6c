"""Alerts as a list, each with the command to type next."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from libs.lists.reading import Entry
from libs.view.next_command import next_command
from proto.monitor import Alert, Severity


@dataclass(slots=True)
class AlertRow:
    """An alert, when it was raised, and when it was over (0: not yet)."""

    seq: int
    at: int
    alert: Alert
    over_at: int = 0

    def document(self) -> dict[str, Any]:
        """As plain data."""
        alert = self.alert
        return {
            "seq": self.seq,
            "at": self.at,
            "over_at": self.over_at,
            "rule": alert.rule,
            "severity": alert.severity.value,
            "topic": alert.topic,
            "text": alert.text,
            "next": next_command(alert),
        }


def alert_list(entries: Iterable[Entry]) -> list[AlertRow]:
    """Every alert in the order in which they were raised."""
    rows: list[AlertRow] = []
    active: dict[tuple[str, str], AlertRow] = {}
    for record, message in entries:
        if not isinstance(message, Alert):
            continue
        row = active.pop((message.rule, message.topic), None)
        if row is not None:
            row.over_at = record.stored_at_ns
        if message.active:
            row = AlertRow(record.seq, record.stored_at_ns, message)
            active[message.rule, message.topic] = row
            rows.append(row)
    return rows


def worst_first(rows: Iterable[AlertRow]) -> list[AlertRow]:
    """Those that are not over, the worst and then the newest first."""
    order = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
    open_rows = [row for row in rows if not row.over_at]
    return sorted(open_rows, key=lambda row: (order[row.alert.severity], -row.seq))
