"""Whether new orders may leave, and why not, from what the servers and the services report."""

from collections.abc import Mapping
from typing import Any

from proto.risk import RiskState
from proto.subjects import CONSOLE, OPTIONAL_SERVICES

DISK_FULL = "disk full"
"""What the supervisor says of a server without room."""

_RISK_LETS = {
    RiskState.HALTED.value: "no new orders: risk is halted",
    RiskState.CLOSE_ONLY.value: "exits only: risk is close-only",
}
"""What risk lets through, where that is less than everything."""


def is_stopping(document: Mapping[str, Any]) -> bool:
    """Whether what runs is about to end: it takes a few seconds, and less and less of it answers."""
    return bool(document.get("servers", {}).get("stopping"))


def orders_state(document: Mapping[str, Any]) -> str:
    """Whether new orders may leave, in a word, and if not why."""
    if not document["running"]:
        return "stopped"
    if is_stopping(document):
        return "stopping"
    if document["halted"]:
        return f"halted: {document['halted']}"
    if document.get("broker") == "gone":
        return "no new orders: broker gone"
    servers: Mapping[str, Any] = document.get("servers", {})
    if servers.get("broker", "up") != "up":
        return f"no new orders: broker {servers['broker']}"
    if servers.get("database") == DISK_FULL:
        return f"no new orders: database {DISK_FULL}"
    services: Mapping[str, Any] = document["services"]
    why = _services_reason(services)
    if why:
        return f"no new orders{why}"
    ledger: Mapping[str, Any] = services.get("execution", {}).get("ledger", {})
    let_through = _RISK_LETS.get(services.get("risk", {}).get("risk_state", ""), "open")
    return f"exits only: {ledger['entries']}" if ledger.get("entries") else let_through


def _services_reason(services: Mapping[str, Any]) -> str:
    """Why the services let no new order out, or none to some venue; empty when they do."""
    down = [
        name
        for name, report in services.items()
        if report.get("state") != "live" and name not in (*OPTIONAL_SERVICES, CONSOLE)
    ]
    if down:
        return f": {', '.join(down)} not live"
    execution: Mapping[str, Any] = services.get("execution", {})
    gate = execution.get("gate", "open")
    if gate != "open":
        return f": {gate}"
    gates: Mapping[str, Any] = execution.get("venues", {})
    closed = [f"{venue} ({found['gate']})" for venue, found in gates.items() if found.get("gate") != "open"]
    if closed:
        return f" to {', '.join(closed)}"
    # Once every book is older than risk lets it be, no entry passes.
    silent_s = services.get("feed", {}).get("silent_s", 0)
    age_max_s = services.get("risk", {}).get("book_age_max_s")
    return "" if age_max_s is None or silent_s < age_max_s else f": feed silent for {silent_s} s"
