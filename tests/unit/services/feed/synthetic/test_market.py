"""The synthetic market: the same from the same seed, whole books, honest results, and an edge to find."""

import json
from collections import Counter
from itertools import islice

import pytest

from libs.synthetic.digital import fair_value
from libs.venues.frame import RawFrame
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.schemas import wire
from proto.feed import Book, Market, MarketStatus, Quote, Trade
from proto.units import ONE, SECOND
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.synthetic.book import GRID
from services.feed.synthetic.market import KEPT_AFTER_S, SyntheticMarket
from tests.support.feed_observer import FeedObserver

START = 1_779_000_000 * SECOND
MINUTE = 60 * SECOND


def run(market: SyntheticMarket, until_ns: int) -> list[RawFrame]:
    frames: list[RawFrame] = []
    while market.at < until_ns:
        frames += market.step()
    return frames


def observed(frames: list[RawFrame], normalisers: Normalisers | None = None) -> FeedObserver:
    """Read frames as the feed would, holding every message to the contract."""
    normalisers, observer = normalisers or Normalisers(), FeedObserver()
    for frame in frames:
        messages = normalisers.read(frame)
        assert not isinstance(messages, DeadFrame), messages
        observer.handle_messages(messages)
    return observer


def lifecycles(frames: list[RawFrame]) -> list[wire.LifecycleBody]:
    decoded = [wire.decode(f.data) for f in frames if f.source == "kalshi"]
    return [frame.msg for frame in decoded if isinstance(frame, wire.Lifecycle)]


def test_same_seed_same_frames_and_other_seed_others() -> None:
    first = list(islice(SyntheticMarket(1, START).frames(), 5_000))
    assert first == list(islice(SyntheticMarket(1, START).frames(), 5_000))
    assert first != list(islice(SyntheticMarket(2, START).frames(), 5_000))


def test_frames_never_go_back_in_time_and_have_the_pace_asked_for() -> None:
    frames = run(SyntheticMarket(3, START), START + 3 * MINUTE)
    assert [f.at for f in frames] == sorted(f.at for f in frames)
    per_second = Counter(f.source for f in frames)
    assert 2 < per_second["coinbase"] / 180 < 6
    assert 10 < per_second["kalshi"] / 180 < 200


def test_two_markets_overlap_with_depth_and_no_crossed_book() -> None:
    observer = FeedObserver()
    normalisers, crossed, depths = Normalisers(), 0, []
    for frame in run(SyntheticMarket(4, START), START + 12 * MINUTE):
        messages = normalisers.read(frame)
        assert not isinstance(messages, DeadFrame)
        observer.handle_messages(messages)
        for message in messages:
            if isinstance(message, Quote) and message.bid and message.ask:
                crossed += message.bid >= message.ask
            if isinstance(message, Book) and message.bids and 300_000 < message.bids[0].price < 700_000:
                depths.append((len(message.bids), sum(level.quantity for level in message.bids)))
    assert crossed == 0
    assert normalisers.of(KALSHI, KalshiNormaliser).gaps == 0
    assert min(levels for levels, _ in depths) >= 8
    assert min(total for _, total in depths) > 3_000 * ONE
    spans = [(m[0].open_at, m[0].close_at) for m in observer.markets.values()]
    overlapping = sum(a < START + 6 * MINUTE < b for a, b in spans)
    assert overlapping == 2


def test_markets_live_their_whole_life_and_settle_by_the_mean_of_the_last_minute() -> None:
    market = SyntheticMarket(6, START)
    observer = observed(run(market, START + 12 * MINUTE))
    settled = [m for m in observer.markets.values() if m[-1].status is MarketStatus.SETTLED]
    assert len(settled) >= 3
    prices = [t for t in observer.trades if t.instrument == "coinbase:BTC-USD"]
    for told in settled:
        statuses = [m.status.value for m in told]
        assert list(dict.fromkeys(statuses)) == ["listed", "open", "closed", "determined", "settled"] or (
            list(dict.fromkeys(statuses)) == ["open", "closed", "determined", "settled"]
        )
        last = told[-1]
        assert last.strike is not None
        minute = [t.price for t in prices if last.close_at - 60 * SECOND <= t.at < last.close_at]
        mean = sum(minute) / len(minute)
        # Four trades a second see nearly the mean that decides; only a near miss may differ.
        if abs(mean - last.strike) > 10 * ONE:
            assert last.result == ("yes" if mean > last.strike else "no")


