"""What the live sources ask their venues by REST, now and then, and what they do with a part of the answers."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from libs.venues.errors import RateLimited, VenueError
from libs.venues.kalshi.auth import KalshiCredentials, RequestSigner
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from libs.venues.manifold.params import ManifoldParams
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.params import PolymarketParams
from proto.feed import Market, MarketStatus
from proto.units import ONE, SECOND
from services.feed.live.kalshi import KalshiSource
from services.feed.live.manifold import ManifoldSource
from services.feed.live.polymarket import PolymarketSource
from services.feed.live.questions import SomeFailed, ask_each
from tests.support.venue_stand_in import CONDITION, StandIn, gamma_market
from tests.unit.libs.venues.kalshi.test_auth import KEY, pem

pytestmark = pytest.mark.asyncio

AT = 1_778_709_000 * SECOND


class Questions(StandIn):
    """Answers questions as ``rows`` (path → body) say; a path that is not there is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, Any] = {}
        self.told: list[Any] = []

    def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path not in self.rows:
            return web.json_response({"error": f"no {request.path}"}, status=422)
        body = self.rows[request.path]
        if callable(body):
            body = body(request)
        if isinstance(body, list):
            # As Gamma: closed markets are left out unless they are asked for.
            body = [
                row for row in body if row.get("closed", False) is (request.query.get("closed") == "true")
            ]
        return web.json_response(body)

    async def emit(self, source: str, data: bytes, at_ns: int = 0) -> None:
        """Take what a source makes of the answers."""
        self.told.append(msgspec.json.decode(data))

    def asked_with(self, text: str) -> list[str]:
        """The questions since the last call that hold ``text``."""
        found = [path for path in self.asked if text in path]
        self.asked.clear()
        return found


@pytest_asyncio.fixture
async def venue() -> AsyncIterator[Questions]:
    async with Questions() as made:
        yield made


def kalshi_source(venue: Questions, *series: str) -> KalshiSource:
    params = KalshiParams(rest_url=venue.rest_url, series=series)
    signer = RequestSigner(KalshiCredentials("key-1", pem(KEY)))
    return KalshiSource(params, venue.emit, signer, KalshiNormaliser)


@pytest_asyncio.fixture
async def kalshi(venue: Questions) -> AsyncIterator[KalshiSource]:
    venue.rows = {
        "/series/KXBTC15M": {"series": {"ticker": "KXBTC15M"}},
        "/markets": {"markets": [], "cursor": ""},
        "/events": {"events": [], "cursor": ""},
    }
    made = kalshi_source(venue, "KXBTC15M")
    yield made
    await made.close()


class Polymarket:
    """A source, and the normaliser that reads what it makes of the answers."""

    def __init__(self, venue: Questions, **changes: Any) -> None:
        self.venue = venue
        self.normaliser = PolymarketNormaliser()
        params = PolymarketParams(**{"gamma_url": venue.rest_url, "windows": ()} | changes)
        self.source = PolymarketSource(params, venue.emit, lambda: self.normaliser)

    async def poll(self) -> list[Market]:
        """What one look tells of markets."""
        try:
            await self.source.poll()
        finally:
            frames, self.venue.told = self.venue.told, []
            messages = [m for f in frames for m in self.normaliser.normalise(msgspec.json.encode(f), AT)]
            self.source.handle_messages(messages, AT)
        return [message for message in messages if isinstance(message, Market)]


@pytest_asyncio.fixture
async def polymarket(venue: Questions) -> AsyncIterator[Polymarket]:
    made = Polymarket(venue, any_tag=True)
    yield made
    await made.source.close()


def market(name: str, status: MarketStatus) -> Market:
    return Market(market=name, venue=name.partition(":")[0], at=AT, status=status)


async def test_kalshi_is_asked_for_a_result_until_the_market_is_settled(
    venue: Questions, kalshi: KalshiSource
) -> None:
    for status, asked in (
        (MarketStatus.OPEN, 0),
        (MarketStatus.CLOSED, 1),
        (MarketStatus.DETERMINED, 1),
        (MarketStatus.DISPUTED, 1),
        (MarketStatus.SETTLED, 0),
    ):
        kalshi.handle_messages([market("kalshi:KXBTC15M-1", status)], AT)
        await kalshi.poll()
        assert len(venue.asked_with("tickers=KXBTC15M-1")) == asked, status


