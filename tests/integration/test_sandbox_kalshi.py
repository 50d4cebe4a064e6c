"""The sandbox speaks Kalshi's protocol: numbers, sequences, errors, shapes; and the feed's code reads it."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from libs.venues.kalshi.auth import Signer
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.listings import rest_frame
from libs.venues.kalshi.normalise import KalshiNormaliser
from libs.venues.transport.websocket import Received, VenueSocket
from proto.feed import Book, FeeSchedule, Gap, Level, Market, MarketStatus, PriceStep, Quote, Trade
from proto.units import ONE, SECOND
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.kalshi.groups import Groups
from tests.integration.kalshi_sandbox import START_NS, WAIT_S, Venue, until, venue

pytestmark = pytest.mark.asyncio
BASE = "/trade-api/v2"


@asynccontextmanager
async def http(v: Venue):
    """Plain requests, signed when asked for: what any other client would send."""
    base = v.sandbox.urls["kalshi"]["rest"]
    signer = Signer(v.credentials)

    async with httpx.AsyncClient(trust_env=False) as client:

        async def request(method: str, path: str, *, signed: bool = False, **more: Any) -> httpx.Response:
            headers = signer.headers(method, base + path) if signed else {}
            return await client.request(method, base + path, headers=headers, **more)

        yield request


@asynccontextmanager
async def socket(v: Venue, **headers: str):
    """A websocket of any other client."""
    url = v.sandbox.urls["kalshi"]["websocket"]
    signed = headers or Signer(v.credentials).headers("GET", url)
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


# ── authentication and errors ───────────────────────────────────────────────────────────────────────


async def test_account_needs_a_signature_and_market_data_does_not() -> None:
    async with venue() as v, http(v) as request:
        assert (await request("GET", "/exchange/status")).json() == {
            "exchange_active": True, "trading_active": True,
        }  # fmt: skip
        for method, path in (
            ("GET", "/portfolio/balance"), ("GET", "/portfolio/orders"), ("POST", "/portfolio/events/orders"),
            ("DELETE", "/portfolio/events/orders/x"), ("GET", "/portfolio/order_groups"),
        ):  # fmt: skip
            refused = await request(method, path)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "authentication_error"
        assert (await request("GET", "/portfolio/balance", signed=True)).status_code == 200


async def test_websocket_needs_a_signature_of_its_own_path() -> None:
    async with venue() as v:
        rest = v.sandbox.urls["kalshi"]["rest"]
        for headers in (
            {"KALSHI-ACCESS-KEY": "x"},
            Signer(v.credentials).headers("GET", f"{rest}/portfolio/balance"),
            Signer(v.credentials, lambda: 1).headers("GET", v.sandbox.urls["kalshi"]["websocket"]),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with socket(v, **headers):
                    pass
            assert refused.value.response.status_code == 401


async def test_three_shapes_of_errors() -> None:
    async with venue() as v, http(v) as request:
        wrong = await request("GET", "/markets?status=finalized")
        assert wrong.status_code == 400
        assert wrong.json() == {
            "error": {"code": "bad_request", "message": "bad request", "details": "invalid status filter"}
        }
        missing = await request("GET", "/markets/NO-SUCH-MARKET")
        assert missing.status_code == 404
        assert set(missing.json()) == {"code", "message", "details"}
        v.sandbox.faults.set(FaultRule(kind=FaultKind.RATE_LIMIT, operation="read"))
        limited = await request("GET", "/markets")
        assert (limited.status_code, limited.json()) == (429, {"error": "too many requests"})


async def test_batch_is_billed_by_item_and_answers_item_by_item() -> None:
    async with venue() as v, http(v) as request:
        good = {
            "ticker": v.market.id, "side": "bid", "count": "1.00", "price": "0.3000",
            "time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross",
        }  # fmt: skip
        path = "/portfolio/events/orders/batched"
        answer = await request(
            "POST", path, signed=True, json={"orders": [good, {**good, "price": "0.3050"}]}
        )
        first, second = answer.json()["orders"]
        assert first["remaining_count"] == "1.00"
        assert second["error"]["code"] == "bad_request"
        cancelled = await request(
            "DELETE", path, signed=True, json={"orders": [{"order_id": first["order_id"]}, {"order_id": "x"}]}
        )
        one, other = cancelled.json()["orders"]
        assert one["reduced_by"] == "1.00"
        assert other["error"]["code"] == "not_found"
        v.server.budgets.tier = "basic"
        v.server.budgets._buckets.clear()
        many = await request("POST", path, signed=True, json={"orders": [good] * 21})
        assert many.status_code == 429


async def test_amend_and_decrease() -> None:
    async with venue() as v, http(v) as request:
        v.empty(v.market)
        client = v.gateway.client
        report = await v.gateway.submit(v.gateway.prepare(v.new_order(v.market, "yes", price=300_000)))
        order_id = report.venue_order_id
        amended = await client.amend_order(
            order_id, {"ticker": v.market.id, "side": "bid", "price": "0.3100", "count": "8.00"}
        )
        assert amended.remaining_count == "8.00"
        assert v.market.book.levels(0)[0] == (Level(310_000, 8 * ONE),)
        assert (await client.decrease_order(order_id, "3.00")).reduced_by == "3.00"
        assert v.market.book.levels(0)[0] == (Level(310_000, 5 * ONE),)
        order = await client.order(order_id)
        assert (order.yes_price_dollars, order.remaining_count_fp, order.status) == (
            "0.3100",
            "5.00",
            "resting",
        )
        v.other_side(v.market, 1, 690_000, 5)
        assert (await client.order(order_id)).status == "executed"
        refused = await request(
            "POST", f"/portfolio/events/orders/{order_id}/decrease", signed=True, json={"reduce_by": "1.00"}
        )
        assert refused.status_code == 404


async def test_pause_refuses_orders_and_cancels_those_that_asked_for_it() -> None:
    async with venue(cancel_on_pause=True) as v, http(v) as request:
        await v.gateway.submit(v.gateway.prepare(v.new_order(v.market, "yes", price=300_000)))
        v.server.exchange.pause()
        assert (await v.gateway.client.exchange_status()).trading_active is False
        assert await v.gateway.open_orders() == []
        refused = await request(
            "POST", "/portfolio/events/orders", signed=True,
            json={"ticker": v.market.id, "side": "bid", "count": "1.00", "price": "0.3000",
                  "time_in_force": "good_till_canceled", "self_trade_prevention_type": "maker"},
        )  # fmt: skip
        assert refused.json()["error"]["code"] == "trading_is_paused"


async def test_pages_go_on_where_they_stopped_while_rows_are_added() -> None:
    async with venue() as v, http(v) as request:
        for i in range(4):
            new = v.new_order(v.market, "yes", price=200_000 + 10_000 * i)
            await v.gateway.submit(v.gateway.prepare(new))
        first = (await request("GET", "/portfolio/orders?limit=2", signed=True)).json()
        await v.gateway.submit(v.gateway.prepare(v.new_order(v.market, "yes", price=250_000)))
        second = (
            await request("GET", f"/portfolio/orders?limit=2&cursor={first['cursor']}", signed=True)
        ).json()
        prices = [o["yes_price_dollars"] for o in first["orders"] + second["orders"]]
        assert prices == ["0.2300", "0.2200", "0.2100", "0.2000"]
        assert second["cursor"] == ""
        wrong = await request("GET", "/portfolio/orders?cursor=x", signed=True)
        assert wrong.status_code == 400


# ── the websocket ───────────────────────────────────────────────────────────────────────────────────


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


# ── the feed's own code against it ──────────────────────────────────────────────────────────────────


class LiveFeed:
    """REST answers, socket and normaliser as the feed joins them; time is the sandbox's."""

    def __init__(self, v: Venue, series: tuple[str, ...] = ("KXBTC15M",)) -> None:
        self.v = v
        self.normaliser = KalshiNormaliser(follow=series)
        self.messages: list[Any] = []
        self.frames: list[bytes] = []
        self.client = KalshiClient(v.sandbox.urls["kalshi"]["rest"])
        self.series = series
        url = v.sandbox.urls["kalshi"]["websocket"]
        signer = Signer(v.credentials)
        self.socket = VenueSocket(
            "kalshi", url, headers=lambda: signer.headers("GET", url), silence_s=30, pause_s=(0.01, 0.02)
        )

    def read(self, data: bytes) -> None:
        self.frames.append(data)
        self.messages += self.normaliser.normalise(data, self.v.sandbox.world.now())

    async def poll(self) -> None:
        for series in self.series:
            self.read(rest_frame("series", await self.client.raw(f"/series/{series}")))
            self.read(rest_frame("markets", await self.client.raw("/markets", {"series_ticker": series})))

    async def command(self) -> None:
        for command in self.normaliser.commands(self.v.sandbox.world.now()):
            await self.socket.send(command)

    async def run(self) -> None:
        async for event in self.socket.frames():
            if isinstance(event, Received):
                self.read(event.data)
            else:
                kind = type(event).__name__.lower()
                self.read(json.dumps({"type": f"_ws_{kind}", "msg": {}}).encode())
            if self.socket.connected:
                await self.command()

    def of(self, kind, instrument: str = "") -> list[Any]:
        return [
            m for m in self.messages if isinstance(m, kind) and (not instrument or m.instrument == instrument)
        ]

    def whole(self, ticker: str) -> bool:
        market = self.normaliser._markets.get(ticker)
        return market is not None and market.whole

    def same_book(self, market) -> bool:
        """Whether our book is the venue's, level by level."""
        known = self.normaliser._markets[market.id]
        yes, no = ({level.price: level.quantity for level in market.book.levels(i)[0]} for i in (0, 1))
        return known.yes.levels == yes and known.no.levels == no


