"""The life of a Kalshi market: listing, strike, times, close by the clock, result."""

import pytest

from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import FeeSchedule, Market, MarketStatus, Outcome, Payoff, PriceStep, Side, Trade
from proto.units import ONE, SECOND
from services.feed.synthetic import frames
from services.feed.synthetic.book import Change
from tests.support.feed_observer import FeedObserver

TICKER = "KXBTC15M-26MAY131730-30"
MARKET = f"kalshi:{TICKER}"
OPEN_S = 1_778_706_900
CLOSE_S = OPEN_S + 900


def event(name: str, *, result: str = "", strike_cents: int | None = None) -> bytes:
    return frames.lifecycle(
        TICKER,
        name,
        open_s=OPEN_S,
        close_s=CLOSE_S,
        result=result,
        strike_cents=strike_cents,
        title="BTC up?",
    )


def watched(at: int) -> tuple[KalshiNormaliser, FeedObserver]:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    frame = (
        f'{{"type":"_watch_market","msg":{{"close_time":"2026-05-13T21:30:00Z","market_ticker":"{TICKER}",'
        '"status":"active","strike":79404.26}}'
    ).encode()
    observer.handle_messages(normaliser.normalise(frame, at))
    return normaliser, observer


def test_watched_market_is_complete() -> None:
    _, observer = watched(OPEN_S * SECOND + 5)
    (market,) = observer.markets[MARKET]
    assert market == Market(
        market=MARKET,
        venue="kalshi",
        at=OPEN_S * SECOND + 5,
        status=MarketStatus.OPEN,
        outcomes=(Outcome("yes", f"{MARKET}:yes"), Outcome("no", f"{MARKET}:no")),
        underlying="coinbase:BTC-USD",
        strike=79_404_260_000,
        open_at=OPEN_S * SECOND,
        close_at=CLOSE_S * SECOND,
        settlement_average_s=60,
        price_steps=(PriceStep(0, 1_000), PriceStep(100_000, 10_000), PriceStep(900_000, 1_000)),
        quantity_step=10_000,
        quantity_min=10_000,
        fees=FeeSchedule(model="kalshi_quadratic", taker_rate=70_000),
        payoff=Payoff.ABOVE,
        floor=79_404_260_000,
    )


def test_whole_life() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    for at_s, frame in (
        (OPEN_S - 10, event("created")),
        (OPEN_S, event("activated", strike_cents=8_000_012)),
        (OPEN_S + 10, event("deactivated")),
        (OPEN_S + 20, event("activated")),
        (CLOSE_S + 2, event("determined", result="yes")),
        (CLOSE_S + 3, event("settled")),
    ):
        if at_s > CLOSE_S:
            observer.handle_messages(normaliser.tick(CLOSE_S * SECOND))
        observer.handle_messages(normaliser.normalise(frame, at_s * SECOND))
    told = observer.markets[MARKET]
    assert [m.status.value for m in told] == [
        "listed",
        "open",
        "paused",
        "open",
        "closed",
        "determined",
        "settled",
    ]
    assert [m.strike for m in told] == [None, *[80_000_120_000] * 6]
    assert [m.result for m in told] == ["", "", "", "", "", "yes", "yes"]
    assert told[-1].title == "BTC up?"


@pytest.mark.parametrize("late", ["created", "activated", "deactivated", "determined"])
def test_settled_is_final_and_told_once(late: str) -> None:
    normaliser, observer = watched(OPEN_S * SECOND)
    for at_s in (CLOSE_S + 10, CLOSE_S + 20):
        observer.handle_messages(
            normaliser.normalise(event("settled", result="no", strike_cents=7_940_426), at_s * SECOND)
        )
    before = len(observer.markets[MARKET])
    observer.handle_messages(
        normaliser.normalise(event(late, strike_cents=7_940_426), (CLOSE_S + 30) * SECOND)
    )
    assert len(observer.markets[MARKET]) == before
    assert observer.markets[MARKET][-1].status is MarketStatus.SETTLED
    assert observer.markets[MARKET][-1].result == "no"


