"""Recorded bodies of other families through the readers of Polymarket and Manifold; odd ones counted and named."""

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.venues.frame import FrameError, rest_frame
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.schemas import answers
from proto.feed import Answer, Book, Gap, Market, MarketStatus, Payoff
from proto.units import ONE, SECOND

pytestmark = pytest.mark.recorded


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * SECOND


def body(recordings: Path, name: str) -> Any:
    path = recordings / "families" / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return msgspec.json.decode(data)


def frame(name: str, rows: Any) -> bytes:
    return rest_frame(name, msgspec.json.encode(rows))


def told(normaliser: PolymarketNormaliser, data: bytes, moment: int) -> list[Market]:
    return [message for message in normaliser.normalise(data, moment) if isinstance(message, Market)]


def test_markets_trade_past_their_end_and_while_their_answer_is_disputed(recordings: Path):
    rows = [row["body"] for row in body(recordings, "polymarket/gamma_markets_past_end_or_disputed.json")]
    normaliser = PolymarketNormaliser()
    now = at("2026-10-06T06:40:00")
    markets = told(normaliser, frame("gamma_markets", rows), now)
    assert len(markets) == 6
    assert normaliser.odd_items.count == 0
    assert {market.status for market in markets} == {MarketStatus.OPEN}
    assert {market.close_at for market in markets} == {0}
    past = [market for market in markets if market.expected_end_at < now]
    disputed = [market for market in markets if market.answer is Answer.DISPUTED]
    assert (len(past), len(disputed)) == (5, 2)
    (daily,) = [market for market in markets if market.underlying]
    assert (daily.underlying, daily.payoff, daily.strike) == ("binance:BTCUSDT", Payoff.UNKNOWN, None)
    assert len(normaliser.tokens()) == 12


@pytest.mark.parametrize(
    ("name", "day", "expected", "unused", "groups"),
    [
        ("fed_june_2026_gamma-event.json.gz", "2026-05-17", {"open": 5}, 0, 1),
        ("fed_june_2026_gamma-search.json.gz", "2026-05-17", {"open": 5, "settled": 4}, 0, 2),
        # One of the placeholders is "Other", which is not offered; the 50 for names to come are not open.
        ("gamma_event_nobel_augmented_2026-02-16.json.gz", "2026-02-16", {"open": 20, "listed": 50}, 1, 1),
        ("gamma_event_us_strike_venezuela_2026-02-16.json.gz", "2026-02-16", {"settled": 3, "open": 2}, 0, 1),
    ],
)
def test_events_of_other_families_are_read(
    recordings: Path, name: str, day: str, expected: dict[str, int], unused: int, groups: int
):
    found = body(recordings, f"polymarket/{name}")
    normaliser = PolymarketNormaliser()
    markets = told(normaliser, frame("gamma_events", found.get("events", [found])), at(day))
    assert Counter(market.status.value for market in markets) == expected
    assert (normaliser.unused, normaliser.odd_items.count) == (unused, 0)
    assert {market.payoff for market in markets} == {Payoff.EVENT}
    assert len({market.group for market in markets}) == groups
    assert all(market.close_at == 0 < market.expected_end_at for market in markets)
    assert all(market.result for market in markets if market.status is MarketStatus.SETTLED)
    assert all((market.ended_at > 0) is (market.status is MarketStatus.SETTLED) for market in markets)


def test_every_book_is_whole_and_has_its_hash(recordings: Path):
    normaliser = PolymarketNormaliser()
    event = body(recordings, "polymarket/fed_june_2026_gamma-event.json.gz")
    told(normaliser, frame("gamma_events", [event]), at("2026-05-17"))
    rows = body(recordings, "polymarket/fed_june_2026_clob-books.json.gz")
    out = [m for row in rows for m in normaliser.normalise(frame("clob_book", row), at("2026-05-17"))]
    assert (
        len([message for message in out if isinstance(message, Book) and message.snapshot]) == len(rows) == 10
    )
    assert not [message for message in out if isinstance(message, Gap)]
    assert (normaliser.checked, normaliser.matched) == (10, 10)


def test_short_markets_are_read(recordings: Path):
    rows = body(recordings, "polymarket/fed_june_2026_clob-markets.json.gz")
    read = [msgspec.json.decode(msgspec.json.encode(row), type=answers.ShortMarket) for row in rows]
    assert [(market.nr, len(market.t)) for market in read] == [(True, 2)] * 5


def test_markets_of_the_clob_without_a_condition_are_the_only_odd_ones(recordings: Path):
    page = body(recordings, "polymarket/clob_markets_first_page_1000.json.gz")["data"]
    normaliser = PolymarketNormaliser()
    odd: list[str] = []
    for row in page:
        try:
            assert normaliser.normalise(frame("clob_market", row), at("2026-02-16")) == []
        except FrameError:
            odd.append(row["condition_id"])
    assert (len(page), odd) == (1_000, [""] * 54)


def test_manifold_s_resolved_markets_are_read(recordings: Path):
    rows = body(recordings, "manifold/search_markets_resolved_2026-10-05.json")
    normaliser = ManifoldNormaliser()
    out = normaliser.normalise(frame("search-markets", rows), at("2026-10-06"))
    binary = [row for row in rows if row["outcomeType"] == "BINARY"]
    assert [message.market for message in out if isinstance(message, Market)] == [
        f"manifold:{row['id']}" for row in binary
    ]
    assert (len(rows), len(binary), normaliser.odd_items.count) == (4, 3, 0)
    for market, row in zip(out, binary, strict=True):
        assert isinstance(market, Market)
        assert (market.status, market.payoff) == (MarketStatus.SETTLED, Payoff.EVENT)
        assert market.result == {"YES": "yes", "NO": "no", "MKT": "mkt", "CANCEL": "void"}[row["resolution"]]
        assert market.payout == (
            round(row["resolutionProbability"] * ONE) if market.result == "mkt" else None
        )
