"""Polymarket on one port: each of the venue's hosts is a path prefix, its channels are websockets."""

from typing import Any

from aiohttp import web
from coincurve import PublicKey

from libs.venues.polymarket import POLYMARKET
from proto.units import ONE
from sandbox.accounts import Accounts
from sandbox.arrivals import Arrivals
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import FaultAction, Faults
from sandbox.polymarket import saving
from sandbox.polymarket.catalogue import GammaCatalogue
from sandbox.polymarket.clob import ClobMarketData
from sandbox.polymarket.data_api import DataApi
from sandbox.polymarket.data_v2 import DataApiV2
from sandbox.polymarket.doors import PREFIX, Call, DoorAnswer, door, refused
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.history import PriceHistory
from sandbox.polymarket.holdings import Holdings
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.market_channel import MarketChannel
from sandbox.polymarket.modes import RATE_LIMITED, RESTARTING
from sandbox.polymarket.options import PolymarketOptions
from sandbox.polymarket.realtime import RealtimePrices
from sandbox.polymarket.rtds import PriceStream
from sandbox.polymarket.signatures import address_of, checksum
from sandbox.polymarket.trading import Trading
from sandbox.polymarket.user_channel import UserChannel
from sandbox.polymarket.wallets import wallets_of
from sandbox.venue import VenueServer
from sandbox.world.ids import digest
from sandbox.world.world import World

CASH = 10_000 * ONE
"""Money of each ready-made wallet."""
ACCOUNTS = 2
"""Ready-made keys: one to trade with, one to trade against."""
WALLET_TYPE = 3
"""What every account made since May 2026 has: a deposit wallet. The ready-made ones are shown with it."""


