"""``presage status``: what runs, whether new orders may leave, and why not."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nats.errors
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.archive.segment import ArchiveDamaged
from libs.lists.alerts import alert_list, worst_first
from libs.lists.reading import Reading, read_kinds, read_window
from libs.lists.waiting import waiting_orders
from libs.operator.watch import Reports
from libs.runtime.layout import StateLayout
from libs.tape.broker import LOOK_TIMEOUT_S, stream_state
from libs.tape.connection import Link
from libs.tape.credentials import VIEWER
from libs.tape.errors import BrokerUnavailable
from libs.view import terms
from libs.view.orders_state import is_stopping, orders_state
from libs.view.venues import venue_status
from libs.view.wording import clean, counted, instrument, price, quantity, sign_of
from libs.view.wording import money as amount
from proto.monitor import Alert
from proto.subjects import SERVICES
from proto.units import ONE, SECOND
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, run
from tools.exit_codes import FAILED
from tools.system.installation import expect_run, running_supervisor

REPORT_PATIENCE_S = 1.5
COMMAND_PATIENCE_S = 2.0
ALERTS_BACK_S = 7 * 86_400
"""Alerts of so many days are shown, which reads a second's worth of the archive; `presage alerts` shows all."""
TABLE_WIDTH_MIN = 100
"""Below it the venues are lines, not a table: a terminal of 80 columns would cut their balances."""
ACCOUNT = ("cash", "equity", "profit", "exposure", "exposure_limit", "positions", "risk_state", "headroom")
"""What of risk's report is shown as the account; money in millionths."""


