"""The pages behind the overview: one list each, as long as the terminal is high, filtered and scrolled."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from libs.lists.orders import OrderRow
from libs.view import terms, wording
from libs.view.model import ViewModel
from libs.view.names import short_id
from libs.view.next_command import next_command
from tools.view import market_panel, panels, styles, times
from tools.view.keys import PAGES, Shown
from tools.view.parts import panel, table

Cells = tuple[RenderableType, ...]


class Listing(NamedTuple):
    """A page's title, columns and rows; each row has the text that a filter is compared with."""

    title: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, Cells]]
    empty: str


def page(model: ViewModel, orders: Sequence[OrderRow], shown: Shown, width: int, height: int) -> Panel:
    """The list of a page, from the first row that is looked at."""
    listing = _listing(model, orders, shown.page, width)
    rows = [cells for text, cells in listing.rows if shown.fits(text)]
    first = max(0, min(shown.first, len(rows) - 1))
    made = table(*listing.columns)
    for cells in rows[first : first + max(1, height - 3)]:
        made.add_row(*cells)
    note = f"{len(rows):,} of {len(listing.rows):,}"
    if shown.filter:
        note += f" with {wording.clean(shown.filter)!r}"
    body: RenderableType = made
    if not rows:
        empty = "nothing fits the filter: Esc clears it" if listing.rows else listing.empty
        body = Text(empty, style=styles.QUIET)
    return panel(listing.title, body, f"from {first + 1:,} · {note}" if first else note)


def keys_line(shown: Shown, width: int) -> Text:
    """The last line: what can be pressed, what is being typed, or what came of it."""
    if shown.asks_to_halt:
        line = Text(
            " HALT: no order leaves, working ones are cancelled. y halts, any other key goes back",
            style=styles.BANNER_CRITICAL,
        )
    elif shown.is_typing:
        line = Text.assemble(
            (" filter: ", styles.ACCENT), f"{shown.filter}▏", ("  Enter keeps, Esc clears", styles.QUIET)
        )
    elif shown.told:
        line = Text(f" {wording.clean(shown.told)}", style=styles.STRONG)
    else:
        line = _menu(shown)
    line.truncate(width, overflow="ellipsis")
    return line


def _menu(shown: Shown) -> Text:
    line = Text(" ")
    for number, name in enumerate(PAGES, 1):
        line.append(f"{number} {name}", style=styles.TITLE if name == shown.page else styles.QUIET)
        line.append("  ")
    more = ["/ filter", "↑↓ scroll"] if shown.page != PAGES[0] else []
    more += ["h HALT"] if shown.may_halt else []
    more += ["q leave"] if shown.may_leave else []
    return line.append("  ".join(more), style=styles.QUIET)


def _listing(model: ViewModel, orders: Sequence[OrderRow], name: str, width: int) -> Listing:
    if name == "decisions":
        return _decisions(model, width)
    if name == "orders":
        return _orders(model, orders, width)
    if name == "positions":
        return _positions(model, width)
    if name == "markets":
        return _markets(model, width)
    return _services(model)


def _decisions(model: ViewModel, width: int) -> Listing:
    """The same rejection again is one row, with how often."""
    columns = [("time", "left"), ("id", "left"), ("decision", "left"), ("order", "left"), ("because", "rest")]
    rows = [
        _row(
            panels.decision_row(model, each, 28 if width >= 100 else 14),
            each.strategy, each.market, each.instrument, each.order,
        )
        for each in reversed(model.decisions.latest)
    ]  # fmt: skip
    return Listing("decisions", columns, rows, "nothing proposed yet")


def _orders(model: ViewModel, orders: Sequence[OrderRow], width: int) -> Listing:
    columns = [
        ("time", "left"), ("id", "left"), ("status", "left"), ("order", "rest"), (terms.QUANTITY.word, "right"),
        ("price", "right"), ("filled", "right"), ("strategy", "left"),
    ]  # fmt: skip
    rows = []
    for each in reversed(orders):
        name = (
            model.market_state.name(each.instrument, 32 if width >= 100 else 16) if each.instrument else "–"
        )
        style = styles.GOOD if each.status == "filled" else styles.WARN if each.is_open else styles.PLAIN
        cells = (
            Text(times.clock(each.at), style=styles.QUIET),
            Text(wording.clean(short_id(each.order))),
            Text(wording.clean(each.status), style=style),
            Text(f"{each.side} {name}{' exit' if each.reduce_only else ''}"),
            wording.quantity(each.quantity),
            wording.price(each.price),
            wording.quantity(each.filled),
            Text(wording.clean(each.strategy), style=styles.QUIET),
        )
        rows.append(_row(cells, each.order, each.instrument))
    return Listing("orders", columns, rows, "no order yet")


def _positions(model: ViewModel, width: int) -> Listing:
    wide, name_width = width >= 68, max(14, min(40, width - panels.POSITION_COLUMNS))
    rows = [
        _row(panels.position_row(model, row, name_width, wide=wide), row.instrument)
        for row in model.positions()
    ]
    return Listing("open positions", panels.position_columns(wide=wide), rows, "no open position")


def _markets(model: ViewModel, width: int) -> Listing:
    name_width = max(10, width - market_panel.MARKET_COLUMNS - 4)
    rows = [
        _row(market_panel.market_row(model, entry, name_width), entry.market, entry.underlying)
        for entry in market_panel.in_order(model)
    ]
    return Listing("markets", market_panel.COLUMNS, rows, "no open market")


def _services(model: ViewModel) -> Listing:
    """Services with what they say of themselves; below them alerts, with what to type."""
    columns = [
        ("", "left"),
        ("state", "left"),
        (terms.READ_TO.word, "right"),
        (terms.LAG.word, "right"),
        ("", "rest"),
    ]
    rows: list[tuple[str, Cells]] = []
    for row in model.services:
        sign, style = styles.SERVICE_STATES.get(row.state, styles.OTHER_STATE)
        name = Text.assemble((f"{sign} ", style), wording.clean(row.name))
        detail = Text(wording.clean(row.detail), style=styles.QUIET)
        rows.append(_row((name, Text(row.state, style=style), f"{row.position:,}", f"{row.lag:,}", detail)))
    for alert in model.active_alerts():
        words = Text(wording.clean(f"{alert.topic}  {alert.text}: {next_command(alert)}"))
        rule = Text(wording.clean(alert.rule), style=styles.WARN)
        rows.append(_row((rule, Text(alert.severity.value, style=styles.BAD), "", "", words)))
    return Listing("services and alerts", columns, rows, "no service was heard yet")


def _row(cells: Cells, *names: str) -> tuple[str, Cells]:
    """A row with the text that a filter is compared with: what it shows, and the long names of what it is about."""
    return " ".join([*names, *map(str, cells)]), cells
