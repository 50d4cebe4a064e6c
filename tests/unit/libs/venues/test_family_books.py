"""Recorded books, trades and candles of other families, and prices of the same question at two venues."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.schemas import answers
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import Book, Gap, Level, Market, Trade
from proto.units import MILLISECOND, ONE, SECOND
from tests.support.families import FOLDER, KALSHI, Body, lines, read

AT = int(datetime(2026, 8, 9, 20, tzinfo=UTC).timestamp()) * SECOND
GOLD = KALSHI / "kxgold15m_2026-08"
TOKENS = ("7" * 70, "8" * 70)
CONDITION = "0x" + "ab" * 32

pytestmark = pytest.mark.recorded


def books_of(ticker: str, orderbook: Body) -> dict[str, Book]:
    """What a body of ``GET /markets/{ticker}/orderbook`` tells, by outcome."""
    frame = rest_frame("orderbook", msgspec.json.encode({"orderbook_fp": orderbook}), ticker)
    told = KalshiNormaliser().normalise(frame, AT)
    return {m.instrument.rpartition(":")[2]: m for m in told if isinstance(m, Book)}


def best(levels: tuple[Level, ...]) -> int | None:
    return levels[0].price if levels else None


def price(value: float | None) -> int | None:
    return None if value is None else round(value * ONE)


def test_books_of_weather_markets_have_the_recorders_best_prices() -> None:
    checked: Counter[str] = Counter()
    for row in lines(KALSHI / "weather_books_2026-07-23_24.jsonl.gz"):
        yes = books_of(row["ticker"], row["raw_orderbook"])["yes"]
        checked["books"] += 1
        for levels, said in ((yes.bids, row["best_yes_bid"]), (yes.asks, row["best_yes_ask"])):
            if said is not None and levels:
                assert levels[0].price == price(said), row["ticker"]
                checked["best prices"] += 1
    assert checked == {"books": 1_407, "best prices": 2_203}


WINDOWS = {
    "KXGOLD15M-26AUG101900-00": (22_026, 977, 0),
    "KXGOLD15M-26AUG101915-15": (44_678, 1_691, 0),
    "KXGOLD15M-26AUG101930-30": (27_363, 1_156, 0),
    "KXGOLD15M-26AUG102130-30": (196_012, 1_884, 1),
}
"""Window → frames of its books, trades, new connections of the recorder: 295,787 frames."""


def played(window: str) -> Iterator[tuple[bytes, int]]:
    """The frames of a window. Other markets shared the recorder's subscription: numbers have holes, counted anew here.

    Where a number falls back the recorder had connected anew.
    """
    came: dict[int, int] = {}
    counted: dict[int, int] = {}
    for row in lines(GOLD / f"{window}.ndjson.gz"):
        frame, at = row["event"], row["recv_ms"] * MILLISECOND
        if (seq := frame.get("seq")) is not None:
            if seq < came.get(frame["sid"], 0):
                counted.clear()
                came.clear()
                yield b'{"type":"_ws_connected","msg":{}}', at
            came[frame["sid"]] = seq
            counted[frame["sid"]] = frame["seq"] = counted.get(frame["sid"], 0) + 1
        yield msgspec.json.encode(frame), at


@pytest.mark.parametrize("window", WINDOWS)
def test_a_gold_window_plays_whole(window: str) -> None:
    normaliser, told = KalshiNormaliser(), Counter[type]()
    books = trades = 0
    for data, at in played(window):
        books += b'"orderbook_' in data[:60]
        trades += b'"trade"' in data[:40]
        told.update(type(message) for message in normaliser.normalise(data, at))
    assert (books, trades, normaliser.gaps) == WINDOWS[window]
    assert told[Trade] == 2 * trades
    assert told[Book] > 1_000


def test_the_table_of_gold_windows_is_what_their_answers_say() -> None:
    found = read("kxgold15m_2026-08/events_39.json.gz")
    table = list(csv.DictReader(io.StringIO((GOLD / "MARKETS.csv").read_text())))
    bodies = {body["ticker"]: body for answer in found for body in answer["response"]["markets"]}
    assert (len(table), Counter(row["result"] for row in table)) == (39, {"yes": 21, "no": 18})
    for row in table:
        body = bodies[row["window"]]
        page = rest_frame("markets", msgspec.json.encode({"markets": [body], "cursor": ""}))
        (market,) = [m for m in KalshiNormaliser().normalise(page, AT) if isinstance(m, Market)]
        assert (market.strike, market.result) == (price(float(row["floor_strike"])), row["result"])


def test_candles_of_a_game_are_read() -> None:
    recorded = read("candlesticks_pregame_mlb_2026-08-09.json.gz")
    answer = msgspec.json.encode(recorded["candlesticks_response"])
    candles = msgspec.json.decode(answer, type=answers.Candles)
    assert (candles.ticker, len(candles.candlesticks)) == (recorded["market"]["ticker"], 50)
    ends = [candle.end_period_ts for candle in candles.candlesticks]
    # A minute in which nothing changed has none.
    assert ends == sorted(set(ends))
    assert all(end % 60 == 0 for end in ends)
    assert all("close_dollars" in candle.yes_bid for candle in candles.candlesticks)


def polymarket() -> PolymarketNormaliser:
    """A reader that knows one market and is connected."""
    row = {
        "conditionId": CONDITION,
        "slug": "s",
        "outcomes": '["Yes","No"]',
        "clobTokenIds": msgspec.json.encode(TOKENS).decode(),
        "active": True,
        "acceptingOrders": True,
        "orderPriceMinTickSize": 0.001,
    }
    reader = PolymarketNormaliser()
    reader.normalise(rest_frame("gamma_markets", msgspec.json.encode([row])), AT)
    return reader


@pytest.mark.parametrize(
    ("name", "pairs", "tickers"),
    [("fed_decision_pairs", 8_790, 15), ("world_cup_pairs", 6_369, 48), ("cpi_pairs", 1_572, 0)],
)
def test_best_prices_of_pairs_come_out_as_they_are(name: str, pairs: int, tickers: int) -> None:
    """Each side's best prices, in a body of its venue; of prices of consumers Kalshi's side is derived, not quoted."""
    count, seen = 0, set()
    for row in lines(FOLDER / "cross" / f"{name}_2026-07.jsonl.gz"):
        count += 1
        kalshi, other = row["kalshi"], row["polymarket"]
        if "ticker" in kalshi:
            seen.add(kalshi["ticker"])
            sides = {"yes_dollars": kalshi["yes_bid"], "no_dollars": kalshi["no_bid"]}
            levels = {side: [[f"{bid:.4f}", "1.00"]] if bid else [] for side, bid in sides.items()}
            yes = books_of(kalshi["ticker"], levels)["yes"]
            assert best(yes.bids) == (price(kalshi["yes_bid"]) or None)
            assert best(yes.asks) == (price(kalshi["yes_ask"]) if kalshi["no_bid"] else None)
        quotes = {side: other[f"best_{side[:-1]}"] for side in ("bids", "asks")}
        body = {
            "market": CONDITION,
            "asset_id": TOKENS[0],
            "timestamp": str(AT // MILLISECOND),
            **{side: [{"price": str(value), "size": "1"}] if value else [] for side, value in quotes.items()},
        }
        told = polymarket().normalise(rest_frame("clob_book", msgspec.json.encode(body)), AT)
        (book,) = [m for m in told if isinstance(m, Book) and m.instrument.endswith(":yes")]
        assert not [m for m in told if isinstance(m, Gap)]
        assert (best(book.bids), best(book.asks)) == tuple(price(value) or None for value in quotes.values())
    assert (count, len(seen)) == (pairs, tickers)
