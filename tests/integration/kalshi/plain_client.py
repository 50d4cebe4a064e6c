"""Any other client of the Kalshi sandbox: plain requests and a plain websocket, of no library of ours."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import connect

from libs.venues.kalshi.auth import RequestSigner
from tests.integration.kalshi.rig import WAIT_S, Venue


@asynccontextmanager
async def http(v: Venue):
    """Plain requests, signed when asked for: what any other client would send."""
    base = v.sandbox.urls["kalshi"]["rest"]
    signer = RequestSigner(v.credentials)

    async with httpx.AsyncClient(trust_env=False) as client:

        async def request(method: str, path: str, *, signed: bool = False, **more: Any) -> httpx.Response:
            headers = signer.headers(method, base + path) if signed else {}
            return await client.request(method, base + path, headers=headers, **more)

        yield request


@asynccontextmanager
async def socket(v: Venue, **headers: str):
    """A websocket of any other client."""
    url = v.sandbox.urls["kalshi"]["websocket"]
    signed = headers or RequestSigner(v.credentials).headers("GET", url)
    async with connect(url, additional_headers=signed, proxy=None, compression=None, max_queue=None) as line:
        yield line


async def ask(line, command: str, number: int = 1, **params: Any) -> None:
    await line.send(json.dumps({"id": number, "cmd": command, "params": params}))


async def frame(line) -> dict[str, Any]:
    text = await asyncio.wait_for(line.recv(), WAIT_S)
    assert text.endswith("\n")
    return json.loads(text)


async def frames_until(line, kind: str) -> list[dict[str, Any]]:
    seen = [await frame(line)]
    while seen[-1]["type"] != kind:
        seen.append(await frame(line))
    return seen