class PolymarketServer(VenueServer):
    """See README.md for the paths. ``exchange.options`` may be changed at any time."""

    venue = POLYMARKET

    def __init__(
        self, world: World, accounts: Accounts, faults: Faults, *, arrivals: Arrivals, seed: int
    ) -> None:
        super().__init__(world, accounts, faults, arrivals=arrivals, seed=seed)
        self.options = PolymarketOptions()
        self.history = PriceHistory(world)
        self.exchange = PolymarketExchange(world, self.options, faults, seed)
        self.holdings = Holdings(self.exchange)
        self.books = ClobMarketData(self.exchange, self.history)
        self.trading = Trading(self.exchange)
        self.catalogue = GammaCatalogue(world)
        self.data = DataApi(self.exchange, self.holdings, self.history)
        self.data_v2 = DataApiV2(self.data)
        self.market_channel = MarketChannel(self.exchange, self.history, faults)
        self.user_channel = UserChannel(self.exchange, faults)
        self.prices = PriceStream(world, faults)
        self.realtime = RealtimePrices(self.exchange, faults)
        self._keys = [digest(seed, "polymarket", f"account-{i}") for i in range(ACCOUNTS)]
        for key in self._keys:
            owner = _address(key)
            self.exchange.keys.create(owner)
            for group in wallets_of(owner).values():
                self.exchange.deposit(group[0], owner, CASH)

    # ── what the sandbox asks ───────────────────────────────────────────────────────────────────────

    def urls(self, base: str) -> dict[str, str]:
        sockets = base.replace("http://", "ws://")
        return {
            "clob": f"{base}{PREFIX}",
            "gamma": f"{base}/gamma",
            "data": f"{base}/data-api",
            "relayer": f"{base}/relayer",
            "market_websocket": f"{sockets}/ws/market",
            "user_websocket": f"{sockets}/ws/user",
            "prices_websocket": f"{sockets}/rtds",
            "realtime_websocket": f"{sockets}/ws/prices",
        }

    def operation(self, request: web.Request) -> str | None:
        path = request.path.removeprefix(PREFIX)
        if request.method == "GET":
            return None if path.startswith(("/ws/", "/rtds")) else "read"
        if path == "/v1/heartbeats":
            return "heartbeat"
        if request.method == "DELETE" and path not in ("/auth/api-key", "/notifications"):
            return "cancel"
        return {"/order": "order", "/orders": "orders"}.get(path, "read")

    def refusal(self, action: FaultAction) -> web.Response:
        if action.kind is FaultKind.RATE_LIMIT:
            return refused(
                PolymarketRefusal(429, RATE_LIMITED, {"retry_after_seconds": max(1, round(action.seconds))})
            )
        if action.kind is FaultKind.RESTART_WINDOW:
            return refused(PolymarketRefusal(425, RESTARTING))
        status = action.rule.status if action.rule else 500
        return refused(PolymarketRefusal(status, "Internal server error" if status >= 500 else "bad request"))

    def credentials(self) -> dict[str, Any]:
        """The first key with its deposit wallet; ``others`` are its other wallets and the second key's."""
        rows = [row for key in self._keys for row in self._rows(key)]
        main = next(row for row in rows if row["signature_type"] == WALLET_TYPE)
        return main | {"others": [row for row in rows if row is not main]}

    def _rows(self, private_key: bytes) -> list[dict[str, Any]]:
        owner = _address(private_key)
        held = self.exchange.keys.derive(owner)
        return [
            {
                "private_key": "0x" + private_key.hex(),
                "address": owner,
                "api_key": held.key,
                "secret": held.secret,
                "passphrase": held.passphrase,
                "signature_type": kind,
                "funder": checksum(group[0]),
            }
            for kind, group in wallets_of(owner).items()
        ]

    def state(self) -> dict[str, Any]:
        """Return the wallets' amounts, and the number of orders and trades."""
        wallets = [
            {
                "address": wallet.address,
                "owner": wallet.owner,
                "chain": wallet.chain,
                "promised": wallet.promised,
                "believed": wallet.believed,
            }
            for wallet in self.exchange.ledger
            if wallet.chain
        ]
        working = sum(order.is_working for order in self.exchange.orders.values())
        return {"wallets": wallets, "working": working, "trades": len(self.exchange.trades.by_id)}

    def save(self) -> Any:
        return saving.save(self.exchange, self.holdings)

    def resume(self, saved: Any) -> None:
        saving.resume(self.exchange, self.holdings, self.world, saved)

    async def stop(self) -> None:
        await self.market_channel.close()
        await self.user_channel.close()
        await self.prices.close()
        await self.realtime.close()

    # ── paths ───────────────────────────────────────────────────────────────────────────────────────

    def routes(self) -> list[web.RouteDef]:
        return [
            *self._market_data(),
            *self._private(),
            *self._gamma(),
            *self._data(),
            web.get("/relayer/deployed", door(self._deployed)),
            web.get("/ws/market", self.market_channel.handle),
            web.get("/ws/user", self.user_channel.handle),
            web.get("/rtds", self.prices.handle),
            web.get("/ws/prices", self.realtime.handle),
        ]

    async def _deployed(self, call: Call) -> DoorAnswer:
        """Return the relayer: a wallet exists once it was given money."""
        wallet = self.exchange.ledger.get(call.query.get("address", ""))
        return DoorAnswer({"deployed": wallet is not None and bool(wallet.chain)})

    def _market_data(self) -> list[web.RouteDef]:
        books = self.books
        reads = {
            "/": books.ok,
            "/ok": books.ok,
            "/time": books.time,
            "/version": books.version,
            "/book": books.book,
            "/price": books.price,
            "/midpoint": books.midpoint,
            "/spread": books.spread,
            "/last-trade-price": books.last_trade,
            "/tick-size": books.tick_size,
            "/tick-size/{token_id}": books.tick_size,
            "/neg-risk": books.negative_risk,
            "/neg-risk/{token_id}": books.negative_risk,
            "/fee-rate": books.fee_rate,
            "/fee-rate/{token_id}": books.fee_rate,
            "/prices-history": books.prices_history,
            "/markets": books.markets,
            "/markets/{market}": books.market,
            "/simplified-markets": books.simplified_markets,
            "/sampling-markets": books.sampling_markets,
            "/sampling-simplified-markets": books.sampling_simplified_markets,
            "/clob-markets/{market}": books.short_market,
            "/markets-by-token/{token_id}": books.market_by_token,
            "/fees/builder-fees/{code}": books.builder_fees,
        }
        posts = {
            "/books": books.books,
            "/prices": books.prices,
            "/midpoints": books.midpoints,
            "/spreads": books.spreads,
            "/last-trades-prices": books.last_trades,
        }
        return [
            *(web.get(PREFIX + path, door(handler)) for path, handler in reads.items()),
            *(web.post(PREFIX + path, door(handler)) for path, handler in posts.items()),
        ]

    def _private(self) -> list[web.RouteDef]:
        trading = self.trading
        return [
            web.post(f"{PREFIX}/auth/api-key", door(trading.create_key)),
            web.get(f"{PREFIX}/auth/derive-api-key", door(trading.derive_key)),
            web.get(f"{PREFIX}/auth/api-keys", door(trading.api_keys)),
            web.delete(f"{PREFIX}/auth/api-key", door(trading.delete_key)),
            web.get(f"{PREFIX}/auth/ban-status/closed-only", door(trading.closed_only)),
            web.post(f"{PREFIX}/order", door(trading.post_order)),
            web.post(f"{PREFIX}/orders", door(trading.post_orders)),
            web.delete(f"{PREFIX}/order", door(trading.cancel_order)),
            web.delete(f"{PREFIX}/orders", door(trading.cancel_orders)),
            web.delete(f"{PREFIX}/cancel-all", door(trading.cancel_all)),
            web.delete(f"{PREFIX}/cancel-market-orders", door(trading.cancel_market)),
            web.post(f"{PREFIX}/v1/heartbeats", door(trading.heartbeat)),
            web.get(f"{PREFIX}/data/order/{{order_id}}", door(trading.order)),
            web.get(f"{PREFIX}/data/orders", door(trading.orders)),
            web.get(f"{PREFIX}/data/trades", door(trading.trades)),
            web.get(f"{PREFIX}/order-scoring", door(trading.order_scoring)),
            web.post(f"{PREFIX}/orders-scoring", door(trading.orders_scoring)),
            web.get(f"{PREFIX}/notifications", door(trading.notifications)),
            web.delete(f"{PREFIX}/notifications", door(trading.drop_notifications)),
            web.get(f"{PREFIX}/balance-allowance", door(trading.balance)),
            web.get(f"{PREFIX}/balance-allowance/update", door(trading.update_balance)),
        ]

    def _gamma(self) -> list[web.RouteDef]:
        catalogue = self.catalogue
        reads = {
            "/markets": catalogue.markets,
            "/markets/keyset": catalogue.markets_keyset,
            "/markets/{market}": catalogue.market,
            "/markets/slug/{market}": catalogue.market,
            "/events": catalogue.events,
            "/events/keyset": catalogue.events_keyset,
            "/events/{event}": catalogue.event,
            "/events/slug/{event}": catalogue.event,
            "/public-search": catalogue.search,
            "/series": catalogue.series,
            "/series/{series}": catalogue.one_series,
            "/tags": catalogue.tags,
            "/tags/{tag}": catalogue.tag,
            "/tags/slug/{tag}": catalogue.tag,
        }
        return [web.get(f"/gamma{path}", door(handler)) for path, handler in reads.items()]

    def _data(self) -> list[web.RouteDef]:
        data = self.data
        reads = {
            "/positions": data.positions,
            "/closed-positions": data.closed_positions,
            "/trades": data.trades,
            "/activity": data.activity,
            "/value": data.value,
            "/oi": data.open_interest,
            "/v2/activity": self.data_v2.activity,
            "/v2/oi": self.data_v2.open_interest,
            "/v2/positions": self.data_v2.positions,
            "/v2/trades": self.data_v2.trades,
            "/v2/value": self.data_v2.value,
        }
        return [web.get(f"/data-api{path}", door(handler)) for path, handler in reads.items()]


def _address(private_key: bytes) -> str:
    """Return the address of a key, in mixed case."""
    return checksum(address_of(PublicKey.from_secret(private_key)))
