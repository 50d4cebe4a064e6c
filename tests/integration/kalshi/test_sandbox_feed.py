"""The feed's own code reads the Kalshi sandbox: books, gaps, new windows, settlements."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from libs.venues.kalshi.auth import RequestSigner
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.transport.websocket import Received, VenueSocket
from proto.feed import Book, FeeSchedule, Gap, Market, MarketStatus, PriceStep, Quote, Trade
from proto.units import ONE, SECOND
from sandbox.faults.rules import FaultKind, FaultRule
from tests.integration.kalshi.rig import START_NS, Venue, place, venue
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio


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
        signer = RequestSigner(v.credentials)
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


async def test_fees_of_an_event_are_told_by_the_socket_and_charged() -> None:
    async with venue() as v, live_feed(v) as feed:
        market = v.market
        await until(lambda: feed.whole(market.id))
        v.empty(market)

        def fees() -> FeeSchedule:
            return [m for m in feed.of(Market) if m.market == f"kalshi:{market.id}"][-1].fees

        asked = {"venue": "kalshi", "event": market.event_id, "fee_type": "quadratic_with_maker_fees"}
        async with httpx.AsyncClient(base_url=v.sandbox.urls["admin"]["rest"]) as admin:
            for multiplier, status in ((2.0, 200), (-1.0, 400)):
                answer = await admin.post("/_sandbox/event-fees", json={**asked, "multiplier": multiplier})
                assert answer.status_code == status
            answer = await admin.post("/_sandbox/event-fees", json={"venue": "kalshi", "event": "nowhere"})
            assert answer.status_code == 404
        doubled = FeeSchedule(model="kalshi_quadratic", taker_rate=140_000, maker_rate=35_000)
        await until(lambda: fees() == doubled)
        v.other_side(market, 1, 600_000, 10)
        report, _ = await place(v, v.new_order(market, "yes", price=400_000))
        assert report.filled == 10 * ONE
        assert v.server.exchange.fills[-1].fee == 336_000
        # To come: listed, and in force when its time is there; then the series' own hold again.
        assert v.server.change_event_fees(market.event_id, None, None, in_s=2.0)
        changes = (await feed.client.raw("/events/fee_changes", {"event_ticker": market.event_id})).decode()
        assert json.loads(changes)["event_fee_changes"][0]["fee_type_override"] is None
        assert fees() == doubled
        await v.advance(2)
        plain = FeeSchedule(model="kalshi_quadratic", taker_rate=70_000)
        await until(lambda: fees() == plain)


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