async def test_polymarket_tells_what_becomes_of_an_ended_market_until_it_is_settled(
    venue: Questions, polymarket: Polymarket
) -> None:
    row = gamma_market()
    venue.rows = {"/markets/keyset": {"markets": [row]}, "/markets": [row]}
    told = []
    for change in (
        {},
        {"umaResolutionStatus": "proposed"},
        {},
        {"umaResolutionStatus": "disputed"},
        {"acceptingOrders": False},
        {"closed": True, "umaResolutionStatus": "resolved"},
        {},
        {"outcomePrices": '["0.5", "0.5"]'},
    ):
        if change.get("closed"):
            venue.rows["/markets/keyset"] = {"markets": []}
            row["outcomePrices"] = '["0", "0"]'
        row.update(change)
        told += [message.status for message in await polymarket.poll()]
    assert told == [
        *[MarketStatus.OPEN] * 3,
        MarketStatus.DISPUTED,
        MarketStatus.SETTLED,
    ]
    assert polymarket.source.leases.markets() == []
    venue.asked.clear()
    await polymarket.poll()
    assert venue.asked_with(CONDITION) == [], "a settled market is asked for"
    venue.rows["/markets/keyset"] = {"markets": [gamma_market()]}
    await polymarket.poll()
    polymarket.source.handle_messages([market("polymarket:other", MarketStatus.OPEN)], AT)
    assert polymarket.source.leases.markets() == [], "a list that is behind brings it back"


@pytest.mark.parametrize("listed", [True, False])
async def test_a_market_from_before_a_restart_has_a_lease_while_it_is_open(
    venue: Questions, listed: bool
) -> None:
    """Whether a list has it or only the question about it. It takes its place among ``markets_max_count``."""
    asked = Polymarket(venue, any_tag=True, markets_max_count=1)
    rows = [gamma_market(), gamma_market(condition="0x" + "cd" * 32, tokens=("333", "444"))]
    names = [f"polymarket:{row['conditionId']}" for row in rows]
    venue.rows = {"/markets/keyset": {"markets": rows if listed else []}, "/markets": rows[:1]}
    asked.source.await_results(names[:1])
    try:
        assert [message.market for message in await asked.poll()] == names[:1]
        assert asked.source.leases.markets() == names[:1]
        venue.asked.clear()
        assert await asked.poll() == []
        assert venue.asked_with("condition_ids") == [], "an open market is asked for by itself"
        venue.rows["/markets"] = [rows[1] | {"umaResolutionStatus": "proposed", "acceptingOrders": False}]
        asked.source.await_results(names[1:])
        assert [message.market for message in await asked.poll()] == names[1:], "no room for a result"
        assert asked.source.leases.markets() == names[:1]
        venue.rows["/markets"] = rows[:1]
        rows[0] |= {"umaResolutionStatus": "proposed", "acceptingOrders": False}
        venue.rows["/markets/keyset"] = {"markets": rows[:1] if listed else []}
        asked.source._followed[names[0]].expected_end_at = 1
        assert [message.status for message in await asked.poll()] == [MarketStatus.DETERMINED]
        assert asked.source.leases.markets() == []
    finally:
        await asked.source.close()


async def test_a_disputed_market_that_trades_again_has_a_lease_again(
    venue: Questions, polymarket: Polymarket
) -> None:
    row = gamma_market() | {"umaResolutionStatus": "disputed", "acceptingOrders": False}
    venue.rows = {"/markets/keyset": {"markets": [row]}, "/markets": [row]}
    for _ in range(2):
        await polymarket.poll()
        assert polymarket.source.leases.markets() == []
    row |= {"umaResolutionStatus": "", "acceptingOrders": True}
    assert [message.status for message in await polymarket.poll()] == [MarketStatus.OPEN]
    await polymarket.poll()
    assert polymarket.source.leases.markets() == [f"polymarket:{CONDITION}"]


