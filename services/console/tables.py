"""The tables of what is so now, as plain rows: REST answers them, the socket sends what changes in them.

Amounts are decimals as text, moments nanoseconds as text, sequences text: nothing that a browser would round.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from libs.lists.alerts import worst_first
from libs.lists.books import FillRow, TradeRow
from libs.lists.orders import OrderRow
from libs.observability.latency import HOPS
from libs.view import wording
from libs.view.history import Decision
from libs.view.model import WHOLE_WAY
from libs.view.names import short_id
from libs.view.orders_state import orders_state
from libs.view.venues import venue_status
from proto.subjects import OPTIONAL_SERVICES, SERVICES
from proto.units import show
from services.console.limits import ROWS_SHOWN
from services.console.surroundings import Surroundings

Row = dict[str, Any]
Table = dict[str, Row]
"""Key → row, in the order in which it is shown."""

NAME_WIDTH = 48
"""Of an instrument's name on a page."""


def amount(millionths: int | None) -> str | None:
    """An exact decimal; ``None`` where there is none."""
    return None if millionths is None else show(millionths)


def status(now: Surroundings) -> Row:
    """The one row that every page shows: what runs, whose money, whether orders may leave."""
    view = now.fold.view
    run = now.run_state()
    halted = run["halted"]
    return {
        "mode": view.mode or "starting",
        "money": view.whose_money,
        "prices": now.fold.session.prices.value if now.fold.session is not None else "unknown",
        "tape": view.tape,
        "build": now.build,
        "seq": str(now.fold.seq),
        "now": str(view.now),
        "stored_at": str(now.fold.stored_at),
        "halted": halted,
        "halt_reason": view.halt_reason,
        "risk_state": now.risk_state(),
        "orders": orders_state(run),
        "broker": "up" if now.is_connected() else "gone",
        "caught_up": now.fold.caught_up,
        "unknown_orders": view.unknown_orders,
        "waiting": len(view.waiting_orders()),
        "alerts": len(view.alerts),
        "version": 1,
    }


def account(now: Surroundings) -> Table:
    """Money of the account: one row a figure."""
    view = now.fold.view
    tally = view.tally
    figures: dict[str, int] = {
        "equity": view.equity,
        "profit": view.profit,
        "cash": view.cash,
        "exposure": view.exposure,
        "realised_profit": tally.portfolio.realised_profit,
        "unrealised_profit": tally.unrealised_profit,
        "fees": tally.portfolio.fees,
        "deposits": tally.portfolio.deposits,
    }
    limit = view.money.exposure_limit
    rows: Table = {name: {"figure": name, "value": show(value)} for name, value in figures.items()}
    rows["exposure"]["limit"] = show(limit)
    return rows


def limits(now: Surroundings) -> Table:
    """How much is left of the limits that run out, as risk reports it."""
    report = now.reports.latest.get("risk", {})
    left: Mapping[str, int] = report.get("headroom", {})
    exposure, limit = int(report.get("exposure", 0)), int(report.get("exposure_limit", 0))
    rows: Table = {}
    for name, value in left.items():
        text = str(value) if name.endswith("_count") else show(value)
        rows[name] = {"check": name, "left": text}
    if "heat" in rows:
        rows["heat"] |= {"used": show(exposure), "limit": show(limit)}
    return rows


def services(now: Surroundings) -> Table:
    """Each service: its state, how far it has read, what it says."""
    latest = now.reports.latest
    names = (*SERVICES, *(name for name in (*OPTIONAL_SERVICES, "console") if name in latest))
    rows: Table = {}
    for name in names:
        report = now.reports.believed(name)
        position = int(report.get("position", 0))
        rows[name] = {
            "service": name,
            "state": str(report.get("state", "missing")),
            "position": str(position),
            "lag": 0 if name == "feed" or not report else max(0, now.fold.seq - position),
            "detail": wording.clean(str(report.get("detail", ""))),
        }
    return rows