@asynccontextmanager
async def live_feed(v: Venue):
    feed = LiveFeed(v)
    await feed.poll()
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await feed.client.close()


async def test_feed_discovers_subscribes_and_keeps_the_book() -> None:
    async with venue() as v, live_feed(v) as feed:
        market = v.market
        await until(lambda: feed.whole(market.id))
        listed = next(m for m in feed.of(Market) if m.market == f"kalshi:{market.id}")
        assert listed.status is MarketStatus.OPEN
        assert listed.strike == (market.strike or 0) // 10_000 * 10_000
        assert listed.fees == FeeSchedule(model="kalshi_quadratic", taker_rate=70_000)
        assert listed.price_steps == (
            PriceStep(0, 1_000),
            PriceStep(100_000, 10_000),
            PriceStep(900_000, 1_000),
        )
        for _ in range(5):
            await v.advance(2)
            await until(lambda: feed.same_book(market))
        quote = feed.of(Quote, f"kalshi:{market.id}:yes")[-1]
        assert (quote.bid, quote.ask) == market.book.best(0)
        assert feed.of(Trade)
        assert feed.normaliser.gaps == feed.normaliser.errors == 0
        assert feed.normaliser.ticker_checks > 0


async def test_lost_frame_is_a_gap_that_a_snapshot_heals() -> None:
    async with venue() as v, live_feed(v) as feed:
        market = v.market
        await until(lambda: feed.whole(market.id))
        v.sandbox.faults.set(
            FaultRule(kind=FaultKind.SEQUENCE_GAP, operation="market_socket", count=1,
                      match={"type": "orderbook_delta"})
        )  # fmt: skip
        await v.advance(2)
        await until(lambda: feed.normaliser.gaps > 0)
        assert feed.of(Gap)
        await until(lambda: feed.whole(market.id))
        await v.advance(2)
        await until(lambda: feed.same_book(market))
        assert feed.of(Book)[-1].at >= feed.of(Gap)[-1].at


