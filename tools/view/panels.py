"""The parts of a frame. Each takes the model and the room it has, and draws no more than fits."""

from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from libs.observability.latency import HOPS
from libs.view import terms, wording
from libs.view.check_words import check_label
from libs.view.history import Decision
from libs.view.model import WHOLE_WAY, ViewModel
from libs.view.names import short_id
from libs.view.next_command import next_command
from libs.view.rows import PositionRow
from proto.monitor import Severity
from proto.risk import Pending, RiskState
from tools.view import styles, times
from tools.view.chart import line_chart
from tools.view.parts import BORDER_SIZE, PADDING_SIZE, panel, table

POSITION_COLUMNS = 74
"""What the figures of a position need beside its name, with one exit at work."""


# ── the top ──


def header(model: ViewModel, width: int) -> Text:
    """Two lines: who and when; what it is worth. And one of the venues, if any are followed."""
    state = model.money.risk_state
    halted = bool(model.halt_reason) or state is RiskState.HALTED
    shown = "HALTED" if halted else state.value.replace("_", "-").upper()
    style = styles.BAD if halted else styles.GOOD if state is RiskState.ACTIVE else styles.WARN
    source = f"{model.mode or 'no session'} {wording.clean(model.recording)}".rstrip()
    first = Text.assemble(
        ("PRESAGE", styles.TITLE),
        "  ",
        styles.MONEY.get(model.whose_money, styles.MONEY["real"]),
        "  ",
        (shown, f"bold {style}"),
        (f"  {times.clock_and_utc(model.now)}", styles.STRONG),
        (f"  {source}", styles.QUIET),
        (f"  tape {wording.clean(model.tape) or '–'} @ {model.seq:,}", styles.QUIET),
    )
    second = _account(model, width, parts=True)
    if second.cell_len > width:
        second = _account(model, width, parts=False)
    lines = [first, second, *([_venues(model)] if model.venues else [])]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _account(model: ViewModel, width: int, *, parts: bool) -> Text:
    """What the account is worth, and what its profit is made of where there is room."""
    profit = model.profit
    made_of = _profit_parts(model) if parts else ""
    fees = "" if made_of else f"  {terms.FEES} "
    return Text.assemble(
        (f"{terms.EQUITY} ", styles.QUIET),
        (model.amount(model.equity), styles.STRONG),
        (f"  {terms.PROFIT} ", styles.QUIET),
        (model.amount(profit, signed=True), f"bold {styles.of_amount(profit)}"),
        (made_of, styles.QUIET),
        (f"  {terms.CASH} ", styles.QUIET),
        model.amount(model.cash),
        (f"  {terms.EXPOSURE} ", styles.QUIET),
        *_exposure(model, width),
        (fees, styles.QUIET),
        model.amount(model.portfolio.fees) if fees else "",
    )


def _profit_parts(model: ViewModel) -> str:
    """What the profit is made of; nothing in a view that began late, which knows only a part of it."""
    if model.money.cash_offset:
        return ""
    realised = model.amount(model.portfolio.realised_profit, signed=True)
    unrealised = model.amount(model.tally.unrealised_profit, signed=True)
    parts = f"{terms.REALISED.short} {realised}, {terms.UNREALISED.short} {unrealised}"
    return f" ({parts}, {terms.FEES} {model.amount(model.portfolio.fees)})"


def _venues(model: ViewModel) -> Text:
    """Each venue: whether its prices come, and whether orders may go there."""
    line = Text()
    for row in model.venues:
        live = row.feed == "live"
        line.append("● " if live else "✗ ", style=styles.GOOD if live else styles.BAD)
        line.append(f"{wording.clean(row.name)} ", style=styles.STRONG)
        words = wording.counted(row.markets, "market") if live else wording.clean(row.feed)
        line.append(words, style=styles.QUIET if live else styles.BAD)
        if row.gate:
            line.append(" gate ", style=styles.QUIET)
            line.append(wording.clean(row.gate), style=styles.GOOD if row.gate == "open" else styles.BAD)
        if row.unknown:
            line.append(f" {row.unknown} unknown", style=styles.BAD)
        line.append("   ")
    return line