def venues(now: Surroundings) -> Table:
    """Each venue: do its prices come, may orders go there, whose money moves."""
    view = now.fold.view
    live = list(now.reports.latest.get("execution", {}).get("venues", {}))
    rows: Table = {}
    for name, found in venue_status(now.reports.latest, live, view.whose_money).items():
        rows[name] = {
            "venue": name,
            "feed": found["feed"],
            "markets": int(found["markets"]),
            "money": found["money"],
            "gate": found.get("gate", ""),
            "unknown": int(found.get("unknown", 0)),
            "balance": amount(found.get("balance")),
            "reconciled_at": str(found.get("reconciled_at", 0)),
        }
    return rows


def positions(now: Surroundings) -> Table:
    """Open positions, with what would be made at their marks."""
    view = now.fold.view
    return {
        row.instrument: {
            "instrument": row.instrument,
            "name": view.market_state.name(row.instrument, NAME_WIDTH),
            "quantity": show(row.quantity),
            "entry_price": show(row.entry_price),
            "mark": amount(row.mark),
            "cost": show(row.cost),
            "unrealised_profit": show(row.unrealised_profit),
            "stage": row.stage,
            "exits": row.exits,
        }
        for row in view.positions()
    }


def order_row(now: Surroundings, row: OrderRow) -> Row:
    """One order."""
    return {
        "order": row.order,
        "id": short_id(row.order),
        "seq": str(row.seq),
        "at": str(row.at),
        "status": row.status,
        "strategy": row.strategy,
        "market": row.market,
        "instrument": row.instrument,
        "name": now.fold.view.market_state.name(row.instrument, NAME_WIDTH) if row.instrument else "",
        "side": row.side,
        "price": show(row.price),
        "quantity": show(row.quantity),
        "filled": show(row.filled),
        "average_price": show(row.average_price) if row.traded else None,
        "reduce_only": row.reduce_only,
        "open": row.is_open,
        "expires_at": str(row.expires_at),
        "reason": wording.clean(row.reason),
        "became": row.became,
    }


def orders(now: Surroundings) -> Table:
    """The newest orders, and every one that may still trade; newest first."""
    rows = list(reversed(now.fold.orders.rows.values()))
    shown = [row for index, row in enumerate(rows) if index < ROWS_SHOWN or row.is_open]
    return {row.order: order_row(now, row) for row in shown}


def waiting(now: Surroundings) -> Table:
    """Orders that wait for the operator and still may, the oldest first."""
    alive = {pending.order for pending in now.fold.view.waiting_orders()}
    return {row.order: order_row(now, row) for row in now.fold.orders.waiting() if row.order in alive}


def fill_row(now: Surroundings, row: FillRow) -> Row:
    """One fill; its realised profit is before its fee."""
    fill = row.fill
    return {
        "fill_id": fill.fill_id,
        "seq": str(row.seq),
        "at": str(row.at),
        "order": fill.order,
        "id": short_id(fill.order),
        "strategy": fill.strategy,
        "market": fill.market,
        "instrument": fill.instrument,
        "name": now.fold.view.market_state.name(fill.instrument, NAME_WIDTH),
        "side": fill.side.value,
        "price": show(fill.price),
        "quantity": show(fill.quantity),
        "fee": show(fill.fee),
        "realised_profit": show(row.realised_profit),
        "undone": row.is_undone,
    }


def fills(now: Surroundings) -> Table:
    """The newest fills, newest first."""
    newest = islice(reversed(now.fold.books.fills.values()), ROWS_SHOWN)
    return {row.fill.fill_id: fill_row(now, row) for row in newest}


def trade_row(now: Surroundings, row: TradeRow) -> Row:
    """One closed trade; its profit is after fees."""
    return {
        "instrument": row.instrument,
        "name": now.fold.view.market_state.name(row.instrument, NAME_WIDTH),
        "market": row.market,
        "strategy": row.strategy,
        "opened_at": str(row.opened_at),
        "closed_at": str(row.closed_at),
        "quantity": show(row.quantity),
        "entry_price": show(row.entry_price),
        "exit_price": show(row.exit_price),
        "fees": show(row.fees),
        "profit": show(row.profit),
        "ended": row.ended,
    }


def trades(now: Surroundings) -> Table:
    """The newest closed trades, newest first."""
    newest = list(reversed(now.fold.books.trades()))[:ROWS_SHOWN]
    return {f"{row.instrument}@{row.closed_at}": trade_row(now, row) for row in newest}


