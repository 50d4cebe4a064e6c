"""The frame around the venues' servers, with a small venue of its own: faults, arrivals, admin, command."""

import asyncio
import io
import json
import os
import random
import signal
import socket
import stat
import sys

import aiohttp
import httpx
import pytest
from aiohttp import web
from rich.console import Console

from libs.exchange.matching_types import LimitOrder
from libs.runtime.ports import Reservation
from libs.venues.polymarket import POLYMARKET
from proto.feed import Side
from proto.units import ONE, SECOND
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.server import Sandbox
from sandbox.sockets import ClientSocket
from sandbox.table import overview
from sandbox.venue import VenueServer, arrival_of, fault_of
from sandbox.world.events import TickChanged
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_S, until

START = 1_779_000_000 * SECOND
WHILE_S = 0.05
"""An answer that comes is there within a few milliseconds; on a busy machine this sees less, and fails nobody."""


class EchoServer(VenueServer):
    """Counts what it carries out; one order endpoint, one read, one websocket."""

    venue = POLYMARKET

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.carried_out = []
        self.clients = []
        self.changed = asyncio.Event()

    def routes(self):
        return [
            web.post("/order", self._order),
            web.get("/balance", self._balance),
            web.get("/ws", self._socket),
        ]

    def urls(self, base):
        return {"rest": base, "websocket": base.replace("http", "ws") + "/ws"}

    def credentials(self):
        return {"accounts": [{"key": f"{self.draw.getrandbits(64):x}"}]}

    def refusal(self, action):
        return web.json_response(
            {"error": "no", "kind": action.kind}, status=429 if action.kind == "rate_limit" else 503
        )

    async def _order(self, request):
        document = await request.json()
        arrival_of(request).keys.append(document["id"])
        self.carried_out.append((document["id"], fault_of(request).kind))
        self.changed.set()
        return web.json_response({"ok": document["id"]})

    async def _balance(self, request):
        return web.json_response({"balance": 1})

    async def _socket(self, request):
        client = ClientSocket(self.faults, self.venue, "market_socket")
        await client.open(request)
        self.clients.append(client)
        async for message in client.socket:
            client.reply(message.data)
        await client.close()
        return client.socket


@pytest.fixture
def echo(monkeypatch):
    monkeypatch.setattr("sandbox.registry.server_class", lambda venue: EchoServer)
    monkeypatch.setattr("sandbox.server.server_class", lambda venue: EchoServer)


def sandbox_of(**more):
    return Sandbox(7, [POLYMARKET], start_ns=START, live=False, **more)


async def post(sandbox, order="1"):
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        url = sandbox.urls[POLYMARKET]["rest"] + "/order"
        return await client.post(url, json={"id": order})


async def unanswered(posting):
    """Whether a request still waits a while later; it is given up then."""
    await asyncio.wait({posting}, timeout=WHILE_S)
    waited = not posting.done()
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    return waited


def run(work):
    return asyncio.run(work)


def test_an_order_is_noted_and_answered(echo):
    async def work():
        async with sandbox_of() as sandbox:
            response = await post(sandbox)
            (arrival,) = sandbox.arrivals.of(POLYMARKET, "order")
            assert response.json() == {"ok": "1"}
            assert (arrival.keys, arrival.status, arrival.fault) == (["1"], 200, "")
            assert sandbox.servers[POLYMARKET].carried_out == [("1", None)]

    run(work())


@pytest.mark.parametrize(
    ("rule", "status", "carried_out"),
    [
        (FaultRule(kind=FaultKind.RATE_LIMIT, retry_after_s=3), 429, False),
        (FaultRule(kind=FaultKind.RESTART_WINDOW), 503, False),
        (FaultRule(kind=FaultKind.STATUS, status=502, body="html"), 502, False),
        (FaultRule(kind=FaultKind.STATUS, status=500, body="empty", carried_out=True), 500, True),
        (FaultRule(kind=FaultKind.STATUS, status=200, body="hollow"), 200, False),
        (FaultRule(kind=FaultKind.POST_ONLY), 200, True),
    ],
)
def test_refusals(echo, rule, status, carried_out):
    async def work():
        async with sandbox_of() as sandbox:
            sandbox.faults.set(rule)
            response = await post(sandbox)
            assert response.status_code == status
            assert bool(sandbox.servers[POLYMARKET].carried_out) == carried_out
            assert sandbox.faults.count(rule.kind, POLYMARKET) == 1
            assert sandbox.arrivals.of(POLYMARKET)[0].status == status
            if rule.retry_after_s:
                assert response.headers["Retry-After"] == "3"
            if rule.body == "html":
                assert response.headers["Content-Type"].startswith("text/html")
            if rule.body in ("empty", "hollow"):
                assert response.content == (b"{}" if rule.body == "hollow" else b"")

    run(work())


