"""Markets from Gamma's pages: what they are, how they end, which of them are followed."""

import json
from typing import Any

import pytest

from libs.venues.frame import FrameError
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.market_data.table import MARKETS_MAX
from libs.venues.polymarket.market_data.wanted import TOKENS_PER_COMMAND_MAX, first_frames
from proto.feed import Book, FeeSchedule, Gap, Market, MarketStatus, Payoff, PriceStep
from proto.message import Message
from proto.units import SECOND
from tests.support.normalised import normalised, ticked
from tests.support.polymarket_frames import AT, CONDITION, DOWN, OPEN_S, UP, Venue, gamma, markets, spot_price

UP_NAME, DOWN_NAME = f"polymarket:{CONDITION}:up", f"polymarket:{CONDITION}:down"


def of(kind: type, messages: list[Message]) -> list[Any]:
    return [message for message in messages if isinstance(message, kind)]


def test_a_listing_says_all_that_gamma_says():
    normaliser = PolymarketNormaliser()
    (market,) = normalised(normaliser, markets(), AT)
    assert isinstance(market, Market)
    assert (market.market, market.venue, market.status) == (f"polymarket:{CONDITION}", "polymarket", "open")
    assert [(o.name, o.instrument) for o in market.outcomes] == [("up", UP_NAME), ("down", DOWN_NAME)]
    assert market.fees == FeeSchedule(model="polymarket", taker_rate=70_000, maker_rate=0, exponent=1)
    assert market.price_steps == (PriceStep(0, 10_000),)
    assert (market.underlying, market.quantity_step) == ("binance:BTCUSDT", 10_000)
    assert (market.open_at, market.close_at) == (OPEN_S * SECOND, (OPEN_S + 300) * SECOND)
    assert market.strike is None
    assert normalised(normaliser, markets(), AT + 1) == []


@pytest.mark.parametrize(
    ("fields", "fees"),
    [
        ({"feesEnabled": False, "feeSchedule": None}, FeeSchedule()),
        ({"feeSchedule": None}, FeeSchedule(model="polymarket_fractional")),
        (
            {"feeSchedule": {"rate": "0.04", "exponent": "2"}},
            FeeSchedule(model="polymarket", taker_rate=40_000, maker_rate=0, exponent=2),
        ),
        (
            {"feeSchedule": {"rate": 0.04, "exponent": 0.5}},
            FeeSchedule(model="polymarket_fractional", taker_rate=40_000),
        ),
        (
            {"feeSchedule": {"rate": 0.04, "takerOnly": False}},
            FeeSchedule(model="polymarket", taker_rate=40_000, maker_rate=40_000, exponent=1),
        ),
    ],
)
def test_pain_point_05_fees_are_the_markets_own_schedule(fields: dict[str, Any], fees: FeeSchedule):
    rate_of_the_endpoint = {"makerBaseFee": 1000, "takerBaseFee": 1000}
    (market,) = normalised(PolymarketNormaliser(), markets(gamma(**fields, **rate_of_the_endpoint)), AT)
    assert market.fees == fees


@pytest.mark.parametrize(
    ("fields", "status", "result"),
    [
        ({"acceptingOrders": False, "active": False}, MarketStatus.LISTED, ""),
        ({"umaResolutionStatus": "proposed"}, MarketStatus.OPEN, ""),
        ({"umaResolutionStatus": "disputed"}, MarketStatus.OPEN, ""),
        ({"umaResolutionStatus": "proposed", "acceptingOrders": False}, MarketStatus.DETERMINED, ""),
        ({"umaResolutionStatus": "disputed", "acceptingOrders": False}, MarketStatus.DISPUTED, ""),
        ({"closed": True}, MarketStatus.SETTLED, "void"),
        ({"closed": True, "outcomePrices": '["1", "0"]'}, MarketStatus.SETTLED, "up"),
        ({"closed": True, "outcomePrices": '["0", "1"]'}, MarketStatus.SETTLED, "down"),
        ({"closed": True, "outcomePrices": '["0", "0"]'}, MarketStatus.CLOSED, ""),
        ({"closed": True, "outcomePrices": '["0.99", "0.01"]'}, MarketStatus.CLOSED, ""),
        ({"closed": False, "outcomePrices": '["1", "0"]'}, MarketStatus.OPEN, ""),
    ],
)
def test_pain_point_15_status_and_result_are_told_apart(
    fields: dict[str, Any], status: MarketStatus, result: str
):
    (market,) = normalised(PolymarketNormaliser(), markets(gamma(**fields)), AT)
    assert (market.status, market.result) == (status, result)


