"""``presage pending``, ``orders``, ``fills``, ``positions``, ``trades``, ``alerts``, ``strategies``: lists from the tape."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from libs.archive.history import History
from libs.lists import books as book_list
from libs.lists import orders as order_list
from libs.lists.alerts import AlertRow, alert_list, worst_first
from libs.lists.books import FillRow, TradeRow
from libs.lists.orders import OrderList, OrderRow
from libs.lists.reading import Entry, Reading, read_kinds, read_markets
from libs.lists.waiting import waiting_orders
from libs.runtime.layout import StateLayout
from libs.view import wording
from libs.view.names import short_id
from libs.view.next_command import next_command
from libs.view.terms import (
    COST,
    ENTRY,
    EXIT,
    FEES,
    FILLED,
    MARK,
    ORDER,
    POSITION,
    PRICE,
    PROFIT,
    QUANTITY,
    REALISED,
    STATUS,
    TIME_LEFT,
    UNREALISED,
)
from proto.message import Message
from proto.monitor import Alert
from proto.units import SECOND, notional
from tools.cli.commands.tape import history_of
from tools.cli.tables import Names, print_list, table, time_cell, time_heading, unit_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, run
from tools.lists.positions import read_holdings
from tools.lists.strategies import KINDS as STRATEGY_KINDS
from tools.lists.strategies import count, known_strategies
from tools.system.installation import Installation, tape_access

LIMIT = 20

Limit = Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0: all.")]
OfMarket = Annotated[str, typer.Option("--market", help="Only markets with this in their name or id.")]
OfStrategy = Annotated[str, typer.Option("--strategy", help="Only this strategy's.")]

Cells = Callable[[Any, Names, str], Sequence[str]]


class Listing(NamedTuple):
    """A list that is folded from the tape: what is read for it, its rows, and how a row looks.

    ``cells`` takes a row, the names of markets and the sign of the account's money.
    """

    name: str
    kinds: Sequence[type[Message]]
    rows: Callable[[list[Entry]], Iterable[Any]]
    headings: Callable[[str], Sequence[str]]
    cells: Cells


class Wanted(NamedTuple):
    """Which rows of a list."""

    market: str
    strategy: str
    limit: int

    def has(self, row: Any, names: Names) -> bool:
        """Whether a row is one of those."""
        return names.has(self.market, row.market, row.instrument) and self.strategy in ("", row.strategy)


def _read(state: Path, work: Callable[[Installation, History, Names], Coroutine[Any, Any, Any]]) -> Any:
    async def reading() -> Any:
        async with tape_access(state) as (installation, link):
            history = history_of(installation, link)
            return await work(installation, history, Names(await read_markets(history)))

    return run(reading())


def _list(listing: Listing, state: Path, wanted: Wanted, *, as_json: bool) -> list[Any] | None:
    """Show a list; its rows, ``None`` where they were printed as JSON."""

    async def work(_: Installation, history: History, names: Names) -> tuple[Reading, list[Any], Names]:
        reading = await read_kinds(history, listing.kinds)
        return reading, [row for row in listing.rows(reading.entries) if wanted.has(row, names)], names

    reading, rows, names = _read(state, work)
    shown = _newest(rows, wanted.limit)
    if as_json:
        emit({"source": reading.source, listing.name: [row.document() for row in shown]})
        return None
    unit = unit_of(state)
    made = table(*listing.headings(unit))
    for row in shown:
        made.add_row(*listing.cells(row, names, unit))
    print_list(made, shown, rows, reading.source)
    return list(rows)


def _newest(rows: Sequence[Any], limit: int) -> Sequence[Any]:
    return rows[-limit:] if limit else rows


# ── orders ──


def pending(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List the orders that wait for you (autonomy `semi`): presage approve ID, presage deny ID."""

    async def work(_: Installation, history: History, names: Names) -> tuple[list[OrderRow], int, Names]:
        rows, now = await waiting_orders(history.link)
        return rows, now, names

    rows, now, names = _read(state, work)
    if as_json:
        emit({"now": now, "pending": [row.document() | {"left_s": _left_s(row, now)} for row in rows]})
        return
    if not rows:
        console.print("no order is pending: none waits for you", highlight=False)
        return
    unit = unit_of(state)
    made = table("id", "market", "side", f"{PRICE} {unit}>", f"{QUANTITY}>", f"{COST}>", f"{TIME_LEFT}>")
    for row in rows:
        cost = wording.money(notional(row.price, row.quantity), unit=unit)
        made.add_row(*_order_cells(row, names), cost, wording.duration(row.expires_at - now))
    console.print(made)
    console.print("presage approve ID or presage deny ID decides", style="dim", highlight=False)


