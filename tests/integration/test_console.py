"""The console of a running system over its socket: as a program, and as an attacker."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from proto.operator import Verb
from services.console.accounts import FIRST_USER
from services.console.socket import LOGGED_OUT
from tests.support.console_system import Console, consoled
from tests.support.harness import kill

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.asyncio
async def test_the_console_of_a_running_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with consoled(tmp_path / "state", monkeypatch) as console:
        cookie = await speaks_as_a_program(console)
        await refuses_forged_sockets(console, cookie)
        await follows_by_socket(console, cookie)
        await halts_by_command(console)
        await goes_on_after_a_kill(console, cookie)


async def speaks_as_a_program(console: Console) -> str:
    """REST from outside: logged in, it answers; the cookie, which is then spent elsewhere."""
    async with httpx.AsyncClient(base_url=console.base, trust_env=False, timeout=60.0) as client:
        assert (await client.get("/api/v1/status")).status_code == 401
        credentials = {"user": FIRST_USER, "password": console.password}
        assert (await client.post("/api/v1/login", json=credentials)).status_code == 200
        status = (await client.get("/api/v1/status")).json()
        assert (status["money"], status["broker"], status["caught_up"]) == ("paper", "up", True)
        document = (await client.get("/api/v1/openapi.json")).json()
        for path in ("status", "positions", "orders", "fills", "trades", "decisions", "markets", "forecasts",
                     "performance", "config", "alerts", "commands", "journal", "eval", "settings"):  # fmt: skip
            assert f"/api/v1/{path}" in document["paths"], path
            assert (await client.get(f"/api/v1/{path}")).status_code == 200, path
        found = (await client.get("/api/v1/decisions")).json()["items"]
        if found:
            chain = (await client.get(f"/api/v1/why/{found[0]['seq']}")).json()
            assert any(step["role"] == "asked for" for step in chain)
        return client.cookies["presage"]


async def refuses_forged_sockets(console: Console, cookie: str) -> None:
    """A page of another origin gets no socket, although the browser would send the cookie with it."""
    url = console.base.replace("http", "ws") + "/api/v1/live"
    logged_in = {"Cookie": f"presage={cookie}"}
    for origin in (None, "https://evil.example", "null", console.base.replace("127.0.0.1", "localhost.evil")):
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(
                url,
                origin=None if origin is None else Origin(origin),
                additional_headers=logged_in,
                proxy=None,
            )
        assert refused.value.response.status_code == 403
    for headers in ({}, {"Cookie": "presage=x.y"}):
        async with websockets.connect(
            url, origin=Origin(console.base), additional_headers=headers, proxy=None
        ) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == LOGGED_OUT
    for first in ("x", "[]", '{"tables": 1}', "x" * 2_000):
        async with websockets.connect(
            url, origin=Origin(console.base), additional_headers=logged_in, proxy=None
        ) as socket:
            await socket.send(first)
            with pytest.raises(ConnectionClosed):
                await socket.recv()


async def follows_by_socket(console: Console, cookie: str) -> None:
    """A snapshot first, then changes numbered one by one."""
    url = console.base.replace("http", "ws") + "/api/v1/live"
    headers = {"Cookie": f"presage={cookie}"}
    async with websockets.connect(
        url, origin=Origin(console.base), additional_headers=headers, proxy=None
    ) as socket:
        await socket.send(json.dumps({"tables": ["orders", "decisions"]}))
        frames: list[dict[str, Any]] = [json.loads(await socket.recv()) for _ in range(5)]
        assert [frame["type"] for frame in frames] == ["snapshot", *["delta"] * 4]
        assert [frame["n"] for frame in frames] == list(range(5))
        assert set(frames[0]["tables"]) == {"orders", "decisions"}


async def halts_by_command(console: Console) -> None:
    """A halt answers with what the tape says; a resume without the password does nothing."""
    async with httpx.AsyncClient(base_url=console.base, trust_env=False, timeout=90.0) as client:
        credentials = {"user": FIRST_USER, "password": console.password}
        token = (await client.post("/api/v1/login", json=credentials)).json()["csrf"]
        client.headers["X-CSRF-Token"] = token
        halted = (await client.post("/api/v1/commands", json={"verb": "halt"})).json()
        assert "halted" in halted["text"]
        assert console.commands(Verb.HALT) == 1
        assert console.system.installation.layout.halt_file.exists()
        wrong = {"verb": "resume", "password": "not the password"}
        assert (await client.post("/api/v1/commands", json=wrong)).status_code == 403
        right = {"verb": "resume", "password": console.password}
        assert "resumed" in (await client.post("/api/v1/commands", json=right)).json()["text"]
        assert console.commands(Verb.RESUME) == 1
        assert not console.system.installation.layout.halt_file.exists()


async def goes_on_after_a_kill(console: Console, cookie: str) -> None:
    """Killed while a browser listens: the address and the session are the same afterwards, and a snapshot comes."""
    url = console.base.replace("http", "ws") + "/api/v1/live"
    headers = {"Cookie": f"presage={cookie}"}
    origin = Origin(console.base)
    async with websockets.connect(url, origin=origin, additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps({"tables": ["orders"]}))
        await socket.recv()
        kill(console.system, "console")
        with pytest.raises(ConnectionClosed):
            await _read_on(socket)
    async with websockets.connect(
        url, origin=origin, additional_headers=headers, proxy=None, open_timeout=90.0
    ) as socket:
        await socket.send(json.dumps({"tables": ["orders"]}))
        assert json.loads(await socket.recv())["type"] == "snapshot"


async def _read_on(socket: websockets.ClientConnection) -> None:
    while True:
        await socket.recv()
