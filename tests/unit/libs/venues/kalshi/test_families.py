"""Recorded bodies of other market families, read by the real readers: sports, ranges, weather, economics, gold."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.market_data.payoff import Figure, read_strikes
from proto.feed import Book, Market, MarketStatus, Payoff, Trade
from proto.units import ONE, SECOND
from tests.support.paths import RECORDINGS

FOLDER = RECORDINGS / "families" / "kalshi"
AT = int(datetime(2026, 8, 9, 20, tzinfo=UTC).timestamp()) * SECOND
PAGE_ROWS = 200

pytestmark = pytest.mark.recorded

Body = dict[str, Any]


def read(name: str) -> Any:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"no recorded bodies at {path}")
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


def rows(name: str) -> list[dict[str, str]]:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"no recorded bodies at {path}")
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


def lines(path: Path) -> Iterator[Body]:
    if not path.is_file():
        pytest.skip(f"no recorded bodies at {path}")
    with gzip.open(path, "rt") as text:
        yield from map(json.loads, text)


def all_bodies() -> list[Body]:
    """Every recorded body of a market, as an answer gave it."""
    props = read("events_mlb_props_2026-08-15.json.gz")["events_by_series"]
    games = read("events_nfl_preseason_2026-08-09.json.gz")["events"]
    combos = read("combos_and_legs_2026-08-09.json.gz")
    gold = read("kxgold15m_2026-08/events_39.json.gz")
    nested = [event for found in props.values() for event in found] + games
    legs = combos["legs"]
    found = [market for event in nested for market in event["markets"]]
    found += combos["combos"] + (list(legs.values()) if isinstance(legs, dict) else legs)
    found += [market for answer in gold for market in answer["response"]["markets"]]
    found.append(read("candlesticks_pregame_mlb_2026-08-09.json.gz")["market"])
    found.append(read("nfl_game_2026-10-06.json")["market"])
    return found


def markets_of(bodies: list[Body], normaliser: KalshiNormaliser) -> dict[str, Market]:
    """What pages of these bodies tell, by ticker; what came last counts."""
    told: dict[str, Market] = {}
    for start in range(0, len(bodies), PAGE_ROWS):
        page = {"markets": bodies[start : start + PAGE_ROWS], "cursor": ""}
        for message in normaliser.normalise(rest_frame("markets", msgspec.json.encode(page)), AT):
            if isinstance(message, Market):
                told[message.market.partition(":")[2]] = message
    return told


def moment(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * SECOND


def test_every_body_is_read_and_nothing_is_made_up() -> None:
    bodies, normaliser = all_bodies(), KalshiNormaliser()
    told = markets_of(bodies, normaliser)
    assert normaliser.notes() == []
    assert set(told) == {body["ticker"] for body in bodies}
    assert len(bodies) > 400
    kinds: Counter[tuple[str, Payoff]] = Counter()
    for body in bodies:
        market = told[body["ticker"]]
        kinds[body["strike_type"], market.payoff] += 1
        assert market.expected_end_at == moment(body["expected_expiration_time"])
        assert market.close_at == moment(body["close_time"])
        assert market.ends_at == min(market.close_at, market.expected_end_at)
        assert [step.step for step in market.price_steps] == [
            round(float(band["step"]) * ONE) for band in body["price_ranges"]
        ]
        if body.get("floor_strike") is not None:
            assert market.floor == round(body["floor_strike"] * ONE)
        if body["status"] == "finalized":
            assert (market.status, market.result) == (MarketStatus.SETTLED, body["result"])
            assert 0 < market.ended_at <= AT
    assert {payoff for (kind, payoff) in kinds if kind in ("structured", "custom")} == {Payoff.EVENT}
    assert {payoff for (kind, payoff) in kinds if kind.startswith("greater")} == {Payoff.ABOVE}


def test_games_end_long_before_their_latest_close() -> None:
    games = read("events_nfl_preseason_2026-08-09.json.gz")["events"]
    told = markets_of([market for event in games for market in event["markets"]], KalshiNormaliser())
    assert len(told) == 64
    assert all(market.close_at - market.ends_at > 24 * 3_600 * SECOND for market in told.values())


def test_markets_of_a_game_exclude_each_other_and_form_a_group() -> None:
    events, normaliser = read("events_nfl_preseason_2026-08-09.json.gz")["events"], KalshiNormaliser()
    bare = [{name: value for name, value in event.items() if name != "markets"} for event in events]
    frame = rest_frame("events", msgspec.json.encode({"events": bare, "cursor": ""}))
    normaliser.normalise(frame, AT)
    told = markets_of([market for event in events for market in event["markets"]], normaliser)
    groups = Counter(market.group for market in told.values())
    assert set(groups) == {f"kalshi:{event['event_ticker']}" for event in events}
    assert set(groups.values()) == {2}


def test_gold_windows_have_their_strike_their_result_and_no_reference() -> None:
    """The strike and the value that was found decide each as its payoff says; Pyth's price is no feed's."""
    answers = read("kxgold15m_2026-08/events_39.json.gz")
    bodies = [answer["response"]["markets"][0] for answer in answers]
    told = markets_of(bodies, KalshiNormaliser())
    assert len(told) == 39
    for body in bodies:
        market = told[body["ticker"]]
        assert (market.payoff, market.floor_included, market.underlying) == (Payoff.ABOVE, True, "")
        assert market.strike == market.floor == round(body["floor_strike"] * ONE)
        ended = round(float(body["expiration_value"]) * ONE)
        assert market.result == ("yes" if ended >= (market.floor or 0) else "no")


def test_strikes_of_every_family_are_exact() -> None:
    kinds: Counter[str] = Counter()
    for name in ("strikes_crypto_hourly_2026-07-22", "strikes_econ_2026-07", "strikes_weather_2026-07"):
        for row in rows(f"{name}.csv.gz"):
            strikes = read_strikes(
                row["strike_type"],
                msgspec.Raw(row["floor_strike"].encode()),
                msgspec.Raw(row["cap_strike"].encode()),
            )
            kinds[row["strike_type"]] += 1
            for text, figure in ((row["floor_strike"], strikes.floor), (row["cap_strike"], strikes.cap)):
                assert (figure is None) == (text == "")
                if figure is not None and len(text) < 16:
                    assert same_figure(text, figure), (row["ticker"], text, figure)
    assert set(kinds) == {"between", "greater", "less", "custom"}
    assert kinds["between"] > 11_000


def same_figure(text: str, figure: Figure) -> bool:
    """Whether a figure is what its text says, compared as texts: without floats."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, part = digits.partition(".")
    part = part.rstrip("0")
    value = int(whole + part)
    return figure.scaled(12) == (-value if sign else value) * 10 ** (12 - len(part))


