"""Results for people: a backtest with its equity curve, a chain of causes as a table."""

from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from proto.units import show
from tools.backtest import Backtest
from tools.view.chart import line_chart
from tools.view.history import EquityPoint

CURVE_ROWS = 10
PAYLOAD_FIELDS_MAX = 14


def print_backtest(console: Console, test: Backtest) -> None:
    """The summary as a table, and the equity after each fill and settlement."""
    document = test.summary.document()
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in document.items():
        if name == "rejections":
            value = ", ".join(f"{reason} {count}" for reason, count in value.items()) or "none"
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else str(value))
    events = document["events"]
    table.add_row("speed", f"{events / max(test.elapsed_s, 1e-9):,.0f} events/s, {test.elapsed_s:.2f} s")
    console.print(Panel(table, title="backtest", border_style="cyan"))
    points = [EquityPoint(at, equity) for at, equity in test.summary.equity_curve]
    if len(points) > 1:
        chart = "\n".join(line_chart(points, max(20, console.width - 4), CURVE_ROWS))
        console.print(Panel(Text(chart, style="green"), title="equity after each fill and settlement"))


def print_why(console: Console, chain: list[dict[str, Any]]) -> None:
    """One block a message: where it stands, how long it took, what it says, which checks it passed."""
    for link in chain:
        took = "" if link["since_previous_ms"] is None else f"  +{link['since_previous_ms']:.3f} ms"
        title = Text.assemble((f"{link['seq']}", "bold"), " ", (link["subject"], "cyan"), (took, "dim"))
        payload = link["payload"] or {}
        body = Table(show_header=False, box=None, pad_edge=False)
        for name, value in list(payload.items())[:PAYLOAD_FIELDS_MAX]:
            if name in ("checks", "failed", "payload", "evidence"):
                continue
            body.add_row(name, _value(name, value))
        console.print(
            Panel(body, title=title, title_align="left", subtitle=link["role"], subtitle_align="right")
        )
        for name in ("checks", "failed"):
            if payload.get(name):
                console.print(_checks(payload[name]))


_AMOUNTS = (
    "price",
    "quantity",
    "fair_value",
    "edge",
    "strength",
    "bid",
    "ask",
    "bid_size",
    "ask_size",
    "fee",
    "filled",
    "remaining",
)


def _value(name: str, value: Any) -> str:
    return show(value) if name in _AMOUNTS and isinstance(value, int) else str(value)[:160]


def _checks(checks: list[list[Any]]) -> Table:
    table = Table("check", "limit", "value", "", box=None)
    for name, limit, value, passed in checks:
        exact = name.endswith(("_s", "_count", "_ms"))
        texts = [str(number) if exact else show(number) for number in (limit, value)]
        table.add_row(name, *texts, "[green]passed[/]" if passed else "[red]failed[/]")
    return table
