"""Polymarket's wallets, orders and trades as they are saved for a restart: markets by their ids."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from libs.venues.polymarket import POLYMARKET
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.holdings import ActivityEntry, Holding, Holdings
from sandbox.polymarket.ledger import Movement, Wallet
from sandbox.polymarket.orders import ClientOrder, ClientTrade, ClobOrderStatus, MakerPart, Stage
from sandbox.polymarket.trades import PendingTrade
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

Row = tuple[str, dict[str, Any]]
"""A market's id, and fields by name."""


class SavedPolymarket(Struct):
    """``flows`` are trades by id on their way to the chain; holdings have wallet and token first."""

    wallets: list[Wallet]
    orders: list[Row]
    trades: list[Row]
    flows: list[tuple[str, list[Movement], bool]]
    count: int
    holdings: list[tuple[str, str, Holding]]
    activity: list[Row]
    switches: dict[str, tuple[str, int, bool]]


def save(exchange: PolymarketExchange, holdings: Holdings) -> SavedPolymarket:
    """Return everything that clients have, and did in markets that the world has not forgotten."""
    trades, world = exchange.trades, exchange.world
    return SavedPolymarket(
        wallets=[wallet for wallet in exchange.ledger if wallet.chain],
        orders=_rows(world, exchange.orders.values()),
        trades=_rows(world, trades.by_id.values()),
        flows=[(flow.trade.id, flow.movements, flow.fails) for flow in trades.flows.values()],
        count=trades.count,
        holdings=[(*key, holding) for key, holding in holdings.by_token.items()],
        activity=_rows(world, holdings.activity),
        switches=exchange.heartbeats.save(),
    )


def resume(exchange: PolymarketExchange, holdings: Holdings, world: World, document: Any) -> None:
    """Take it over. What happened in markets that the world has forgotten is left out.

    Raises:
        msgspec.ValidationError, ValueError: for a document of another shape.
    """
    saved = msgspec.convert(document, SavedPolymarket)
    for wallet in saved.wallets:
        exchange.ledger.put(wallet)
    for market, row in _of_known_markets(world, saved.orders):
        exchange.put(ClientOrder(market=market, **(row | {"status": ClobOrderStatus(row["status"])})))
    for market, row in _of_known_markets(world, saved.trades):
        typed = {"stage": Stage(row["stage"]), "makers": msgspec.convert(row["makers"], list[MakerPart])}
        trade = ClientTrade(market=market, **(row | typed))
        exchange.trades.by_id[trade.id] = trade
    exchange.trades.count = saved.count
    for trade_id, movements, fails in saved.flows:
        if trade_id in exchange.trades.by_id:
            exchange.trades.resume(PendingTrade(exchange.trades.by_id[trade_id], movements, fails))
    holdings.by_token.update({(wallet, token): holding for wallet, token, holding in saved.holdings})
    holdings.activity.extend(
        ActivityEntry(market=market, **row) for market, row in _of_known_markets(world, saved.activity)
    )
    exchange.heartbeats.resume(saved.switches)
    exchange.ledger.refresh_all()
    holdings.redeem_settled()


def _rows(world: World, things: Iterable[ClientOrder | ClientTrade | ActivityEntry]) -> list[Row]:
    return [
        (
            thing.market.id,
            {n: msgspec.to_builtins(getattr(thing, n)) for n in thing.__struct_fields__ if n != "market"},
        )
        for thing in things
        if world.market(POLYMARKET, thing.market.id) is not None
    ]


def _of_known_markets(world: World, rows: list[Row]) -> list[tuple[SandboxMarket, dict[str, Any]]]:
    found = [(world.market(POLYMARKET, market_id), row) for market_id, row in rows]
    return [(market, row) for market, row in found if market is not None]
