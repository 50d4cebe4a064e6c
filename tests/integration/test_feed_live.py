"""The feed's live sources against venues on loopback: what is followed, what is believed, and what is recorded."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from libs.venues.frame import FRAME_BYTES_MAX
from libs.venues.kalshi.params import KalshiParams
from libs.venues.polymarket.params import PolymarketParams
from proto.feed import FeedClock, Played
from services.feed.live import live_feed, source
from services.feed.live.polymarket import PolymarketSource
from services.feed.normalise import DeadFrame
from services.feed.recording.frame_files import find_frame_files
from services.feed.recording.play import play
from services.feed.recording.recorder import Limits, Recorder
from services.feed.recording.recording import open_recording
from tests.support.feed_observer import FeedObserver
from tests.support.live_session import running
from tests.support.steady_clock import steady_clock
from tests.support.venue_stand_in import CONDITION, DOWN, TOKENS, UP, PolymarketStandIn, gamma_market
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio


def polymarket(venue: PolymarketStandIn, **changes: Any) -> dict[str, dict[str, Any]]:
    params = PolymarketParams(
        clob_url=venue.rest_url,
        gamma_url=venue.rest_url,
        market_websocket_url=venue.websocket_url,
        prices_websocket_url="",
        windows=(),
        any_tag=True,
        discovery_interval_s=1,
        **changes,
    )
    return {"polymarket": params.document()}


@pytest.mark.parametrize("trades_go_on", [True, False])
async def test_silent_freeze_is_a_gap_and_the_connection_is_replaced(
    tmp_path: Path, trades_go_on: bool
) -> None:
    """Pain point 3: the socket is open, PINGs are answered, and no book comes any more.

    The second case is the worse one: trades and best prices go on, so the socket is not even silent.
    """
    async with PolymarketStandIn() as venue:
        venue.dumb = lambda connection: connection == 1 and venue.bid == 50
        sections = polymarket(venue, book_lease_s=1, lease_failures_max_count=1, silence_max_s=3)
        async with running(sections, tmp_path) as session:
            await until(lambda: session.whole(UP, DOWN))
            venue.bid = 50
            async with asyncio.timeout(60):
                while venue.connections == 1:
                    if trades_go_on:
                        about = {"market": CONDITION, "asset_id": TOKENS[0]}
                        trade = about | {"event_type": "last_trade_price", "price": "0.51"}
                        best = about | {"event_type": "best_bid_ask", "best_bid": "0.50", "best_ask": "0.52"}
                        # The feed may close it in this very moment: that is what is waited for.
                        with contextlib.suppress(ConnectionError):
                            await venue.sockets[-1].send_str(msgspec.json.encode([trade, best]).decode())
                    await asyncio.sleep(0.05)
            reasons = [gap.reason for gap in session.observer.gaps]
            assert "stale" in reasons[1:3], "a book that nothing proved was offered as fresh"
            await until(lambda: session.observer.quotes[UP].bid == 500_000 and session.whole(UP, DOWN))
            assert session.live.sources["polymarket"].replaced >= (1 if trades_go_on else 0)


async def test_an_answer_longer_than_any_frame_is_read_in_parts(tmp_path: Path) -> None:
    """The first reply is one array of all books: four with a level on almost every finest tick are 1.2 MB."""
    async with PolymarketStandIn() as venue:
        venue.levels = 3_500
        venue.markets.append(gamma_market(1_800, "0x" + "cd" * 32, ("333", "444")))
        async with running(polymarket(venue), tmp_path) as session:
            await until(lambda: session.whole(UP, DOWN, f"polymarket:{venue.markets[1]['conditionId']}:up"))
            assert session.dead == []
            assert venue.connections == 1
            assert max(len(frame.data) for frame in session.frames) < FRAME_BYTES_MAX


async def test_a_quiet_book_stays_fresh_because_the_venue_vouches_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with steady_clock() as clock, PolymarketStandIn() as venue:
        for module in ("services.feed.live.moment", "libs.venues.transport.websocket"):
            monkeypatch.setattr(f"{module}.time", clock)
        sections = polymarket(venue, book_lease_s=1, silence_max_s=30)
        async with running(sections, tmp_path) as session:
            await until(lambda: session.whole(UP, DOWN))
            asked = len(venue.heard)
            # Five times half a lease, without a change of the book: asked each time, believed all the time.
            await until(lambda: len(venue.heard) >= asked + 10)
            assert [gap.reason for gap in session.observer.gaps] == ["followed anew"]
            assert venue.connections == 1


async def test_a_lost_connection_is_a_gap_until_the_next_one_brings_whole_books(tmp_path: Path) -> None:
    async with PolymarketStandIn() as venue, running(polymarket(venue), tmp_path) as session:
        await until(lambda: session.whole(UP, DOWN))
        venue.bid = 45
        await venue.sockets[-1].close()
        await until(lambda: len(session.observer.gaps) >= 3)
        assert [gap.reason for gap in session.observer.gaps[1:3]] == ["connection lost"] * 2
        await until(lambda: session.whole(UP, DOWN) and session.observer.quotes[UP].bid == 450_000)
        assert venue.connections == 2


async def test_a_recording_of_the_session_gives_the_same_messages(tmp_path: Path) -> None:
    """With a lost connection, a stale book, changes, ticks and a frame that nobody can read."""
    recorder = Recorder(tmp_path / "frames", Limits(free_bytes_min=0))
    recorder.start()
    async with PolymarketStandIn() as venue:
        sections = polymarket(venue, book_lease_s=1, lease_failures_max_count=9)
        async with running(sections, tmp_path, recorder) as session:
            await until(lambda: session.whole(UP, DOWN))
            for cents in range(30, 40):
                await venue.change(f"0.{cents}", str(cents))
                await asyncio.sleep(0.03)
            await venue.sockets[-1].send_str("not JSON")
            await venue.sockets[-1].close()
            await until(lambda: venue.connections == 2 and session.whole(UP, DOWN))
            venue.dumb = lambda _: True
            await until(lambda: any(gap.reason == "stale" for gap in session.observer.gaps))
            venue.dumb = lambda _: False
            await until(lambda: session.whole(UP, DOWN))
            venue.markets.append(gamma_market(1_800, "0x" + "cd" * 32, ("333", "444")))
            await until(lambda: session.whole(f"polymarket:{venue.markets[1]['conditionId']}:up"))
    recorder.close()
    assert (recorder.dropped, recorder.detail) == (0, "")
    played = list(play(open_recording(tmp_path / "frames")))
    dead = [piece for piece in played if isinstance(piece, DeadFrame)]
    assert [(piece.source, piece.reason) for piece in dead] == [(d.source, d.reason) for d in session.dead]
    assert len(dead) == 1
    told = [m for m in played if not isinstance(m, DeadFrame | FeedClock | Played)]
    assert told == session.messages
    assert {type(m).__name__ for m in told} >= {"Market", "Book", "Quote", "Gap"}


@pytest.mark.parametrize("refusal", ["html", "rate_limited", "busy"])
async def test_a_venue_that_refuses_its_markets_is_asked_again_and_told_of(
    tmp_path: Path, refusal: str
) -> None:
    answers = {
        "html": lambda: web.Response(status=502, text="<html>bad gateway</html>", content_type="text/html"),
        "rate_limited": lambda: web.json_response({"error": "x"}, status=429, headers={"Retry-After": "1"}),
        "busy": lambda: web.json_response({"error": "later"}, status=503),
    }
    async with PolymarketStandIn() as venue:
        venue.refuse = answers[refusal]
        async with running(polymarket(venue), tmp_path) as session:
            await until(lambda: session.live.detail.startswith("polymarket: "))
            assert session.live.detail.rpartition(": ")[2] or refusal
            asked = len(venue.asked)
            assert venue.connections == 0
            venue.refuse = lambda: None
            await until(lambda: session.whole(UP, DOWN))
            assert len(venue.asked) > asked
            await until(lambda: session.live.detail == "")


async def test_a_venue_without_its_key_is_off_and_the_others_go_on(tmp_path: Path) -> None:
    async with PolymarketStandIn() as venue:
        sections = polymarket(venue) | {"kalshi": KalshiParams().document()}
        async with running(sections, tmp_path) as session:
            await until(lambda: session.whole(UP, DOWN))
            assert session.live.detail.startswith("kalshi is off: expected a key in ")
            assert session.live.detail.endswith("(presage keys add kalshi --market-data)")


async def test_a_venue_that_is_not_enabled_is_left_alone(tmp_path: Path) -> None:
    async with PolymarketStandIn() as venue:
        sections = polymarket(venue, enabled=False)
        async with running(sections, tmp_path) as session:
            assert session.live.sources == {}
            assert session.live.detail == ""


@pytest.mark.parametrize(
    ("changes", "row", "wanted"),
    [
        ({"volume_min": 2_000_000_000}, {}, False),
        ({"volume_min": 1_000_000_000}, {}, True),
        ({"volume_min": 1_000_000}, {"volume": "many"}, False),
        ({"categories": ("Politics",)}, {}, False),
        ({"categories": ("Politics", "Crypto")}, {}, True),
        ({"neg_risk": "only"}, {}, False),
        ({"neg_risk": "none"}, {"negRisk": True}, False),
        ({"neg_risk": "only"}, {"negRisk": True}, True),
        ({}, {"clobTokenIds": "[]"}, False),
        ({}, {"conditionId": "rubbish"}, False),
    ],
)
async def test_only_what_passes_the_filters_is_followed(
    tmp_path: Path, changes: dict[str, Any], row: dict[str, Any], wanted: bool
) -> None:
    other = "0x" + "cd" * 32
    async with PolymarketStandIn() as venue:
        # The second market always passes; it shows that the first one has been judged.
        certain = {"volume": "9999999", "category": "Politics", "negRisk": bool(row.get("negRisk"))}
        if changes.get("neg_risk") == "only":
            certain["negRisk"] = True
        if changes.get("neg_risk") == "none":
            certain["negRisk"] = False
        venue.markets = [
            venue.markets[0] | row,
            gamma_market(3_600, other, ("333", "444")) | certain,
        ]
        async with running(polymarket(venue, **changes), tmp_path) as session:
            await until(lambda: session.whole(f"polymarket:{other}:up"))
            assert (f"polymarket:{CONDITION}" in session.observer.markets) is wanted


async def test_the_look_at_gamma_carries_the_filters(tmp_path: Path) -> None:
    async with PolymarketStandIn() as venue:
        sections = polymarket(venue, time_to_close_max_hours=5)
        sections["polymarket"] |= {"any_tag": False, "tags": ["7", "8"], "windows": ["btc-updown-5m"]}
        async with running(sections, tmp_path) as session:
            await until(lambda: session.whole(UP))
        slugs = [path for path in venue.asked if "slug=btc-updown-5m-" in path]
        assert len(set(slugs)) >= 2
        tagged = [path for path in venue.asked if "tag_id=" in path]
        assert {path.partition("tag_id=")[2][:1] for path in tagged} == {"7", "8"}
        assert all("closed=false" in path and "end_date_max=" in path for path in tagged)
        soon = {path.partition("tag_id=")[2][:1] for path in tagged if "end_date_min=" in path}
        past = {path.partition("tag_id=")[2][:1] for path in tagged if "ascending=false" in path}
        assert soon == past == {"7", "8"}


async def test_a_source_that_raises_is_started_again_and_ends_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(source, "RESTART_S", 0.05)
    raised: list[int] = []

    async def fail(self: PolymarketSource) -> None:
        if not raised:
            raised.append(1)
            raise ZeroDivisionError
        await poll(self)

    poll = PolymarketSource.poll
    monkeypatch.setattr(PolymarketSource, "poll", fail)
    async with PolymarketStandIn() as venue, running(polymarket(venue), tmp_path) as session:
        await until(lambda: session.whole(UP, DOWN))
    assert raised
    assert "source stopped" in caplog.text


async def test_frames_wait_for_a_slow_reader_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "QUEUE_FRAMES_MAX", 10)
    async with PolymarketStandIn() as venue:
        async with running(polymarket(venue), tmp_path) as session:
            await until(lambda: session.whole(UP, DOWN))
            for size in range(1, 501):
                await venue.change("0.30", str(size))
            last = b'"size":"500"'
            await until(lambda: any(last in frame.data for frame in session.frames[-50:]))
        changes = [frame for frame in session.frames if b"price_change" in frame.data]
        assert len(changes) == 500
        assert [frame.at for frame in session.frames] == sorted(frame.at for frame in session.frames)


async def test_each_file_of_a_recording_can_be_played_by_itself(tmp_path: Path) -> None:
    """A new file begins in the middle of a session: the venue is asked for its markets and books again."""
    recorder = Recorder(tmp_path / "frames", Limits(file_age_s_max=2.0, free_bytes_min=0))
    recorder.start()
    async with PolymarketStandIn() as venue:
        sections = polymarket(venue)
        sections["polymarket"]["discovery_interval_s"] = 3_600
        async with running(sections, tmp_path, recorder) as session:
            await until(lambda: session.whole(UP, DOWN))
            await until(lambda: recorder.files >= 3)
    recorder.close()
    second = find_frame_files(tmp_path / "frames")[1]
    observer = FeedObserver()
    observer.handle_messages(
        message for message in play(open_recording(second)) if not isinstance(message, DeadFrame)
    )
    assert observer.whole(UP)
    assert observer.whole(DOWN)
