"""Manifold's protocol as the sandbox speaks it: the pool, limit orders first, keys, topics and ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from sandbox.manifold.server import ManifoldServer
from sandbox.server import Sandbox

START_NS = 1_800_000_000 * 10**9


class Client:
    """REST as a user of the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.AsyncClient(base_url=sandbox.urls["manifold"]["rest"] + "/")
        main = sandbox.credentials["manifold"]
        self.keys = {row["name"]: row["api_key"] for row in [main, *main["others"]]}

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    async def post(self, path: str, body: Any, user: str = "trader", status: int = 200) -> Any:
        headers = {"Authorization": f"Key {self.keys[user]}"}
        answer = await self.http.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def me(self, user: str = "trader") -> Any:
        headers = {"Authorization": f"Key {self.keys[user]}"}
        return (await self.http.get("me", headers=headers)).json()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    """Time stands still unless a test lets it pass: the house bets only then."""
    async with Sandbox(seed=3, venues=["manifold"], live=False, start_ns=START_NS) as sandbox:
        made = Client(sandbox)
        yield made
        await made.http.aclose()


async def a_market(client: Client) -> str:
    rows = await client.get("search-markets", term="bitcoin", filter="open", contractType="BINARY")
    return str(max(rows, key=lambda row: row["closeTime"])["id"])


@pytest.mark.asyncio
async def test_markets_are_listed_found_and_shown(client):
    rows = await client.get("markets", limit=3)
    assert len(rows) == 3
    following = await client.get("markets", limit=3, before=rows[-1]["id"])
    assert not {row["id"] for row in rows} & {row["id"] for row in following}
    row = rows[0]
    assert (row["outcomeType"], row["mechanism"], row["token"]) == ("BINARY", "cpmm-1", "MANA")
    assert (await client.get(f"market/{row['id']}"))["question"] == row["question"]
    assert (await client.get(f"slug/{row['slug']}"))["id"] == row["id"]
    assert await client.get(f"market/{row['id']}/prob") == {"prob": row["probability"]}
    assert await client.get("market-probs", ids=row["id"]) == {row["id"]: {"prob": row["probability"]}}


@pytest.mark.asyncio
async def test_a_bet_moves_the_pool_along_its_curve(client):
    market = await a_market(client)
    before = await client.get(f"market/{market}")
    bet = await client.post("bet", {"contractId": market, "amount": 100, "outcome": "YES"})
    after = await client.get(f"market/{market}")
    assert bet["isFilled"]
    assert bet["probAfter"] == after["probability"] > before["probability"]

    def constant(row: Any) -> float:
        return float(row["pool"]["YES"] ** row["p"] * row["pool"]["NO"] ** (1 - row["p"]))

    assert constant(after) == pytest.approx(constant(before))
    # Every share and every mana is somewhere: in the pool or with the bettor.
    assert after["pool"]["NO"] == pytest.approx(before["pool"]["NO"] + 100)
    assert after["pool"]["YES"] == pytest.approx(before["pool"]["YES"] + 100 - bet["shares"])
    assert (await client.me())["balance"] == pytest.approx(9_900)
    position = (await client.get(f"market/{market}/positions"))[0]
    assert position["totalShares"] == {"YES": pytest.approx(bet["shares"])}


@pytest.mark.asyncio
async def test_limit_orders_come_first_at_their_price(client):
    market = await a_market(client)
    price = round((await client.get(f"market/{market}/prob"))["prob"] + 0.05, 2)
    resting = await client.post(
        "bet", {"contractId": market, "amount": 40, "outcome": "NO", "limitProb": price}, user="other"
    )
    assert (resting["isFilled"], resting["amount"]) == (False, 0)
    assert [row["id"] for row in await client.get("bets", contractId=market, kinds="open-limit")] == [
        resting["id"]
    ]
    taken = await client.post("bet", {"contractId": market, "amount": 500, "outcome": "YES"})
    met = [fill for fill in taken["fills"] if fill["matchedBetId"]]
    assert [fill["matchedBetId"] for fill in met] == [resting["id"]]
    assert met[0]["amount"] / met[0]["shares"] == pytest.approx(price)
    filled = next(row for row in await client.get("bets", contractId=market) if row["id"] == resting["id"])
    assert filled["isFilled"]
    assert filled["shares"] == pytest.approx(met[0]["shares"])
    assert filled["amount"] == pytest.approx(40)


@pytest.mark.asyncio
async def test_a_limit_bounds_the_bet_and_a_cancel_ends_it(client):
    market = await a_market(client)
    before = (await client.get(f"market/{market}/prob"))["prob"]
    limit = round(before + 0.02, 2)
    bet = await client.post(
        "bet", {"contractId": market, "amount": 5000, "outcome": "YES", "limitProb": limit}
    )
    assert not bet["isFilled"]
    assert bet["probAfter"] == pytest.approx(limit)
    canceled = await client.post(f"bet/cancel/{bet['id']}", {})
    assert canceled["isCancelled"]
    assert await client.get("bets", contractId=market, kinds="open-limit") == []
    await client.post(f"bet/cancel/{bet['id']}", {}, status=403)
    await client.post(f"bet/cancel/{bet['id']}", {}, user="other", status=403)
    await client.post("bet/cancel/nothing", {}, status=404)


