"""What lists say of Kalshi markets: payoffs and their figures, odd rows, series, events, closes that move, room."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.frame import FrameError
from libs.venues.kalshi.market_data import table as table_module
from libs.venues.kalshi.market_data.grids import structure_steps
from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.market import LIST_AGE_MAX_NS
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.market_data.payoff import FIGURE_DECIMALS_MAX, Figure, read_figure
from libs.venues.kalshi.series import SeriesFacts
from proto.feed import Answer, Market, MarketStatus, Payoff, PriceStep, Trade
from proto.units import ONE, SECOND

S = 1_780_000_000
START = S * SECOND
CENT = [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}]
COMBOS = "KXMVECROSSCATEGORY-SHARD1"


def row(ticker="KXCPI-26JUL-T0.1", **more) -> dict:
    return {
        "ticker": ticker,
        "event_ticker": ticker.rpartition("-")[0],
        "status": "active",
        "title": "?",
        "result": "",
        "open_time": "2026-05-01T15:00:00Z",
        "close_time": "2026-08-12T12:25:00Z",
        "price_ranges": CENT,
        **more,
    }


def encode(body) -> bytes:
    return msgspec.json.encode(body)


def page(*rows) -> bytes:
    return rest_frame("markets", encode({"markets": rows, "cursor": ""}))


def events(*rows) -> bytes:
    return rest_frame("events", encode({"events": rows, "cursor": ""}))


def life(ticker: str, event: str, **more) -> bytes:
    seq = {"seq": more.pop("seq")} if "seq" in more else {}
    body = {"market_ticker": ticker, "event_type": event, **more}
    return encode({"type": "market_lifecycle_v2", "sid": 13, **seq, "msg": body})


def told(messages) -> list[Market]:
    return [message for message in messages if isinstance(message, Market)]


def only(*rows, normaliser: KalshiNormaliser | None = None) -> Market:
    (market,) = told((normaliser or KalshiNormaliser()).normalise(page(*rows), START))
    return market


# ── payoffs ──


@given(st.integers(-(10**11), 10**11), st.integers(0, FIGURE_DECIMALS_MAX - 6), st.booleans())
def test_a_figure_is_read_exactly_however_it_is_written(value: int, decimals: int, quoted: bool) -> None:
    sign, digits = "-" if value < 0 else "", str(abs(value)).rjust(decimals + 1, "0")
    plain = f"{sign}{digits[: len(digits) - decimals]}.{digits[len(digits) - decimals :]}0"
    for text in (plain, f"{value}e-{decimals}", f'"{plain}"' if quoted else plain):
        figure = read_figure(msgspec.Raw(text.encode()))
        assert figure is not None
        assert figure.scaled(FIGURE_DECIMALS_MAX) == value * 10 ** (FIGURE_DECIMALS_MAX - decimals)


@given(st.floats(-1e9, 1e9))
def test_the_noise_of_a_float_is_rounded_off(value: float) -> None:
    """A figure with a few decimals survives arithmetic in doubles."""
    meant = round(value, 4)
    noisy = meant * 3 / 3
    figure = read_figure(msgspec.Raw(repr(noisy).encode()))
    assert figure is not None
    assert figure.value / 10**figure.decimals == pytest.approx(meant, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("4.0999999999999996", Figure(41, 1)),
        ("6.999e-06", Figure(6_999, 9)),
        ("null", None),
        ("-0", Figure(0, 0)),
    ],
)
def test_figures_as_they_come(text: str, figure: Figure | None) -> None:
    assert read_figure(msgspec.Raw(text.encode())) == figure


@pytest.mark.parametrize("text", ["nan", "1_0", "1e400", "1e-30", '"five"', "9" * 41, "true", "[1]"])
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(FrameError):
        read_figure(msgspec.Raw(text.encode()))


@pytest.mark.parametrize(
    ("kind", "payoff", "floor_included", "cap_included"),
    [
        ("greater", Payoff.ABOVE, False, False),
        ("greater_or_equal", Payoff.ABOVE, True, False),
        ("less", Payoff.BELOW, True, False),
        ("less_or_equal", Payoff.BELOW, True, True),
        ("between", Payoff.BETWEEN, True, True),
        ("structured", Payoff.EVENT, True, False),
        ("custom", Payoff.EVENT, True, False),
        ("functional", Payoff.UNKNOWN, True, False),
        ("a_word_of_tomorrow", Payoff.UNKNOWN, True, False),
        (None, Payoff.UNKNOWN, True, False),
    ],
)
def test_the_strike_type_says_what_a_market_pays_on(kind, payoff, floor_included, cap_included) -> None:
    market = only(row("KXBTC-26JUL-B1", strike_type=kind, floor_strike=80_000, cap_strike=80_499.99))
    assert (market.payoff, market.floor_included, market.cap_included) == (
        payoff,
        floor_included,
        cap_included,
    )
    floor, cap = 80_000 * ONE, 80_499_990_000
    assert market.floor == (None if payoff is Payoff.BELOW else floor)
    assert market.cap == (None if payoff is Payoff.ABOVE else cap)
    assert market.strike == (floor if payoff is Payoff.ABOVE else None)
    assert market.underlying == "coinbase:BTC-USD"


def test_figures_of_a_market_share_their_decimals() -> None:
    market = only(row(strike_type="between", floor_strike=0.000006999, cap_strike=0.00001))
    assert (market.floor, market.cap, market.figure_decimals) == (6_999, 10_000, 9)
    market = only(row(strike_type="greater", floor_strike=-25000))
    assert (market.floor, market.figure_decimals, market.strike) == (-25_000 * ONE, 6, None)


def test_a_range_without_a_bound_is_not_told_as_one() -> None:
    assert only(row(strike_type="between", floor_strike=1)).payoff is Payoff.UNKNOWN
    assert only(row(strike_type="less")).payoff is Payoff.UNKNOWN


def test_a_row_of_the_configuration_says_what_the_strike_type_does_not() -> None:
    yearly = only(row("KXBTCMAXY-26DEC31-149999.99", strike_type="greater", floor_strike=149_999.99))
    assert (yearly.payoff, yearly.strike, yearly.floor) == (Payoff.TOUCH, None, 149_999_990_000)
    own = SeriesFacts(series="KXOWN", underlying="coinbase:SOL-USD", payoff="below", average_s=7)
    market = only(row("KXOWN-26-T5", cap_strike=5), normaliser=KalshiNormaliser(series=(own,)))
    assert (market.payoff, market.cap, market.underlying, market.settlement_average_s) == (
        Payoff.BELOW,
        5 * ONE,
        "coinbase:SOL-USD",
        7,
    )


@pytest.mark.parametrize(
    "ticker", ["KXBTCDOM-26OCT15-T60.5", "KXBTCVSGOLD-26", "KXBTCRESERVE-27-JAN01", "KXBTC9M-1"]
)
def test_a_name_that_begins_like_bitcoin_is_not_on_its_price(ticker: str) -> None:
    assert only(row(ticker, strike_type="greater", floor_strike=60.5)).underlying == ""


# ── odd rows ──


ODD = {
    "a year before all": {"open_time": "0002-01-01T00:00:00Z"},
    "a figure that is none": {"floor_strike": "about five"},
    "bounds in the wrong order": {"floor_strike": 5, "cap_strike": 4},
    "a grid that is none": {"price_ranges": [{"start": "0", "end": "1", "step": "0"}]},
    "no time": {"close_time": "tomorrow"},
    "a ticker that is none": {"ticker": "NO SPACES"},
    "a ticker without end": {"ticker": "X" * 200},
    "a status of another kind": {"status": 5},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
def test_an_odd_row_is_skipped_counted_and_told_once(odd: dict) -> None:
    normaliser = KalshiNormaliser()
    body = page(row("KXCPI-26JUL-T1"), row("KXCPI-26JUL-T2") | odd, row("KXCPI-26JUL-T3"))
    assert [m.market for m in told(normaliser.normalise(body, START))] == [
        "kalshi:KXCPI-26JUL-T1",
        "kalshi:KXCPI-26JUL-T3",
    ]
    normaliser.normalise(body, START)
    (note,) = normaliser.notes()
    assert note.startswith("1 odd rows skipped")


def test_what_is_null_is_not_told() -> None:
    nulls = dict.fromkeys(
        ("title", "yes_sub_title", "price_ranges", "floor_strike", "event_ticker", "result")
    )
    market = only(row() | nulls)
    assert (market.title, market.floor, market.price_steps) == ("", None, (PriceStep(0, 10_000),))
    assert only(row(open_time="0001-01-01T00:00:00Z")).open_at == 0


# ── series ──


@pytest.mark.parametrize("how", [{"series_ticker": COMBOS}, {"mve_collection_ticker": f"{COMBOS}-R"}, {}])
def test_a_series_with_a_hyphen_is_not_its_sibling(how: dict) -> None:
    ticker = f"{COMBOS}-S2026ABCDEF12345-0123456789A"
    normaliser = KalshiNormaliser()
    for name, kind in (("KXMVECROSSCATEGORY", "quadratic"), (COMBOS, "quadratic_with_combo_maker_fees")):
        fees = {"ticker": name, "fee_type": kind, "fee_multiplier": 1, "title": "?"}
        normaliser.normalise(rest_frame("series", encode({"series": fees})), START)
    assert only(row(ticker, **how), normaliser=normaliser).fees.maker_rate == 17_500
    assert told(KalshiNormaliser(follow=(COMBOS,)).normalise(page(row(ticker, **how)), START))
    if how:
        assert not told(
            KalshiNormaliser(follow=("KXMVECROSSCATEGORY",)).normalise(page(row(ticker, **how)), START)
        )


# ── events ──


def test_markets_of_which_one_pays_at_most_are_a_group() -> None:
    normaliser = KalshiNormaliser()
    normaliser.normalise(
        events({"event_ticker": "KXA-1", "series_ticker": "KXA", "mutually_exclusive": True}), START
    )
    assert only(row("KXA-1-X"), normaliser=normaliser).group == "kalshi:KXA-1"
    assert only(row("KXB-1-X"), normaliser=normaliser).group == ""
    again = events({"event_ticker": "KXB-1", "series_ticker": "KXB", "mutually_exclusive": True})
    assert [m.group for m in told(normaliser.normalise(again, START))] == ["kalshi:KXB-1"]
    assert told(normaliser.normalise(again, START)) == []


def test_fees_of_an_event_take_the_place_of_its_series() -> None:
    normaliser = KalshiNormaliser()
    fees = {"ticker": "KXA", "fee_type": "quadratic", "fee_multiplier": 1}
    normaliser.normalise(rest_frame("series", encode({"series": fees})), START)
    assert only(row("KXA-1-X"), normaliser=normaliser).fees.taker_rate == 70_000
    own = {"fee_type_override": "quadratic_with_maker_fees", "fee_multiplier_override": 0.5}
    (market,) = told(normaliser.normalise(events({"event_ticker": "KXA-1", **own}), START))
    assert (market.fees.taker_rate, market.fees.maker_rate) == (35_000, 8_750)
    ended = {"event_ticker": "KXA-1", "fee_type_override": None, "fee_multiplier_override": None}
    frame = encode({"type": "event_fee_update", "sid": 13, "seq": 1, "msg": ended})
    (market,) = told(normaliser.normalise(frame, START))
    assert (market.fees.taker_rate, market.fees.maker_rate) == (70_000, 0)


def test_a_block_trade_has_no_aggressor() -> None:
    body = {
        "market_ticker": "KXA-1-X",
        "trade_id": "t",
        "yes_price_dollars": "0.4500",
        "count_fp": "1.00",
        "taker_side": "yes",
    }
    for block in (True, False):
        frame = encode({"type": "trade", "sid": 3, "msg": body | {"is_block_trade": block}})
        trades = [m for m in KalshiNormaliser().normalise(frame, START) if isinstance(m, Trade)]
        assert [t.aggressor is None for t in trades] == [block, block]


# ── times and results ──


def test_expected_end_and_latest_close_are_two_facts() -> None:
    market = only(row(expected_expiration_time="2026-07-01T00:00:00Z"))
    assert market.expected_end_at < market.close_at
    assert market.ends_at == market.expected_end_at
    assert market.ended_at == 0
    listed = life(
        "KXA-1-X", "created", close_ts=S + 900, additional_metadata={"expected_expiration_ts": S + 1_200}
    )
    (window,) = told(KalshiNormaliser().normalise(listed, START))
    assert window.ends_at == window.close_at


@pytest.mark.parametrize("told_by", ["close_date_updated", "activated", "list"])
def test_a_later_close_is_believed(told_by: str) -> None:
    """Our clock closed it, and the venue says that it goes on."""
    normaliser, ticker = KalshiNormaliser(), "KXA-1-X"
    normaliser.normalise(life(ticker, "created", open_ts=S - 9, close_ts=S + 10), START)
    (closed,) = told(normaliser.tick((S + 10) * SECOND))
    assert (closed.status, closed.ended_at) == (MarketStatus.CLOSED, (S + 10) * SECOND)
    frame = life(ticker, told_by, close_ts=S + 3_600) if told_by != "list" else page(row(ticker))
    (again,) = told(normaliser.normalise(frame, (S + 12) * SECOND))
    assert (again.status, again.ended_at) == (MarketStatus.OPEN, 0)
    (closed,) = told(normaliser.tick(again.close_at))
    assert closed.status is MarketStatus.CLOSED


def test_a_list_that_is_behind_does_not_open_what_the_venue_closed() -> None:
    normaliser, ticker = KalshiNormaliser(), "KXA-1-X"
    normaliser.normalise(page(row(ticker)), START)
    (closed,) = told(normaliser.normalise(life(ticker, "closed"), START))
    assert closed.status is MarketStatus.CLOSED
    assert told(normaliser.normalise(page(row(ticker)), START + LIST_AGE_MAX_NS - 1)) == []
    (again,) = told(normaliser.normalise(page(row(ticker)), START + LIST_AGE_MAX_NS))
    assert again.status is MarketStatus.OPEN


def test_a_list_from_before_an_early_close_does_not_bring_the_old_one_back() -> None:
    """A game is over: the socket moves its close to now, and a copy of the list still has the latest close."""
    normaliser, ticker = KalshiNormaliser(), "KXA-1-X"
    normaliser.normalise(page(row(ticker)), START)
    (closed,) = told(normaliser.normalise(life(ticker, "close_date_updated", close_ts=S), START))
    assert (closed.status, closed.close_at) == (MarketStatus.CLOSED, START)
    assert told(normaliser.normalise(page(row(ticker)), START + LIST_AGE_MAX_NS - 1)) == []
    (again,) = told(normaliser.normalise(page(row(ticker)), START + LIST_AGE_MAX_NS))
    assert again.status is MarketStatus.OPEN


@pytest.mark.parametrize("value", ["0.0100", "0.2400", "0.3333", "0.7200"])
def test_a_scalar_result_tells_what_it_pays(value: str) -> None:
    market = only(row(status="finalized", result="scalar", settlement_value_dollars=value))
    assert market.payout == round(float(value) * ONE)
    determined = life("KXA-1-X", "determined", result="scalar", settlement_value=value)
    (market,) = told(KalshiNormaliser().normalise(determined, START))
    assert (market.payout, market.answer) == (round(float(value) * ONE), Answer.PROPOSED)
    assert only(row(status="finalized", result="yes", settlement_value_dollars="1.0000")).payout is None


def test_a_settlement_floor_is_never_lowered() -> None:
    normaliser = KalshiNormaliser()
    floors = [
        {"settlement_bounds_type": "floor", "settlement_floor_dollars": text}
        for text in ("0.20", "0.10", "0.40")
    ]
    found = [told(normaliser.normalise(page(row(**floor)), START)) for floor in floors]
    assert [[m.payout_floor for m in markets] for markets in found] == [[200_000], [], [400_000]]


# ── grids ──


@pytest.mark.parametrize(
    ("name", "starts", "steps"),
    [
        ("linear_cent", [0], [10_000]),
        ("deci_cent", [0], [1_000]),
        ("tapered_deci_cent", [0, 100_000, 900_000], [1_000, 10_000, 1_000]),
        ("center_whole_edge_half_cent", [0, 100_000, 900_000], [5_000, 10_000, 5_000]),
        ("center_whole_edge_quint_cent", [0, 100_000, 900_000], [2_000, 10_000, 2_000]),
        ("center_half_edge_half_cent", [0], [5_000]),
        ("center_half_edge_quint_cent", [0, 100_000, 900_000], [2_000, 5_000, 2_000]),
        ("center_half_edge_deci_cent", [0, 100_000, 900_000], [1_000, 5_000, 1_000]),
        ("center_quint_edge_quint_cent", [0], [2_000]),
        ("center_quint_edge_deci_cent", [0, 100_000, 900_000], [1_000, 2_000, 1_000]),
        ("center_centi_edge_centi_cent", [0], [100]),
        ("center_deci_edge_centi_cent", [0, 10_000, 990_000], [100, 1_000, 100]),
        ("center_wide_edge_half_cent", [], []),
    ],
)
def test_the_name_of_a_structure_is_a_grid(name: str, starts: list[int], steps: list[int]) -> None:
    found = structure_steps(name)
    assert [step.start for step in found] == starts
    assert [step.step for step in found] == steps
    if found:
        assert only(row(price_ranges=[], price_level_structure=name)).price_steps == found


# ── room ──


def test_unchanged_pages_are_told_once_whatever_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MARKETS_MAX", 5)
    normaliser = KalshiNormaliser()
    body = page(*(row(f"KXA-1-B{i}") for i in range(7)))
    assert [len(told(normaliser.normalise(body, START))) for _ in range(3)] == [5, 0, 0]
    assert normaliser.notes() == ["2 markets left out: 5 trade already"]


def test_what_ended_first_gives_way_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MARKETS_MAX", 3)
    normaliser = KalshiNormaliser()
    normaliser.normalise(page(*(row(f"KXA-1-B{i}") for i in range(3))), START)
    for number, second in ((1, 7), (0, 9)):
        normaliser.normalise(life(f"KXA-1-B{number}", "closed"), START + second * SECOND)
    assert (
        len(told(normaliser.normalise(page(row("KXA-1-B7"), row("KXA-1-B8"), row("KXA-1-B9")), START))) == 2
    )
    assert set(normaliser._markets) == {"KXA-1-B2", "KXA-1-B7", "KXA-1-B8"}
    assert normaliser.notes() == [
        "1 markets left out: 3 trade already",
        "2 ended markets forgotten, last KXA-1-B0",
    ]


# ── the lifecycle channel ──


def test_a_hole_in_the_lifecycle_channel_is_counted_and_its_books_stay() -> None:
    normaliser = KalshiNormaliser()
    for seq, lost in ((1, 0), (2, 0), (5, 1), (6, 1), (6, 1)):
        normaliser.normalise(life(f"KXA-1-B{seq}", "created", close_ts=S + 60, seq=seq), START)
        assert normaliser.events_lost == lost
    assert (normaliser.old, normaliser.in_order, normaliser.gaps) == (1, 0, 0)
