"""Figures of trades, each worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.performance.trades import (
    HOUR,
    SPLITS,
    Called,
    TradeResult,
    brier,
    expectancy,
    log_score,
    profit_factor,
    profit_per_stake,
    split,
    time_in_market,
    trade_figures,
    turnover,
    weekday_of,
    win_rate,
)
from proto.units import ONE


def trade(
    profit: int, *, event: str = "m", opened: int = 0, closed: int = HOUR, fees: int = 0
) -> TradeResult:
    return TradeResult(
        strategy="momentum",
        family="btc 15 min",
        venue="kalshi",
        event=event,
        ended="stop_loss" if profit < 0 else "target",
        opened_at=opened,
        closed_at=closed,
        staked=10 * ONE,
        received=10 * ONE + profit + fees,
        profit=profit,
        fees=fees,
        expected=ONE // 2,
        slippage=0,
    )


def test_wins_losses_and_their_ratio() -> None:
    trades = [trade(3 * ONE, fees=ONE), trade(-2 * ONE), trade(0)]
    assert win_rate(trades).value == pytest.approx(1 / 3)
    assert profit_factor(trades).value == pytest.approx(1.5)
    assert expectancy(trades).value == pytest.approx(1 / 3)
    figures = trade_figures(trades)
    assert (figures.profit, figures.fees, figures.realised_profit) == (ONE, ONE, 2 * ONE)
    assert (figures.edge_expected, figures.edge_captured) == (3 * ONE // 2, ONE)
    assert profit_per_stake(trades).value == pytest.approx(1 / 30)


def test_wilson_interval_of_a_share() -> None:
    # 8 of 10: Wilson's 95 % interval is 0.490 to 0.943.
    figure = win_rate([trade(1)] * 8 + [trade(-1)] * 2)
    assert (figure.low, figure.high) == pytest.approx((0.490, 0.943), abs=5e-4)


def test_no_trade_and_no_loss_have_reasons() -> None:
    assert win_rate([]).reason == profit_factor([]).reason == expectancy([]).reason == "no trade"
    assert profit_factor([trade(1)]).reason == "no trade lost"
    assert profit_per_stake([]).reason == "nothing was staked"
    assert brier([]).reason == log_score([]).reason == "no outcome yet"


def test_positions_in_one_event_are_one_sample() -> None:
    alone = profit_per_stake([trade(5 * ONE if n % 2 else -4 * ONE, event=str(n)) for n in range(40)])
    together = profit_per_stake([trade(5 * ONE if n % 2 else -4 * ONE, event=str(n % 2)) for n in range(40)])
    assert alone.value == together.value
    assert alone.low is not None
    assert alone.high is not None
    assert alone.low < 0.05 < alone.high
    assert (together.samples, together.low) == (2, None)


def test_scores_of_fair_values() -> None:
    calls = [Called(800_000, True), Called(300_000, False)]
    assert brier(calls).value == pytest.approx((0.04 + 0.09) / 2)
    assert log_score(calls).value == pytest.approx(-(math.log(0.8) + math.log(0.7)) / 2)
    assert log_score([Called(0, True)]).value == pytest.approx(-math.log(1e-6))


def test_time_in_market_counts_overlaps_once() -> None:
    trades = [
        trade(1, opened=HOUR, closed=3 * HOUR),
        trade(1, opened=2 * HOUR, closed=4 * HOUR),
        trade(1, opened=8 * HOUR, closed=12 * HOUR),
    ]
    assert time_in_market(trades, 0, 10 * HOUR).value == pytest.approx(0.5)
    assert turnover(trades, 100.0 * ONE).value == pytest.approx((60 * ONE + 3) / (100 * ONE))
    assert turnover(trades, 0.0).reason == "no equity"


def test_weekdays() -> None:
    assert weekday_of(0) == "4 Thursday"
    assert weekday_of(1_780_000_000 * 10**9) == "4 Thursday"  # 2026-05-28


@given(
    st.lists(
        st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 10**15), st.integers(0, 10**6)), max_size=30
    )
)
def test_parts_add_up_to_the_whole(rows: list[tuple[int, int, int]]) -> None:
    trades = [trade(profit, closed=closed, fees=fees) for profit, closed, fees in rows]
    whole = trade_figures(trades)
    for key in SPLITS.values():
        parts = [trade_figures(part) for part in split(trades, key).values()]
        assert sum(part.profit for part in parts) == whole.profit
        assert sum(part.fees for part in parts) == whole.fees
        assert sum(part.trades for part in parts) == whole.trades
