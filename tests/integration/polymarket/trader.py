"""What tests of the Polymarket sandbox share: a trader who signs and sends, and a world that holds still."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from libs.venues.polymarket.trading.auth import SigningAccount
from libs.venues.polymarket.trading.order import BUY, SELL, Order, exchange, sign
from proto.feed import MarketStatus
from proto.units import MILLISECOND, ONE, SECOND, parse
from sandbox.polymarket.contracts import EXCHANGES, exchange_of
from sandbox.polymarket.server import PolymarketServer
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind, SandboxMarket

WAIT_S = 60.0
START_NS = 1_800_000_000 * SECOND
"""A full hour: every window of the world begins then."""


def server(sandbox: Sandbox) -> PolymarketServer:
    found = sandbox.servers["polymarket"]
    assert isinstance(found, PolymarketServer)
    return found


class Trader:
    """A wallet of the sandbox: signs as our gateway does, sends with plain HTTP, and says whatever a test wants."""

    def __init__(self, sandbox: Sandbox, row: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.row = row
        self.urls = sandbox.urls["polymarket"]
        self.http = httpx.AsyncClient(timeout=WAIT_S)
        self.wallet = server(sandbox).exchange.ledger.open(row["funder"], row["address"])
        self._account = SigningAccount(
            bytes.fromhex(row["private_key"][2:]), row["signature_type"], row["funder"]
        )
        self._salts = itertools.count(1)

    def signed(
        self,
        token: str,
        side: str,
        price: str,
        size: str,
        order_type: str = "GTC",
        *,
        expiration: int = 0,
        post_only: bool = False,
        version: str | None = None,
        contract: str | None = None,
        **changed: Any,
    ) -> dict[str, Any]:
        """The body of POST /order for a limit order: amounts exact."""
        found = server(self.sandbox).exchange.token(token)
        address = contract or exchange_of(int(token), found is not None and found.market.neg_risk)
        money = parse(price) * parse(size) // ONE
        maker, taker = (money, parse(size)) if side == "BUY" else (parse(size), money)
        account = self._account
        order = Order(
            salt=next(self._salts),
            maker=account.funder,
            signer=account.order_signer,
            token_id=int(token),
            maker_amount=maker,
            taker_amount=taker,
            side=BUY if side == "BUY" else SELL,
            signature_type=account.signature_type,
            timestamp=time.time_ns() // MILLISECOND,
        )
        _, signature = sign(order, exchange(version or EXCHANGES[address], address), account.key)
        body = {
            "order": {
                "salt": order.salt,
                "maker": account.funder_text,
                "signer": account.order_signer_text,
                "tokenId": token,
                "makerAmount": str(maker),
                "takerAmount": str(taker),
                "side": side,
                "expiration": str(expiration),
                "signatureType": int(account.signature_type),
                "timestamp": str(order.timestamp),
                "metadata": "0x" + order.metadata.hex(),
                "builder": "0x" + order.builder.hex(),
                "signature": "0x" + signature.hex(),
            },
            "owner": self.row["api_key"],
            "orderType": order_type,
            "deferExec": False,
            "postOnly": post_only,
        }
        body["order"] |= changed
        return body

    async def send(self, method: str, path: str, body: Any = None, at_s: int | None = None) -> httpx.Response:
        """A private request."""
        text = "" if body is None else json.dumps(body, separators=(",", ":"))
        at = str(int(time.time()) if at_s is None else at_s)
        plain = path.partition("?")[0]
        digest = hmac.new(
            base64.urlsafe_b64decode(self.row["secret"]),
            f"{at}{method}{plain}{text}".encode(),
            hashlib.sha256,
        ).digest()
        headers = {
            "POLY_ADDRESS": self.row["address"],
            "POLY_API_KEY": self.row["api_key"],
            "POLY_PASSPHRASE": self.row["passphrase"],
            "POLY_TIMESTAMP": at,
            "POLY_SIGNATURE": base64.urlsafe_b64encode(digest).decode(),
        }
        return await self.http.request(
            method, self.urls["clob"] + path, content=text.encode() if text else None, headers=headers
        )

    async def order(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Place an order that is taken."""
        answer = await self.send("POST", "/order", self.signed(*args, **options))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def refused(self, body: dict[str, Any]) -> tuple[int, str]:
        answer = await self.send("POST", "/order", body)
        return answer.status_code, answer.json()["error"]

    async def get(self, path: str) -> Any:
        answer = await self.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def user_socket(self) -> ClientConnection:
        socket = await connect(self.urls["user_websocket"])
        auth = {
            "apiKey": self.row["api_key"],
            "secret": self.row["secret"],
            "passphrase": self.row["passphrase"],
        }
        await socket.send(json.dumps({"type": "user", "auth": auth}))
        await socket.send("PING")
        assert await socket.recv() == "PONG"
        return socket


@asynccontextmanager
async def standing_still(**options: Any) -> AsyncIterator[Sandbox]:
    """A sandbox whose time passes only when a test says so, and that holds no taker back."""
    quiet = {"seed": 5, "live": False, "start_ns": START_NS, "updates_per_s": 0.3} | options
    async with Sandbox(venues=["polymarket"], **quiet) as sandbox:
        server(sandbox).options.taker_delay_ms = 0.0
        yield sandbox


@asynccontextmanager
async def two_traders(sandbox: Sandbox) -> AsyncIterator[list[Trader]]:
    """Two deposit wallets of different keys."""
    main = sandbox.credentials["polymarket"]
    rows = [row for row in [main, *main["others"]] if row["signature_type"] == 3]
    made = [Trader(sandbox, row) for row in rows]
    yield made
    for trader in made:
        await trader.http.aclose()


def a_market(sandbox: Sandbox, kind: MarketKind = MarketKind.UPDOWN, version: str = "v1") -> SandboxMarket:
    """The open market of a kind that runs longest, emptied of the world's own orders."""
    running = (
        found
        for found in sandbox.world.markets("polymarket")
        if found.kind is kind and found.version == version and found.status is MarketStatus.OPEN
    )
    return silenced(sandbox, max(running, key=lambda found: found.close_ns))


def silenced(sandbox: Sandbox, market: SandboxMarket) -> SandboxMarket:
    """Its maker leaves for good: only the test's own orders are in the book."""
    sandbox.world.makers.stop(market)
    return market


async def frames(socket: ClientConnection, enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Frames until there are enough."""
    seen: list[Any] = []
    async with asyncio.timeout(WAIT_S):
        while not enough(seen):
            message = json.loads(await socket.recv())
            seen += message if isinstance(message, list) else [message]
    return seen


async def pass_s(sandbox: Sandbox, seconds: float) -> None:
    await sandbox.world.advance(sandbox.world.now() + round(seconds * SECOND))
