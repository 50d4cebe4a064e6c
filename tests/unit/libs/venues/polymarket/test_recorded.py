"""Polymarket's recorded frames and bodies, through the code that reads the live ones."""

import csv
import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from libs.venues.frame import FrameError
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.market_data.prices import Sample, Strikes, name_history
from libs.venues.polymarket.schemas import wire
from proto.feed import Book, Gap, Market, MarketStatus
from proto.units import ONE, SECOND
from tests.support.captures import captures, rows_of
from tests.support.normalised import normalised

pytestmark = pytest.mark.recorded


def listing(row: dict[str, Any]) -> dict[str, Any]:
    """What Gamma said of a market, from the recorder's note of it."""

    def iso(milliseconds: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))

    return {
        "conditionId": row["condition_id"],
        "slug": row["slug"],
        "question": row["title"],
        "outcomes": json.dumps([outcome["outcome"] for outcome in row["outcomes"]]),
        "clobTokenIds": json.dumps([outcome["token_id"] for outcome in row["outcomes"]]),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "negRisk": False,
        "orderPriceMinTickSize": row["tick_size"],
        "orderMinSize": int(row["min_order_size"]),
        "eventStartTime": iso(row["start_ts"]),
        "endDate": iso(row["end_ts"]),
        "feeSchedule": row["fee_parameters"]["raw_fee_config"],
        "feesEnabled": True,
    }


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt") as file:
        return file.readlines()


def frames(capture: Path) -> list[tuple[int, bytes]]:
    """Receive time and frame, REST bodies wrapped as the feed wraps them."""
    found = []
    for row in rows_of(capture, "polymarket_clob", "polymarket_rtds_chainlink"):
        data = row["payload"].strip().encode()
        if not data:
            continue
        if b'"event_type"' not in data and b'"bids"' in data:
            data = b'{"_rest":"clob_book","body":%b}' % data
        found.append((row["recv_wall_ts"] * 1_000_000, data))
    return found


def test_every_recorded_book_has_the_hash_we_compute(recordings: Path):
    """The only states that differ are inside one batch (one timestamp) of which the recorder missed the end."""
    checked = matched = books = 0
    gaps: list[Gap] = []
    for capture in captures(recordings):
        normaliser = PolymarketNormaliser()
        rows = [listing(json.loads(line)) for line in (capture / "markets.jsonl").read_text().splitlines()]
        received = frames(capture)
        normalised(normaliser, json.dumps({"_rest": "gamma_markets", "body": rows}).encode(), received[0][0])
        out = [message for at, data in received for message in normalised(normaliser, data, at)]
        books += sum(isinstance(message, Book) and message.snapshot for message in out)
        gaps += [message for message in out if isinstance(message, Gap)]
        checked += normaliser.checked
        matched += normaliser.matched
    assert (checked, matched, books) == (208, 198, 134)
    assert len({gap.at for gap in gaps}) == 1
    assert len(gaps) == 2


def test_292_recorded_windows_have_their_outcome(recordings: Path):
    path = recordings / "polymarket" / "btc5m_2026-07-24" / "BTC-5m-markets-2026-07-24.jsonl.gz"
    rows = [json.loads(line) for line in lines(path)]
    winners = {("1", "0"): "up", ("0", "1"): "down", ("0.5", "0.5"): "void"}
    normaliser = PolymarketNormaliser()
    seen = 0
    for row in rows:
        frame = json.dumps({"_rest": "gamma_markets", "body": {"markets": [row["raw"]]}}).encode()
        (market,) = normalised(normaliser, frame, row["end_sec"] * SECOND)
        assert isinstance(market, Market)
        assert (market.status, market.result) == (MarketStatus.SETTLED, winners[tuple(row["outcome_prices"])])
        assert (market.open_at, market.close_at) == (row["start_sec"] * SECOND, row["end_sec"] * SECOND)
        assert (market.fees.model, market.fees.taker_rate) == ("polymarket", 70_000)
        assert market.underlying == "binance:BTCUSDT"
        seen += 1
    assert seen == 292