def decision_row(now: Surroundings, row: Decision) -> Row:
    """One decision: a proposal and what became of it, a fill, a settlement."""
    return {
        "seq": str(row.seq),
        "at": str(row.at),
        "strategy": row.strategy,
        "market": row.market,
        "instrument": row.instrument,
        "name": now.fold.view.market_state.name(row.instrument, NAME_WIDTH) if row.instrument else "",
        "side": row.side,
        "outcome": row.outcome,
        "price": amount(row.price),
        "quantity": show(row.quantity),
        "exit": row.is_exit,
        "reasons": [wording.clean(reason) for reason in row.reasons],
        "checks": list(row.checks),
        "count": row.count,
        "order": row.order,
        "id": short_id(row.order) if row.order else str(row.seq),
    }


def decisions(now: Surroundings) -> Table:
    """The newest decisions, newest first; the same rejection again raises a count."""
    newest = islice(reversed(now.fold.view.decisions.latest), ROWS_SHOWN)
    return {str(row.seq): decision_row(now, row) for row in newest}


def alerts(now: Surroundings) -> Table:
    """Alerts that are not over, the worst first, then the newest of those that are."""
    rows = now.fold.alerts.rows
    active = worst_first(rows)
    over = [row for row in reversed(rows) if row.over_at][: max(0, ROWS_SHOWN - len(active))]
    found: Table = {}
    for row in (*active, *over):
        document = row.document()
        found[str(row.seq)] = document | {
            "seq": str(row.seq),
            "at": str(row.at),
            "over_at": str(row.over_at),
            "text": wording.clean(row.alert.text),
            "topic": wording.clean(row.alert.topic),
            "active": not row.over_at,
        }
    return found


def markets(now: Surroundings) -> Table:
    """Markets that trade: what their first outcome costs, and what models think of it."""
    view = now.fold.view
    state = view.market_state
    rows: Table = {}
    for name, market in state.markets.items():
        if not market.outcomes:
            continue
        first = market.outcomes[0]
        quotes = state.tops.get(first.instrument)
        fair = now.fold.fair.get(first.instrument)
        forecast = now.fold.forecasts.get(name)
        held = sum(abs(view.portfolio.quantity(outcome.instrument)) for outcome in market.outcomes)
        rows[name] = {
            "market": name,
            "name": state.labels.get(name, name),
            "title": wording.clean(market.title),
            "venue": market.venue,
            "status": market.status.value,
            "outcome": first.name,
            "instrument": first.instrument,
            "bid": amount(quotes.bid) if quotes else None,
            "ask": amount(quotes.ask) if quotes else None,
            "last": amount(quotes.last) if quotes else None,
            "depth": show(quotes.depth) if quotes else "0",
            "fair_value": amount(fair.value) if fair else None,
            "fair_by": fair.strategy if fair else "",
            "forecast": amount(forecast[1].probability) if forecast else None,
            "held": show(held),
            "close_at": str(market.close_at),
        }
    return rows


def latency(now: Surroundings) -> Table:
    """Milliseconds of each hop of the latest decisions, on the broker's clock."""
    rows: Table = {}
    for hop in (*HOPS, WHOLE_WAY):
        found = now.fold.view.latencies.percentiles(hop)
        if found is not None:
            rows[hop] = {
                "hop": hop,
                "p50_ms": f"{found.p50 / 1e6:.2f}",
                "p99_ms": f"{found.p99 / 1e6:.2f}",
            }
    return rows


def commands(now: Surroundings) -> Table:
    """What operators said, newest first."""
    return {
        str(given.seq): {
            "seq": str(given.seq),
            "at": str(given.at),
            "verb": given.command.verb.value,
            "reason": wording.clean(given.command.reason),
            "order": given.command.order,
            "key": given.key_id,
        }
        for given in reversed(now.fold.commands.values())
    }


TABLES: dict[str, Callable[[Surroundings], Table]] = {
    "account": account,
    "limits": limits,
    "services": services,
    "venues": venues,
    "positions": positions,
    "orders": orders,
    "waiting": waiting,
    "fills": fills,
    "trades": trades,
    "decisions": decisions,
    "alerts": alerts,
    "markets": markets,
    "latency": latency,
    "commands": commands,
}
"""Name → how its rows are made."""
