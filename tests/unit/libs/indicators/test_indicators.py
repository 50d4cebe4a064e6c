"""Indicators against brute force, known values and simulation."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.indicators.candles import FLAT_CANDLES_MAX, Candles
from libs.indicators.digital import digital_fair_value, is_priced, payoff_fair_value
from libs.indicators.grid import price_down, price_max, price_min, price_step, price_up, quantity_down
from libs.indicators.statistics import mean_and_deviation, normal_cdf, zscore
from libs.indicators.tops import Tops
from libs.indicators.volatility import ReturnSampler
from proto.feed import Book, Gap, Level, Market, MarketStatus, Payoff, PriceStep, Quote
from proto.units import ONE, SECOND

STEPS = (PriceStep(0, 1_000), PriceStep(100_000, 10_000), PriceStep(900_000, 1_000))
MARKET = Market(
    market="kalshi:M", venue="kalshi", at=1, status=MarketStatus.OPEN, price_steps=STEPS, quantity_step=10_000
)

gaps = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 10_000)), min_size=1, max_size=60)


def tape(pauses):
    at = 1_000_000 * SECOND
    for pause, price in pauses:
        at += pause * SECOND
        yield at, price


# ── candles ──


@given(gaps)
def test_candles_equal_trades_grouped_by_interval(pauses):
    trades = list(tape(pauses))
    candles = Candles(60, 1_000)
    closed = [c for at, price in trades for c in candles.add(at, price, 7)]
    by_start: dict[int, list[int]] = {}
    for at, price in trades:
        by_start.setdefault(at // (60 * SECOND) * 60 * SECOND, []).append(price)
    assert candles.forming is not None
    seen = {c.start_at: c for c in [*closed, candles.forming]}
    for start, prices in by_start.items():
        candle = seen[start]
        assert (candle.first, candle.last) == (prices[0], prices[-1])
        assert (candle.high, candle.low) == (max(prices), min(prices))
        assert candle.volume == 7 * len(prices)
    starts = [c.start_at for c in closed]
    assert (
        starts == list(range(starts[0], starts[0] + 60 * SECOND * len(starts), 60 * SECOND))
        if starts
        else True
    )


def test_silence_is_bridged_by_flat_candles_and_then_ends_the_history():
    candles = Candles(60, 100)
    candles.add(0, 5, 1)
    bridged = candles.add(60 * SECOND * (FLAT_CANDLES_MAX + 1), 9, 1)
    assert [c.last for c in bridged] == [5] * (FLAT_CANDLES_MAX + 1)
    assert [c.volume for c in bridged] == [1] + [0] * FLAT_CANDLES_MAX
    assert candles.add(60 * SECOND * 100, 9, 1) == ()
    assert candles.closed == []


def test_time_going_backwards_starts_a_new_history():
    candles = Candles(60, 100)
    candles.add(600 * SECOND, 5, 1)
    candles.add(660 * SECOND, 5, 1)
    assert candles.add(60 * SECOND, 5, 1) == ()
    assert candles.closed == []


def test_only_the_newest_candles_are_kept():
    candles = Candles(60, 3)
    for minute in range(10):
        candles.add(minute * 60 * SECOND, minute + 1, 1)
    assert [c.first for c in candles.closed] == [7, 8, 9]


# ── statistics ──


@pytest.mark.parametrize(
    ("x", "p"), [(0.0, 0.5), (1.0, 0.841344746), (-1.96, 0.024997895), (3.0, 0.998650102)]
)
def test_normal_cdf_against_tables(x, p):
    assert normal_cdf(x) == pytest.approx(p, abs=1e-9)


def test_mean_and_deviation_use_the_sample_formula():
    mean, deviation = mean_and_deviation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert mean == 5.0
    assert deviation == pytest.approx(2.138089935)
    with pytest.raises(ValueError, match="at least 2"):
        mean_and_deviation([1.0])


def test_zscore_of_something_constant_is_zero():
    assert zscore(5.0, 3.0, 0.0) == 0.0
    assert zscore(5.0, 3.0, 0.5) == 4.0


# ── realised volatility ──


@given(gaps)
def test_returns_add_up_to_the_whole_move(pauses):
    sampler = ReturnSampler(5, 10_000, 90)
    trades = list(tape(pauses))
    for at, price in trades:
        sampler.add(at, price)
    move, covered_s = sampler.move(10_000_000)
    if covered_s:
        assert move == pytest.approx(math.log(trades[-1][1] / trades[0][1]), abs=1e-9)
        assert covered_s == sampler.span_s == len(sampler.returns) * 5
    assert sampler.mean_square == pytest.approx(
        sum(r * r for r in sampler.returns) / max(1, len(sampler.returns)), abs=1e-12
    )


def test_deviation_recovers_the_volatility_of_a_random_walk_at_any_trade_rate():
    rng = random.Random(7)
    sigma = 0.0001
    for pause_ms in (500, 3_000):
        sampler, price, at = ReturnSampler(5, 100_000, 60), 80_000.0, 0
        for _ in range(10_000):
            at += pause_ms * SECOND // 1000
            price *= math.exp(rng.gauss(0.0, sigma * math.sqrt(pause_ms / 1000)))
            sampler.add(at, round(price * ONE))
        assert sampler.deviation(1) == pytest.approx(sigma, rel=0.08)
        assert sampler.deviation(400) == pytest.approx(20 * sampler.deviation(1))


def test_a_long_silence_starts_sampling_afresh():
    sampler = ReturnSampler(5, 100, 60)
    for second in range(30):
        sampler.add(second * SECOND, 100 + second)
    assert sampler.returns
    assert sampler.add(200 * SECOND, 5_000)
    assert sampler.returns == []
    assert sampler.deviation(300) == 0.0
    assert sampler.move(300) == (0.0, 0)


def test_a_move_covers_only_what_was_asked_for():
    sampler = ReturnSampler(5, 100, 60)
    for second in range(61):
        sampler.add(second * SECOND, 1_000 if second < 31 else 2_000)
    assert sampler.move(20) == (0.0, 20)
    move, covered_s = sampler.move(40)
    assert covered_s == 40
    assert move == pytest.approx(math.log(2))


def test_a_price_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="positive price"):
        ReturnSampler(5, 100, 60).add(0, 0)


# ── the digital option ──


def test_at_the_money_is_a_half_less_the_drift_of_the_logarithm():
    assert digital_fair_value(80_000, 80_000, 0.0001, 100.0) == round(normal_cdf(-0.0005) * ONE)


def test_known_value_without_averaging():
    # d2 = ln(101/100)/0.1 - 0.05 = 0.0495033, by hand.
    assert digital_fair_value(101, 100, 0.01, 100.0) == pytest.approx(519_741, abs=2)


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.floats(0.0, 0.01), st.floats(60.0, 86_400.0))
def test_fair_value_is_a_probability_and_rises_with_the_spot(spot, strike, sigma, left_s):
    value = digital_fair_value(spot, strike, sigma, left_s, 60.0)
    assert 0 <= value <= ONE
    assert digital_fair_value(spot + spot // 100 + 1, strike, sigma, left_s, 60.0) >= value


def test_without_volatility_the_present_decides():
    assert digital_fair_value(100, 100, 0.0, 60.0) == ONE
    assert digital_fair_value(99, 100, 0.0, 60.0) == 0


@pytest.mark.parametrize(("left_s", "average_s"), [(60, 60), (120, 60), (90, 30)])
def test_averaging_agrees_with_simulated_paths(left_s, average_s):
    rng = random.Random(11)
    sigma, spot, strike, paths = 0.001, 100.0, 100.2, 2_000
    above = 0
    for _ in range(paths):
        price, total = spot, 0.0
        for second in range(left_s):
            price *= math.exp(rng.gauss(-sigma * sigma / 2, sigma))
            if second >= left_s - average_s:
                total += price
        above += total / average_s >= strike
    value = digital_fair_value(round(spot * ONE), round(strike * ONE), sigma, left_s, average_s) / ONE
    assert value == pytest.approx(above / paths, abs=0.04)
    assert (
        abs(digital_fair_value(round(spot * ONE), round(strike * ONE), sigma, left_s) / ONE - value) > 0.005
    )


def test_inside_the_averaging_period_no_value_is_made_up():
    with pytest.raises(ValueError, match="averaging period"):
        digital_fair_value(100, 100, 0.01, 59.0, 60.0)
    with pytest.raises(ValueError, match="positive spot"):
        digital_fair_value(0, 100, 0.01, 59.0)


# ── payoffs ──


def paying(payoff, floor=None, cap=None, decimals=6):
    return MARKET.replace(payoff=payoff, floor=floor, cap=cap, figure_decimals=decimals)


BOUND = st.integers(ONE, 10**12)


@given(st.integers(1, 10**12), BOUND, BOUND, st.floats(0.0001, 0.01), st.floats(60.0, 86_400.0))
def test_payoffs_of_a_price_share_what_is_certain(spot, one, other, sigma, left_s):
    """Below the floor, in the range and above the cap: together they pay one, and a range is never worth less."""
    floor, cap = sorted((one, other))
    below, within, above = (
        payoff_fair_value(paying(payoff, *bounds), spot, sigma, left_s)
        for payoff, bounds in (
            (Payoff.BELOW, (None, floor)),
            (Payoff.BETWEEN, (floor, cap)),
            (Payoff.ABOVE, (cap, None)),
        )
    )
    assert below + within + above == ONE
    assert min(below, within, above) >= 0
    assert above == digital_fair_value(spot, cap, sigma, left_s, MARKET.settlement_average_s)


def test_a_range_far_below_the_price_is_worth_nothing():
    market = paying(Payoff.BETWEEN, 8_000_000, 8_049_999, decimals=2)
    assert payoff_fair_value(market, 81_500 * ONE, 0.0001, 600.0) == 0
    assert payoff_fair_value(market, 80_250 * ONE, 0.000001, 600.0) == ONE


@pytest.mark.parametrize("decimals", [2, 6, 9])
def test_a_bound_means_the_same_with_more_decimals(decimals):
    bound = 80_000 * 10**decimals
    value = payoff_fair_value(paying(Payoff.ABOVE, bound, None, decimals), 80_010 * ONE, 0.0001, 600.0)
    assert value == payoff_fair_value(paying(Payoff.ABOVE, 80_000 * ONE), 80_010 * ONE, 0.0001, 600.0)


@pytest.mark.parametrize("payoff", [Payoff.TOUCH, Payoff.EVENT, Payoff.UNKNOWN])
def test_other_payoffs_have_no_value_here(payoff):
    market = paying(payoff, 80_000 * ONE, 81_000 * ONE)
    assert not is_priced(market)
    with pytest.raises(ValueError, match="payoff by a final price"):
        payoff_fair_value(market, 80_000 * ONE, 0.0001, 600.0)


@pytest.mark.parametrize("payoff", [Payoff.ABOVE, Payoff.BELOW, Payoff.BETWEEN])
def test_a_payoff_without_its_bounds_is_not_priced(payoff):
    assert not is_priced(paying(payoff))
    assert is_priced(paying(payoff, 1, 2))


@given(st.integers(-(10**12), 0))
def test_a_price_is_always_above_a_floor_that_is_not_positive(floor):
    assert payoff_fair_value(paying(Payoff.ABOVE, floor), ONE, 0.01, 600.0) == ONE


# ── the grid ──


@given(st.integers(0, ONE - 1))
def test_rounding_stays_on_the_grid_and_next_to_the_price(price):
    up, down = price_up(MARKET, price), price_down(MARKET, price)
    assert down <= price <= up
    assert up % price_step(MARKET, price) == 0 == down % price_step(MARKET, price)
    assert up - down in (0, price_step(MARKET, price))


def test_ends_of_the_grid():
    assert (price_min(MARKET), price_max(MARKET)) == (1_000, 999_000)
    without_steps = MARKET.replace(price_steps=())
    assert (price_min(without_steps), price_max(without_steps)) == (1, ONE - 1)


def test_quantities_are_rounded_down():
    assert quantity_down(MARKET, 1_234_567) == 1_230_000
    assert quantity_down(MARKET.replace(quantity_step=0), 1_234_567) == ONE


# ── tops ──


def quote(counter, bid=400_000, instrument="kalshi:M:yes"):
    return Quote(instrument=instrument, at=counter, counter=counter, bid=bid, bid_size=ONE)


def book(counter, snapshot, instrument="kalshi:M:yes"):
    levels = (Level(390_000, ONE),)
    return Book(instrument=instrument, at=counter, counter=counter, bids=levels, snapshot=snapshot)


def test_nothing_is_known_before_a_snapshot():
    tops = Tops()
    assert tops.on_quote(quote(1)) is None
    assert tops.on_book(book(2, snapshot=False)) is None
    top = tops.on_book(book(3, snapshot=True))
    assert top is not None
    assert (top.bid, top.ask, top.gapped) == (390_000, None, False)


@given(
    st.lists(st.tuples(st.sampled_from(["quote", "book"]), st.sampled_from([1, 1, 1, 0, 2, 5])), max_size=30)
)
def test_gapped_exactly_while_a_number_was_missing(events):
    tops, counter, missing = Tops(), 1, False
    tops.on_book(book(1, snapshot=True))
    for kind, step in events:
        counter += step
        missing = missing or step != 1
        top = (
            tops.on_quote(quote(counter)) if kind == "quote" else tops.on_book(book(counter, snapshot=False))
        )
        assert top is not None
        assert top.gapped == missing
    healed = tops.on_book(book(1, snapshot=True))
    assert healed is not None
    assert not healed.gapped


def test_a_gap_marks_one_instrument_or_the_whole_venue():
    tops = Tops()
    for name in ("kalshi:M:yes", "kalshi:M:no", "other:M:yes"):
        tops.on_book(book(1, snapshot=True, instrument=name))
    tops.on_gap(Gap(venue="kalshi", at=1, reason="seq", instrument="kalshi:M:no"))
    assert [t.gapped for t in tops.tops.values()] == [False, True, False]
    tops.on_gap(Gap(venue="kalshi", at=1, reason="seq"))
    assert [t.gapped for t in tops.tops.values()] == [True, True, False]
    tops.on_session()
    assert tops.tops["other:M:yes"].gapped
    tops.forget("other:M:yes")
    assert tops.on_quote(quote(2, instrument="other:M:yes")) is None