@pytest.mark.parametrize(
    ("rule", "error", "carried_out"),
    [
        (FaultRule(kind=FaultKind.DROP), None, False),
        (FaultRule(kind=FaultKind.DROP, carried_out=True), None, True),
        (FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT), None, True),
        (FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT, seconds=0.01), httpx.NetworkError, True),
        (FaultRule(kind=FaultKind.RESET_CONNECTION), httpx.NetworkError, False),
        (FaultRule(kind=FaultKind.RESET_CONNECTION, carried_out=True), httpx.NetworkError, True),
    ],
)
def test_no_answer(echo, rule, error, carried_out):
    async def work():
        async with sandbox_of() as sandbox:
            sandbox.faults.set(rule)
            posting = asyncio.create_task(post(sandbox))
            await until(lambda: sandbox.faults.count(rule.kind) == 1)
            if error is None:
                assert await unanswered(posting)
            else:
                with pytest.raises((error, httpx.RemoteProtocolError)):
                    await posting
            assert bool(sandbox.servers[POLYMARKET].carried_out) == carried_out

    run(work())


def test_an_order_appears_late(echo):
    async def work():
        async with sandbox_of() as sandbox:
            server = sandbox.servers[POLYMARKET]
            sandbox.faults.set(FaultRule(kind=FaultKind.APPEAR_LATE, seconds=0.1, count=1))
            posting = asyncio.create_task(post(sandbox))
            await until(lambda: sandbox.faults.count(FaultKind.APPEAR_LATE) == 1)
            assert server.carried_out == []
            await server.changed.wait()
            assert server.carried_out == [("1", FaultKind.APPEAR_LATE)]
            assert await unanswered(posting)

    run(work())


def test_a_delay_holds_the_answer(echo):
    async def work():
        async with sandbox_of() as sandbox:
            sandbox.faults.set(FaultRule(kind=FaultKind.DELAY, seconds=0.1))
            posting = asyncio.create_task(post(sandbox))
            await until(lambda: sandbox.faults.count(FaultKind.DELAY) == 1)
            assert not posting.done()
            assert sandbox.servers[POLYMARKET].carried_out == []
            assert (await posting).status_code == 200

    run(work())


async def connected(sandbox, session):
    socket = await session.ws_connect(sandbox.urls[POLYMARKET]["websocket"])
    await socket.send_str("hello")
    assert (await socket.receive(timeout=60)).data == "hello"
    return socket, sandbox.servers[POLYMARKET].clients[-1]


def test_socket_faults(echo):
    async def work():
        async with sandbox_of() as sandbox, aiohttp.ClientSession() as session:
            socket, client = await connected(sandbox, session)
            sandbox.faults.set(FaultRule(kind=FaultKind.SEQUENCE_GAP, skip=1, count=1))
            for text in ("one", "two", "three"):
                client.send(text)
            assert [(await socket.receive(timeout=60)).data for _ in range(2)] == ["one", "three"]
            sandbox.faults.set(FaultRule(kind=FaultKind.SILENT_SOCKET, count=1))
            client.send("four")
            client.send("five")
            # It looks alive: commands are answered, only data is missing.
            await socket.send_str("still there?")
            assert (await socket.receive(timeout=60)).data == "still there?"
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.05)
            assert client.is_silent
            assert not socket.closed
            other, second = await connected(sandbox, session)
            sandbox.faults.set(FaultRule(kind=FaultKind.CLOSE_SOCKET, count=1))
            second.send("five")
            message = await other.receive(timeout=60)
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            assert other.close_code == 1001

    run(work())