def _exposure(model: ViewModel, width: int) -> tuple[Text | str, ...]:
    exposure, limit = model.exposure, model.money.exposure_limit
    if not limit:
        return ("–",)
    text = f"{model.amount(exposure)} of {model.amount(limit)}"
    return (f"{text} ", _bar(exposure, limit, 10)) if width >= 140 else (text,)


def _bar(part: int, whole: int, width: int) -> Text:
    filled = max(0, min(width, round(width * part / whole))) if whole > 0 else 0
    style = styles.GOOD if part * 10 < whole * 8 else styles.WARN if part <= whole else styles.BAD
    return Text.assemble(("━" * filled, style), ("━" * (width - filled), styles.QUIET))


def banner(model: ViewModel, width: int, rows_max: int) -> Text | None:
    """Halt and alerts, the worst first; ``None`` when all is well."""
    lines: list[tuple[str, str]] = []
    if model.halt_reason:
        reason = wording.clean(model.halt_reason)
        lines.append(
            (f" HALTED: {reason}. No new orders; cancels go: presage resume", styles.BANNER_CRITICAL)
        )
    elif model.halt_file is not None:
        reason = wording.clean(model.halt_file) or "no reason given"
        lines.append(
            (f" HALTED by the HALT file: {reason}. No new orders: presage resume", styles.BANNER_CRITICAL)
        )
    lines += [(_waiting(model, pending), styles.BANNER_WARNING) for pending in model.waiting_orders()]
    for alert in model.active_alerts():
        # The halt is told above; its alert would only say the same again.
        if not (model.halt_reason and alert.rule == "halt"):
            critical = alert.severity is Severity.CRITICAL
            style = styles.BANNER_CRITICAL if critical else styles.BANNER_WARNING
            words = (
                f" {alert.severity.value}: {alert.rule}  {alert.topic}  {alert.text}: {next_command(alert)}"
            )
            lines.append((wording.clean(words), style))
    if not lines:
        return None
    shown = [_filled(text, style, width) for text, style in lines[:rows_max]]
    if len(lines) > rows_max:
        note = f" +{len(lines) - rows_max} more "
        text, style = lines[rows_max - 1]
        shown[-1] = Text.assemble(_filled(text, style, max(1, width - len(note))), (note, style))
    return Text("\n").join(shown)


def _waiting(model: ViewModel, pending: Pending) -> str:
    """A pending order, what is left of its time, and what to type."""
    what = f"{pending.side.value} {wording.quantity(pending.quantity)}"
    where = f"{model.market_state.name(pending.instrument, 32)} @ {wording.price(pending.price)}"
    left = wording.duration(pending.expires_at - model.now)
    return f" {terms.PENDING} {what} {where}, {left} {terms.TIME_LEFT}: presage approve {wording.clean(short_id(pending.order))}"


def _filled(text: str, style: str, width: int) -> Text:
    line = Text(text, style=style)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line


# ── services and latency ──


def services(model: ViewModel, rows_max: int) -> Panel:
    """Services with their state, how far they have read the tape, what is left of it, and restarts."""
    columns = (terms.READ_TO.word, "right"), (terms.LAG.word, "right"), ("restarts", "right")
    made = table(("service", "rest"), *columns)
    for row in model.services[:rows_max]:
        sign, style = styles.SERVICE_STATES.get(row.state, styles.OTHER_STATE)
        name = Text.assemble((f"{sign} ", style), wording.clean(row.name))
        if row.state != "live":
            words = f"{row.state} {row.detail}".strip()
            name.append(f" {wording.clean(words)}", style=style)
        lag = Text(f"{row.lag:,}", style=styles.WARN if row.lag > 1_000 else styles.QUIET)
        restarts = Text(str(row.restarts), style=styles.WARN if row.restarts else styles.QUIET)
        made.add_row(name, f"{row.position:,}", lag, restarts)
    live = sum(row.state == "live" for row in model.services)
    note = f"{live} of {len(model.services)} live"
    return panel("services", made, f"{note} · console {model.console_url}" if model.console_url else note)