async def test_markets_that_trade_past_their_end_are_found(venue: Questions) -> None:
    """Those that are only waiting for their result are not."""
    asked = Polymarket(venue, any_tag=True)
    ended = {"slug": "who-wins", "endDate": "2020-01-31T00:00:00Z"}
    trades = gamma_market() | ended
    waits = (
        gamma_market(condition="0x" + "cd" * 32, tokens=("333", "444")) | ended | {"acceptingOrders": False}
    )

    def page(request: web.Request) -> dict[str, Any]:
        return {"markets": [trades, waits] if "end_date_min" not in request.query else []}

    venue.rows = {"/markets/keyset": page, "/markets": []}
    try:
        (told,) = await asked.poll()
        assert (told.status, told.close_at, told.expected_end_at) == (
            MarketStatus.OPEN,
            0,
            1_580_428_800 * SECOND,
        )
        assert asked.source.leases.markets() == [f"polymarket:{CONDITION}"]
    finally:
        await asked.source.close()


async def test_a_manifold_market_that_is_opened_again_is_followed_again(venue: Questions) -> None:
    """Closed, opened, resolved, taken back; and one from before a restart is asked about until it has its result."""
    body = {"id": "abc", "outcomeType": "BINARY", "mechanism": "cpmm-1", "pool": {"YES": 9.0, "NO": 9.0}}
    far, past = 2**42, 1_000
    venue.rows = {"/market/abc": body, "/bets": []}
    normaliser = ManifoldNormaliser()
    params = ManifoldParams(rest_url=venue.rest_url, term="")
    source = ManifoldSource(params, venue.emit, lambda: normaliser)
    source.await_results(["manifold:abc"])
    try:
        for change, status, followed in (
            ({"closeTime": past}, MarketStatus.CLOSED, []),
            ({"closeTime": far}, MarketStatus.OPEN, ["manifold:abc"]),
            ({"isResolved": True, "resolution": "YES"}, MarketStatus.SETTLED, []),
            ({"isResolved": False, "resolution": None}, MarketStatus.OPEN, ["manifold:abc"]),
        ):
            body |= change
            await source.poll()
            if not venue.told:
                # A followed market is asked for when its lease is to be proved.
                await source.probe(["manifold:abc"])
            frames, venue.told = venue.told, []
            out = [m for f in frames for m in normaliser.normalise(msgspec.json.encode(f), AT)]
            source.handle_messages(out, AT)
            assert [m.status for m in out if isinstance(m, Market)] == [status]
            assert source.leases.markets() == followed
        assert "was resolved yes and is open now" in source.notes[0]
        del venue.rows["/market/abc"]
        source.await_results(["manifold:gone"])
    finally:
        await source.close()


async def test_what_manifold_does_not_find_is_told(venue: Questions) -> None:
    far = {"id": "abc", "outcomeType": "BINARY", "mechanism": "cpmm-1", "volume": 9.0, "closeTime": 2**45}
    params = ManifoldParams(rest_url=venue.rest_url, term="btc")
    normaliser = ManifoldNormaliser()
    source = ManifoldSource(params, venue.emit, lambda: normaliser)
    try:
        for rows, note in (
            ([], "btc: the venue finds no open market"),
            ([far], f"btc: none of 1 markets closes within {params.time_to_close_max_hours} h"),
        ):
            venue.rows = {"/search-markets": rows}
            await source.poll()
            (told,) = source.notes
            assert told.startswith(note)
    finally:
        await source.close()


async def test_what_polymarket_does_not_list_is_told(venue: Questions) -> None:
    asked = Polymarket(venue, windows=("bitcoin-up-or-down",), tags=("7",), volume_min=ONE)
    venue.rows = {"/markets": [], "/markets/keyset": {"markets": [gamma_market() | {"endDate": "soon"}]}}
    try:
        assert await asked.poll() == []
        window, odd = asked.source.notes
        assert "bitcoin-up-or-down: the venue lists no bitcoin-up-or-down-" in window
        assert "expected a time, was 'soon'" in odd
        venue.rows["/markets/keyset"] = {"markets": []}
        await asked.poll()
        assert asked.source.notes[1].startswith("tag 7: no open market")
        venue.rows["/markets/keyset"] = {"markets": [gamma_market() | {"volume": "0.5"}]}
        await asked.poll()
        assert asked.source.notes[1].startswith("tag 7: none of 1 markets has the volume")
    finally:
        await asked.source.close()