def test_a_client_that_does_not_read_is_cut_off(echo, monkeypatch):
    monkeypatch.setattr("sandbox.sockets.QUEUE_MAX", 50)

    async def work():
        async with sandbox_of() as sandbox, aiohttp.ClientSession() as session:
            socket, client = await connected(sandbox, session)
            for _ in range(60):
                client.send("x" * 1000)
            while (message := await socket.receive(timeout=60)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            assert socket.close_code == 1013

    run(work())


def test_admin_endpoints(echo):
    async def work():
        async with (
            sandbox_of() as sandbox,
            httpx.AsyncClient(base_url=sandbox.urls["admin"]["rest"]) as admin,
        ):
            account = sandbox.accounts.open(POLYMARKET, "ann", 50 * ONE)
            market = next(m for m in sandbox.world.markets(POLYMARKET) if m.accepts_orders)
            sandbox.world.place(
                market,
                LimitOrder(order_id="o", owner="ann", outcome=0, side=Side.BUY, price=10_000, quantity=ONE),
            )
            account.move(market, 1, 3 * ONE, 0)
            state = (await admin.get("/_sandbox/state")).json()
            (shown,) = state["venues"][POLYMARKET]["accounts"]
            assert (shown["cash"], shown["available"]) == (50 * ONE, 50 * ONE - 10_000)
            assert shown["positions"] == [{"market": market.id, "outcome": 1, "quantity": 3 * ONE}]
            assert shown["orders"][0]["order"]["order_id"] == "o"
            assert any(m["id"] == market.id for m in state["venues"][POLYMARKET]["markets"])

            response = await admin.post(
                "/_sandbox/faults", json={"faults": [{"kind": "rate_limit", "count": 1}]}
            )
            assert response.status_code == 200
            assert (await post(sandbox)).status_code == 429
            assert (await post(sandbox)).status_code == 200
            faults = (await admin.get("/_sandbox/faults")).json()
            assert faults["counts"] == [{"venue": POLYMARKET, "kind": "rate_limit", "count": 1}]
            arrivals = (await admin.get("/_sandbox/arrivals", params={"operation": "order"})).json()[
                "arrivals"
            ]
            assert [a["status"] for a in arrivals] == [429, 200]
            assert (await admin.post("/_sandbox/faults", json={"faults": [{"kind": "x"}]})).status_code == 400
            await admin.delete("/_sandbox/faults")
            assert sandbox.faults.rules == ()

            asked = {"venue": POLYMARKET, "market": market.id, "tick": 1_000}
            assert (await admin.post("/_sandbox/tick", json=asked)).status_code == 200
            assert market.tick == 1_000
            asked["market"] = "nowhere"
            assert (await admin.post("/_sandbox/tick", json=asked)).status_code == 404

    run(work())


def test_a_tick_change_by_script(echo):
    async def work():
        async with sandbox_of() as sandbox:
            changed = []
            sandbox.world.subscribe(lambda e: changed.append(e) if isinstance(e, TickChanged) else None)
            market = next(m for m in sandbox.world.markets(POLYMARKET) if m.accepts_orders)
            sandbox.faults.set(
                FaultRule(kind=FaultKind.TICK_SIZE_CHANGE, tick="0.001", market=market.id, count=1)
            )
            await sandbox.world.advance(sandbox.world.at + SECOND)
            assert [c.market for c in changed] == [market]
            assert sandbox.faults.count(FaultKind.TICK_SIZE_CHANGE) == 1

    run(work())


def test_a_live_world_moves_by_itself(echo):
    async def work():
        async with Sandbox(7, [POLYMARKET]) as sandbox:
            moved = asyncio.Event()
            sandbox.world.subscribe(lambda _: moved.set())
            await asyncio.wait_for(moved.wait(), 60)

    run(work())


def test_a_taken_port_is_an_error_and_leaves_nothing_behind(echo):
    async def work():
        async with sandbox_of() as first:
            port = int(first.urls["admin"]["rest"].rpartition(":")[2])
            second = sandbox_of(port_base=port)
            with pytest.raises(OSError, match="address already in use"):
                await second.start()
            await second.stop()

    run(work())


def test_reserved_ports_stay_its_own_while_it_is_away(echo):
    def take(port: int) -> None:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))

    async def work() -> None:
        held = Reservation(6)
        first = None
        try:
            for _ in range(2):
                # Nobody can have them, and whoever asks there is refused at once.
                with pytest.raises(OSError, match="in use"):
                    take(held.base)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", held.base)
                async with sandbox_of(port_base=held.base, ports_reserved=True) as sandbox:
                    assert sandbox.urls["admin"]["rest"] == f"http://127.0.0.1:{held.base}"
                    assert first in (None, sandbox.urls), "expected the same addresses again"
                    first = sandbox.urls
                    async with httpx.AsyncClient(base_url=first["admin"]["rest"]) as client:
                        assert (await client.get("/_sandbox/state")).status_code == 200
        finally:
            held.release()
        take(held.base)

    run(work())


def test_two_reservations_never_share_a_port(monkeypatch):
    anywhere = random.randrange
    first = Reservation(6)
    wanted = [first.base, first.base + 5]
    monkeypatch.setattr(random, "randrange", lambda *given: wanted.pop() if wanted else anywhere(*given))
    second = Reservation(6)
    assert abs(first.base - second.base) >= 6
    for held in (first, second):
        held.release()


def test_the_table_shows_markets_and_faults(echo):
    sandbox = sandbox_of()
    sandbox.faults.set(FaultRule(kind=FaultKind.DROP))
    sandbox.faults.pick(POLYMARKET, "order")
    shown = io.StringIO()
    Console(file=shown, width=160).print(overview(sandbox))
    text = shown.getvalue()
    for market in sandbox.world.markets(POLYMARKET):
        assert market.slug[:40] in text
    assert "polymarket drop 1" in text
    assert "binance" in text


def test_the_same_seed_has_the_same_credentials(echo):
    assert sandbox_of().credentials == sandbox_of().credentials
    assert Sandbox(8, [POLYMARKET], live=False).credentials != sandbox_of().credentials


def test_the_command_serves_until_told_to_end(tmp_path):
    async def work():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox", "--venue", "binance", "--json", "--state", str(tmp_path)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            document = json.loads(await asyncio.wait_for(process.stdout.readline(), 150))
            async with httpx.AsyncClient() as client:
                response = await client.get(document["urls"]["binance"]["rest"] + "/api/v3/time")
            assert response.status_code == 200
            path = tmp_path / "sandbox" / "urls.json"
            assert json.loads(path.read_text()) == document
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 120) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    run(work())
