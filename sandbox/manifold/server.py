"""Manifold's REST interface over the contracts of the world, and the house that bets on them.

Source: docs/reference/venue-facts.md, Manifold markets; Manifold bets.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from libs.bounded import keep_newest
from libs.venues.manifold import MANIFOLD
from proto.feed import MarketStatus
from proto.units import MILLISECOND
from sandbox.accounts import Accounts
from sandbox.arrivals import Arrivals
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import FaultAction, Faults
from sandbox.manifold import saving
from sandbox.manifold.amm import LiquidityPool
from sandbox.manifold.bets import LIQUIDITY, BetError, ClientBet, ContractMarket, PoolContract, User, bet_body
from sandbox.manifold.house import House
from sandbox.manifold.reads import LIMIT_MAX, Reads
from sandbox.manifold.requests import NewBet, Resolution, Sale
from sandbox.manifold.topics import Topics
from sandbox.venue import VenueServer, arrival_of
from sandbox.world.events import MarketMoved, WorldEvent
from sandbox.world.ids import digest
from sandbox.world.markets import VOID, SandboxMarket
from sandbox.world.world import World

BALANCE = 10_000.0
"""Mana of each ready-made user."""
USERS = ("trader", "other")
RESOLUTIONS = ("YES", "NO", "MKT", "CANCEL")

Handler = Callable[[web.Request], Awaitable[object]]


class ManifoldServer(VenueServer):
    """Contracts mirror the world's markets; their pools and limit orders are here."""

    venue = MANIFOLD

    def __init__(
        self, world: World, accounts: Accounts, faults: Faults, *, arrivals: Arrivals, seed: int
    ) -> None:
        super().__init__(world, accounts, faults, arrivals=arrivals, seed=seed)
        self.users = {name: self._user(name, BALANCE) for name in USERS}
        self.users["house"] = self._user("house", 1e9)
        self._by_id = {user.id: user for user in self.users.values()}
        self._by_key = {user.key: user for user in self.users.values()}
        self.contracts: dict[str, ContractMarket] = {}
        self.reads = Reads(world, self.users, self.contracts)
        self.topics = Topics(faults)
        self.house = House(world, seed, partial(self.bet, self.users["house"]))
        for market in world.markets(MANIFOLD):
            self._list(market)
        world.subscribe(self._handle_event)

    def _user(self, name: str, balance: float) -> User:
        noise = digest(self.seed, "manifold", name).hex()
        key = f"{noise[:8]}-{noise[8:12]}-4{noise[13:16]}-8{noise[17:20]}-{noise[20:32]}"
        return User(id=noise[32:60], name=name, key=key, balance=balance)

    def now_ms(self) -> int:
        return self.world.now() // MILLISECOND

    # ── the world ───────────────────────────────────────────────────────────────────────────────────

    def _list(self, market: SandboxMarket) -> None:
        contract = PoolContract(id=market.id, pool=LiquidityPool(LIQUIDITY, LIQUIDITY, 0.5))
        self.contracts[market.id] = ContractMarket(contract, self._by_id, self.now_ms, self.seed)
        self.house.begin(market, self.contracts[market.id])

    def _handle_event(self, event: WorldEvent) -> None:
        if not isinstance(event, MarketMoved) or event.market.venue != MANIFOLD:
            return
        if event.previous is None:
            self._list(event.market)
        elif event.market.status is MarketStatus.SETTLED:
            held = self.contracts[event.market.id]
            if not held.contract.resolution:
                void = event.market.result == VOID
                self._resolve(held, "MKT" if void else event.market.result.upper(), 0.5)
        keep_newest(self.contracts, LIMIT_MAX)

    def _resolve(self, held: ContractMarket, resolution: str, probability: float) -> None:
        held.resolve(resolution, probability)
        market = self.world.market(MANIFOLD, held.contract.id)
        if market is not None:
            self.topics.send([f"contract/{market.id}"], {"contract": self.reads.lite(market)})

    def bet(self, user: User, contract_id: str, order: NewBet) -> ClientBet:
        """Place a bet and send it to its topics; raises ``BetError``."""
        held = self._open(contract_id)
        if order.outcome not in ("YES", "NO") or order.answer_id is not None:
            raise BetError("This market takes YES or NO.")
        if (
            order.limit_prob is not None
            and abs(order.limit_prob * 100 - round(order.limit_prob * 100)) > 1e-9
        ):
            raise BetError("limitProb must be in increments of 0.01 (i.e. whole percentage points)")
        expires = order.expires_at
        if order.expires_millis_after is not None:
            expires = self.now_ms() + order.expires_millis_after
        bet, met = held.bet(
            user, order.outcome, order.amount, order.limit_prob, expires, dry_run=order.dry_run
        )
        if not order.dry_run:
            self._publish_bet(bet, met)
        return bet

    def _open(self, contract_id: str) -> ContractMarket:
        market = self.world.market(MANIFOLD, contract_id)
        held = self.contracts.get(contract_id)
        if held is None or market is None:
            raise BetError("Contract not found.", 404)
        if held.contract.resolution or market.status not in (MarketStatus.LISTED, MarketStatus.OPEN):
            raise BetError("Trading is closed.", 403)
        return held

    def _publish_bet(self, bet: ClientBet, met: list[ClientBet]) -> None:
        prefix = f"contract/{bet.contract_id}"
        self.topics.send([f"{prefix}/new-bet", "global", "global/new-bet"], {"bets": [bet_body(bet)]})
        orders = [order for order in (bet, *met) if order.limit_prob is not None]
        if orders:
            self.topics.send([f"{prefix}/orders"], {"bets": [bet_body(order) for order in orders]})

    def save(self) -> Any:
        return saving.save(self.users, self.contracts)

    def resume(self, saved: Any) -> None:
        saving.resume(self.users, self.contracts, saved)

    # ── the account ─────────────────────────────────────────────────────────────────────────────────

    async def _me(self, request: web.Request) -> object:
        user = self._who(request)
        return {
            "id": user.id,
            "name": user.name,
            "username": user.name,
            "url": f"https://manifold.markets/{user.name}",
            "balance": user.balance,
            "totalDeposits": BALANCE,
            "createdTime": 0,
        }

    # ── betting ─────────────────────────────────────────────────────────────────────────────────────

    def _who(self, request: web.Request) -> User:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        user = self._by_key.get(key) if scheme == "Key" else None
        if user is None:
            raise BetError("The Authorization header is missing or is no known key.", 401)
        return user

    async def _place(self, request: web.Request) -> object:
        user = self._who(request)
        order = await _body(request, NewBet)
        bet = self.bet(user, order.contract_id, order)
        arrival_of(request).keys.append(bet.id)
        return bet_body(bet) | {"betId": bet.id}

    async def _multi(self, request: web.Request) -> object:
        self._who(request)
        raise BetError("This market is not multiple choice.")

    async def _cancel(self, request: web.Request) -> object:
        user, wanted = self._who(request), request.match_info["bet"]
        for held in self.contracts.values():
            if any(bet.id == wanted for bet in held.contract.bets):
                bet = held.cancel(user, wanted)
                self.topics.send([f"contract/{held.contract.id}/orders"], {"bets": [bet_body(bet)]})
                return bet_body(bet)
        raise BetError("Bet not found.", 404)

    async def _sell(self, request: web.Request) -> object:
        user, market = self._who(request), self.reads.market(request)
        sale = await _body(request, Sale)
        held = self._open(market.id)
        outcome = sale.outcome or max(("YES", "NO"), key=lambda side: user.shares.get((market.id, side), 0.0))
        bet, met = held.sell(user, outcome, sale.shares)
        self._publish_bet(bet, met)
        return bet_body(bet) | {"betId": bet.id}

    async def _resolution(self, request: web.Request) -> object:
        """Resolve a contract, which only its creator may do: the house."""
        user, market = self._who(request), self.reads.market(request)
        asked = await _body(request, Resolution)
        held = self.contracts[market.id]
        if user.name != "house":
            raise BetError("User is not creator of contract", 403)
        if held.contract.resolution:
            raise BetError("Contract already resolved", 403)
        if asked.outcome not in RESOLUTIONS:
            raise BetError("Invalid resolution")
        probability = held.contract.pool.probability
        if asked.probability_int is not None:
            probability = asked.probability_int / 100
        self._resolve(held, asked.outcome, probability)
        return self.reads.lite(market)

    # ── what the sandbox asks ───────────────────────────────────────────────────────────────────────

    def urls(self, base: str) -> dict[str, str]:
        return {"rest": f"{base}/v0", "websocket": base.replace("http://", "ws://") + "/ws"}

    def operation(self, request: web.Request) -> str | None:
        path = request.path
        if request.method == "GET":
            return None if path == "/ws" else "read"
        return "cancel" if path.startswith("/v0/bet/cancel") else "order"

    def refusal(self, action: FaultAction) -> web.Response:
        status = {FaultKind.RATE_LIMIT: 429, FaultKind.RESTART_WINDOW: 503, FaultKind.POST_ONLY: 503}.get(
            action.kind or FaultKind.STATUS, action.rule.status if action.rule else 500
        )
        return web.json_response({"message": "the sandbox was told to refuse"}, status=status)

    def credentials(self) -> dict[str, Any]:
        rows = [{"api_key": user.key, "user_id": user.id, "name": user.name} for user in self.users.values()]
        return rows[0] | {"others": rows[1:]}

    def state(self) -> dict[str, Any]:
        users = [{"id": user.id, "name": user.name, "balance": user.balance} for user in self.users.values()]
        return {"users": users, "contracts": len(self.contracts)}

    async def stop(self) -> None:
        await self.topics.close()

    def routes(self) -> list[web.RouteDef]:
        reads: dict[str, Handler] = {
            "/markets": self.reads.markets,
            "/search-markets": self.reads.search,
            "/market-probs": self.reads.probs,
            "/market/{market}": self.reads.one,
            "/market/{market}/prob": self.reads.prob,
            "/market/{market}/positions": self.reads.positions,
            "/slug/{market}": self.reads.one,
            "/bets": self.reads.bets,
            "/me": self._me,
        }
        writes: dict[str, Handler] = {
            "/bet": self._place,
            "/multi-bet": self._multi,
            "/bet/cancel/{bet}": self._cancel,
            "/market/{market}/sell": self._sell,
            "/market/{market}/resolve": self._resolution,
        }
        return [
            *(web.get(f"/v0{path}", _door(handler)) for path, handler in reads.items()),
            *(web.post(f"/v0{path}", _door(handler)) for path, handler in writes.items()),
            web.get("/ws", self.topics.handle),
        ]


def _door(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler's answer or the venue's error as HTTP."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            body = await handler(request)
        except BetError as error:
            return web.json_response({"message": str(error)}, status=error.status)
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    return handle


async def _body(request: web.Request, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise BetError(f"Error validating request: {error}") from None