QUESTION = {"slug": "who-wins", "outcomes": '["Yes", "No"]', "eventStartTime": None}


@pytest.mark.parametrize(
    ("word", "answer"), [("proposed", "proposed"), ("disputed", "disputed"), ("new", "proposed")]
)
def test_an_answer_ends_nothing_and_may_be_withdrawn(word: str, answer: str):
    normaliser = PolymarketNormaliser()
    normalised(normaliser, markets(gamma(**QUESTION)), AT)
    normalised(normaliser, Venue().both(), AT)
    (said,) = normalised(normaliser, markets(gamma(**QUESTION, umaResolutionStatus=word)), AT + 1)
    assert (said.status, said.answer, said.ended_at) == (MarketStatus.OPEN, answer, 0)
    assert normaliser.tokens() == (UP, DOWN)
    (stopped,) = normalised(
        normaliser, markets(gamma(**QUESTION, umaResolutionStatus=word, acceptingOrders=False)), AT + 2
    )
    assert (stopped.status in (MarketStatus.DETERMINED, MarketStatus.DISPUTED), stopped.ended_at) == (
        True,
        AT + 2,
    )
    assert normaliser.tokens() == ()
    normaliser.commands(AT + 2)
    (again,) = of(Market, normalised(normaliser, markets(gamma(**QUESTION)), AT + 3))
    assert (again.status, again.answer, again.ended_at) == (MarketStatus.OPEN, "none", 0)
    assert normaliser.wanted == (UP, DOWN)
    assert of(Book, normalised(normaliser, Venue().both(), AT + 4))[0].snapshot


def test_a_list_that_is_behind_does_not_open_what_has_closed():
    normaliser = PolymarketNormaliser()
    closed = gamma(**QUESTION, closed=True, closedTime="2026-07-24 00:00:16+00", outcomePrices='["0", "0"]')
    told = of(Market, normalised(normaliser, markets(gamma(**QUESTION)), AT))
    told += of(Market, normalised(normaliser, markets(closed), AT + 1))
    assert normalised(normaliser, markets(gamma(**QUESTION)), AT + 2) == []
    assert [market.status for market in told] == [MarketStatus.OPEN, MarketStatus.CLOSED]
    assert told[-1].ended_at == 1_784_851_216 * SECOND


def test_only_windows_end_by_the_clock():
    end = "2026-07-25T17:25:00Z"
    for slug, ends in (
        (f"btc-updown-5m-{OPEN_S}", True),
        ("bitcoin-up-or-down-july-25-2026-1pm-et", False),
        ("bitcoin-up-or-down-on-july-25-2026", False),
        ("will-bitcoin-go-up-or-down", False),
    ):
        normaliser = PolymarketNormaliser()
        (market,) = normalised(normaliser, markets(gamma(slug=slug, endDate=end)), AT)
        assert market.expected_end_at == (OPEN_S + 300) * SECOND
        assert market.close_at == (market.expected_end_at if ends else 0)
        later = ticked(normaliser, market.expected_end_at)
        assert [message.status for message in later] == ([MarketStatus.CLOSED] if ends else [])


