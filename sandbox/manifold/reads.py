"""Manifold's public paths: markets, probabilities, bets and positions."""

from collections.abc import Mapping

from aiohttp import web

from libs.venues.manifold import MANIFOLD
from proto.feed import MarketStatus
from proto.units import MILLISECOND
from sandbox.manifold.bets import LIQUIDITY, BetError, ClientBet, ContractMarket, User, bet_body, newest_first
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

LIMIT_MAX = 1000
PROBS_MAX = 100


class Reads:
    """Handlers of questions; ``users`` by name, ``contracts`` by id."""

    def __init__(
        self, world: World, users: Mapping[str, User], contracts: Mapping[str, ContractMarket]
    ) -> None:
        self.world = world
        self.users = users
        self.contracts = contracts

    def lite(self, market: SandboxMarket) -> dict[str, object]:
        """Return a market as lists show it."""
        contract = self.contracts[market.id].contract
        body: dict[str, object] = {
            "id": market.id,
            "creatorId": self.users["house"].id,
            "creatorUsername": "house",
            "creatorName": "house",
            "creatorAvatarUrl": "",
            "createdTime": market.listed_ns // MILLISECOND,
            "closeTime": market.close_ns // MILLISECOND,
            "question": market.title,
            "slug": market.slug,
            "url": f"https://manifold.markets/house/{market.slug}",
            "pool": {"YES": contract.pool.yes, "NO": contract.pool.no},
            "probability": contract.pool.probability,
            "p": contract.pool.p,
            "totalLiquidity": LIQUIDITY,
            "outcomeType": "BINARY",
            "mechanism": "cpmm-1",
            "volume": contract.volume,
            "volume24Hours": contract.volume,
            "isResolved": bool(contract.resolution),
            "uniqueBettorCount": len({bet.user_id for bet in contract.bets}),
            "token": "MANA",
        }
        if contract.resolution:
            body["resolution"] = contract.resolution
            body["resolutionTime"] = contract.resolved_ms
            body["resolutionProbability"] = contract.resolution_probability
        return body

    def market(self, request: web.Request) -> SandboxMarket:
        """Return the one that a path names, by its id or its slug."""
        wanted = request.match_info["market"]
        for market in self.world.markets(MANIFOLD):
            if wanted in (market.id, market.slug) and market.id in self.contracts:
                return market
        raise BetError("Contract not found", 404)

    def _listed_markets(self) -> list[SandboxMarket]:
        return [market for market in self.world.markets(MANIFOLD) if market.id in self.contracts]

    async def markets(self, request: web.Request) -> object:
        """Return all markets, newest first; ``before`` is the id of the last one seen."""
        rows = sorted(self._listed_markets(), key=lambda market: (-market.listed_ns, market.id))
        before = request.query.get("before")
        if before:
            at = next((i for i, market in enumerate(rows) if market.id == before), None)
            rows = rows[at + 1 :] if at is not None else []
        return [self.lite(market) for market in rows[: _limit(request, 500)]]

    async def search(self, request: web.Request) -> object:
        """Return markets whose title has all the words."""
        words = request.query.get("term", "").lower().split()
        status = request.query.get("filter", "all")
        kind = request.query.get("contractType", "ALL")
        rows = [
            market
            for market in self._listed_markets()
            if all(word in market.title.lower() for word in words)
            and (status != "open" or market.status in (MarketStatus.LISTED, MarketStatus.OPEN))
            and (status != "resolved" or self.contracts[market.id].contract.resolution)
            and kind in ("ALL", "BINARY")
        ]
        return [self.lite(market) for market in rows[: _limit(request, 100)]]

    async def one(self, request: web.Request) -> object:
        """Return one market."""
        market = self.market(request)
        return self.lite(market) | {"textDescription": "A market of the sandbox.", "description": ""}

    async def prob(self, request: web.Request) -> object:
        """Return a market's probability."""
        return {"prob": self.contracts[self.market(request).id].contract.pool.probability}

    async def probs(self, request: web.Request) -> object:
        """Return the probabilities of several."""
        wanted = [word for text in request.query.getall("ids", []) for word in text.split(",")][:PROBS_MAX]
        found = {name: self.contracts[name].contract for name in wanted if name in self.contracts}
        return {name: {"prob": contract.pool.probability} for name, contract in found.items()}

    async def bets(self, request: web.Request) -> object:
        """List bets of a market, a user, or all, newest first."""
        query = request.query
        wanted = query.get("contractId", "")
        chosen = [held for name, held in self.contracts.items() if wanted in ("", name)]
        bets = newest_first(bet for held in chosen for bet in held.contract.bets)
        users = {user.name: user.id for user in self.users.values()}
        owner = query.get("userId") or users.get(query.get("username", ""), "")
        if query.get("kinds") == "open-limit":
            bets = [bet for bet in bets if bet.is_open]
        if owner:
            bets = [bet for bet in bets if bet.user_id == owner]
        rows = _between(bets, query.get("before"), query.get("after"))
        return [bet_body(bet) for bet in rows[: _limit(request, LIMIT_MAX)]]

    async def positions(self, request: web.Request) -> object:
        """Return who holds what of a market."""
        market = self.market(request)
        probability = self.contracts[market.id].contract.pool.probability
        rows = []
        for user in self.users.values():
            held = {outcome: user.shares.get((market.id, outcome), 0.0) for outcome in ("YES", "NO")}
            if request.query.get("userId", user.id) != user.id or not any(held.values()):
                continue
            invested = user.invested.get(market.id, 0.0)
            payout = held["YES"] * probability + held["NO"] * (1 - probability)
            rows.append(
                {
                    "contractId": market.id,
                    "userId": user.id,
                    "userName": user.name,
                    "userUsername": user.name,
                    "hasShares": True,
                    "hasYesShares": held["YES"] > 0,
                    "hasNoShares": held["NO"] > 0,
                    "totalShares": {outcome: shares for outcome, shares in held.items() if shares},
                    "invested": invested,
                    "payout": payout,
                    "profit": payout - invested,
                    "loan": 0,
                }
            )
        return rows


def _limit(request: web.Request, otherwise: int) -> int:
    text = request.query.get("limit", "")
    return min(int(text), LIMIT_MAX) if text.isdecimal() else otherwise


def _between(bets: list[ClientBet], before: str | None, after: str | None) -> list[ClientBet]:
    """Return those before and after others, newest first; a bet that is not known bounds nothing."""
    places = {bet.id: i for i, bet in enumerate(bets)}
    start = places.get(before or "", -1) + 1
    end = places.get(after or "", len(bets))
    return bets[start:end]