async def test_lost_connection_is_a_gap_and_subscribes_anew() -> None:
    async with venue() as v, live_feed(v) as feed:
        market = v.market
        await until(lambda: feed.whole(market.id))
        v.sandbox.faults.set(FaultRule(kind=FaultKind.CLOSE_SOCKET, operation="market_socket", count=1))
        await v.advance(1)
        await until(lambda: feed.socket.connections == 2 and feed.whole(market.id))
        await v.advance(1)
        await until(lambda: feed.same_book(market))
        told = {gap.instrument for gap in feed.of(Gap)}
        assert {f"kalshi:{market.id}:yes", f"kalshi:{market.id}:no"} <= told


async def test_windows_roll_over_and_settle() -> None:
    """The next window is followed as it opens, without a poll; the old one ends with its result."""
    async with venue() as v, live_feed(v) as feed:
        first = v.market
        await until(lambda: feed.whole(first.id))
        await v.advance((first.close_ns - v.sandbox.world.at) / SECOND + 1)
        second = v.market
        assert second is not first
        await until(lambda: feed.whole(second.id))
        await v.advance(30)
        await until(lambda: feed.normaliser._markets[first.id].status is MarketStatus.SETTLED)
        last = [m for m in feed.of(Market) if m.market == f"kalshi:{first.id}"][-1]
        assert (last.status, last.result) == (MarketStatus.SETTLED, first.result)
        assert not [g for g in feed.of(Gap) if first.id in g.instrument]
        await until(lambda: feed.same_book(second))
        told = [m for m in feed.of(Market) if m.market == f"kalshi:{second.id}"][-1]
        assert told.strike == (second.strike or 0) // 10_000 * 10_000