def test_a_named_window_is_followed_by_its_coin_and_priced_by_nobody():
    """Binance's candle decides it: the price of its beginning is not Chainlink's."""
    normaliser = PolymarketNormaliser()
    normalised(normaliser, spot_price(OPEN_S, "66666.5"), AT)
    hourly = gamma(
        slug="bitcoin-up-or-down-july-25-2026-1pm-et", conditionId="0x01", clobTokenIds='["3", "4"]'
    )
    window, named = of(Market, normalised(normaliser, markets(gamma(), hourly), AT))
    assert (window.payoff, window.floor) == (Payoff.ABOVE, 66_666_500_000)
    assert (named.payoff, named.strike, named.underlying) == (Payoff.UNKNOWN, None, "binance:BTCUSDT")


def test_the_placeholder_of_an_augmented_event_is_not_offered():
    normaliser = PolymarketNormaliser()
    assert normalised(normaliser, markets(gamma(negRisk=True, negRiskOther=True)), AT) == []
    assert normaliser.unused == 1


def test_a_tick_is_learned_from_what_was_told_last(normaliser: PolymarketNormaliser):
    """Socket, book and Gamma in every order; after a connection is lost, whatever comes first counts."""

    def grid() -> int:
        (market,) = of(Market, normaliser.resend(AT))
        return market.price_steps[0].step

    def change(tick: str) -> bytes:
        return json.dumps(
            {"event_type": "tick_size_change", "asset_id": UP, "market": CONDITION, "new_tick_size": tick}
        ).encode()

    connected, lost = b'{"type":"_ws_connected"}', b'{"type":"_ws_disconnected"}'
    for frame, step in (
        (connected, 10_000),
        (markets(gamma(orderPriceMinTickSize=0.001)), 1_000),
        (Venue("0.01").both(), 10_000),
        (markets(gamma(orderPriceMinTickSize=0.001)), 10_000),
        (change("0.0001"), 100),
        (markets(), 100),
        (lost, 100),
        (markets(), 10_000),
        (connected, 10_000),
        (Venue("0.001").both(), 1_000),
    ):
        normalised(normaliser, frame, AT)
        assert grid() == step, frame
    assert normaliser.gaps == 2
    with pytest.raises(FrameError, match="expected a tick between 0 and 1"):
        normalised(normaliser, json.dumps(Venue().book(UP, tick_size="1")).encode(), AT)


def test_a_venue_delay_is_told_and_a_game_clears_its_books():
    normaliser = PolymarketNormaliser()
    game = gamma(**QUESTION, secondsDelay=3, clearBookOnStart=True, gameStartTime="2026-07-25 17:25:00+00")
    (market,) = normalised(normaliser, markets(game), AT)
    begins = (OPEN_S + 300) * SECOND
    assert (market.taker_delay_ms, market.clears_at) == (3_000, begins)
    normalised(normaliser, Venue().both(), AT)
    assert ticked(normaliser, begins - 1) == []
    assert [gap.instrument.rpartition(":")[2] for gap in of(Gap, ticked(normaliser, begins))] == ["yes", "no"]
    assert normaliser.wanted == (UP, DOWN)
    normalised(normaliser, markets(game), begins + 1)
    normalised(normaliser, Venue().both(), begins + 1)
    assert ticked(normaliser, begins + 2) == []


def test_a_new_market_without_a_condition_does_not_hide_its_neighbours(normaliser: PolymarketNormaliser):
    new = {"event_type": "new_market", "id": "1", "market": None, "condition_id": None}
    resolved = {"event_type": "market_resolved", "id": "2", "market": "abc", "winning_asset_id": None}
    events = [new, resolved, Venue().book(UP)]
    assert of(Book, normalised(normaliser, json.dumps(events).encode(), AT))


def test_a_market_that_stops_accepting_orders_is_paused_and_goes_on(normaliser: PolymarketNormaliser):
    (paused,) = normalised(normaliser, markets(gamma(acceptingOrders=False)), AT + 1)
    (resumed,) = normalised(normaliser, markets(), AT + 2)
    assert (paused.status, resumed.status) == (MarketStatus.PAUSED, MarketStatus.OPEN)


