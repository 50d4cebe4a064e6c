"""What a chat is answered: from the services' reports and the monitor's own state, which are there without reading."""

from collections.abc import Callable, Mapping
from typing import Any

from libs.view.names import short_id
from libs.view.orders_state import orders_state
from libs.view.wording import clean, counted, money, quantity
from services.monitor.state import MonitorState

LINES_MAX = 30
"""Positions and orders in one answer; the rest is counted."""
ACCOUNT = ("equity", "profit", "cash", "exposure")


class Answers:
    """Answers in words. ``reports``: service → its newest believed report; ``halted``: what the HALT file says."""

    def __init__(
        self,
        state: Callable[[], MonitorState | None],
        reports: Callable[[], Mapping[str, Mapping[str, Any]]],
        halted: Callable[[], str],
        unit: str,
    ) -> None:
        self._state = state
        self._reports = reports
        self._halted = halted
        self._unit = unit

    async def status(self, _: str = "") -> str:
        """Whether orders may leave, the account, what is wrong."""
        services = self._reports()
        document = {"running": True, "halted": self._halted(), "broker": "up", "services": services}
        lines = [f"orders: {orders_state(document)}", self._account(services.get("risk", {}))]
        lines += [
            f"{name}: {report.get('state')}"
            for name, report in services.items()
            if report.get("state") != "live"
        ]
        state = self._state()
        active = {rule: len(topics) for rule, topics in state.active.items()} if state else {}
        lines += [f"alert: {rule}, {counted(count, 'topic')}" for rule, count in active.items()]
        return "\n".join(line for line in lines if line)

    async def positions(self, _: str = "") -> str:
        """What is held."""
        state = self._state()
        held = [
            f"{quantity(position.quantity)} {clean(instrument)}"
            for instrument, position in (state.positions.items() if state else ())
            if position.quantity
        ]
        return _lines(held, "no open position")

    async def orders(self, _: str = "") -> str:
        """What may still trade."""
        state = self._state()
        open_ = [
            f"{short_id(order)} {row.status.replace('_', ' ') or 'approved'} {clean(row.instrument)}"
            f"{f', {quantity(row.filled)} filled' if row.filled else ''}"
            for order, row in (state.orders.items() if state else ())
        ]
        return _lines(open_, "no order that may trade")

    async def profit(self, _: str = "") -> str:
        """The account, and what is left of the day's limit."""
        risk = self._reports().get("risk", {})
        lines = [self._account(risk) or "risk has not reported"]
        left = risk.get("headroom", {}).get("daily_loss")
        if isinstance(left, int):
            lines.append(f"left of the day's loss limit: {money(left, unit=self._unit)}")
        return "\n".join(lines)

    def _account(self, risk: Mapping[str, Any]) -> str:
        return ", ".join(
            f"{name} {money(risk[name], signed=name == 'profit', unit=self._unit)}"
            for name in ACCOUNT
            if isinstance(risk.get(name), int)
        )


def _lines(rows: list[str], none: str) -> str:
    more = [f"and {len(rows) - LINES_MAX} more"] if len(rows) > LINES_MAX else []
    return "\n".join([*rows[:LINES_MAX], *more]) or none
