"""What py-clob-client-v2 does at the sandbox. Each function is told the venue's addresses and an account."""

import json
import logging
from typing import Any

import httpx
from py_clob_client_v2 import ClobClient
from py_clob_client_v2.clob_types import (
    MarketOrderArgsV2,
    OrderArgsV2,
    OrderMarketCancelParams,
    OrderPayload,
    OrderType,
    PostOrdersV2Args,
)
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.http_helpers import helpers

logging.getLogger("py_clob_client_v2").setLevel(logging.CRITICAL)


def _client(urls: dict[str, str], account: dict[str, Any]) -> ClobClient:
    # One pool serves the whole process; its connections are to the sandbox of the call before.
    helpers._http_client.close()
    helpers._http_client = httpx.Client(http2=True)
    client = ClobClient(
        urls["clob"],
        137,
        key=account["private_key"],
        signature_type=account["signature_type"],
        funder=account["funder"],
    )
    client.set_api_creds(client.derive_api_key())
    return client


def _token(urls: dict[str, str], word: str = "updown-15m") -> str:
    rows = httpx.get(urls["gamma"] + "/markets", params={"closed": "false"}).json()
    found = max((row for row in rows if word in row["slug"]), key=lambda row: row["endDate"])
    return str(json.loads(found["positionIds" if found["version"] == "v2" else "clobTokenIds"])[0])


def _buy(token: str, price: float, size: float = 10) -> OrderArgsV2:
    return OrderArgsV2(token_id=token, price=price, size=size, side="BUY")


def trade(urls: dict[str, str], account: dict[str, Any]) -> dict[str, Any]:
    """Read a book, let an order rest and cancel it, take some, and cross a book that must not be crossed."""
    client = _client(urls, account)
    token = _token(urls)
    book = client.get_order_book(token)
    told: dict[str, Any] = {
        "ok": client.get_ok(),
        "book_hash": book["hash"],
        "book_hash_computed": client.get_order_book_hash(dict(book)),
        "resting": client.create_and_post_order(_buy(token, 0.03)),
        "open": client.get_open_orders(),
    }
    told["canceled"] = client.cancel_order(OrderPayload(orderID=told["resting"]["orderID"]))
    told["taken"] = client.create_and_post_market_order(
        MarketOrderArgsV2(token_id=token, amount=20, side="BUY", order_type=OrderType.FAK),
        order_type=OrderType.FAK,
    )
    told["trades"] = client.get_trades()
    try:
        client.create_and_post_order(_buy(token, 0.99), post_only=True)
    except PolyApiException as e:
        told["refused"] = str(e)
    return told


def cancel_batches(urls: dict[str, str], account: dict[str, Any]) -> dict[str, Any]:
    """Send a batch, cancel by market and all, and beat three times, the last time with an unknown id."""
    client = _client(urls, account)
    token = _token(urls)
    batch = [
        PostOrdersV2Args(order=client.create_order(_buy(token, price)), orderType=OrderType.GTC)
        for price in (0.02, 0.03, 0.04)
    ]
    told: dict[str, Any] = {"placed": client.post_orders(batch)}
    market = client.get_open_orders()[0]["market"]
    told["canceled"] = client.cancel_market_orders(OrderMarketCancelParams(market=market))
    told["nothing_left"] = client.cancel_all()
    first = client.post_heartbeat("")["heartbeat_id"]
    told["beats"] = [first, client.post_heartbeat(first)["heartbeat_id"]]
    try:
        client.post_heartbeat("not-this-one")
    except PolyApiException as e:
        told["refused"] = str(e)
    return told


def place(urls: dict[str, str], account: dict[str, Any], size: float) -> str:
    """Let an order rest; the answer is its id."""
    return str(_client(urls, account).create_and_post_order(_buy(_token(urls), 0.02, size))["orderID"])