def status(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """What runs, whether orders may leave, and why not. Exit code 1 when nothing runs, or it is stopping."""
    document = run(read_status(state))
    if as_json:
        emit(document)
    else:
        print_status(console, document)
    if not document["running"] or is_stopping(document):
        raise typer.Exit(FAILED)


async def read_status(state: Path) -> dict[str, Any]:
    """Who runs, how each service is, and whether new orders may leave."""
    layout = StateLayout(state)
    expect_run(state)
    pid = running_supervisor(layout)
    document: dict[str, Any] = {"running": bool(pid), "supervisor_pid": pid, "halted": "", "services": {}}
    if pid:
        document["servers"] = layout.read_servers()
        if not is_stopping(document):
            document |= await _live_status(layout)
            document["servers"] = layout.read_servers()
        if document.get("broker") == "gone" and not running_supervisor(layout):
            # It ended while it was asked.
            document |= {"running": False, "supervisor_pid": 0}
    # Last, so that a halt given meanwhile shows.
    if layout.halt_file.exists():
        document["halted"] = layout.halt_file.read_text() or "halted"
    document["orders"] = orders_state(document)
    document["money"] = layout.money_file.read_text() if layout.money_file.exists() else "paper"
    document["venues"] = venue_status(document["services"], (), document["money"])
    document["console"] = layout.read_run().console_url if document["running"] else ""
    risk = document["services"].get("risk", {})
    document["account"] = {name: risk[name] for name in ACCOUNT if name in risk}
    return document


async def _live_status(layout: StateLayout) -> dict[str, Any]:
    run = layout.read_run()
    link = Link("status")
    try:
        await link.open(run.broker_url, VIEWER, layout.password(VIEWER), patience_s=COMMAND_PATIENCE_S)
    except BrokerUnavailable:
        return {"broker": "gone"}
    reports = Reports()
    try:
        await reports.listen(link)
        expected = (*SERVICES, *run.optional_services)
        await reports.wait_for(lambda latest: all(s in latest for s in expected), REPORT_PATIENCE_S)
        tape = await stream_state(link.client, timeout_s=LOOK_TIMEOUT_S)
        waiting, now = await waiting_orders(link)
        told = await _alerts(link, layout)
    except (BrokerUnavailable, nats.errors.Error):
        return {"broker": "gone"}
    finally:
        await link.close()
    services = {s: reports.latest.get(s, {"state": "missing"}) for s in expected}
    return {
        "broker": "up",
        "tape_last_seq": tape["last_seq"],
        "services": services,
        "alerts": [row.document() for row in worst_first(alert_list(told.entries))],
        "pending": [row.document() | {"left_s": (row.expires_at - now) // SECOND} for row in waiting],
    }


async def _alerts(link: Link, layout: StateLayout) -> Reading:
    """Alerts of the last days; a damaged archive keeps nobody from the status."""
    archive = Archive(layout.archive)
    try:
        position = archive.last_before(time.time_ns() - ALERTS_BACK_S * SECOND)
        return await read_kinds(History(link, archive), (Alert,), position)
    except ArchiveDamaged:
        return await read_window(link, (Alert,))


def _account_line(account: Mapping[str, Any], unit: str) -> str:
    """Cash, exposure against its limit, positions: as risk reports them."""
    names = ("cash", "equity", "profit", "exposure", "exposure_limit")
    money = {name: amount(account.get(name, 0), signed=name == "profit", unit=unit) for name in names}
    return (
        f"{terms.EQUITY} {money['equity']}, {terms.PROFIT} {money['profit']}, {terms.CASH} {money['cash']},"
        f" {terms.EXPOSURE} {money['exposure']} of {money['exposure_limit']},"
        f" {counted(account.get('positions', 0), 'open position')}, risk {account.get('risk_state', '').replace('_', '-')}"
    )


def _pending_line(row: Mapping[str, Any]) -> str:
    """A pending order, with what to type."""
    what = f"{row['side']} {quantity(row['quantity'])} {instrument(row['instrument'], 40)} @ {price(row['price'])}"
    return f"{terms.PENDING}: {what}, {row['left_s']} s {terms.TIME_LEFT}: presage approve {row['id']}"


def _venue_line(name: str, row: Mapping[str, Any], *, named: bool = False) -> tuple[str, ...]:
    """A venue: its prices, whose money moves there, its gate, and when its books last agreed with ours.

    ``named``: without headings above, so that the numbers say what they are.
    """
    told = {
        "markets": "{} markets",
        "gate": "gate {}",
        "unknown": "{} unknown",
        "balance": f"{terms.BALANCE} {{}}",
    }
    words = told if named else dict.fromkeys(told, "{}")
    feed = f"[green]{row['feed']}[/]" if row["feed"] == "live" else f"[red]{escape(row['feed'])}[/]"
    markets = words["markets"].format(row["markets"])
    markets = markets.removesuffix("s") if row["markets"] == 1 else markets
    if "gate" not in row:
        return (name, feed, markets, row["money"], "", "", "", "")
    gate = f"[green]{row['gate']}[/]" if row["gate"] == "open" else f"[red]{escape(row['gate'])}[/]"
    ago_s = (time.time_ns() - row["reconciled_at"]) // SECOND
    reconciled = f"{ago_s} s ago" if row["reconciled_at"] else "never"
    balance = f"{sign_of(row['money'])}{row['balance'] / ONE:,.2f}" if "balance" in row else ""
    return (
        name,
        feed,
        markets,
        row["money"].replace("real", "[bold red]REAL[/]"),
        words["gate"].format(gate),
        words["unknown"].format(row["unknown"]),
        f"reconciled {reconciled}" if named else reconciled,
        words["balance"].format(balance) if balance else "",
    )


def print_status(console: Console, document: Mapping[str, Any]) -> None:
    """The status: what matters most first, then the services and the venues."""
    style = "bold red" if document["money"].startswith("real") else "bold"
    console.print(f"money: {document['money']}", style=style, highlight=False)
    console.print(f"orders: {document['orders']}", style="bold", highlight=False, markup=False)
    if document.get("console"):
        console.print(f"console: {document['console']}", highlight=False, soft_wrap=True)
    if document["account"]:
        console.print(
            _account_line(document["account"], sign_of(document["money"])), highlight=False, soft_wrap=True
        )
    for row in document.get("alerts", ()):
        style = "red" if row["severity"] == "critical" else "yellow"
        words = f"{row['severity']}: {row['rule']} {row['topic']}: {row['text']}: {row['next']}"
        console.print(clean(words), style=style, highlight=False, markup=False, soft_wrap=True)
    _print_notifications(console, document["services"].get("monitor", {}).get("notify", {}))
    for row in document.get("pending", ()):
        console.print(_pending_line(row), style="yellow", highlight=False, markup=False, soft_wrap=True)
    if document["services"]:
        _print_services(console, document["services"])
    if document["venues"]:
        _print_venues(console, document["venues"])
    _print_odd_items(console, document["services"].get("execution", {}).get("venues", {}))
    _print_left_out(console, document)


def _print_notifications(console: Console, channels: Mapping[str, Any]) -> None:
    """Each channel with what became of its messages; what is wrong with it in yellow."""
    for name, row in channels.items():
        counts = ", ".join(
            f"{row[key]} {key}"
            for key in ("sent", "waiting", "failed", "dropped", "restarts")
            if row.get(key)
        )
        words = clean(
            f"notifications to {name}: {counts or 'none yet'}" + f": {row['error']}" * bool(row["error"])
        )
        style = "yellow" if row["error"] else ""
        console.print(words, style=style, highlight=False, markup=False, soft_wrap=True)


def _print_services(console: Console, services: Mapping[str, Any]) -> None:
    table = Table("service", "state", terms.READ_TO.word, "unreadable", "detail", box=None)
    for name, report in services.items():
        style = "green" if report.get("state") == "live" else "red"
        row = (str(report.get(key, "")) for key in ("position", "dead", "detail"))
        table.add_row(name, f"[{style}]{report.get('state')}[/]", *row)
    console.print(table)


def _print_venues(console: Console, venues: Mapping[str, Any]) -> None:
    console.print()
    if console.width < TABLE_WIDTH_MIN:
        for name, row in venues.items():
            words = " ".join(word for word in _venue_line(name, row, named=True) if word)
            console.print(words, highlight=False, soft_wrap=True)
        return
    headings = ("venue", "prices", "markets", "money", "gate", "unknown", "reconciled", terms.BALANCE.word)
    table = Table(*headings, box=None)
    for name, row in venues.items():
        table.add_row(*_venue_line(name, row))
    console.print(table)


def _print_odd_items(console: Console, venues: Mapping[str, Any]) -> None:
    """What could not be read of the venues' accounts."""
    for name, report in venues.items():
        if report.get("odd_items"):
            latest = "; ".join(report["odd_items_latest"])
            line = f"{name}: {report['odd_items']} items could not be read and are left out, the newest: {latest}"
            console.print(line, style="yellow", highlight=False, markup=False)


def _print_left_out(console: Console, document: Mapping[str, Any]) -> None:
    """What is asked for and not followed, and what is followed and priced by no strategy."""
    for name, row in document["venues"].items():
        for note in row.get("notes", ()):
            console.print(clean(f"{name}: {note}"), highlight=False, markup=False, soft_wrap=True)
    for row in document["services"].get("signal", {}).get("unpriced", ()):
        words = f"no strategy prices {row['markets']} markets ({row['example']}): {row['why']}"
        console.print(clean(words), highlight=False, markup=False, soft_wrap=True)