def _left_s(row: OrderRow, now: int) -> int:
    return max(0, row.expires_at - now) // SECOND


def orders(
    is_open: Annotated[
        bool, typer.Option("--open", help="Only those that are pending or may still trade.")
    ] = False,
    market: OfMarket = "",
    strategy: OfStrategy = "",
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List orders and what became of them, the newest last."""
    listing = Listing("orders", order_list.KINDS, _orders_in, _order_headings, _order_row)
    if is_open:
        listing = listing._replace(rows=lambda entries: [row for row in _orders_in(entries) if row.is_open])
    _list(listing, state, Wanted(market, strategy, limit), as_json=as_json)


def _orders_in(entries: list[Entry]) -> Iterable[OrderRow]:
    return OrderList().add(entries).rows.values()


def _order_headings(unit: str) -> Sequence[str]:
    return "id", "market", "side", f"{PRICE} {unit}>", f"{QUANTITY}>", f"{FILLED}>", f"{STATUS}", "because"


def _order_row(row: OrderRow, names: Names, _: str) -> Sequence[str]:
    became = f"as {short_id(row.became)}" if row.became else row.reason
    status = row.status.replace("_", " ")
    return *_order_cells(row, names), wording.quantity(row.filled), status, wording.clean(became)


def _order_cells(row: OrderRow, names: Names) -> tuple[str, ...]:
    name = names.of(row.instrument) if row.instrument else "–"
    side = f"{row.side} {EXIT}" if row.reduce_only else row.side
    return short_id(row.order), name, side, wording.price(row.price), wording.quantity(row.quantity)


# ── fills, positions, trades ──


def fills(
    market: OfMarket = "",
    strategy: OfStrategy = "",
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List fills, the newest last."""
    listing = Listing("fills", book_list.KINDS, _fills_in, _fill_headings, _fill_row)
    _list(listing, state, Wanted(market, strategy, limit), as_json=as_json)


def _fills_in(entries: list[Entry]) -> Iterable[FillRow]:
    return book_list.Books().add(entries).fills.values()


def _fill_headings(unit: str) -> Sequence[str]:
    heads = ("market", "side", f"{PRICE} {unit}>", f"{QUANTITY}>", f"{FEES}>", f"{REALISED.short}>")
    return time_heading("time"), f"{ORDER}", *heads


def _fill_row(row: FillRow, names: Names, unit: str) -> Sequence[str]:
    fill = row.fill
    made = "taken back" if row.is_undone else wording.money(row.realised_profit, signed=True, unit=unit)
    return (
        time_cell(row.at),
        short_id(fill.order),
        names.of(fill.instrument),
        fill.side.value,
        wording.price(fill.price),
        wording.quantity(fill.quantity),
        wording.money(fill.fee, unit=unit),
        made,
    )


def positions(market: OfMarket = "", state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List open positions at the newest prices, and the account."""

    async def work(installation: Installation, history: History, names: Names) -> tuple[Any, Any, Names]:
        holdings = await read_holdings(installation, history)
        document = holdings.document()
        holdings.rows = [row for row in holdings.rows if names.has(market, row.market, row.instrument)]
        return holdings, document, names

    holdings, document, names = _read(state, work)
    if as_json:
        emit(document | {"positions": [row.document() for row in holdings.rows]})
        return
    unit = unit_of(state)
    prices = (f"{ENTRY} {unit}>", f"{MARK} {unit}>")
    made = table(f"{POSITION}", f"{QUANTITY}>", *prices, f"{COST}>", f"{UNREALISED.short}>", "%>")
    for row in holdings.rows:
        made.add_row(
            names.of(row.instrument),
            wording.quantity(row.quantity),
            wording.price(row.entry_price),
            wording.price(row.mark),
            wording.money(row.cost, unit=unit),
            wording.money(row.unrealised_profit, signed=True, unit=unit),
            wording.percent(row.unrealised_profit, row.cost),
        )
    print_list(made, holdings.rows, holdings.rows, holdings.source)
    if not market:
        console.print(account_words(document, unit), highlight=False, soft_wrap=True)


def account_words(document: dict[str, Any], unit: str) -> str:
    """``equity $999.25, profit −$0.75 (realised +$0.20, unrealised +$0.10, fees $1.05), cash $989.95``."""
    amounts = {
        name: wording.money(document[name], signed=name.endswith("profit"), unit=unit)
        for name in ("equity", "profit", "realised_profit", "unrealised_profit", "fees", "cash")
    }
    parts = "realised {realised_profit}, unrealised {unrealised_profit}, fees {fees}".format(**amounts)
    return f"equity {amounts['equity']}, profit {amounts['profit']} ({parts}), cash {amounts['cash']}"


def trades(
    market: OfMarket = "",
    strategy: OfStrategy = "",
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List closed trades: from nothing held to nothing held, profit after fees, the newest last."""
    listing = Listing("trades", book_list.KINDS, _trades_in, _trade_headings, _trade_row)
    rows = _list(listing, state, Wanted(market, strategy, limit), as_json=as_json)
    if rows is not None:
        total = wording.money(sum(row.profit for row in rows), signed=True, unit=unit_of(state))
        console.print(f"{wording.counted(len(rows), 'trade')}, {PROFIT} {total} after fees", highlight=False)


def _trades_in(entries: list[Entry]) -> Iterable[TradeRow]:
    return book_list.Books().add(entries).trades()


def _trade_headings(unit: str) -> Sequence[str]:
    prices = (f"{ENTRY} {unit}>", f"{EXIT} {unit}>")
    return time_heading("closed"), "market", f"{QUANTITY}>", *prices, "lasted", "how", f"{PROFIT}>"


def _trade_row(row: TradeRow, names: Names, unit: str) -> Sequence[str]:
    return (
        time_cell(row.closed_at),
        names.of(row.instrument),
        wording.quantity(row.quantity),
        wording.price(row.entry_price),
        wording.price(row.exit_price),
        wording.duration(row.closed_at - row.opened_at),
        row.ended,
        wording.money(row.profit, signed=True, unit=unit),
    )


# ── alerts and strategies ──


def alerts(
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    limit: Limit = LIMIT,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """List what you must know of, the worst first, each with the command to type next."""

    async def work(_: Installation, history: History, __: Names) -> list[AlertRow]:
        reading = await read_kinds(history, (Alert,))
        return alert_list(reading.entries)

    found = _read(state, work)
    shown = _newest(found, limit) if every else worst_first(found)[: limit or None]
    if as_json:
        emit({"alerts": [row.document() for row in shown]})
        return
    if not shown:
        console.print("no alert", highlight=False)
        return
    made = table(time_heading("since"), "", "alert", "what", "next")
    for row in shown:
        alert = row.alert
        since = f"{time_cell(row.at)} to {time_cell(row.over_at)}" if row.over_at else time_cell(row.at)
        words = f"{alert.topic}: {alert.text}"
        made.add_row(since, alert.severity.value, alert.rule, wording.clean(words), next_command(alert))
    console.print(made)


def strategies(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List the strategies that can be run, those that are, and what came of each."""
    layout = StateLayout(state)
    rows = known_strategies(list(layout.read_run().strategies) if layout.was_run else [])
    if layout.was_run:

        async def work(_: Installation, history: History, __: Names) -> None:
            count(rows, (await read_kinds(history, STRATEGY_KINDS)).entries)

        _read(state, work)
    if as_json:
        emit({"strategies": [row.document() for row in rows.values()]})
        return
    names = ("proposals", "approvals", "rejections", "fills", "trades")
    made = table("strategy", "", "proposed>", "approved>", "rejected>", "fills>", "trades>", f"{PROFIT}>")
    for row in rows.values():
        counts = [f"{row.counts[name]:,}" for name in names]
        profit = wording.money(row.profit, signed=True, unit=unit_of(state))
        made.add_row(row.name, "runs" if row.runs else "", *counts, profit)
    console.print(made)
    for row in rows.values():
        console.print(f"{row.name}: {wording.clean(row.about)}", highlight=False, markup=False)