async def test_a_kalshi_market_from_before_a_restart_has_a_lease_while_it_is_open(
    kalshi: KalshiSource,
) -> None:
    name = "kalshi:KXBTC15M-1"
    kalshi.await_results([name])
    for status in (MarketStatus.OPEN, MarketStatus.DISPUTED, MarketStatus.OPEN):
        kalshi.handle_messages([market(name, status)], AT)
        assert kalshi.leases.markets() == ([name] if status is MarketStatus.OPEN else [])


async def test_a_question_that_is_refused_does_not_take_the_others_with_it(venue: Questions) -> None:
    asked = Polymarket(venue, windows=("btc-updown-5m",), tags=("7",))
    venue.rows = {"/markets": [gamma_market()]}
    try:
        with pytest.raises(
            SomeFailed, match=r"tag 7: GET /markets/keyset: 422 no /markets/keyset; tag 7, past"
        ):
            await asked.poll()
        assert list(asked.source.leases.markets()) == [f"polymarket:{CONDITION}"]
    finally:
        await asked.source.close()


async def test_a_series_that_kalshi_does_not_know_does_not_hide_the_others(venue: Questions) -> None:
    venue.rows = {
        "/series/KXBTC15M": {"series": {"ticker": "KXBTC15M"}},
        "/markets": {"markets": [], "cursor": ""},
        "/events": {"events": [], "cursor": ""},
    }
    asked = kalshi_source(venue, "KXBTC15MM", "KXBTC15M")
    with pytest.raises(SomeFailed, match=r"^kalshi: KXBTC15MM: GET /series/KXBTC15MM: 422"):
        await asked.poll()
    assert [frame["_rest"] for frame in venue.told] == ["events", "events", "series", "markets"]
    await asked.close()
    venue.rows.clear()
    asked = kalshi_source(venue, "KXBTC15MM", "KXBTC15M")
    with pytest.raises(VenueError, match=r"KXBTC15MM: .*; KXBTC15M: ") as raised:
        await asked.poll()
    assert not isinstance(raised.value, SomeFailed), "nothing was answered"
    await asked.close()


async def test_a_venue_that_wants_to_be_left_alone_is_asked_nothing_more() -> None:
    asked: list[str] = []

    async def ask(name: str, error: Exception | None = None) -> None:
        asked.append(name)
        if error is not None:
            raise error

    questions = [
        ("a", partial(ask, "a")),
        ("b", partial(ask, "b", RateLimited("v", "slow down", retry_after_s=9.0))),
        ("c", partial(ask, "c")),
    ]
    with pytest.raises(RateLimited):
        await ask_each("v", questions)
    assert asked == ["a", "b"]


async def test_the_fees_of_a_series_are_told_each_time_and_asked_for_seldom(
    venue: Questions, kalshi: KalshiSource
) -> None:
    """A file of a recording that begins in between has them too."""
    for _ in range(3):
        await kalshi.poll()
    assert [frame["_rest"] for frame in venue.told] == ["events", "series", "markets"] * 3
    asked = list(venue.asked)
    assert len([path for path in asked if path.startswith("/series/")]) == 1
    # Those that close soon each time, those that close later and may end soon once a minute.
    assert len([path for path in asked if path.startswith("/markets")]) == 4


