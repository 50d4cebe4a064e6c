"""``presage pending``, ``orders``, ``fills``, ``positions``, ``trades``, ``alerts``, ``strategies``: lists from the tape."""

import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from libs.runtime.layout import StateLayout
from libs.tape.connection import Link
from proto.feed import Market
from proto.monitor import Alert
from proto.units import SECOND
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, run
from tools.lists import books as book_list
from tools.lists import orders as order_list
from tools.lists.alerts import AlertRow, alert_list, worst_first
from tools.lists.orders import OrderList, OrderRow
from tools.lists.positions import read_holdings
from tools.lists.reading import Reading, read_kinds, read_markets
from tools.lists.strategies import KINDS as STRATEGY_KINDS
from tools.lists.strategies import count, known_strategies
from tools.lists.waiting import waiting_orders
from tools.system.installation import Installation, tape_access
from tools.view import wording
from tools.view.moment import moment
from tools.view.names import short_id
from tools.view.next_command import next_command

LIMIT = 20
NAME_WIDTH = 44

Limit = Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0: all.")]
OfMarket = Annotated[str, typer.Option("--market", help="Only markets with this in their name or id.")]
OfStrategy = Annotated[str, typer.Option("--strategy", help="Only this strategy's.")]


class Names:
    """Names of instruments as the view shows them."""

    def __init__(self, markets: dict[str, Market]) -> None:
        self._labels = {name: wording.market(market) for name, market in markets.items()}

    def of(self, instrument: str) -> str:
        """An instrument for people."""
        market, _, outcome = instrument.rpartition(":")
        label = self._labels.get(market)
        if label is None:
            return wording.instrument(instrument, NAME_WIDTH)
        return f"{wording.shorten(label, NAME_WIDTH)} {wording.clean(outcome).upper()}"

    def has(self, part: str, market: str, instrument: str) -> bool:
        """Whether a market's name or id has ``part`` in it, whatever the case."""
        places = (market, instrument, self._labels.get(market, ""))
        return not part or any(part.lower() in place.lower() for place in places)


def _listed(state: Path, work: Callable[[Installation, Link, Names], Coroutine[Any, Any, Any]]) -> Any:
    async def reading() -> Any:
        async with tape_access(state) as (installation, link):
            return await work(installation, link, Names(await read_markets(link)))

    return run(reading())


