"""Bodies and frames of the Polymarket sandbox beside recorded ones: the same fields, of the same kinds."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from sandbox.world.markets import MarketKind
from tests.integration.polymarket.trader import a_market, frames, pass_s, standing_still
from tests.support.captures import clob_bodies


def shape(value: Any) -> Any:
    """Fields and kinds of a body; numbers are one kind, and of a list its first element counts."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else "text"


def differences(real: Any, ours: Any, path: str = "") -> list[str]:
    """Fields of a recorded body that ours lacks, or has as another kind; "" and null stand for anything."""
    if "NoneType" in (real, ours) or real == [] or ours == []:
        return []
    if isinstance(real, dict) and isinstance(ours, dict):
        found = [f"{path}/{name} is missing" for name in real if name not in ours]
        for name in real.keys() & ours.keys():
            found += differences(real[name], ours[name], f"{path}/{name}")
        return found
    if isinstance(real, list) and isinstance(ours, list):
        return differences(real[0], ours[0], path + "[]")
    return [] if real == ours else [f"{path} is {ours}, recorded {real}"]


def recorded(folder: Path, name: str) -> Any:
    return json.loads((folder / "polymarket" / "nautilus_rest_ws" / name).read_text())


@pytest.mark.recorded
@pytest.mark.asyncio
async def test_bodies_have_the_recorded_shapes(quiet, traders, recordings):
    maker, taker = traders
    market = a_market(quiet)
    up, down = market.tokens
    await maker.order(down, "BUY", "0.6", "10")
    socket = await taker.user_socket()
    matched = await taker.order(up, "BUY", "0.4", "10", "GTC")
    resting = await taker.order(up, "BUY", "0.2", "10")
    canceled = await taker.send("DELETE", "/order", {"orderID": resting["orderID"]})
    await pass_s(quiet, 5)
    events = await frames(socket, lambda rows: any(row.get("status") == "CONFIRMED" for row in rows))
    await socket.close()
    await taker.order(up, "BUY", "0.2", "10")
    urls = taker.urls

    async def fetched(url: str, **query: str) -> Any:
        return (await taker.http.get(url, params=query)).json()

    gamma = recordings / "polymarket" / "btc5m_2026-07-24"
    with gzip.open(next(gamma.glob("*.jsonl.gz")), "rt") as lines:
        gamma_market = json.loads(lines.readline())["raw"]
    for name in ("closedTime", "umaEndDate", "umaResolutionStatus"):
        del gamma_market[name]
    event = recorded(recordings, "crates_test_data/gamma_event.json")[0]
    event["markets"] = [gamma_market]
    for name in ("negRiskMarketID", "sortBy", "gmpChartMode", "countryName", "electionType"):
        del event[name]
    for name in ("estimateValue", "cumulativeMarkets", "deployingTimestamp"):
        del event[name]

    pairs = {
        "gamma market": (gamma_market, await fetched(f"{urls['gamma']}/markets/slug/{market.slug}")),
        "clob market": (
            recorded(recordings, "crates_test_data/clob_market_closed_binary_accepting_true.json"),
            await fetched(f"{urls['clob']}/markets/{market.id}"),
        ),
        "open order": (
            recorded(recordings, "crates_test_data/http_open_orders_page.json"),
            await taker.get("/data/orders"),
        ),
        "trades": (
            recorded(recordings, "crates_test_data/http_trades_page.json"),
            await taker.get("/data/trades"),
        ),
        "trade": (
            recorded(recordings, "integration_ws/trades.json"),
            (await taker.get("/data/trades"))["data"][0],
        ),
        "cancel": (recorded(recordings, "crates_test_data/http_cancel_response_ok.json"), canceled.json()),
        "placed": (recorded(recordings, "crates_test_data/http_order_response_ok.json"), matched),
        "positions": (
            recorded(recordings, "crates_test_data/data_api_positions_response.json"),
            await fetched(f"{urls['data']}/positions", user=taker.row["funder"]),
        ),
        "data trades": (
            recorded(recordings, "crates_test_data/data_api_trades_response.json"),
            await fetched(f"{urls['data']}/trades", market=market.id),
        ),
        "user trade": (
            recorded(recordings, "integration_ws/user_trade2.json"),
            next(row for row in events if row["event_type"] == "trade"),
        ),
        "user order": (
            recorded(recordings, "integration_ws/order_placement.json"),
            next(row for row in events if row["event_type"] == "order"),
        ),
        "user cancel": (
            recorded(recordings, "integration_ws/order_cancel.json"),
            next(row for row in events if row.get("type") == "CANCELLATION"),
        ),
    }
    found = {name: differences(shape(real), shape(ours)) for name, (real, ours) in pairs.items()}
    assert {name: rows for name, rows in found.items() if rows} == {}
    order = ["market", "asset_id", "timestamp", "hash", "bids", "asks"]
    book = await fetched(f"{urls['clob']}/book", token_id=up)
    assert list(book)[:6] == order


@pytest.mark.recorded
@pytest.mark.asyncio
async def test_frames_have_the_recorded_fields_in_their_order(recordings):
    real = captured(recordings)
    async with standing_still(time_scale=30, updates_per_s=1.0) as sandbox:
        market = next(m for m in sandbox.world.markets("polymarket") if m.kind is MarketKind.UPDOWN)
        async with connect(sandbox.urls["polymarket"]["market_websocket"]) as socket:
            ask = {"type": "market", "assets_ids": list(market.tokens), "custom_feature_enabled": True}
            await socket.send(json.dumps(ask))
            seen = await frames(socket, bool)
            await pass_s(sandbox, 25)
            wanted = {"price_change", "new_market", "best_bid_ask", "market_resolved"}
            seen += await frames(socket, lambda rows: wanted <= {row["event_type"] for row in rows})
    ours = {
        row["event_type"]: row for row in seen if row["event_type"] != "new_market" or row["fees_enabled"]
    }
    for kind in ("book", "price_change", "new_market"):
        assert list(ours[kind]) == list(real[kind]), kind
        assert differences(shape(real[kind]), shape(ours[kind])) == []
    for kind, name in (("best_bid_ask", "best_bid_ask_msg"), ("market_resolved", "resolved_msg")):
        body = recorded(recordings, f"crates_test_data/ws_market_{name}.json")
        assert differences(shape(body), shape(ours[kind])) == []


def captured(folder: Path) -> dict[str, Any]:
    """One recorded frame of each kind that the captures have."""
    found: dict[str, Any] = {}
    for body in clob_bodies(folder):
        if "event_type" in body and not (body["event_type"] == "book" and not body["bids"]):
            found.setdefault(body["event_type"], body)
    return found
