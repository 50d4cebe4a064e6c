"""The signal service: ``python -m services.signal --state DIR``."""

import sys
from typing import Any

from libs.machine.host import Host
from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from services.signal.discovery import load_strategies
from services.signal.machine import SignalMachine

REASONS_MAX = 20
"""Reasons in one health report: there are about as many as kinds of payoffs and references."""


async def main(context: Context) -> None:
    strategies = load_strategies(context.run.strategies)
    host = context.host([lambda: SignalMachine(strategies)])
    host.extra_report = lambda: unpriced(host)
    await serve_host(context, host)


def unpriced(host: Host) -> dict[str, Any]:
    """What signal adds to its health report: the markets that no strategy can price, and why."""
    machine = host.runners[0].machine if host.runners else None
    if not isinstance(machine, SignalMachine):
        return {}
    found = sorted(machine.unpriced().items(), key=lambda item: -len(item[1]))
    rows = [{"why": why, "markets": len(names), "example": names[0]} for why, names in found]
    return {"unpriced": rows[:REASONS_MAX]}


if __name__ == "__main__":
    sys.exit(run_service("signal", main))