@pytest.mark.asyncio
async def test_selling_is_buying_the_other_side_and_redeeming(client):
    market = await a_market(client)
    bet = await client.post("bet", {"contractId": market, "amount": 100, "outcome": "YES"})
    await client.post(f"market/{market}/sell", {"outcome": "YES", "shares": bet["shares"] / 2})
    position = (await client.get(f"market/{market}/positions"))[0]
    assert position["totalShares"]["YES"] == pytest.approx(bet["shares"] / 2)
    await client.post(f"market/{market}/sell", {"outcome": "YES"})
    # A round trip on a quiet curve costs nothing.
    assert (await client.me())["balance"] == pytest.approx(10_000, abs=1e-6)
    await client.post(f"market/{market}/sell", {"outcome": "YES", "shares": 1}, status=400)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("resolution", "paid"),
    [
        ({"outcome": "YES"}, lambda shares: shares),
        ({"outcome": "NO"}, lambda _: 0),
        ({"outcome": "MKT", "probabilityInt": 40}, lambda shares: 0.4 * shares),
        ({"outcome": "CANCEL"}, lambda _: 100),
    ],
)
async def test_each_resolution_pays_what_it_should(client, resolution, paid):
    market = await a_market(client)
    bet = await client.post("bet", {"contractId": market, "amount": 100, "outcome": "YES"})
    await client.post(f"market/{market}/resolve", resolution, status=403)
    row = await client.post(f"market/{market}/resolve", resolution, user="house")
    assert (row["isResolved"], row["resolution"]) == (True, resolution["outcome"])
    assert (await client.me())["balance"] == pytest.approx(9_900 + paid(bet["shares"]))
    refused = await client.post("bet", {"contractId": market, "amount": 1, "outcome": "NO"}, status=403)
    assert refused == {"message": "Trading is closed."}


@pytest.mark.asyncio
async def test_refusals_have_a_message_and_change_nothing(client):
    market = await a_market(client)
    answer = await client.http.post("bet", json={"contractId": market, "amount": 1})
    assert answer.status_code == 401
    assert set(answer.json()) == {"message"}
    await client.post("bet", {"contractId": "none", "amount": 1}, status=404)
    await client.post("bet", {"contractId": market, "amount": -1}, status=400)
    await client.post("bet", {"contractId": market, "amount": 1, "limitProb": 0.555}, status=400)
    await client.post("bet", {"contractId": market, "amount": 1, "outcome": "MAYBE"}, status=400)
    await client.post("bet", {"contractId": market, "amount": 1e6}, status=403)
    dry = await client.post("bet", {"contractId": market, "amount": 50, "dryRun": True})
    assert dry["shares"] > 50
    assert await client.get("bets", contractId=market) == []
    assert (await client.me())["balance"] == 10_000


@pytest.mark.asyncio
async def test_topics_tell_of_bets_orders_and_ends(client):
    market = await a_market(client)
    async with connect(client.sandbox.urls["manifold"]["websocket"]) as socket, asyncio.timeout(60):
        topics = [f"contract/{market}/new-bet", f"contract/{market}/orders", f"contract/{market}"]
        await socket.send(json.dumps({"type": "subscribe", "txid": 1, "topics": topics}))
        assert json.loads(await socket.recv()) == {"type": "ack", "txid": 1, "success": True}
        await socket.send(json.dumps({"type": "ping", "txid": 2}))
        assert json.loads(await socket.recv()) == {"type": "ack", "txid": 2, "success": True}
        bet = await client.post(
            "bet", {"contractId": market, "amount": 5, "outcome": "NO", "limitProb": 0.97}
        )
        told = [json.loads(await socket.recv()) for _ in range(2)]
        assert [frame["topic"] for frame in told] == topics[:2]
        assert all(frame["data"]["bets"][0]["id"] == bet["id"] for frame in told)
        await client.post(f"bet/cancel/{bet['id']}", {})
        assert json.loads(await socket.recv())["data"]["bets"][0]["isCancelled"]
        await client.post(f"market/{market}/resolve", {"outcome": "NO"}, user="house")
        assert json.loads(await socket.recv())["data"]["contract"]["resolution"] == "NO"
        await socket.send("nonsense")
        assert json.loads(await socket.recv())["success"] is False


@pytest.mark.asyncio
async def test_who_says_nothing_is_dropped(client):
    server = client.sandbox.servers["manifold"]
    assert isinstance(server, ManifoldServer)
    server.topics.silence_s = 0.1
    async with connect(client.sandbox.urls["manifold"]["websocket"]) as socket, asyncio.timeout(60):
        await socket.wait_closed()
    assert socket.close_code == 1008


@pytest.mark.asyncio
async def test_the_house_bets_and_the_world_resolves():
    async with Sandbox(seed=3, venues=["manifold"], live=False, start_ns=START_NS, time_scale=30) as sandbox:
        client = Client(sandbox)
        rows = await client.get("markets")
        first = min(rows, key=lambda row: row["closeTime"])["id"]
        bet = await client.post("bet", {"contractId": first, "amount": 10, "outcome": "YES"})
        await sandbox.world.advance(START_NS + 60 * 10**9)
        row = await client.get(f"market/{first}")
        assert row["isResolved"]
        assert row["resolution"] in ("YES", "NO", "MKT")
        share = {"YES": 1.0, "NO": 0.0, "MKT": 0.5}[row["resolution"]]
        assert (await client.me())["balance"] == pytest.approx(9_990 + share * bet["shares"])
        bets = await client.get("bets")
        assert len({row["userId"] for row in bets}) == 2
        await client.http.aclose()
