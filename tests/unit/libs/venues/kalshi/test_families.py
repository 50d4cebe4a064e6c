"""Recorded bodies of other market families, read by the real readers: sports, ranges, weather, economics, gold."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.market_data.payoff import Figure, read_strikes
from proto.feed import Market, MarketStatus, Payoff, Trade
from proto.units import ONE, SECOND
from tests.support.families import SAMPLES, Body, read, rows

AT = int(datetime(2026, 8, 9, 20, tzinfo=UTC).timestamp()) * SECOND
PAGE_ROWS = 200

pytestmark = pytest.mark.recorded


def all_bodies() -> dict[str, list[Body]]:
    """Every recorded body of a market, as an answer gave it, by what it is of."""
    props = read("events_mlb_props_2026-08-15.json.gz")["events_by_series"]
    games = read("events_nfl_preseason_2026-08-09.json.gz")["events"]
    combos = read("combos_and_legs_2026-08-09.json.gz")
    gold = read("kxgold15m_2026-08/events_39.json.gz")
    return {
        "props": [market for found in props.values() for event in found for market in event["markets"]],
        "games": [market for event in games for market in event["markets"]],
        "combos": combos["combos"],
        "legs": list(combos["legs"].values()),
        "gold": [market for answer in gold for market in answer["response"]["markets"]],
        "with candles": [read("candlesticks_pregame_mlb_2026-08-09.json.gz")["market"]],
        "of october": [read("nfl_game_2026-10-06.json")["market"]],
    }


COUNTS = {"props": 259, "games": 64, "combos": 12, "legs": 29, "gold": 39, "with candles": 1, "of october": 1}
"""405 bodies of markets, no ticker twice. The strikes of 12,405 further markets and the results of 10,605 are rows of
tables; the 873 markets whose books were recorded are among the former."""


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
    found, normaliser = all_bodies(), KalshiNormaliser()
    assert {name: len(bodies) for name, bodies in found.items()} == COUNTS
    bodies = [body for kind in found.values() for body in kind]
    told = markets_of(bodies, normaliser)
    # None is odd.
    assert (normaliser.notes(), normaliser.odd_items.count) == ([], 0)
    assert set(told) == {body["ticker"] for body in bodies}
    assert len(told) == len(bodies) == 405
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


def test_samples_of_single_requests_are_read_too() -> None:
    """245 nested in events, 44 settled or nearly, and one asked for by itself, which is among the former."""
    events = read("events_sports_nested.json.gz", SAMPLES)
    bodies = [market for event in events for market in event["markets"]]
    bodies += read("markets_settled.json", SAMPLES)["markets"]
    single = read("market_single.json", SAMPLES)["single"]["market"]
    normaliser = KalshiNormaliser()
    told = markets_of([*bodies, single], normaliser)
    assert (normaliser.notes(), len(bodies), len(told)) == ([], 289, 289)
    assert Counter(market.status for market in told.values()) == {
        MarketStatus.OPEN: 245,
        MarketStatus.SETTLED: 42,
        MarketStatus.CLOSED: 2,
    }


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
    figures = below_zero = 0
    for name in ("strikes_crypto_hourly_2026-07-22", "strikes_econ_2026-07", "strikes_weather_2026-07"):
        for row in rows(f"{name}.csv.gz"):
            texts = (row["floor_strike"], row["cap_strike"])
            strikes = read_strikes(row["strike_type"], *(msgspec.Raw(text.encode()) for text in texts))
            kinds[row["strike_type"]] += 1
            for text, figure in zip(texts, (strikes.floor, strikes.cap), strict=True):
                assert (figure is None) == (text == "")
                if figure is not None:
                    figures += 1
                    below_zero += figure.value < 0
                    assert same_figure(text, figure), (row["ticker"], text, figure)
    assert kinds == {"between": 11_612, "greater": 624, "less": 166, "custom": 3}
    assert (kinds.total(), figures, below_zero) == (12_405, 24_014, 22)


def same_figure(text: str, figure: Figure) -> bool:
    """Whether a figure is what its text says, compared as texts: without floats."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, part = digits.partition(".")
    part = part.rstrip("0")
    value = int(whole + part)
    return figure.scaled(12) == (-value if sign else value) * 10 ** (12 - len(part))


def test_ladders_tell_every_market_as_a_range_or_a_tail() -> None:
    ladder = rows("strikes_crypto_hourly_2026-07-22.csv.gz")
    bodies = [
        {
            **{name: row[name] for name in ("ticker", "event_ticker", "strike_type", "close_time")},
            "status": "active",
            **{name: float(row[name]) for name in ("floor_strike", "cap_strike") if row[name]},
        }
        for row in ladder
    ]
    events = {body["ticker"]: body["event_ticker"] for body in bodies}
    # More than a connection keeps: event by event, as they come and go.
    by_event: dict[str, list[Market]] = {}
    for event in dict.fromkeys(events.values()):
        page = [body for body in bodies if body["event_ticker"] == event]
        by_event[event] = list(markets_of(page, KalshiNormaliser()).values())
    assert (len(by_event), sum(map(len, by_event.values()))) == (46, 11_224)
    for told in by_event.values():
        assert {market.payoff for market in told} <= {Payoff.BETWEEN, Payoff.ABOVE, Payoff.BELOW}
        # Together they leave nothing out: a cent lies between the cap of one and the floor of the next.
        ranges = sorted((m.floor or 0, m.cap or 0) for m in told if m.payoff is Payoff.BETWEEN)
        assert all(upper[0] - lower[1] == ONE // 100 for lower, upper in pairwise(ranges))


def test_results_of_the_settled_are_read() -> None:
    settled = rows("settled_2026-07-07_22.csv.gz")
    bodies = [
        {
            **{name: row[name] for name in ("ticker", "event_ticker", "title", "result", "close_time")},
            "series_ticker": row["series"],
            "status": "finalized",
        }
        for row in settled
    ]
    normaliser = KalshiNormaliser()
    told = markets_of(bodies, normaliser)
    assert Counter(told[body["ticker"]].result for body in bodies) == {"no": 8_235, "yes": 2_370}
    assert all(told[body["ticker"]].result == body["result"] for body in bodies)
    # More of them ended than are kept: what goes is told.
    assert any("ended markets forgotten" in note for note in normaliser.notes())


def test_collections_of_combos_share_the_name_of_their_series_with_them() -> None:
    """The venue tells the series of a collection; a combo tells its collection alone."""
    collections = read("combo_collections_2026-08.json.gz")
    assert len(collections) == 16
    for collection in collections.values():
        series = collection["series_ticker"]
        body = {
            "ticker": f"{series}-S2026ABCDEF12345-0123456789A",
            "status": "active",
            "strike_type": "custom",
        }
        normaliser = KalshiNormaliser(follow=(series,))
        page = {"markets": [body | {"mve_collection_ticker": collection["collection_ticker"]}], "cursor": ""}
        told = normaliser.normalise(rest_frame("markets", msgspec.json.encode(page)), AT)
        assert [m.payoff for m in told if isinstance(m, Market)] == [Payoff.EVENT], collection[
            "collection_ticker"
        ]


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