def test_recorded_ticks_give_the_recorded_strikes(recordings: Path):
    folder = recordings / "polymarket" / "btc5m_2026-07-24"
    rows = [json.loads(line) for line in lines(folder / "BTC-5m-markets-2026-07-24.jsonl.gz")]
    starts = {row["start_sec"] * SECOND: row for row in rows if row["strike_value"]}
    strikes = Strikes()
    for tick in csv.DictReader(lines(folder / "BTCUSD-prices-2026-07-24.csv.gz")):
        at = int(tick["feed_ts_ms"]) * 1_000_000
        if at in starts:
            strikes.add(Sample("btc", 0, at, int(tick["full_accuracy_value"]) // 10**12))
    compared = 0
    for at, row in starts.items():
        strike = strikes.of("btc", 0, at)
        if strike is not None:
            assert strike == int(row["strike_value"]) // 10**12
            compared += 1
    assert compared > 250


def test_the_recorded_past_of_the_stream_agrees_with_its_ticks(recordings: Path):
    """To the millionth, although the past comes as floats, and under the name of another topic."""
    strikes = Strikes()
    seen: dict[tuple[str, int], dict[bool, int]] = {}
    for capture in captures(recordings):
        for row in rows_of(capture, "polymarket_rtds_chainlink"):
            data = name_history(row["payload"].strip().encode(), "crypto_prices_chainlink")
            for frame in wire.decode(data or wire.PONG):
                if isinstance(frame, wire.Price):
                    for sample in strikes.read(frame):
                        seen.setdefault((sample.symbol, sample.at), {})[frame.type == "update"] = sample.price
    both = [prices for prices in seen.values() if len(prices) == 2]
    assert len(both) > 10
    assert all(prices[False] == prices[True] for prices in both)


@pytest.mark.parametrize(
    ("name", "status", "result"),
    [
        ("gamma_market.json", MarketStatus.OPEN, ""),
        ("gamma_market_closed_binary_accepting_false.json", MarketStatus.SETTLED, "no"),
        ("gamma_market_closed_binary_accepting_true.json", MarketStatus.SETTLED, None),
        ("gamma_market_sports_market_money_line.json", None, None),
        ("gamma_market_sports_market_map_handicap.json", None, None),
    ],
)
def test_recorded_gamma_markets_are_read(recordings: Path, name: str, status: Any, result: Any):
    body = json.loads(
        (recordings / "polymarket" / "nautilus_rest_ws" / "crates_test_data" / name).read_bytes()
    )
    frame = json.dumps(
        {"_rest": "gamma_markets", "body": body if isinstance(body, list) else [body]}
    ).encode()
    (market,) = normalised(PolymarketNormaliser(), frame, 1)
    assert market.price_steps
    assert status is None or market.status is status
    assert result is None or market.result == result
    assert all(0 < step.step < ONE for step in market.price_steps)


def test_the_recorded_event_shares_one_group(recordings: Path):
    path = recordings / "polymarket" / "nautilus_rest_ws" / "crates_test_data" / "gamma_event.json"
    body = json.loads(path.read_bytes())
    events = body if isinstance(body, list) else [body]
    out = normalised(
        PolymarketNormaliser(), json.dumps({"_rest": "gamma_events", "body": events}).encode(), 1
    )
    assert len(out) >= 2
    assert len({market.group for market in out}) == 1
    assert out[0].group == f"polymarket:{events[0]['negRiskMarketID']}"


def test_every_recorded_market_frame_is_read(recordings: Path):
    folder = recordings / "polymarket" / "nautilus_rest_ws"
    read = []
    for path in sorted(
        [*folder.glob("crates_test_data/ws_market_*.json"), *folder.glob("integration_ws/*.json")]
    ):
        body = json.loads(path.read_bytes())
        kind = body.get("event_type") if isinstance(body, dict) else None
        if kind in (None, "order", "trade") or (kind == "price_change" and "price_changes" not in body):
            continue  # the user channel's, and the form of price_change that ended in 2025
        try:
            normalised(PolymarketNormaliser(), json.dumps(body).encode(), 1)
        except FrameError as e:
            pytest.fail(f"{path.name}: {e}")
        read.append(kind)
    assert len(read) >= 9
    assert len(set(read)) == 7
