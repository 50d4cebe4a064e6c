"""What markets pay: as their venue says, to the millionth, from the venue's own body to the payout of each outcome."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.portfolio.payouts import payouts_of
from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from proto.feed import Market, MarketStatus, Outcome
from proto.units import ONE

AT = 1_790_000_000 * 10**9
BINARY = Market(
    market="kalshi:M",
    venue="kalshi",
    at=AT,
    status=MarketStatus.SETTLED,
    outcomes=(Outcome("yes", "kalshi:M:yes"), Outcome("no", "kalshi:M:no")),
)


def paid(market: Market) -> tuple[int, ...]:
    payouts = payouts_of(market)
    return tuple(payouts[o.instrument] for o in market.outcomes if o.instrument in payouts)


def kalshi(**fields: str) -> Market:
    row = {
        "ticker": "KXRAINX-26AUG30-T1",
        "status": "finalized",
        "title": "?",
        "open_time": "2026-08-29T00:00:00Z",
        "close_time": "2026-08-31T00:00:00Z",
        **fields,
    }
    frame = rest_frame("markets", msgspec.json.encode({"markets": [row], "cursor": ""}))
    (market,) = [m for m in KalshiNormaliser().normalise(frame, AT) if isinstance(m, Market)]
    return market


def manifold(resolution: str, probability: float | None) -> Market:
    row = {
        "id": "abcDEF123",
        "question": "?",
        "outcomeType": "BINARY",
        "mechanism": "cpmm-1",
        "pool": {"YES": 100.0, "NO": 100.0},
        "closeTime": 1780000000000,
        "isResolved": True,
        "resolution": resolution,
        "resolutionProbability": probability,
        "resolutionTime": 1785000000000,
    }
    frame = b'{"_rest":"market","body":' + msgspec.json.encode(row) + b"}"
    (market,) = [m for m in ManifoldNormaliser().normalise(frame, AT) if isinstance(m, Market)]
    return market


@pytest.mark.parametrize(
    ("result", "value", "yes"),
    [
        ("scalar", "0.2400", 240_000),
        ("scalar", "0.7200", 720_000),
        ("scalar", "0.0100", 10_000),
        ("scalar", "0.3333", 333_300),
        ("scalar", "0.5000", 500_000),
        ("yes", "1.0000", ONE),
        ("no", "0.0000", 0),
        ("no", "0.1500", 150_000),
    ],
)
def test_kalshi_pays_its_settlement_value(result: str, value: str, yes: int) -> None:
    assert paid(kalshi(result=result, settlement_value_dollars=value)) == (yes, ONE - yes)


def test_kalshis_floor_is_paid_to_the_side_that_lost() -> None:
    market = kalshi(result="no", settlement_bounds_type="floor", settlement_floor_dollars="0.2000")
    assert paid(market) == (200_000, 800_000)


def test_a_scalar_that_does_not_say_how_much_pays_nothing_yet() -> None:
    assert paid(kalshi(result="scalar")) == ()


@pytest.mark.parametrize(
    ("resolution", "probability", "yes"), [("MKT", 0.83, 830_000), ("YES", None, ONE), ("NO", None, 0)]
)
def test_manifold_pays_its_probability(resolution: str, probability: float | None, yes: int) -> None:
    assert paid(manifold(resolution, probability)) == (yes, ONE - yes)


@given(
    st.none() | st.integers(0, ONE), st.integers(0, ONE), st.sampled_from(["", "yes", "no", "void", "scalar"])
)
def test_two_outcomes_share_exactly_one(payout: int | None, floor: int, result: str) -> None:
    market = BINARY.replace(payout=payout, payout_floor=floor, result=result)
    shares = paid(market)
    assert shares == () or (sum(shares) == ONE and shares[0] >= floor)
    assert shares or (payout is None and result in ("", "scalar"))
    assert paid(market.replace(status=MarketStatus.DETERMINED)) == ()


def test_more_outcomes_share_a_void() -> None:
    three = tuple(Outcome(name, f"polymarket:x:{name}") for name in "abc")
    market = BINARY.replace(outcomes=three, result="b")
    assert paid(market) == (0, ONE, 0)
    assert paid(market.replace(result="void")) == (333_333,) * 3
