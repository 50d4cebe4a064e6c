"""The Kalshi sandbox's websocket: commands, numbers of a subscription, pings."""

import json

import pytest

from tests.integration.kalshi.plain_client import ask, frame, frames_until, socket
from tests.integration.kalshi.rig import venue
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio


async def test_numbers_of_a_subscription_are_whole_over_all_its_frames() -> None:
    async with venue() as v, socket(v) as line:
        market = v.market
        other = next(m for m in v.sandbox.world.markets("kalshi") if m.series == "KXBTC1H")
        channels = ["orderbook_delta", "ticker", "trade"]
        await ask(line, "subscribe", 5, channels=channels, market_tickers=[market.id])
        replies = [await frame(line) for _ in range(4)]
        told = [r for r in replies if r["type"] == "subscribed"]
        assert [(r["id"], r["msg"]["channel"], r["msg"]["sid"]) for r in told] == [
            (5, channel, sid) for sid, channel in enumerate(channels, 1)
        ]
        [snapshot] = [r for r in replies if r["type"] == "orderbook_snapshot"]
        assert (snapshot["sid"], snapshot["seq"]) == (1, 1)
        await v.advance(3)
        await ask(line, "update_subscription", 6, sids=[1], market_tickers=[other.id], action="add_markets")
        seen = await frames_until(line, "ok")
        assert seen[-1]["id"] == 6
        added = await frame(line)
        assert (added["type"], added["msg"]["market_ticker"]) == ("orderbook_snapshot", other.id)
        await v.advance(3)
        await ask(line, "update_subscription", 7, sids=[1], market_tickers=[market.id], action="get_snapshot")
        seen += [added, *await frames_until(line, "orderbook_snapshot")]
        await ask(line, "unsubscribe", 8, sids=[1])
        seen += await frames_until(line, "unsubscribed")
        numbered = [f["seq"] for f in [snapshot, *seen] if f.get("sid") == 1]
        assert numbered == list(range(1, len(numbered) + 1))
        assert len(numbered) > 20
        assert all("seq" not in f for f in seen if f["type"] in ("ticker", "trade"))
        assert {"ticker", "trade"} <= {f["type"] for f in seen}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("nonsense", 1),
        ({"cmd": "subscribe", "params": {}}, 3),
        ({"cmd": "unsubscribe", "params": {}}, 4),
        ({"cmd": "dance", "params": {}}, 5),
        ({"cmd": "unsubscribe", "params": {"sids": [99]}}, 7),
        ({"cmd": "subscribe", "params": {"channels": ["weather"]}}, 8),
        ({"cmd": "update_subscription", "params": {"sids": [1, 2]}}, 12),
        ({"cmd": "subscribe", "params": {"channels": ["orderbook_delta"]}}, 14),
        ({"cmd": "subscribe", "params": {"channels": ["trade"], "market_tickers": ["NONE"]}}, 16),
    ],
)
async def test_wrong_commands_are_refused_by_number(command, code) -> None:
    async with venue() as v, socket(v) as line:
        await line.send(command if isinstance(command, str) else json.dumps({"id": 3, **command}))
        refused = await frame(line)
        assert refused["type"] == "error"
        assert refused["msg"]["code"] == code


async def test_channel_twice_is_already_subscribed() -> None:
    async with venue() as v, socket(v) as line:
        await ask(line, "subscribe", channels=["fill"])
        assert (await frame(line))["type"] == "subscribed"
        await ask(line, "subscribe", 2, channels=["fill"])
        assert (await frame(line))["msg"] == {"code": 6, "msg": "Already subscribed"}


async def test_server_pings_with_the_venues_body(monkeypatch) -> None:
    monkeypatch.setattr("sandbox.kalshi.stream.PING_EVERY_S", 0.05)
    async with venue() as v, socket(v) as line:
        pings: list[bytes] = []
        original = line.protocol.recv_frame

        def note(received) -> None:
            if received.opcode.name == "PING":
                pings.append(bytes(received.data))
            original(received)

        line.protocol.recv_frame = note
        await until(lambda: len(pings) >= 2)
        assert set(pings) == {b"heartbeat"}


async def test_no_levels_in_yes_prices_when_asked_for() -> None:
    async with venue() as v, socket(v) as own, socket(v) as turned:
        params = {"channels": ["orderbook_delta"], "market_tickers": [v.market.id]}
        await ask(own, "subscribe", **params)
        await ask(turned, "subscribe", **params, use_yes_price=True)
        books = [(await frames_until(line, "orderbook_snapshot"))[-1]["msg"] for line in (own, turned)]
        mirrored = {f"{1 - float(price):.4f}" for price, _ in books[0]["no_dollars_fp"]}
        assert mirrored == {price for price, _ in books[1]["no_dollars_fp"]}
        assert books[0]["yes_dollars_fp"] == books[1]["yes_dollars_fp"]
