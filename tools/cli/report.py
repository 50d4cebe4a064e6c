"""Results for people: a backtest with its equity curve, a chain of causes as a table."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from libs.bounded import clip
from libs.view import terms
from libs.view.check_words import check_label, check_number, check_words
from libs.view.history import EquityPoint
from libs.view.wording import clean, counted, money, sign_of
from proto.risk import Check
from proto.units import ONE, show
from tools.offline.backtest import Backtest
from tools.view import times
from tools.view.chart import line_chart

CURVE_ROWS = 10
PAYLOAD_FIELDS_MAX = 14
BOOK_LEVELS_SHOWN = 3


def print_backtest(console: Console, test: Backtest) -> None:
    """The summary, and the equity after each fill and settlement; money is on paper, in dollars."""
    document = test.summary.document()
    events = document["events"]
    speed = f"{events / max(test.elapsed_s, 1e-9):,.0f} messages/s, {test.elapsed_s:.2f} s"
    lines = [*summary_lines(document, "$"), f"outputs_hash {document['outputs_hash']}", speed]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    points = [EquityPoint(at, equity) for at, equity in test.summary.equity_curve]
    if len(points) > 1:
        chart = "\n".join(line_chart(points, max(20, console.width - 4), CURVE_ROWS))
        title = f"{terms.EQUITY} after each fill and settlement"
        console.print(Panel(Text(chart, style="green"), title=title, border_style="bright_black"))


SUMMARY_REASONS_MAX = 5


def print_summary(console: Console, summary: dict[str, Any], state: str, account: str) -> None:
    """What came of a run, in a few lines; the rest is in the JSON."""
    if not summary["events"]:
        console.print(f"stopped ({account}) before anything was read", highlight=False)
        return
    lines = [
        f"stopped ({account})",
        *summary_lines(summary, sign_of(account)),
        f"presage trades --state {state} lists what was traded",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def summary_lines(summary: dict[str, Any], unit: str) -> list[str]:
    """The summary in sentences; ``unit`` is the sign of its money."""

    def amount(name: str) -> str:
        return money(round(summary[name] * ONE), signed=name.endswith("profit"), unit=unit)

    reasons = sorted(summary["rejections"].items(), key=lambda row: -row[1])[:SUMMARY_REASONS_MAX]
    why_not = ", ".join(f"{check_label(name)} {count:,}" for name, count in reasons)
    latency = summary["latency_ms"]
    lines = [
        (
            f"{terms.PROFIT} {amount('profit')} after fees ({terms.REALISED.short} {amount('realised_profit')},"
            f" {terms.UNREALISED.short} {amount('unrealised_profit')}, {terms.FEES} {amount('fees')})"
        ),
        (
            f"{terms.EQUITY} {amount('equity')}, {terms.CASH} {amount('cash')},"
            f" {counted(summary['open_positions'], 'open position')}"
        ),
        (
            f"{counted(summary['proposals'], 'proposal')} and {counted(summary['exits'], 'exit')}:"
            f" {summary['approvals']:,} approved,"
            f" {summary['rejected']:,} rejected{f' ({why_not})' if why_not else ''}"
        ),
        ", ".join(counted(summary[f"{name}s"], name) for name in ("order", "fill", "settlement")),
        f"{counted(summary['events'], 'message')}, tape to {summary['tape_last_seq']:,}",
    ]
    if latency["p50"] is not None:
        lines.append(f"from price to order {latency['p50']:.1f} ms (median), {latency['p99']:.1f} ms (99 %)")
    if summary["unknown_orders"]:
        unknown = counted(summary["unknown_orders"], "order")
        lines.append(f"{unknown} of unknown outcome: presage orders --open")
    if summary["divergences"]:
        lines.append(f"{counted(summary['divergences'], 'difference')} between machines: presage replay")
    return lines


def print_why(console: Console, chain: list[dict[str, Any]], unit: str = "$") -> None:
    """One block a message: where it stands, how long it took, what it says, which checks it passed."""
    for link in chain:
        payload = link["payload"] or {}
        body: list[RenderableType] = [_fields(payload, link["name"], unit)]
        body += [_checks(payload[name], unit) for name in ("checks", "failed") if payload.get(name)]
        asked = link["role"] == "asked for"
        console.print(
            Panel(
                Group(*body),
                title=_title(link),
                title_align="left",
                subtitle=_subtitle(link),
                subtitle_align="right",
                border_style="cyan" if asked else "bright_black",
            )
        )


def _title(link: dict[str, Any]) -> Text:
    words = ".".join(link["subject"].split(".")[:2])
    return Text.assemble((f"{link['seq']}", "bold"), " ", (_HEADINGS.get(words, words), "bold cyan"))


def _subtitle(link: dict[str, Any]) -> Text:
    """Its role, its time of storing, and how long after its cause."""
    parts = [link["role"], times.exact(link["stored_at"], date=False)]
    if link["since_cause_ms"] is not None:
        parts.append(f"{link['since_cause_ms']:.1f} ms after {link['cause']}")
    return Text(" · ".join(parts), style="dim")


def _fields(payload: dict[str, Any], name: str, unit: str) -> Table:
    """What a message says, with units; its market or instrument by the name that the view has for it."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    left_out = ["checks", "failed", "evidence", *TECHNICAL_FIELDS]
    if name:
        table.add_row("market", clean(name))
        left_out += ["market", "instrument"]
    shown = {field: value for field, value in payload.items() if field not in left_out}
    of_market = payload.get("instrument", "").count(":") == 2
    for field, value in list(shown.items())[:PAYLOAD_FIELDS_MAX]:
        table.add_row(
            field.replace("_", " "),
            value_words(field, value, unit if of_market else "$", of_market=of_market),
        )
    for field, value in payload.get("evidence") or ():
        seconds = field.endswith("_s")
        table.add_row(
            clean(field.removesuffix("_s")).replace("_", " "), f"{show(value)} s" if seconds else show(value)
        )
    return table


