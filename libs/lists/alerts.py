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


class AlertList:
    """The fold: feed it entries in the order of the tape."""

    def __init__(self) -> None:
        self.rows: list[AlertRow] = []
        self._active: dict[tuple[str, str], AlertRow] = {}

    def add(self, entries: Iterable[Entry]) -> "AlertList":
        """Take entries; the list itself, for chaining."""
        for record, message in entries:
            if not isinstance(message, Alert):
                continue
            row = self._active.pop((message.rule, message.topic), None)
            if row is not None:
                row.over_at = record.stored_at_ns
            if message.active:
                row = AlertRow(record.seq, record.stored_at_ns, message)
                self._active[message.rule, message.topic] = row
                self.rows.append(row)
        return self

    def forget(self, kept: int) -> None:
        """Forget the oldest of those that are over, once there are more than ``kept``."""
        if len(self.rows) > kept:
            over = [row for row in self.rows if row.over_at][: len(self.rows) - kept]
            gone = {id(row) for row in over}
            self.rows = [row for row in self.rows if id(row) not in gone]


def alert_list(entries: Iterable[Entry]) -> list[AlertRow]:
    """Every alert in the order in which they were raised."""
    return AlertList().add(entries).rows


def worst_first(rows: Iterable[AlertRow]) -> list[AlertRow]:
    """Those that are not over, the worst and then the newest first."""
    order = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
    open_rows = [row for row in rows if not row.over_at]
    return sorted(open_rows, key=lambda row: (order[row.alert.severity], -row.seq))