def test_hourly_ladders_tell_every_market_as_a_range_or_a_tail() -> None:
    ladder = rows("strikes_crypto_hourly_2026-07-22.csv.gz")
    first = ladder[0]["event_ticker"]
    bodies = [
        {
            "ticker": row["ticker"],
            "event_ticker": row["event_ticker"],
            "status": "active",
            "strike_type": row["strike_type"],
            "close_time": row["close_time"],
            **{name: float(row[name]) for name in ("floor_strike", "cap_strike") if row[name]},
        }
        for row in ladder
        if row["event_ticker"] == first
    ]
    told = list(markets_of(bodies, KalshiNormaliser()).values())
    assert {market.payoff for market in told} == {Payoff.BETWEEN, Payoff.ABOVE, Payoff.BELOW}
    # Together they leave nothing out: a cent lies between the cap of one and the floor of the next.
    ranges = sorted(
        (market.floor or 0, market.cap or 0) for market in told if market.payoff is Payoff.BETWEEN
    )
    assert all(upper[0] - lower[1] == ONE // 100 for lower, upper in pairwise(ranges))


def test_results_of_the_settled_are_read() -> None:
    settled = rows("settled_2026-07-07_22.csv.gz")[::4]
    bodies = [
        {
            "ticker": row["ticker"],
            "event_ticker": row["event_ticker"],
            "series_ticker": row["series"],
            "title": row["title"],
            "status": "finalized",
            "result": row["result"],
            "close_time": row["close_time"],
        }
        for row in settled
    ]
    normaliser = KalshiNormaliser()
    told = markets_of(bodies, normaliser)
    assert len(told) == len({body["ticker"] for body in bodies}) > 2_000
    assert all(told[body["ticker"]].result == body["result"] for body in bodies)
    # More of them ended than are kept: what goes is told.
    assert any("ended markets forgotten" in note for note in normaliser.notes())


def test_books_of_weather_markets_have_the_recorders_best_prices() -> None:
    checked, normaliser = 0, KalshiNormaliser()
    for row in islice(lines(FOLDER / "weather_books_2026-07-23_24.jsonl.gz"), 0, None, 4):
        frame = rest_frame(
            "orderbook", msgspec.json.encode({"orderbook_fp": row["raw_orderbook"]}), row["ticker"]
        )
        books = [m for m in normaliser.normalise(frame, AT) if isinstance(m, Book)]
        yes = next(book for book in books if book.instrument.endswith(":yes"))
        if row["best_yes_bid"] is not None and yes.bids:
            assert yes.bids[0].price == round(row["best_yes_bid"] * ONE)
        if row["best_yes_ask"] is not None and yes.asks:
            assert yes.asks[0].price == round(row["best_yes_ask"] * ONE)
        checked += 1
    assert checked > 100


def test_a_gold_window_plays_whole() -> None:
    """Other markets shared the recorder's subscription: numbers have holes and are counted anew here."""
    path = FOLDER / "kxgold15m_2026-08" / "KXGOLD15M-26AUG101900-00.ndjson.gz"
    normaliser, books, trades = KalshiNormaliser(), 0, 0
    last: dict[int, int] = {}
    for row in lines(path):
        frame, seq = row["event"], row["event"].get("seq")
        if seq is not None:
            last[frame["sid"]] = frame["seq"] = last.get(frame["sid"], 0) + 1
        for message in normaliser.normalise(msgspec.json.encode(frame), row["recv_ms"] * SECOND // 1_000):
            books += isinstance(message, Book)
            trades += isinstance(message, Trade)
    assert normaliser.gaps == 0
    assert books > 100
    assert trades > 100
    assert normaliser.ticker_matches >= 0.8 * normaliser.ticker_checks


def test_a_game_of_october_is_read_whole() -> None:
    """The schema of October: settlement bounds, block trades, a series with maker fees."""
    game = read("nfl_game_2026-10-06.json")
    normaliser = KalshiNormaliser()
    event = {"events": [game["event"]], "cursor": ""}
    for name, body in (("series", {"series": game["series"]}), ("events", event)):
        normaliser.normalise(rest_frame(name, msgspec.json.encode(body)), AT)
    (market,) = markets_of([game["market"]], normaliser).values()
    assert market.group == f"kalshi:{game['event']['event_ticker']}"
    assert (market.fees.taker_rate, market.fees.maker_rate) == (70_000, 17_500)
    assert (market.payoff, market.payout_floor) == (Payoff.EVENT, 0)
    trades = normaliser.normalise(rest_frame("trades", msgspec.json.encode(game["trades"])), AT)
    assert len([trade for trade in trades if isinstance(trade, Trade)]) == 2 * len(game["trades"]["trades"])
