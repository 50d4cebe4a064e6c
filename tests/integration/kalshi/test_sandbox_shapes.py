"""Bodies and frames of the Kalshi sandbox beside recorded ones: the same fields, of the same kinds."""

import gzip
import json
from typing import Any

import pytest

from tests.integration.kalshi.plain_client import ask, frame, frames_until, http, socket
from tests.integration.kalshi.rig import venue

pytestmark = pytest.mark.asyncio


# Sports have a structured strike, ours are numbers; some kinds of markets have a subtitle.
OPTIONAL = frozenset({"custom_strike", "subtitle"})
PER_SERIES = frozenset({"scope", "competition", "competition_scope"})


def shape(value: Any) -> Any:
    """What a body looks like: names and kinds of values, numbers within strings told from words."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        number = value.lstrip("-").replace(".", "", 1).isdigit()
        return "number" if number and "." in value else "text"
    return type(value).__name__


def assert_same_shape(ours: Any, real: Any, optional: frozenset[str] = frozenset(), path: str = "") -> None:
    """Every field of the real body is in ours, of its kind. ``optional``: what only some real ones have."""
    if isinstance(real, dict):
        assert isinstance(ours, dict), path
        missing = set(real) - set(ours) - optional
        assert not missing, f"{path}: missing {sorted(missing)}"
        for key in real.keys() & ours.keys():
            assert_same_shape(ours[key], real[key], optional, f"{path}.{key}")
    elif isinstance(real, list):
        assert isinstance(ours, list), path
        if ours and real:
            assert_same_shape(ours[0], real[0], optional, f"{path}[]")
    elif ours != "NoneType" != real:
        kinds = {"int", "float"}
        assert ours == real or {ours, real} <= kinds or {ours, real} == {"number", "text"}, (
            f"{path}: {ours}, {real}"
        )


def sample(recordings, name: str) -> Any:
    path = recordings / "kalshi" / "rest_samples" / name
    if not path.is_file():
        pytest.skip(f"no recording: expected {path}")
    return json.loads(gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes())


@pytest.mark.recorded
async def test_markets_books_and_series_look_like_the_real_ones(recordings) -> None:
    single = sample(recordings, "market_single.json")
    settled = sample(recordings, "markets_settled.json")["markets"]
    series = next(iter(sample(recordings, "series_fee_fields.json")["payloads"].values()))
    events = sample(recordings, "events_sports_nested.json.gz")
    candles = next(iter(sample(recordings, "candlesticks_mlb.json")["markets"].values()))
    async with venue() as v, http(v) as request:
        first = v.market
        await v.advance(10)

        async def body(path: str) -> Any:
            return (await request("GET", path)).json()

        assert_same_shape(shape(await body(f"/markets/{first.id}")), shape(single["single"]), OPTIONAL)
        assert_same_shape(shape(await body(f"/markets/{first.id}/orderbook")), shape(single["orderbook"]))
        assert_same_shape(shape(await body("/series/KXBTC15M")), shape(series), PER_SERIES)
        nested = await body("/events?status=open&with_nested_markets=true")
        assert_same_shape(shape(nested["events"]), shape(events), OPTIONAL | PER_SERIES)
        ours = (await body(f"/series/KXBTC15M/markets/{first.id}/candlesticks"))["candlesticks"]
        assert_same_shape(shape(ours), shape(candles["candlesticks"]))
        await v.advance(90)
        final = next(m for m in settled if m["status"] == "finalized")
        ended = (await body(f"/markets?tickers={first.id}"))["markets"]
        assert_same_shape(shape(ended[0]), shape(final), OPTIONAL)


@pytest.mark.recorded
async def test_fills_and_settlements_look_like_the_real_ones(recordings) -> None:
    fills = sample(recordings, "portfolio_fills_redacted.json")["payload"]
    settlements = sample(recordings, "portfolio_settlements_redacted.json")["payload"]
    async with venue() as v, http(v) as request:
        market = v.market
        v.empty(market)
        v.other_side(market, 1, 600_000, 10)
        await v.gateway.submit(v.gateway.prepare(v.new_order(market, "yes", price=400_000)))
        await v.advance(100)
        for path, real in (("fills", fills), ("settlements", settlements)):
            ours = (await request("GET", f"/portfolio/{path}", signed=True)).json()
            assert ours[path]
            assert_same_shape(shape(ours), shape(real))


@pytest.mark.recorded
async def test_frames_look_like_the_real_ones(recordings) -> None:
    real: dict[str, Any] = {}
    folder = recordings / "kalshi"
    path = folder / "ws_frames" / "ws_orderbook_stream.json.gz"
    tape = folder / "kxbtc15m_ws_2026-05" / "20260513T215130Z" / "ws.jsonl.gz"
    if not path.is_file() or not tape.is_file():
        pytest.skip(f"no recordings: expected {path} and {tape}")
    for entry in sample(recordings, "../ws_frames/ws_orderbook_stream.json.gz")["frames"]:
        found = entry.get("frame") or json.loads(entry.get("raw", "{}"))
        real.setdefault(found.get("type", ""), found)
    with gzip.open(tape) as lines:
        for line in lines:
            found = json.loads(line)["frame"]
            if found["type"] == "ticker":
                real.setdefault("ticker", found)
                break
    assert {"subscribed", "orderbook_snapshot", "orderbook_delta", "ok", "ticker"} <= set(real)
    async with venue() as v, socket(v) as line:
        channels = ["orderbook_delta", "ticker"]
        await ask(line, "subscribe", channels=channels, market_tickers=[v.market.id])
        await ask(
            line, "update_subscription", 2, sids=[1], market_tickers=[v.market.id], action="add_markets"
        )
        ours: dict[str, Any] = {}
        for found in await frames_until(line, "ok"):
            ours.setdefault(found["type"], found)
        await v.advance(3)
        while not set(ours) >= {"subscribed", "orderbook_snapshot", "orderbook_delta", "ok", "ticker"}:
            found = await frame(line)
            ours.setdefault(found["type"], found)
        # Integer cents were on the wire until a few days later.
        cents = frozenset({"no_ask", "no_bid", "yes_ask", "yes_bid", "no_ask_size_fp", "no_bid_size_fp"})
        for kind in ("subscribed", "orderbook_snapshot", "orderbook_delta", "ok", "ticker"):
            assert_same_shape(shape(ours[kind]), shape(real[kind]), cents, kind)
