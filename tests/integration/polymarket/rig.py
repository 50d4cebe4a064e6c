"""Gateways at the Polymarket sandbox, and the orders that tests give them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from libs.venues.gateway import NewOrder, Prepared, SentOrder
from libs.venues.polymarket.trading.auth import PolymarketCredentials
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.transport.http import Timeouts
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind, SandboxMarket

WAIT_S = 60.0
TICK = 10_000
TOTAL_S = 30.0
"""What a gateway here gives a request."""


def gateway_of(
    sandbox: Sandbox, row: dict[str, Any] | None = None, total_s: float = TOTAL_S
) -> PolymarketGateway:
    row = row or sandbox.credentials["polymarket"]
    urls = sandbox.urls["polymarket"]
    credentials = PolymarketCredentials(
        private_key=bytes.fromhex(row["private_key"][2:]),
        signature_type=row["signature_type"],
        funder=row["funder"],
    )
    return PolymarketGateway(
        credentials,
        clob_url=urls["clob"],
        gamma_url=urls["gamma"],
        data_url=urls["data"],
        user_websocket_url=urls["user_websocket"],
        timeouts=Timeouts(total_s=total_s),
    )


def market_of(sandbox: Sandbox, kind: MarketKind = MarketKind.UPDOWN) -> SandboxMarket:
    """The market of a kind that trades longest."""
    found = [m for m in sandbox.world.markets("polymarket") if m.kind is kind and m.accepts_orders]
    return max(found, key=lambda market: market.close_ns)


def new(market: SandboxMarket, side: Side, price: int, quantity: int, **fields: Any) -> NewOrder:
    now = time.time_ns()
    base: dict[str, Any] = {
        "order": f"test-{now}-0",
        "market": f"polymarket:{market.id}",
        "instrument": f"polymarket:{market.id}:{market.outcomes[0].lower()}",
        "side": side,
        "price": price,
        "quantity": quantity,
        "time_in_force": TimeInForce.GTC,
        "expires_at": now + 200 * SECOND,
        "approved_at": now,
    }
    return NewOrder(**base | fields)


def sent(prepared: Prepared, instrument: str = "") -> SentOrder:
    return SentOrder(order=prepared.order, client_order_id=prepared.client_order_id, instrument=instrument)


async def until(condition: Callable[[], Awaitable[bool]], patience_s: float = WAIT_S) -> None:
    async with asyncio.timeout(patience_s):
        while not await condition():
            await asyncio.sleep(0.05)


def resting(market: SandboxMarket) -> NewOrder:
    """A purchase far below the market."""
    return new(market, Side.BUY, TICK, 10 * ONE)


def taking(market: SandboxMarket, quantity: int = 6 * ONE, **fields: Any) -> NewOrder:
    """A purchase that trades at once."""
    best = market.book.best(0)[1]
    assert best is not None
    return new(
        market, Side.BUY, min(99, best // TICK + 3) * TICK, quantity, time_in_force=TimeInForce.IOC, **fields
    )