def pending(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List the orders that wait for you (autonomy `semi`): presage approve ID, presage deny ID."""

    async def work(_: Installation, link: Link, names: Names) -> tuple[list[OrderRow], int, Names]:
        rows, now = await waiting_orders(link)
        return rows, now, names

    rows, now, names = _listed(state, work)
    if as_json:
        emit({"now": now, "pending": [row.document() | {"left_s": _left_s(row, now)} for row in rows]})
        return
    if not rows:
        console.print("no order waits for you", highlight=False)
        return
    unit = _unit(state)
    table = _table("id", "market", "side", "price>", "quantity>", "cost>", "time left>")
    for row in rows:
        cost = wording.money(row.price * row.quantity // 1_000_000, unit=unit)
        table.add_row(*_order_cells(row, names)[:5], cost, wording.duration(row.expires_at - now))
    console.print(table)
    console.print("presage approve ID or presage deny ID decides", style="dim", highlight=False)


def _left_s(row: OrderRow, now: int) -> int:
    return max(0, row.expires_at - now) // SECOND


def orders(
    is_open: Annotated[bool, typer.Option("--open", help="Only those that wait or may still trade.")] = False,
    market: OfMarket = "",
    strategy: OfStrategy = "",
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List orders and what became of them, the newest last."""

    async def work(_: Installation, link: Link, names: Names) -> tuple[Reading, list[OrderRow], Names]:
        reading = await read_kinds(link, order_list.KINDS)
        rows = [
            row
            for row in OrderList().add(reading.entries).rows.values()
            if (row.is_open or not is_open)
            and names.has(market, row.market, row.instrument)
            and strategy in ("", row.strategy)
        ]
        return reading, rows, names

    reading, rows, names = _listed(state, work)
    shown = _newest(rows, limit)
    if as_json:
        emit({"source": reading.source, "orders": [row.document() for row in shown]})
        return
    table = _table("id", "market", "side", "price>", "quantity>", "filled>", "state", "because")
    for row in shown:
        became = f"as {short_id(row.became)}" if row.became else row.reason
        table.add_row(
            *_order_cells(row, names), wording.quantity(row.filled), row.status, wording.clean(became)
        )
    _print(table, shown, rows, reading.source)


def _order_cells(row: OrderRow, names: Names) -> tuple[str, ...]:
    name = names.of(row.instrument) if row.instrument else "–"
    side = f"{row.side} exit" if row.reduce_only else row.side
    return short_id(row.order), name, side, wording.price(row.price), wording.quantity(row.quantity)


def fills(
    market: OfMarket = "",
    strategy: OfStrategy = "",
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List fills, the newest last."""

    async def work(_: Installation, link: Link, names: Names) -> tuple[Reading, list[Any], Names]:
        reading = await read_kinds(link, book_list.KINDS)
        rows = [
            row
            for row in book_list.Books().add(reading.entries).fills.values()
            if names.has(market, row.fill.market, row.fill.instrument) and strategy in ("", row.fill.strategy)
        ]
        return reading, rows, names

    reading, rows, names = _listed(state, work)
    shown = _newest(rows, limit)
    if as_json:
        emit({"source": reading.source, "fills": [row.document() for row in shown]})
        return
    unit = _unit(state)
    table = _table("time UTC", "order", "market", "side", "price>", "quantity>", "fee>", "realised>")
    for row in shown:
        fill = row.fill
        table.add_row(
            _time(row.at),
            short_id(fill.order),
            names.of(fill.instrument),
            fill.side.value,
            wording.price(fill.price),
            wording.quantity(fill.quantity),
            wording.money(fill.fee, unit=unit),
            "taken back" if row.is_undone else wording.money(row.realised, signed=True, unit=unit),
        )
    _print(table, shown, rows, reading.source)


def positions(market: OfMarket = "", state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List open positions at the newest prices, and the account."""

    async def work(installation: Installation, link: Link, names: Names) -> tuple[Any, Names]:
        holdings = await read_holdings(installation, link)
        holdings.rows = [row for row in holdings.rows if names.has(market, row.market, row.instrument)]
        return holdings, names

    holdings, names = _listed(state, work)
    if as_json:
        emit(holdings.document())
        return
    unit = _unit(state)
    table = _table("position", "held>", "entry>", "mark>", "cost>", "profit>", "%>")
    for row in holdings.rows:
        table.add_row(
            names.of(row.instrument),
            wording.quantity(row.quantity),
            wording.price(row.entry_price),
            wording.price(row.mark),
            wording.money(row.cost, unit=unit),
            wording.money(row.profit, signed=True, unit=unit),
            wording.percent(row.profit, row.cost),
        )
    _print(table, holdings.rows, holdings.rows, holdings.source)
    if not market:
        document = holdings.document()
        told = ", ".join(
            f"{name.replace('_', ' ')} {wording.money(document[name], unit=unit)}"
            for name in ("cash", "equity", "profit", "realised_profit", "fees")
        )
        console.print(told, highlight=False)


def trades(
    market: OfMarket = "",
    strategy: OfStrategy = "",
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List closed trades: from nothing held to nothing held, profit after fees, the newest last."""

    async def work(_: Installation, link: Link, names: Names) -> tuple[Reading, list[Any], Names]:
        reading = await read_kinds(link, book_list.KINDS)
        rows = [
            row
            for row in book_list.Books().add(reading.entries).trades()
            if names.has(market, row.market, row.instrument) and strategy in ("", row.strategy)
        ]
        return reading, rows, names

    reading, rows, names = _listed(state, work)
    shown = _newest(rows, limit)
    if as_json:
        emit({"source": reading.source, "trades": [row.document() for row in shown]})
        return
    unit = _unit(state)
    table = _table("closed UTC", "market", "quantity>", "entry>", "exit>", "held", "", "profit>")
    for row in shown:
        table.add_row(
            _time(row.closed_at),
            names.of(row.instrument),
            wording.quantity(row.quantity),
            wording.price(row.entry_price),
            wording.price(row.exit_price),
            wording.duration(row.closed_at - row.opened_at),
            row.ended,
            wording.money(row.profit, signed=True, unit=unit),
        )
    _print(table, shown, rows, reading.source)
    total = wording.money(sum(row.profit for row in rows), signed=True, unit=unit)
    console.print(f"{len(rows)} trades, profit after fees {total}", highlight=False)


def alerts(
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List what you must know of, the worst first, each with the command to type next."""

    async def work(_: Installation, link: Link, __: Names) -> list[AlertRow]:
        reading = await read_kinds(link, (Alert,))
        return alert_list(reading.entries)

    found = _listed(state, work)
    shown = _newest(found, limit) if every else worst_first(found)[: limit or None]
    if as_json:
        emit({"alerts": [row.document() for row in shown]})
        return
    if not shown:
        console.print("no alert", highlight=False)
        return
    table = _table("since UTC", "", "alert", "what", "next")
    for row in shown:
        alert = row.alert
        since = f"{_time(row.at)} to {_time(row.over_at)}" if row.over_at else _time(row.at)
        words = f"{alert.topic}: {alert.text}"
        table.add_row(since, alert.severity.value, alert.rule, wording.clean(words), next_command(alert))
    console.print(table)


def strategies(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List the strategies that can be run, those that are, and what came of each."""
    layout = StateLayout(state)
    rows = known_strategies(list(layout.read_run().strategies) if layout.was_run else [])
    if layout.was_run:

        async def work(_: Installation, link: Link, __: Names) -> None:
            count(rows, (await read_kinds(link, STRATEGY_KINDS)).entries)

        _listed(state, work)
    if as_json:
        emit({"strategies": [row.document() for row in rows.values()]})
        return
    table = _table(
        "strategy", "", "proposed>", "approved>", "rejected>", "fills>", "trades>", "profit>", "about"
    )
    for row in rows.values():
        names = ("proposals", "approvals", "rejections", "fills", "trades")
        counts = [f"{row.counts[name]:,}" for name in names]
        profit = wording.money(row.profit, signed=True, unit=_unit(state))
        table.add_row(row.name, "runs" if row.runs else "", *counts, profit, wording.clean(row.about))
    console.print(table)


# ── how lists look ──


def _unit(state: Path) -> str:
    money = StateLayout(state).money_file
    return wording.sign_of(money.read_text()) if money.exists() else "$"


def _time(at_ns: int) -> str:
    today = time.time_ns() // (86_400 * SECOND) == at_ns // (86_400 * SECOND)
    return wording.clock(at_ns) if today else moment(at_ns)[:16]


def _newest(rows: Sequence[Any], limit: int) -> Sequence[Any]:
    return rows[-limit:] if limit else rows


def _table(*headings: str) -> Table:
    """A table without lines; a heading that ends in ``>`` is over numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        right = heading.endswith(">")
        table.add_column(heading.rstrip(">"), justify="right" if right else "left", overflow="fold")
    return table


def _print(table: Table, shown: Sequence[Any], rows: Sequence[Any], source: str) -> None:
    """The table, or that there is nothing; and where it comes from."""
    if rows:
        console.print(table)
    left_out = f"; {len(rows) - len(shown):,} earlier ones: --limit 0" if len(shown) < len(rows) else ""
    told = f"{len(shown)} from {source}" if rows else f"none; from {source}"
    console.print(Text(told + left_out, style="dim"))
