"""What tests of the Polymarket sandbox share: a trader who signs and sends, and a world that holds still."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2, order_to_json_v2
from py_clob_client_v2.order_utils.model.side import Side
from py_clob_client_v2.signer import Signer
from websockets.asyncio.client import ClientConnection, connect

from proto.feed import MarketStatus
from proto.units import ONE, SECOND, parse
from sandbox.polymarket.contracts import EXCHANGES, exchange_of
from sandbox.polymarket.server import PolymarketServer
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind, SandboxMarket

WAIT_S = 10.0
START_NS = 1_800_000_000 * SECOND
"""A full hour: every window of the world begins then."""


def server(sandbox: Sandbox) -> PolymarketServer:
    found = sandbox.servers["polymarket"]
    assert isinstance(found, PolymarketServer)
    return found


class Trader:
    """A wallet of the sandbox: signs with the official builder, sends with plain HTTP."""

    def __init__(self, sandbox: Sandbox, row: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.row = row
        self.urls = sandbox.urls["polymarket"]
        self.http = httpx.AsyncClient(timeout=WAIT_S)
        self.wallet = server(sandbox).exchange.ledger.open(row["funder"], row["address"])

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
        exchange = contract or exchange_of(int(token), found is not None and found.market.neg_risk)
        money = parse(price) * parse(size) // ONE
        maker, taker = (money, parse(size)) if side == "BUY" else (parse(size), money)
        builder = ExchangeOrderBuilderV2(
            exchange, 137, Signer(self.row["private_key"], 137), domain_version=version or EXCHANGES[exchange]
        )
        kind = self.row["signature_type"]
        order = builder.build_signed_order(
            OrderDataV2(
                maker=self.row["funder"],
                signer=self.row["funder"] if kind == 3 else self.row["address"],
                tokenId=token,
                makerAmount=str(maker),
                takerAmount=str(taker),
                side=Side.BUY if side == "BUY" else Side.SELL,
                signatureType=kind,
                expiration=str(expiration),
            )
        )
        body = order_to_json_v2(order, self.row["api_key"], order_type, post_only)
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
    maker = sandbox.world.lifecycle._makers.pop(market, None)
    if maker is not None:
        maker.leave()
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