def test_books_lag_the_price_enough_to_trade_on() -> None:
    """A trader who knows the maker's own formula and today's price finds edges far above the fee."""

    market, normalisers = SyntheticMarket(8, START), Normalisers()
    price, strikes = market.price, {}
    seen: set[tuple[str, int]] = set()
    for frame in run(market, START + 15 * MINUTE):
        messages = normalisers.read(frame)
        assert not isinstance(messages, DeadFrame)
        for message in messages:
            if isinstance(message, Trade) and message.instrument == "coinbase:BTC-USD":
                price = message.price / ONE
            elif isinstance(message, Market) and message.strike:
                strikes[message.outcomes[0].instrument] = (message.strike / ONE, message.close_at)
            elif isinstance(message, Quote) and message.ask and message.instrument in strikes:
                strike, close_at = strikes[message.instrument]
                left_s = (close_at - message.at) / SECOND
                if left_s > 60 and fair_value(price, strike, left_s) - message.ask / ONE > 0.08:
                    seen.add((message.instrument, message.at // (10 * SECOND)))
    edges = len(seen)
    assert edges >= 5


def test_fair_value_is_a_probability_that_rises_with_the_price() -> None:
    values = [fair_value(price, 80_000, 120) for price in range(78_000, 82_000, 50)]
    assert values == sorted(values)
    assert 0 <= values[0] < 0.05
    assert 0.95 < values[-1] <= 1
    assert fair_value(80_000, 80_000, 120) == pytest.approx(0.5)
    assert [1000 - mills for mills in reversed(GRID)] == list(GRID)


@pytest.mark.parametrize("down_ns", [0, SECOND, 90 * SECOND, 10 * MINUTE, 100 * 24 * 60 * MINUTE])
def test_resume_settles_what_closed_and_shows_what_runs(down_ns: int) -> None:
    before = SyntheticMarket(9, START)
    earlier = run(before, START + 7 * MINUTE)
    state = json.loads(json.dumps(before.state()))
    assert len(json.dumps(state)) < 2_000
    now = before.at + down_ns
    after = SyntheticMarket.resume(state, now)
    assert after.at >= before.at
    later = run(after, after.at + 10 * SECOND)
    observer = observed(later)
    told = {b.market_ticker for b in lifecycles(later)}
    for body in lifecycles(earlier):
        assert body.close_ts is not None
        if body.close_ts * SECOND > before.at:
            assert body.market_ticker in told, "a market that ran must be heard of again"
    for name, markets in observer.markets.items():
        last = markets[-1]
        if last.close_at <= now:
            assert last.status is MarketStatus.SETTLED, name
            assert last.result in ("yes", "no")
        elif last.open_at <= now:
            assert last.status is MarketStatus.OPEN
            assert observer.whole(f"{name}:yes")
    trade_ids = [int(t.trade_id) for t in observer.trades if t.instrument == "coinbase:BTC-USD"]
    assert trade_ids[0] >= state["trade_id"]


def test_resume_continues_price_strikes_and_results() -> None:
    before = SyntheticMarket(10, START)
    run(before, START + 8 * MINUTE)
    state = before.state()
    after = SyntheticMarket.resume(state, before.at + SECOND)
    assert after.price == pytest.approx(before.price, rel=0.002)
    again = {row["open_s"]: row for row in after.state()["windows"]}
    for row in state["windows"]:
        assert again[row["open_s"]]["strike_cents"] == row["strike_cents"]
        assert not row["result"] or again[row["open_s"]]["result"] == row["result"]


@pytest.mark.parametrize("result", ["yes", "no"])
def test_resume_does_not_decide_a_second_time(result: str) -> None:
    market = SyntheticMarket(12, START)
    run(market, START + 8 * MINUTE)
    state = market.state()
    row = next(row for row in state["windows"] if row["result"])
    row["result"] = result
    frames = SyntheticMarket.resume(state, market.at).step()
    settled = {b.close_ts: b.result for b in lifecycles(frames) if b.event_type == "settled"}
    assert settled[row["close_s"]] == result


def test_settlement_is_told_again_after_a_crash_right_behind_it() -> None:
    """The state may be saved with a settlement drawn and not yet published."""
    market = SyntheticMarket(11, START)
    results: dict[str, str] = {}
    while not results:
        for body in lifecycles(market.step()):
            if body.event_type == "settled":
                results[body.market_ticker] = body.result or ""
    again = {
        body.market_ticker: body.result
        for body in lifecycles(SyntheticMarket.resume(market.state(), market.at).step())
        if body.event_type == "settled"
    }
    assert results.items() <= again.items()
    run(market, market.at + KEPT_AFTER_S * SECOND)
    ticker = next(iter(results))
    assert ticker not in {
        b.market_ticker for b in lifecycles(SyntheticMarket.resume(market.state(), market.at).step())
    }


def test_window_must_be_whole_minutes() -> None:
    with pytest.raises(ValueError, match="full minutes"):
        SyntheticMarket(1, START, window_s=100)
    assert SyntheticMarket(1, START, window_s=900).series == "KXBTC15M"