async def test_settlement_that_the_socket_missed_is_found_by_asking() -> None:
    async with venue() as v:
        feed = LiveFeed(v)
        await feed.poll()
        first = v.market
        await v.advance((first.close_ns - v.sandbox.world.at) / SECOND + 30)
        await feed.poll()
        last = [m for m in feed.of(Market) if m.market == f"kalshi:{first.id}"][-1]
        assert (last.status, last.result) == (MarketStatus.SETTLED, first.result)
        await feed.client.close()


async def test_recorded_frames_play_back_to_the_same_messages() -> None:
    async with venue() as v, live_feed(v) as feed:
        await until(lambda: feed.whole(v.market.id))
        v.sandbox.faults.set(
            FaultRule(kind=FaultKind.SEQUENCE_GAP, operation="market_socket", count=3, skip=5)
        )
        await v.advance(5)
        await until(lambda: feed.same_book(v.market))
        again = KalshiNormaliser()
        replayed: list[Any] = []
        for data in feed.frames:
            replayed += again.normalise(data, START_NS)
        assert [type(m) for m in replayed if isinstance(m, Gap)] == [Gap] * len(feed.of(Gap))
        assert {t: m.yes.levels for t, m in again._markets.items()} == {
            t: m.yes.levels for t, m in feed.normaliser._markets.items()
        }


async def test_public_reads_of_the_client() -> None:
    async with venue() as v:
        market = v.market
        await v.advance(20)
        client = KalshiClient(v.sandbox.urls["kalshi"]["rest"])
        assert (await client.series("KXBTC15M")).fee_type == "quadratic"
        assert (await client.market(market.id)).ticker == market.id
        [event] = await client.events(
            {"series_ticker": "KXBTC15M", "status": "open", "with_nested_markets": "true"}
        )
        assert [m.ticker for m in event.markets] == [market.id]
        book = await client.orderbook(market.id, depth=2)
        assert book.yes_dollars is not None
        assert len(book.yes_dollars) == 2
        assert book.yes_dollars[-1][0] == f"{(market.book.best(0)[0] or 0) / ONE:.4f}"
        trades = await client.trades({"ticker": market.id})
        assert trades
        start = START_NS // SECOND
        candles = await client.candles("KXBTC15M", market.id, start - 3600, start + 3600)
        assert sum(float(candle.volume_fp) for candle in candles) == sum(float(t.count_fp) for t in trades)
        await client.close()


# ── recorded bodies of the real venue ───────────────────────────────────────────────────────────────


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


# Sports have a structured strike, ours are numbers; some kinds of markets have a subtitle.
OPTIONAL = frozenset({"custom_strike", "subtitle"})
PER_SERIES = frozenset({"scope", "competition", "competition_scope"})


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


async def test_a_new_group_takes_no_id_of_a_group_from_before_a_restart() -> None:
    before, after = Groups(), Groups()
    kept = before.create("trader", 10)
    after.add(kept)
    assert after.create("trader", 20).group_id != kept.group_id
    assert after.of("trader")[0] is kept