def test_clock_closes_and_opens_without_a_frame() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(normaliser.normalise(event("created"), (OPEN_S - 5) * SECOND))
    observer.handle_messages(normaliser.tick(OPEN_S * SECOND - 1))
    assert observer.markets[MARKET][-1].status is MarketStatus.LISTED
    observer.handle_messages(normaliser.tick(OPEN_S * SECOND))
    assert observer.markets[MARKET][-1].status is MarketStatus.OPEN
    observer.handle_messages(normaliser.tick(CLOSE_S * SECOND - 1))
    assert observer.markets[MARKET][-1].status is MarketStatus.OPEN
    observer.handle_messages(normaliser.tick(CLOSE_S * SECOND))
    assert observer.markets[MARKET][-1].status is MarketStatus.CLOSED


def test_close_moved_by_the_venue() -> None:
    normaliser, observer = watched(OPEN_S * SECOND)
    moved = frames.lifecycle(TICKER, "close_date_updated", open_s=OPEN_S, close_s=CLOSE_S + 60)
    observer.handle_messages(normaliser.normalise(moved, (OPEN_S + 1) * SECOND))
    observer.handle_messages(normaliser.tick((CLOSE_S + 59) * SECOND))
    assert observer.markets[MARKET][-1].status is MarketStatus.OPEN
    observer.handle_messages(normaliser.tick((CLOSE_S + 60) * SECOND))
    assert observer.markets[MARKET][-1].status is MarketStatus.CLOSED


def test_title_cannot_carry_terminal_codes() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    frame = frames.lifecycle(
        TICKER, "created", open_s=OPEN_S, close_s=CLOSE_S, title="up\x1b[2J\n" + "x" * 999
    )
    observer.handle_messages(normaliser.normalise(frame, 0))
    assert observer.markets[MARKET][-1].title == "up[2J" + "x" * 195


def test_strike_given_twice_or_as_text_is_exact() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    for strike, expected in (("79404.26", 79_404_260_000), ('"0.1"', 100_000), ("null", 100_000)):
        frame = (
            f'{{"type":"market_lifecycle_v2","msg":{{"market_ticker":"{TICKER}","event_type":"metadata_updated",'
            f'"floor_strike":{strike}}}}}'
        ).encode()
        observer.handle_messages(normaliser.normalise(frame, 0))
        assert observer.markets[MARKET][-1].strike == expected


@pytest.mark.parametrize(("taker", "yes", "no"), [("yes", Side.BUY, Side.SELL), ("no", Side.SELL, Side.BUY)])
def test_trade_appears_on_both_outcomes(taker: str, yes: Side, no: Side) -> None:
    # A taker of NO hits a resting YES bid; of YES, a resting NO bid.
    taken = Change("no" if taker == "yes" else "yes", 640 if taker == "yes" else 360, -136, taker)
    out = KalshiNormaliser().normalise(frames.trade(TICKER, "t-1", taken, 5), 5)
    common = {"at": 5, "trade_id": "t-1", "quantity": 136 * ONE}
    assert out == [
        Trade(instrument=f"{MARKET}:yes", price=360_000, aggressor=yes, **common),
        Trade(instrument=f"{MARKET}:no", price=640_000, aggressor=no, **common),
    ]


@pytest.mark.parametrize(
    ("ticker", "underlying", "window_s"),
    [
        ("KXBTC15M-26MAY131730-30", "coinbase:BTC-USD", 900),
        ("KXBTC5M-26NOV211205-05", "coinbase:BTC-USD", 300),
        ("KXBTCD-26MAY1317-T80000", "coinbase:BTC-USD", 0),
        ("FED-23DEC-T3.00", "", 0),
    ],
)
def test_series_rules(ticker: str, underlying: str, window_s: int) -> None:
    observer = FeedObserver()
    frame = f'{{"type":"market_lifecycle_v2","msg":{{"market_ticker":"{ticker}","event_type":"x","close_ts":{CLOSE_S}}}}}'
    observer.handle_messages(KalshiNormaliser().normalise(frame.encode(), 0))
    market = observer.markets[f"kalshi:{ticker}"][0]
    assert market.underlying == underlying
    assert market.open_at == ((CLOSE_S - window_s) * SECOND if window_s else 0)
