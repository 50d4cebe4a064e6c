"""Kalshi in the sandbox: who asks, whether the budget holds, and which handler answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from libs.venues.kalshi import KALSHI
from proto.units import ONE
from sandbox.accounts import ClientAccount
from sandbox.arrivals import Arrivals
from sandbox.faults.rules import FILL, FaultKind
from sandbox.faults.script import FaultAction, Faults
from sandbox.kalshi import saving
from sandbox.kalshi.account import AccountRequests
from sandbox.kalshi.auth import Unauthorised, verify
from sandbox.kalshi.catalogue import KalshiCatalogue
from sandbox.kalshi.exchange import KalshiExchange
from sandbox.kalshi.group_requests import GroupRequests
from sandbox.kalshi.historical import HistoricalRequests, TransferRequests
from sandbox.kalshi.keys import TestKey, key_of
from sandbox.kalshi.limits import Budgets
from sandbox.kalshi.market_data import PREFIX, KalshiMarketData
from sandbox.kalshi.order_requests import OrderRequests
from sandbox.kalshi.portfolio import PortfolioRequests
from sandbox.kalshi.refusals import KalshiRefusal, too_many
from sandbox.kalshi.stream import KalshiStream
from sandbox.venue import STATUSES, VenueServer, received_ns
from sandbox.world.events import FillEvent, OrderEvent, PriceMoved, WorldEvent
from sandbox.world.world import World

OWNER = "kalshi-sandbox"
CASH = 10_000 * ONE
WEBSOCKET_PATH = "/trade-api/ws/v2"
PUBLISH_AFTER_S = 0.005
"""So long after an event its frame leaves on the socket: usually after the answer to the order."""
ANSWER_AFTER_S = 0.05
"""With the fault ``fill_before_ack`` the frame leaves at once and the answer waits so long."""
_ACCOUNT: web.RequestKey[ClientAccount] = web.RequestKey("account", ClientAccount)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestHandlers(Protocol):
    """Part of the REST interface."""

    def routes(self) -> list[web.RouteDef]: ...


class KalshiServer(VenueServer):
    """The venue's server. ``budgets.tier`` may be changed before requests arrive."""

    venue = KALSHI

    def __init__(self, world: World, accounts: Any, faults: Faults, *, arrivals: Arrivals, seed: int) -> None:
        super().__init__(world, accounts, faults, arrivals=arrivals, seed=seed)
        self.budgets = Budgets()
        self.exchange = KalshiExchange(world, accounts, faults, self.draw)
        self.market_data = KalshiMarketData(world)
        self._public_parts: list[RequestHandlers] = [
            KalshiCatalogue(world, self.exchange),
            self.market_data,
            HistoricalRequests(),
        ]
        self.stream = KalshiStream(world, faults)
        self.exchange.publish = self._publish
        self.exchange.event_fees.publish = self.stream.publish_event_fees
        self._account_parts: list[RequestHandlers] = [
            AccountRequests(self.budgets),
            TransferRequests(),
            *(
                part(world, self.exchange, lambda request: request[_ACCOUNT])
                for part in (PortfolioRequests, OrderRequests, GroupRequests)
            ),
        ]
        self._at_once = False
        self._key: TestKey | None = None
        accounts.open(KALSHI, OWNER, CASH)
        world.subscribe(self._handle_event)

    # ── what a venue's server is ────────────────────────────────────────────────────────────────────

    def routes(self) -> list[web.RouteDef]:
        public = [
            _guarded(route, partial(self._public, route.handler))
            for part in self._public_parts
            for route in part.routes()
        ]
        private = [
            _guarded(route, partial(self._private, route.handler))
            for part in self._account_parts
            for route in part.routes()
        ]
        return [*public, *private, web.get(WEBSOCKET_PATH, self._websocket)]

    def urls(self, base: str) -> dict[str, str]:
        socket = base.replace("http", "ws", 1)
        return {"rest": f"{base}{PREFIX}", "websocket": f"{socket}{WEBSOCKET_PATH}"}

    def operation(self, request: web.Request) -> str | None:
        if request.path == WEBSOCKET_PATH:
            return None
        if request.method == "GET":
            return "read"
        if request.method in ("DELETE", "PUT") or request.path.endswith(("/decrease", "/create")):
            return "cancel"
        return "orders" if request.path.endswith("/batched") else "order"

    def refusal(self, action: FaultAction) -> web.Response:
        """Make the answer of its limiter, its maintenance, or any status in the shape the wire shows most."""
        if action.kind is FaultKind.RATE_LIMIT:
            return too_many().response()
        status = action.rule.status if action.rule and action.kind is FaultKind.STATUS else 503
        status = STATUSES.get(action.kind, status) if action.kind else status
        code = "service_unavailable" if status == 503 else "internal_server_error"
        return KalshiRefusal(status, code if status >= 500 else "bad_request", "by a fault").response()

    def credentials(self) -> dict[str, Any]:
        key = self._own_key()
        return {"key_id": key.key_id, "private_key_pem": key.private_key_pem}

    def state(self) -> dict[str, Any]:
        return {
            "paused_shards": sorted(self.exchange.paused_shards),
            "orders": len(self.exchange.records),
            "fills": len(self.exchange.fills),
            "sockets": len(self.stream.sessions),
        }

    def change_event_fees(
        self, event: str, fee_type: str | None, multiplier: float | None, in_s: float = 0.0
    ) -> bool:
        """Give an event fees of its own, or its series' again; false when there is no such event.

        Raises:
            ValueError: for fees that are none.
        """
        market = next((m for m in self.world.markets(KALSHI) if m.event_id == event), None)
        if market is None:
            return False
        self.exchange.event_fees.change(event, market.series, fee_type, multiplier, in_s)
        return True

    def save(self) -> Any:
        return saving.save(self.exchange, self.world)

    def resume(self, saved: Any) -> None:
        # Ids of new orders must be other ones than before.
        self.draw.seed(f"presage-sandbox/{self.seed}/server/{self.venue}/{self.world.at}")
        saving.resume(self.exchange, self.world, saved)

    async def stop(self) -> None:
        await self.stream.close()

    # ── who asks ────────────────────────────────────────────────────────────────────────────────────

    def _own_key(self) -> TestKey:
        """Return the key, made when it is first needed: that takes a moment."""
        if self._key is None:
            self._key = key_of(self.seed, OWNER)
        return self._key

    def _public_key(self, key_id: str) -> RSAPublicKey | None:
        key = self._own_key()
        return key.public_key if key_id == key.key_id else None

    def _account(self, request: web.Request, now_ms: int) -> ClientAccount:
        """Return whose request it is. Raises ``Refusal`` for one that is not signed."""
        try:
            verify(request.headers, request.method, request.rel_url.raw_path, self._public_key, now_ms)
        except Unauthorised as e:
            raise KalshiRefusal(401, "authentication_error", str(e)) from None
        account = self.accounts.get(KALSHI, OWNER)
        assert account is not None
        return account

    async def _public(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        try:
            if not await self.budgets.charge("", request):
                raise too_many()
            return await handler(request)
        except KalshiRefusal as e:
            return e.response()

    async def _private(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        try:
            account = self._account(request, received_ns(request) // 1_000_000)
            if not await self.budgets.charge(account.owner, request, await _items(request)):
                raise too_many()
            request[_ACCOUNT] = account
            return await self._carry_out(handler, request)
        except KalshiRefusal as e:
            return e.response()

    async def _carry_out(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        if self.operation(request) not in ("order", "orders"):
            return await handler(request)
        self._at_once = bool(self.faults.pick_kind(FaultKind.FILL_BEFORE_ACK, KALSHI, FILL))
        early = self._at_once
        try:
            return await handler(request)
        finally:
            self._at_once = False
            if early:
                await asyncio.sleep(ANSWER_AFTER_S)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        try:
            account = self._account(request, time.time_ns() // 1_000_000)
        except KalshiRefusal as e:
            return e.response()
        return await self.stream.serve(request, account.owner)

    # ── what happens in the world ───────────────────────────────────────────────────────────────────

    def _handle_event(self, event: WorldEvent) -> None:
        if isinstance(event, PriceMoved):
            self.stream.handle_event(event)
            return
        market = getattr(event, "market", None)
        if market is None or market.venue != KALSHI:
            return
        if isinstance(event, OrderEvent):
            self.exchange.handle_order(event)
        elif isinstance(event, FillEvent):
            self.exchange.handle_fill(event)
        else:
            self.market_data.handle_event(event)
            self.stream.handle_event(event)

    def _publish(self, owner: str, channel: str, body: dict[str, object]) -> None:
        """Send a frame to an account's sockets a moment later, as a socket has a delay of its own."""
        if self._at_once:
            self.stream.publish_to_owner(owner, channel, body)
            return
        asyncio.get_running_loop().call_later(
            PUBLISH_AFTER_S, self.stream.publish_to_owner, owner, channel, body
        )


async def _items(request: web.Request) -> int:
    """Return orders in a batch, which is billed by item; 1 for everything else."""
    if not request.path.endswith("/batched"):
        return 1
    try:
        body = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 1
    orders = body.get("orders") if isinstance(body, dict) else None
    return max(1, len(orders)) if isinstance(orders, list) else 1


def _guarded(route: web.RouteDef, handler: Handler) -> web.RouteDef:
    return web.RouteDef(route.method, route.path, handler, route.kwargs)
