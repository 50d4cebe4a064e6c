"""A small Manifold on loopback: one pool, bets, limit orders that rest, topics. For the gateway's tests."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web

from libs.venues.manifold.market_data.amm import Pool

Hook = Callable[[web.Request], web.Response | None]


class ManifoldStub:
    """``before``: may answer a request instead. ``place_bet`` is what POST /bet does."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.pool = Pool(100.0, 100.0, 0.5)
        self.bets: list[dict] = []
        self.requests: list[str] = []
        self.resolution: dict = {}
        self.echo_expiry = True
        self.hidden: list[dict] = []
        self.before: Hook = lambda request: None
        self.after: Hook = lambda request: None
        self.positions: dict[str, float] = {}
        self.balance = 1_000.5
        self.sockets: list[web.WebSocketResponse] = []
        self.topics: set[str] = set()
        self.url = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v0/me", self.me),
            web.get("/v0/market/{id}", self.market),
            web.get("/v0/market/{id}/positions", self.held),
            web.get("/v0/bets", self.list_bets),
            web.post("/v0/bet", self.bet),
            web.post("/v0/bet/cancel/{id}", self.cancel),
            web.get("/ws", self.socket),
        ]

    @web.middleware
    async def misbehave(self, request: web.Request, handler: Callable) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if request.path != "/ws" and request.headers.get("Authorization") != "Key s3cret":
            return web.json_response({"message": "Unauthorized"}, status=401)
        answer = self.before(request)
        if answer is not None:
            return answer
        real = await handler(request)
        return self.after(request) or real

    async def me(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "me", "name": "n", "balance": self.balance})

    async def market(self, request: web.Request) -> web.Response:
        body = {
            "id": request.match_info["id"],
            "question": "?",
            "outcomeType": "BINARY",
            "mechanism": "cpmm-1",
            "pool": {"YES": self.pool.yes, "NO": self.pool.no},
            "p": 0.5,
            "probability": self.pool.probability,
        }
        return web.json_response(body | self.resolution)

    async def held(self, request: web.Request) -> web.Response:
        return web.json_response([{"userId": request.query["userId"], "totalShares": self.positions}])

    async def list_bets(self, request: web.Request) -> web.Response:
        found = sorted(self.bets, key=lambda bet: -bet["createdTime"])
        if request.query.get("kinds") == "open-limit":
            found = [bet for bet in found if not (bet["isFilled"] or bet["isCancelled"])]
        if "contractId" in request.query:
            found = [bet for bet in found if bet["contractId"] == request.query["contractId"]]
        if before := request.query.get("before"):
            place = next(i for i, bet in enumerate(found) if bet["id"] == before)
            found = found[place + 1 :]
        return web.json_response(found[: int(request.query["limit"])])

    async def bet(self, request: web.Request) -> web.Response:
        asked = await request.json()
        before = self.pool.probability
        limit = asked["limitProb"]
        pool = self.pool if asked["outcome"] == "YES" else self.pool.mirrored()
        own_limit = limit if asked["outcome"] == "YES" else 1 - limit
        amount = shares = 0.0
        if own_limit > pool.probability:
            amount = min(asked["amount"], pool.at(own_limit).no - pool.no)
            shares = pool.bought(amount)
            moved = Pool(pool.yes + amount - shares, pool.no + amount, pool.weight)
            self.pool = moved if asked["outcome"] == "YES" else moved.mirrored()
        now = self.now_ms()
        bet = {
            "id": f"bet{len(self.bets)}",
            "userId": "me",
            "contractId": asked["contractId"],
            "outcome": asked["outcome"],
            "amount": amount,
            "shares": shares,
            "limitProb": limit,
            "orderAmount": asked["amount"],
            "isFilled": amount >= asked["amount"] - 1e-9,
            "isCancelled": False,
            "probBefore": before,
            "probAfter": self.pool.probability,
            "createdTime": now,
            "fills": [{"amount": amount, "shares": shares, "timestamp": now, "matchedBetId": None}]
            if shares
            else [],
        }
        if self.echo_expiry:
            bet["expiresAt"] = asked["expiresAt"]
        self.bets.append(bet)
        return web.json_response({**bet, "betId": bet["id"]})

    async def cancel(self, request: web.Request) -> web.Response:
        bet = next((bet for bet in self.bets if bet["id"] == request.match_info["id"]), None)
        if bet is None or bet["isFilled"] or bet["isCancelled"]:
            return web.json_response({"message": "Bet not open"}, status=403)
        bet["isCancelled"] = True
        return web.json_response(bet)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                self.topics.update(asked.get("topics", ()))
                await socket.send_json({"type": "ack", "txid": asked["txid"], "success": True})
        return socket

    async def broadcast(self, topic: str, *bets: dict) -> None:
        for socket in self.sockets:
            if not socket.closed:
                await socket.send_json({"type": "broadcast", "topic": topic, "data": {"bets": bets}})


@asynccontextmanager
async def manifold_stub(now_ms: Callable[[], int]) -> AsyncIterator[ManifoldStub]:
    stub = ManifoldStub(now_ms)
    app = web.Application(middlewares=[stub.misbehave])
    app.add_routes(stub.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.url = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stub
    finally:
        for socket in stub.sockets:
            await socket.close()
        await runner.cleanup()