def test_markets_of_a_neg_risk_event_share_a_group_and_keep_their_outcomes_apart():
    bodies = [
        gamma(
            conditionId=f"0x{number:064x}",
            slug=f"who-{number}",
            outcomes='["Yes", "No"]',
            clobTokenIds=json.dumps([f"{number}1", f"{number}2"]),
            negRisk=True,
            eventStartTime=None,
        )
        for number in (1, 2, 3)
    ]
    event = {"id": "9", "slug": "who", "negRisk": True, "negRiskMarketID": "0xfe", "markets": bodies}
    frame = json.dumps({"_rest": "gamma_events", "body": {"events": [event], "next_cursor": "x"}}).encode()
    out = normalised(PolymarketNormaliser(), frame, AT)
    assert [market.group for market in out] == ["polymarket:0xfe"] * 3
    assert len({outcome.instrument for market in out for outcome in market.outcomes}) == 6
    assert all(market.underlying == "" for market in out)


def test_a_poly_v2_market_is_followed_by_its_positions():
    body = gamma(version="v2", clobTokenIds="[]", positionIds='["7000", "7001"]')
    normaliser = PolymarketNormaliser()
    normalised(normaliser, markets(body), AT)
    assert normaliser.tokens() == ("7000", "7001")


def test_an_odd_market_does_not_hide_the_rest_of_its_page():
    normaliser = PolymarketNormaliser()
    odd = gamma(conditionId="0x01", endDate="tomorrow")
    (market,) = normalised(normaliser, markets(odd, gamma()), AT)
    assert market.market == f"polymarket:{CONDITION}"
    assert [(item.kind, item.name) for item in normaliser.odd_items.latest(9)] == [("market", "0x01")]
    assert "1 odd rows skipped, last 0x01: expected a time" in normaliser.notes()[0]
    with pytest.raises(FrameError, match="expected a time"):
        normalised(normaliser, markets(odd), AT)


def numbered(number: int, **fields: Any) -> dict[str, Any]:
    tokens = json.dumps([f"9{number}0", f"9{number}1"])
    return gamma(conditionId=f"0x{number:064x}", clobTokenIds=tokens, **QUESTION, **fields)


def test_no_open_market_gives_way_to_another_and_unchanged_pages_are_told_once(
    normaliser: PolymarketNormaliser, venue: Venue
):
    page = markets(*[numbered(number) for number in range(1, MARKETS_MAX + 50)])
    told = [len(of(Market, normalised(normaliser, page, AT + look))) for look in range(3)]
    assert told == [MARKETS_MAX - 1, 0, 0]
    assert len(normaliser.tokens()) == 2 * MARKETS_MAX
    assert normaliser.notes() == [f"50 markets left out: {MARKETS_MAX} trade already"]
    assert UP in normaliser.tokens()


def test_what_ended_first_gives_way_and_is_counted(normaliser: PolymarketNormaliser):
    normalised(normaliser, markets(*[numbered(number) for number in range(1, MARKETS_MAX)]), AT)
    for number, at in ((7, 3), (5, 1), (6, 2)):
        normalised(normaliser, markets(numbered(number, closed=True)), AT + at)
    (market,) = of(Market, normalised(normaliser, markets(numbered(MARKETS_MAX)), AT + 4))
    kept = {market.market for market in of(Market, normaliser.resend(AT + 5))}
    assert market.market in kept
    assert f"polymarket:0x{5:064x}" not in kept
    assert len(kept) == MARKETS_MAX
    assert normaliser.notes() == ["1 ended markets forgotten"]


def test_tokens_are_subscribed_to_in_batches_whose_books_fit_one_message():
    first, *more = map(json.loads, first_frames([str(n) for n in range(60)]))
    assert (first["type"], [frame["operation"] for frame in more]) == ("market", ["subscribe"] * 2)
    named = [token for frame in (first, *more) for token in frame["assets_ids"]]
    assert named == [str(n) for n in range(60)]
    assert max(len(frame["assets_ids"]) for frame in (first, *more)) == TOKENS_PER_COMMAND_MAX
