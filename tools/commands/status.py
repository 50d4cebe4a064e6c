"""``presage status``: what runs, whether new orders may leave, and why not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from libs.runtime.layout import StateLayout
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from proto.subjects import SERVICES
from proto.units import ONE
from tools.installation import running_supervisor
from tools.servers import DISK_FULL
from tools.up import UsageError
from tools.watch import Reports

REPORT_PATIENCE_S = 1.5
COMMAND_PATIENCE_S = 2.0
FEED_SILENT_S = 10
"""As long as risk lets a book be old (``book_age_s_max``): then it refuses every entry."""
ACCOUNT = ("cash", "exposure", "exposure_limit", "positions", "risk_state", "headroom")
"""What of risk's report is shown as the account; money in millionths of a dollar."""


async def status(state: Path) -> dict[str, Any]:
    """Who runs, how each service is, and whether new orders may leave."""
    layout = StateLayout(state)
    if not layout.was_run:
        raise UsageError(f"expected a system that was run before in {state}, was none")
    pid = running_supervisor(layout)
    document: dict[str, Any] = {"running": bool(pid), "supervisor_pid": pid, "halted": "", "services": {}}
    if pid:
        document |= await _live_status(layout)
        servers = layout.servers_file
        document["servers"] = json.loads(servers.read_text()) if servers.exists() else {}
    # Last, so that a halt given meanwhile shows.
    if layout.halt_file.exists():
        document["halted"] = layout.halt_file.read_text() or "halted"
    document["orders"] = _orders_state(document)
    risk = document["services"].get("risk", {})
    document["account"] = {name: risk[name] for name in ACCOUNT if name in risk}
    return document


async def _live_status(layout: StateLayout) -> dict[str, Any]:
    run = layout.read_run()
    link = Link("status")
    try:
        await link.open(run.broker_url, "console", layout.password("console"), patience_s=COMMAND_PATIENCE_S)
    except BrokerUnavailable:
        return {"broker": "gone"}
    reports = Reports()
    try:
        await reports.listen(link)
        await reports.wait_for(lambda latest: all(s in latest for s in SERVICES), REPORT_PATIENCE_S)
        tape = await stream_state(link.client)
    except BrokerUnavailable:
        return {"broker": "gone"}
    finally:
        await link.close()
    services = {s: reports.latest.get(s, {"state": "missing"}) for s in SERVICES}
    return {"broker": "up", "tape_last_seq": tape["last_seq"], "services": services}


def _orders_state(document: Mapping[str, Any]) -> str:
    """Whether new orders may leave, in a word, and if not why."""
    if not document["running"]:
        return "stopped"
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
    down = [name for name, report in services.items() if report.get("state") != "live"]
    if down:
        return f"no new orders: {', '.join(down)} not live"
    gate = services.get("execution", {}).get("gate", "open")
    if gate != "open":
        return f"no new orders: {gate}"
    silent_s = services.get("feed", {}).get("silent_s", 0)
    return "open" if silent_s < FEED_SILENT_S else f"no new orders: feed silent for {silent_s} s"


def _account_line(account: Mapping[str, Any]) -> str:
    """Cash, exposure against its limit, positions: as risk reports them."""
    money = {name: f"${account.get(name, 0) / ONE:,.2f}" for name in ("cash", "exposure", "exposure_limit")}
    return (
        f"cash {money['cash']}, exposure {money['exposure']} of {money['exposure_limit']},"
        f" {account.get('positions', 0)} positions, risk {account.get('risk_state', '')}"
    )


def print_status(console: Console, document: Mapping[str, Any]) -> None:
    """The status as a table."""
    table = Table("service", "state", "position", "dead", "detail", box=None)
    for name, report in document["services"].items():
        style = "green" if report.get("state") == "live" else "red"
        row = (str(report.get(key, "")) for key in ("position", "dead", "detail"))
        table.add_row(name, f"[{style}]{report.get('state')}[/]", *row)
    console.print(f"orders: {document['orders']}", style="bold", highlight=False)
    if document["account"]:
        console.print(_account_line(document["account"]), highlight=False)
    if document["services"]:
        console.print(table)