_HEADINGS = {
    "feed.quote": "the feed's quote",
    "feed.book": "the feed's book",
    "feed.trade": "the feed's trade",
    "feed.clock": "the clock",
    "monitor.clock": "the clock",
    "feed.market": "the market",
    "signal.proposal": "signal proposes",
    "exit.proposal": "exit proposes",
    "exit.cancel": "exit withdraws",
    "exit.position": "exit follows the position",
    "risk.approval": "risk approves",
    "risk.rejection": "risk rejects",
    "risk.pending": "risk waits for the operator",
    "execution.order": "the order's status",
    "execution.refusal": "execution refuses",
    "execution.unclaimed": "no claim was made",
    "execution.cancel": "execution cancels",
    "ledger.order": "the claim is won",
    "venue.ack": "the venue answers",
    "venue.fill": "the venue fills",
    "venue.settlement": "the venue settles",
    "operator.command": "the operator commands",
}
"""What a message means, for people; the subject stands in the JSON."""
TECHNICAL_FIELDS = (
    "approval_subject",
    "signature",
    "key_id",
    "nonce",
    "payload",
    "counter",
    "client_order_id",
)
"""Fields that explain nothing to a reader; all are in the JSON."""
_TIMES = ("at", "expires_at", "claimed_at", "open_at", "close_at")
_MONEY = ("cash", "equity", "realised_profit", "unrealised_profit", "fees", "exposure", "exposure_limit")
_PRICES = ("price", "fair_value", "edge", "bid", "ask", "fee", "entry_price", "strike", "deposit", *_MONEY)
_QUANTITIES = ("quantity", "bid_size", "ask_size", "filled", "remaining")


def value_words(field: str, value: Any, unit: str, *, of_market: bool) -> str:
    """What a field of a message says, for people; ``of_market``: quantities are contracts."""
    if isinstance(value, int) and not isinstance(value, bool):
        if field in _PRICES:
            return f"{unit}{show(value)}"
        if field in _QUANTITIES:
            return f"{show(value)} {terms.CONTRACTS}" if of_market else show(value)
        if field == "strength":
            return show(value)
        if field in _TIMES:
            return times.exact(value) if value else "–"
    if field == "status":
        return clean(str(value)).replace("_", " ")
    if field in ("bids", "asks"):
        return "  ".join(f"{show(price)} × {show(quantity)}" for price, quantity in value[:BOOK_LEVELS_SHOWN])
    return clean(clip(str(value), 160))


def _checks(checks: list[list[Any]], unit: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, justify in (("check", "left"), ("limit", "right"), ("value", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, limit, value, passed in checks:
        texts = [check_number(name, number, unit) for number in (limit, value)]
        words = "" if passed else f": {escape(check_words(Check(name, limit, value, passed=False), unit))}"
        table.add_row(name, *texts, "[green]passed[/]" if passed else f"[bold red]failed[/]{words}")
    return table
