"""The feed's live sources against the sandbox: every venue's real protocol, with its faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.venues.catalogue import VENUES
from libs.venues.params import VenueParams
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import FeedClock, MarketStatus, Played
from proto.units import SECOND
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.server import Sandbox
from services.feed.recording.play import play
from services.feed.recording.recorder import Limits, Recorder
from services.feed.recording.recording import open_recording
from tests.support.live_session import Session, running
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio

PARAMS: dict[str, type[VenueParams]] = {name: venue.params for name, venue in VENUES.items()}


@asynccontextmanager
async def sandbox(
    *venues: str, time_scale: float = 1.0, updates_per_s: float = 10.0
) -> AsyncIterator[Sandbox]:
    async with Sandbox(7, venues, time_scale=time_scale, updates_per_s=updates_per_s) as made:
        yield made


def sections(made: Sandbox, keys: Path, **changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The venues' sections with the sandbox's addresses, and the feed's key where one is needed."""
    found = {}
    for venue in made.servers:
        urls = {f"{name}_url": url for name, url in made.urls[venue].items()}
        known = {name: url for name, url in urls.items() if name in PARAMS[venue].model_fields}
        found[venue] = PARAMS[venue](**known | changes.get(venue, {})).document()
    if "kalshi" in made.servers:
        account = made.credentials["kalshi"]
        feed = keys / "keys" / "feed"
        feed.mkdir(parents=True)
        for name, text in (("kalshi.pem", account["private_key_pem"]), ("kalshi.id", account["key_id"])):
            (feed / name).write_text(text)
            (feed / name).chmod(0o600)
    return found


@asynccontextmanager
async def followed(
    tmp_path: Path,
    *venues: str,
    recorder: Recorder | None = None,
    time_scale: float = 1.0,
    **changes: dict[str, Any],
) -> AsyncIterator[tuple[Sandbox, Session]]:
    """A sandbox and a live feed of it. ``changes``: venue → what is different in its section."""
    async with (
        sandbox(*venues, time_scale=time_scale) as made,
        running(sections(made, tmp_path, **changes), tmp_path, recorder) as session,
    ):
        yield made, session


def whole_markets(session: Session, venue: str) -> list[str]:
    """Markets of a venue of which every outcome has a whole book."""
    markets = [told[-1] for name, told in session.observer.markets.items() if name.startswith(f"{venue}:")]
    return [
        market.market
        for market in markets
        if market.outcomes and session.whole(*(outcome.instrument for outcome in market.outcomes))
    ]


ALL = ("polymarket", "kalshi", "manifold", "binance", "coinbase")
QUICK: dict[str, Any] = {"book_lease_s": 1, "lease_failures_max_count": 1, "silence_max_s": 2}


async def test_every_venue_is_followed_and_a_recording_of_it_gives_the_same_messages(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "frames", Limits(free_bytes_min=0))
    recorder.start()
    async with followed(tmp_path, *ALL, recorder=recorder, manifold={"enabled": True}) as (_, session):
        # Polymarket's windows of five and fifteen minutes, each the running and the next one.
        await until(lambda: len(whole_markets(session, "polymarket")) >= 4)
        await until(lambda: len(whole_markets(session, "kalshi")) >= 1)
        await until(lambda: len(whole_markets(session, "manifold")) >= 1)
        traded = {"binance:BTCUSDT", "coinbase:BTC-USD"}
        await until(lambda: traded <= {trade.instrument for trade in session.observer.trades})
        await until(lambda: traded <= set(session.observer.quotes))
        await until(lambda: traded <= {candle.instrument for candle in session.observer.candles})
        await until(lambda: len(session.frames) > 300)
        assert session.dead == []
        assert session.live.detail == ""
        assert all(told["connected"] for told in session.live.health()["venues"].values())
        polymarket = session.normalisers.of(POLYMARKET, PolymarketNormaliser)
        assert polymarket.checked == polymarket.matched > 50
        underlyings = {told[-1].underlying for told in session.observer.markets.values()}
        assert underlyings >= traded
    recorder.close()
    played = list(play(open_recording(tmp_path / "frames")))
    assert [m for m in played if not isinstance(m, FeedClock | Played)] == session.messages


@pytest.mark.parametrize("venue", ["binance", "coinbase"])
async def test_the_past_is_told_before_the_first_live_trade(tmp_path: Path, venue: str) -> None:
    async with followed(tmp_path, venue, **{venue: {"history_s": 600}}) as (_, session):
        await until(lambda: bool(session.observer.trades))
        seconds = [c for c in session.observer.candles if c.interval_s == 1]
        first = session.messages.index(session.observer.trades[0])
        assert all(session.messages.index(candle) < first for candle in seconds)
        starts = [candle.start_at for candle in seconds]
        assert starts == sorted(set(starts))
        # Coinbase has none for a second without a trade.
        assert starts[-1] - starts[0] > 550 * SECOND
        assert len(seconds) > 500
        assert session.live.sources[venue].notes == []
        assert session.dead == []


