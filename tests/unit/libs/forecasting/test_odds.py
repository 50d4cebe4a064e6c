"""Log-odds: what pooling and shrinking may never do."""

from hypothesis import given
from hypothesis import strategies as st

from libs.forecasting.odds import (
    FORECAST_MAX,
    FORECAST_MIN,
    clamp_market,
    is_saturated,
    pool,
    shrink,
)
from proto.units import ONE

prices = st.integers(0, ONE)


@given(st.lists(prices, min_size=1, max_size=8))
def test_a_pool_lies_between_its_forecasts_and_within_the_bounds(forecasts: list[int]):
    pooled = pool(forecasts)
    clamped = [min(max(p, FORECAST_MIN), FORECAST_MAX) for p in forecasts]
    assert min(clamped) - 1 <= pooled <= max(clamped) + 1
    assert pool(list(reversed(forecasts))) == pooled


@given(prices, prices)
def test_no_weight_is_the_market_and_full_weight_the_forecast(market: int, forecast: int):
    assert abs(shrink(market, forecast, 0.0) - clamp_market(market)) <= 1
    assert abs(shrink(market, forecast, 1.0) - min(max(forecast, FORECAST_MIN), FORECAST_MAX)) <= 1


@given(prices, prices, st.floats(0, 1))
def test_a_weight_never_leads_beyond_market_and_forecast(market: int, forecast: int, weight: float):
    ends = sorted((shrink(market, forecast, 0.0), shrink(market, forecast, 1.0)))
    assert ends[0] - 1 <= shrink(market, forecast, weight) <= ends[1] + 1


def test_opposite_forecasts_cancel_and_bounds_are_no_knowledge():
    assert pool([200_000, 800_000]) == ONE // 2
    assert is_saturated(0)
    assert is_saturated(FORECAST_MAX)
    assert not is_saturated(500_000)
