"""What decides Polymarket's up-or-down markets: the price stream's tick at their start."""

import json

import pytest

from libs.venues.frame import FrameError
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.market_data.prices import name_history
from proto.units import SECOND
from tests.support.normalised import normalised
from tests.support.polymarket_frames import AT, OPEN_S, gamma, markets, spot_price


@pytest.fixture
def normaliser() -> PolymarketNormaliser:
    normaliser = PolymarketNormaliser()
    normalised(normaliser, markets(), AT)
    return normaliser


def test_the_strike_is_the_tick_at_the_start(normaliser: PolymarketNormaliser):
    assert normalised(normaliser, spot_price(OPEN_S - 1, "64000.1"), AT - SECOND) == []
    assert normalised(normaliser, spot_price(OPEN_S, "1.5", symbol="eth/usd"), AT) == []
    assert normalised(normaliser, spot_price(OPEN_S, "2.5", topic="crypto_prices"), AT) == []
    assert normalised(normaliser, spot_price(OPEN_S, "2.5", topic="crypto_prices_twap_sixty"), AT) == []
    (market,) = normalised(normaliser, spot_price(OPEN_S, "65026457815000000000000"), AT)
    assert market.strike == 65_026_457_815
    assert normalised(normaliser, spot_price(OPEN_S + 1, "65026.9"), AT + SECOND) == []


def history(*points: tuple[int, object], topic: str = "crypto_prices_chainlink") -> bytes:
    data = [{"timestamp": second * 1000, "value": value} for second, value in points]
    payload = {"symbol": "btc/usd", "data": data}
    return json.dumps({"topic": topic, "type": "subscribe", "timestamp": 1, "payload": payload}).encode()


def test_the_stream_begins_with_its_past_which_gives_a_strike_too(normaliser: PolymarketNormaliser):
    assert normalised(normaliser, history((OPEN_S, 2.5), topic="crypto_prices_twap_sixty"), AT) == []
    assert normalised(normaliser, history((OPEN_S - 1, 64000.1), (OPEN_S + 1, 64001)), AT) == []
    with pytest.raises(FrameError):
        normalised(normaliser, history((OPEN_S, 65000.5), (OPEN_S + 1, "much")), AT)
    (market,) = normalised(normaliser, history((OPEN_S, 65000.1234567), (OPEN_S + 1, 65001)), AT)
    assert market.strike == 65_000_123_456


def test_a_history_has_the_name_of_its_subscription():
    """The venue calls it ``crypto_prices``, which is what Binance says, whatever was subscribed to."""
    wanted = history((OPEN_S, 65000.5), topic="crypto_prices_twap_sixty")
    named = name_history(history((OPEN_S, 65000.5), topic="crypto_prices"), "crypto_prices_twap_sixty")
    assert json.loads(named) == json.loads(wanted)
    for other in (
        spot_price(OPEN_S, "1.5"),
        b"PONG",
        b'{"x":"subscribe"}',
        b'["subscribe"]',
        b'{"subscribe"',
    ):
        assert name_history(other, "crypto_prices_twap_sixty") == other


def test_the_past_does_not_correct_a_tick_that_came_with_all_its_digits():
    normaliser = PolymarketNormaliser()
    normalised(normaliser, spot_price(OPEN_S, "65026457815000000000000"), AT)
    normalised(normaliser, history((OPEN_S, 65026.4)), AT)
    (market,) = normalised(normaliser, markets(), AT)
    assert market.strike == 65_026_457_815


def test_a_market_found_after_its_start_has_its_strike_at_once():
    normaliser = PolymarketNormaliser()
    normalised(normaliser, spot_price(OPEN_S, "65026.4578151234567"), AT)
    normalised(normaliser, spot_price(OPEN_S, "65030", topic="crypto_prices_twap_sixty"), AT)
    (market,) = normalised(normaliser, markets(), AT + SECOND)
    assert (market.strike, market.settlement_average_s) == (65_026_457_815, 0)
    other = gamma(conditionId="0x02", clobTokenIds='["5","6"]', cryptoMarketConfig={"twapEnabled": True})
    (market,) = normalised(normaliser, markets(other), AT + SECOND)
    assert (market.strike, market.settlement_average_s) == (65_030_000_000, 60)