def services_strip(model: ViewModel, width: int) -> Text:
    """Services in one line, for small terminals."""
    line = Text()
    for row in model.services:
        sign, style = styles.SERVICE_STATES.get(row.state, styles.OTHER_STATE)
        line.append(sign, style=style)
        line.append(f" {wording.clean(row.name)}  ")
    line.truncate(width, overflow="ellipsis")
    return line


def latency(model: ViewModel) -> Panel:
    """Median and 99th percentile of every hop."""
    made = table(("", "rest"), ("p50", "right"), ("p99", "right"))
    made.show_header = False
    for hop in (*HOPS, WHOLE_WAY):
        found = model.latencies.percentiles(hop)
        name = Text(hop, style=styles.STRONG if hop == WHOLE_WAY else styles.PLAIN)
        if found is None:
            made.add_row(name, Text("–", style=styles.QUIET), Text("–", style=styles.QUIET))
        else:
            made.add_row(name, wording.latency(found.p50), wording.latency(found.p99))
    return panel("latency per hop", made, "p50 · p99")


def latency_strip(model: ViewModel, width: int) -> Text:
    """Medians in one line, for small terminals."""
    line = Text("p50 ", style=styles.QUIET)
    for hop in (*HOPS, WHOLE_WAY):
        found = model.latencies.percentiles(hop)
        if found is not None:
            line.append(f"{hop} ", style=styles.QUIET)
            line.append(f"{wording.latency(found.p50)}  ")
    line.truncate(width, overflow="ellipsis")
    return line


# ── positions, equity, decisions ──


def positions(model: ViewModel, rows_max: int, width: int) -> Panel:
    """Open positions with their exits."""
    rows = model.positions()
    wide = width >= 68
    made = table(*position_columns(wide=wide))
    name_width = max(14, min(32, width - POSITION_COLUMNS))
    shown = rows if len(rows) <= rows_max else rows[: rows_max - 1]
    for row in shown:
        made.add_row(*position_row(model, row, name_width, wide=wide))
    if len(shown) < len(rows):
        made.add_row(Text(f"… and {len(rows) - len(shown)} more", style=styles.QUIET))
    body: RenderableType = made if rows else Text("no open position", style=styles.QUIET)
    return panel("open positions", body, f"{len(rows)} open")


def position_columns(*, wide: bool) -> list[tuple[str, str]]:
    """Headings of what :func:`position_row` makes, with their kinds."""
    return [
        (terms.POSITION.word, "left"),
        (terms.QUANTITY.word, "right"),
        (terms.ENTRY.word, "right"),
        (terms.MARK.word, "right"),
        (terms.UNREALISED.short, "right"),
        ("", "right"),
        ("stage", "left"),
        *([("exits at work", "rest")] if wide else []),
    ]


def position_row(
    model: ViewModel, row: PositionRow, name_width: int, *, wide: bool
) -> tuple[RenderableType, ...]:
    """A position: what it cost, what it is worth, and what is at work to leave it."""
    style = styles.of_amount(row.unrealised_profit)
    stage_style = styles.WARN if row.stage == "unmanaged" else styles.PLAIN
    cells: tuple[RenderableType, ...] = (
        model.market_state.name(row.instrument, name_width),
        wording.quantity(row.quantity),
        wording.price(row.entry_price),
        wording.price(row.mark),
        Text(model.amount(row.unrealised_profit, signed=True), style=style),
        Text(wording.percent(row.unrealised_profit, row.cost), style=style),
        Text(row.stage, style=stage_style),
    )
    return (
        (*cells, Text(row.exits or "none", style=styles.PLAIN if row.exits else styles.WARN))
        if wide
        else cells
    )