async def test_a_past_that_is_refused_is_a_gap_and_trades_come_all_the_same(tmp_path: Path) -> None:
    async with sandbox("binance") as made:
        made.faults.set(FaultRule(kind=FaultKind.STATUS, venue="binance", operation="read", status=400))
        async with running(sections(made, tmp_path), tmp_path) as session:
            await until(lambda: bool(session.observer.trades))
            gaps = [gap.reason for gap in session.observer.gaps if gap.instrument == "binance:BTCUSDT"]
            assert [reason for reason in gaps if reason.startswith("no history")]
            (note,) = session.live.sources["binance"].notes
            assert note.startswith("binance:BTCUSDT has no history (")
            assert not [c for c in session.observer.candles if c.interval_s == 1]


@pytest.mark.parametrize(
    ("venue", "operation"),
    [
        ("polymarket", "market_socket"),
        ("kalshi", "market_socket"),
        ("binance", "market_socket"),
        ("coinbase", "market_socket"),
    ],
)
async def test_a_socket_that_falls_silent_is_a_gap_and_is_replaced(
    tmp_path: Path, venue: str, operation: str
) -> None:
    """Pain point 3, each venue in its own words: the sandbox keeps the socket open and its pings answered."""
    async with followed(tmp_path, venue, **{venue: QUICK}) as (made, session):
        await until(lambda: bool(session.observer.quotes))
        made.faults.set(FaultRule(kind=FaultKind.SILENT_SOCKET, venue=venue, operation=operation, count=1))
        await until(lambda: session.live.sources[venue].connects >= 2)
        assert len(session.observer.gaps) > 1, "prices that nobody vouched for were offered as fresh"
        gaps = len(session.observer.gaps)
        counted = len(session.frames)
        await until(lambda: len(session.frames) > counted + 20 and session.live.detail == "")
        assert len(session.observer.gaps) <= gaps + 4


@pytest.mark.parametrize("kind", [FaultKind.CLOSE_SOCKET, FaultKind.SEQUENCE_GAP])
@pytest.mark.parametrize("venue", ["polymarket", "kalshi"])
async def test_lost_frames_and_connections_heal_by_themselves(
    tmp_path: Path, venue: str, kind: FaultKind
) -> None:
    """Kalshi counts its frames; at Polymarket a lost one shows by the hash of the next."""
    async with followed(tmp_path, venue) as (made, session):
        await until(lambda: len(whole_markets(session, venue)) >= 1)
        made.faults.set(FaultRule(kind=kind, operation="market_socket", probability=0.3, count=20))
        gaps = len(session.observer.gaps)
        await until(lambda: len(session.observer.gaps) > gaps)
        made.faults.clear()
        count = len(session.observer.markets)
        await until(lambda: len(whole_markets(session, venue)) == count)


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.RATE_LIMIT])
async def test_refused_questions_are_asked_again(tmp_path: Path, kind: FaultKind) -> None:
    async with sandbox(*ALL) as made:
        made.faults.set(
            FaultRule(kind=kind, operation="read", status=502, body="html", retry_after_s=1, count=8)
        )
        async with running(sections(made, tmp_path), tmp_path) as session:
            await until(lambda: len(whole_markets(session, "polymarket")) >= 4)
            await until(lambda: len(whole_markets(session, "kalshi")) >= 1)
            await until(lambda: len({candle.instrument for candle in session.observer.candles}) == 2)
            assert made.faults.count(kind) == 8


@pytest.mark.slow
async def test_windows_roll_over(tmp_path: Path) -> None:
    """A quarter of an hour lasts ten seconds: markets are listed, opened, closed and settled while it is followed."""
    quick = {"discovery_interval_s": 1}
    async with followed(tmp_path, "kalshi", time_scale=90, kalshi=quick) as (_, session):
        lives = session.observer.markets
        await until(
            lambda: sum(told[-1].status is MarketStatus.SETTLED for told in lives.values()) >= 1,
            patience_s=60,
        )
        settled = [told for told in lives.values() if told[-1].status is MarketStatus.SETTLED]
        assert all(told[-1].result in ("yes", "no") for told in settled)
        assert any(MarketStatus.OPEN in {m.status for m in told} for told in settled)
        await until(lambda: len(whole_markets(session, "kalshi")) >= 3)
        assert len(session.live.sources["kalshi"].leases.markets()) <= 4
        assert session.live.sources["kalshi"].replaced == 0


async def test_a_wrong_key_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    async with sandbox("kalshi", "binance") as made:
        found = sections(made, tmp_path)
        (tmp_path / "keys" / "feed" / "kalshi.id").write_text("somebody-elses")
        async with running(found, tmp_path) as session:
            await until(lambda: bool(session.observer.trades))
            await until(lambda: "kalshi: expected a websocket, was status 401" in session.live.detail)
