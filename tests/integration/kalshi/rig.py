"""A sandbox of Kalshi alone, gateways at it, and ways to make both meet in a test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from libs.exchange.matching_types import LimitOrder
from libs.venues.gateway import NewOrder, OrderReport, Prepared, SentOrder, UserEvent
from libs.venues.kalshi.auth import KalshiCredentials
from libs.venues.kalshi.trading.gateway import KalshiGateway
from libs.venues.kalshi.trading.options import KalshiOptions
from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from sandbox.kalshi.server import OWNER, KalshiServer
from sandbox.server import Sandbox
from sandbox.world.markets import SandboxMarket

WAIT_S = 60.0
"""What is waited for at most; it usually takes milliseconds."""
START_NS = 1_778_709_000 * SECOND
TIER = "premier"
"""Of the account, at the venue as in the gateway: what a test sends within a second fits."""
COUNTERPARTY = "the-other-side"


@dataclass
class Venue:
    """The sandbox, standing still unless told to go on, and one account's gateway."""

    sandbox: Sandbox
    server: KalshiServer
    gateway: KalshiGateway
    credentials: KalshiCredentials
    orders: int = 0

    @property
    def market(self) -> SandboxMarket:
        """An open market of the quarter-hour series."""
        return next(
            m
            for m in self.sandbox.world.markets("kalshi")
            if m.series == "KXBTC15M" and m.status is MarketStatus.OPEN
        )

    def empty(self, market: SandboxMarket) -> None:
        """Take the maker's quotes out of a book, for good: what trades then is ours."""
        self.sandbox.world.makers.stop(market)

    def other_side(self, market: SandboxMarket, outcome: int, price: int, contracts: float) -> str:
        """An order of somebody else: a purchase of an outcome."""
        self.orders += 1
        order = LimitOrder(
            order_id=f"other-{self.orders}",
            owner=COUNTERPARTY,
            outcome=outcome,
            side=Side.BUY,
            price=price,
            quantity=round(contracts * 100) * 10_000,
        )
        self.sandbox.world.place(market, order)
        return order.order_id

    def new_order(self, market: SandboxMarket, outcome: str, **changes: Any) -> NewOrder:
        """An order of ours for ten contracts."""
        self.orders += 1
        fields: dict[str, Any] = {
            "order": f"tape-{self.orders}-0",
            "market": f"kalshi:{market.id}",
            "instrument": f"kalshi:{market.id}:{outcome}",
            "side": Side.BUY,
            "price": 400_000,
            "quantity": 10 * ONE,
            "time_in_force": TimeInForce.GTC,
            "expires_at": self.sandbox.world.now() + 60 * SECOND,
            "approved_at": self.sandbox.world.now(),
        }
        return NewOrder(**{**fields, **changes})

    @property
    def account(self) -> Any:
        """The account at the venue."""
        return self.sandbox.accounts.get("kalshi", OWNER)

    async def advance(self, seconds: float) -> None:
        """Let the world's time pass at once."""
        await self.sandbox.world.advance(self.sandbox.world.at + round(seconds * SECOND))


def gateway_of(sandbox: Sandbox, credentials: KalshiCredentials, **options: Any) -> KalshiGateway:
    """A gateway at the sandbox that nobody has started."""
    urls = sandbox.urls["kalshi"]
    fields = {"tier": TIER, **options}
    return KalshiGateway(
        credentials, KalshiOptions(rest_url=urls["rest"], websocket_url=urls["websocket"], **fields)
    )


@asynccontextmanager
async def venue(*, time_scale: float = 15.0, **options: Any) -> AsyncIterator[Venue]:
    """A venue whose time stands still; windows of a quarter of an hour last a minute."""
    sandbox = Sandbox(11, ["kalshi"], time_scale=time_scale, start_ns=START_NS, live=False)
    await sandbox.start()
    try:
        await sandbox.world.advance(START_NS + SECOND)
        server = sandbox.servers["kalshi"]
        assert isinstance(server, KalshiServer)
        server.budgets.tier = TIER
        keys = sandbox.credentials["kalshi"]
        credentials = KalshiCredentials(keys["key_id"], keys["private_key_pem"].encode())
        gateway = gateway_of(sandbox, credentials, series=("KXBTC15M",), **options)
        await gateway.start()
        try:
            yield Venue(sandbox, server, gateway, credentials)
        finally:
            await gateway.close()
    finally:
        await sandbox.stop()


async def take(events: AsyncIterator[UserEvent], wanted: Callable[[UserEvent], bool]) -> list[UserEvent]:
    """Read events up to the first one that is wanted."""
    seen: list[UserEvent] = []
    async with asyncio.timeout(WAIT_S):
        while True:
            event = await anext(events)
            seen.append(event)
            if wanted(event):
                return seen


def sent(prepared: Prepared, new: NewOrder, order_id: str = "") -> SentOrder:
    """The order as whoever asks about it knows it."""
    return SentOrder(
        order=new.order,
        client_order_id=prepared.client_order_id,
        instrument=new.instrument,
        venue_order_id=order_id,
    )


async def place(v: Venue, new: NewOrder) -> tuple[OrderReport, SentOrder]:
    """Submit an order the venue takes."""
    prepared = v.gateway.prepare(new)
    report = await v.gateway.submit(prepared)
    return report, sent(prepared, new, report.venue_order_id)


def forgetful(v: Venue, **options: Any) -> KalshiGateway:
    """The same account after a restart: a gateway that remembers nothing."""
    return gateway_of(v.sandbox, v.credentials, **options)