def equity(model: ViewModel, width: int, height: int) -> Panel:
    """The equity curve with its highest and lowest value, and the time it spans."""
    points = model.equity_history.points
    if not points:
        return panel(terms.EQUITY.word, Text("no books yet", style=styles.QUIET))
    rows = max(1, height - BORDER_SIZE)
    values = [point.equity for point in points]
    labels = [model.amount(max(values)), model.amount(min(values))]
    margin = max(map(len, labels))
    room = max(1, width - BORDER_SIZE - PADDING_SIZE - margin - 1)
    style = styles.BAD if values[-1] < values[0] else styles.GOOD
    body = Text()
    for index, line in enumerate(line_chart(points, room, rows)):
        label = labels[0] if index == 0 else labels[1] if index == rows - 1 and rows > 1 else ""
        body.append(f"{label:>{margin}} ", style=styles.QUIET)
        body.append(line, style=style)
        body.append("\n" if index < rows - 1 else "")
    span = wording.duration(points[-1].at - points[0].at)
    return panel(terms.EQUITY.word, body, f"{span} to {times.clock(points[-1].at)}")


def decisions(model: ViewModel, rows_max: int, width: int) -> Panel:
    """Proposals and what became of them, newest first, with reasons."""
    wide = width >= 100
    columns = [("time", "left"), ("id", "left")] if wide else []
    columns += [("decision", "left"), ("order", "left"), ("because", "wrapped")]
    made = table(*columns)
    # Reasons may take several lines; what no longer fits is the oldest, at the bottom.
    latest = list(model.decisions.latest)[::-1][: max(1, rows_max)]
    for decision in latest:
        cells = decision_row(model, decision, 28 if wide else 18 if width >= 70 else 14)
        made.add_row(*(cells if wide else _narrowed(cells)))
    counts = model.tally.counts
    words = {
        "proposals": "proposed",
        "exits": "exits",
        "approvals": "approved",
        "rejections": "rejected",
        "orders": "orders",
        "fills": "fills",
    }
    note = " · ".join(f"{counts[name]:,} {word}" for name, word in words.items())
    body: RenderableType = made if latest else Text("nothing proposed yet", style=styles.QUIET)
    return panel("decisions", body, note)


def _narrowed(cells: tuple[Text, ...]) -> tuple[Text, ...]:
    """Without time, and the id of the order before the reasons: there is no column for it."""
    _, order, decision, what, reasons = cells
    return decision, what, Text(" ").join([order, reasons]) if order.plain else reasons


def decision_row(model: ViewModel, decision: Decision, name_width: int) -> tuple[Text, ...]:
    """A decision: when, of which order, what it was, and why; a rejection that came again with how often."""
    word, style = styles.OUTCOMES[decision.outcome]
    kind = " exit" if decision.is_exit else ""
    order = Text()
    if decision.side:
        order.append(f"{decision.side} ", style=styles.GOOD if decision.side == "buy" else styles.BAD)
    if decision.quantity:
        order.append(f"{wording.quantity(decision.quantity)} ")
    if decision.instrument:
        order.append(model.market_state.name(decision.instrument, name_width))
    if decision.price is not None:
        order.append(f" @ {wording.price(decision.price)}", style=styles.STRONG)
    repeated = f"×{decision.count:,} " if decision.count > 1 else ""
    reasons = Text.assemble((repeated, styles.WARN), (", ".join(decision.reasons), styles.QUIET))
    return (
        Text(times.clock(decision.at), style=styles.QUIET),
        Text(wording.clean(short_id(decision.order)), style=styles.QUIET),
        Text(word + kind, style=style),
        order,
        reasons,
    )


def reasons(model: ViewModel, rows_max: int) -> Panel:
    """Why proposals are rejected, the most frequent reason first."""
    made = table(("", "rest"), ("", "right"))
    made.show_header = False
    found = model.tally.reasons
    for name, count in found.most_common(max(1, rows_max)):
        made.add_row(Text(check_label(name)), f"{count:,}")
    body: RenderableType = made if found else Text("none rejected", style=styles.QUIET)
    return panel("rejected because", body)