def listed(ticker: str, closes_in_h: float, expected_in_h: float, volume: str = "5.00") -> dict[str, Any]:
    def at(hours: float) -> str:
        return datetime.fromtimestamp(time.time() + 3600 * hours, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    return {
        "ticker": ticker,
        "status": "active",
        "close_time": at(closes_in_h),
        "expected_expiration_time": at(expected_in_h),
        "volume_fp": volume,
    }


async def test_a_game_is_found_by_its_expected_end(venue: Questions, kalshi: KalshiSource) -> None:
    """Its latest close is days later; a list of those that close soon does not have it."""
    rows = [listed("KXBTC15M-A", 48, 1), listed("KXBTC15M-B", 48, 47), listed("KXBTC15M-C", 0.5, 0.6)]
    venue.rows["/markets"] = {"markets": rows, "cursor": ""}
    await kalshi.poll()
    found = [
        [row["ticker"] for row in frame["body"]["markets"]]
        for frame in venue.told
        if frame["_rest"] == "markets"
    ]
    assert found == [["KXBTC15M-A", "KXBTC15M-C"]] * 2
    assert kalshi.notes == []
    now_s = int(time.time())
    soon, later = (urlsplit(path).query for path in venue.asked_with("/markets"))
    assert now_s < int(parse_qs(soon)["max_close_ts"][0]) <= int(parse_qs(later)["min_close_ts"][0]) + 60


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([], "KXBTC15M: the venue lists no open market"),
        ([listed("KXBTC15M-A", 48, 47)], "KXBTC15M: none of 2 markets is expected to end within 2 h"),
        (
            [listed("KXBTC15M-A", 1, 1, "0.50")],
            "KXBTC15M: none of 2 markets that end within 2 h was traded enough",
        ),
    ],
)
async def test_discovery_that_finds_nothing_says_so(venue: Questions, rows: list[Any], note: str) -> None:
    venue.rows = {
        "/series/KXBTC15M": {"series": {"ticker": "KXBTC15M"}},
        "/events": {"events": [], "cursor": ""},
        "/markets": {"markets": rows, "cursor": ""},
    }
    params = KalshiParams(rest_url=venue.rest_url, series=("KXBTC15M",), volume_min=1_000_000)
    signer = RequestSigner(KalshiCredentials("key-1", pem(KEY)))
    asked = KalshiSource(params, venue.emit, signer, KalshiNormaliser)
    await asked.poll()
    assert asked.notes == [note]
    await asked.close()


async def test_a_followed_series_without_a_reference_price_is_told_with_its_reason(venue: Questions) -> None:
    asked = kalshi_source(venue, "KXBTC15M", "KXGOLD15M", "KXNFLGAME")
    gold, games = asked.notes
    assert gold.startswith("KXGOLD15M: no reference price: the last one-minute candle of Pyth")
    assert games == "KXNFLGAME: no reference price: not in series_facts"
    await asked.close()


async def test_an_odd_market_costs_the_gateways_list_one_row(venue: Questions) -> None:
    """It reads its series' markets at its start, which must not fail for one of them."""
    rows = [
        {"ticker": "KXCPI-26-T1"},
        {"ticker": "KXCPI-26-T2", "status": 5},
        {"ticker": "KXCPI-26-T3", "title": None},
    ]
    venue.rows = {"/markets": {"markets": rows, "cursor": ""}}
    client = KalshiClient(venue.rest_url)
    assert [market.ticker for market in await client.markets({})] == ["KXCPI-26-T1", "KXCPI-26-T3"]
    assert client.odd_items.latest(2)[0].name.endswith("KXCPI-26-T2")
    await client.close()


async def test_markets_beyond_those_that_may_be_followed_are_told(venue: Questions) -> None:
    params = KalshiParams(rest_url=venue.rest_url, series=("KXBTC15M",), markets_max_count=2)
    asked = KalshiSource(
        params, venue.emit, RequestSigner(KalshiCredentials("key-1", pem(KEY))), KalshiNormaliser
    )
    names = [f"kalshi:KXBTC15M-{letter}" for letter in "CAB"]
    for name, expected in zip(names, (3, 1, 2), strict=True):
        found = market(name, MarketStatus.OPEN).replace(
            close_at=9 * SECOND, expected_end_at=expected * SECOND
        )
        asked.handle_messages([found], AT)
    assert sorted(asked.leases.markets()) == ["kalshi:KXBTC15M-A", "kalshi:KXBTC15M-B"]
    assert asked.notes == ["1 markets that end later are not followed: at most 2 are"]
    await asked.close()
