"""Momentum on made-up prices, where what it must do is known, and on recordings."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.exchange.fees import fee_estimate
from libs.machine.machine import Stamp
from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import Candle, Market, MarketStatus, Payoff, Side
from proto.operator import Config
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.feed.normalise import DeadFrame
from services.feed.recording.play import play
from services.feed.recording.recording import open_recording
from services.signal.machine import SignalMachine
from services.signal.momentum import Momentum, MomentumParams
from tests.support.purity import check, closure
from tests.support.signal_world import BTC, CENT, MARKET, NO, START, YES, SignalWorld

SPOT = 80_000 * ONE
CAPTURES = "kalshi/kxbtc15m_ws_2026-05"


def calm(seconds: int, seed: int = 3) -> list[int]:
    """A random walk with 1 basis point a second, back where it began."""
    rng = random.Random(seed)
    return [SPOT + rng.randrange(-4 * ONE, 4 * ONE) for _ in range(seconds)]


def world(strike: int = 80_000 * ONE, twin: bool = False, **params: int) -> SignalWorld:
    """Five calm minutes, both sides at 0.50 with a cent of spread, market closing in 50 minutes."""
    made = SignalWorld(Momentum, twin=twin)
    made.put(MARKET.replace(floor=strike))
    made.configure("momentum", params)
    made.trades(calm(300))
    for instrument in (YES, NO):
        made.snapshot_book(instrument, 49, 50)
    assert made.out == []
    return made


def evidence(proposal: Proposal) -> dict[str, int]:
    return {item.name: item.value for item in proposal.evidence}


def test_a_breakout_up_buys_yes():
    made = world()
    made.now += SECOND
    (proposal,) = made.trade(SPOT + 60 * ONE)
    assert (proposal.instrument, proposal.side, proposal.price) == (YES, Side.BUY, 50 * CENT)
    fee = fee_estimate(MARKET.fees, proposal.price, ONE)
    assert proposal.edge == proposal.fair_value - proposal.price - fee >= MomentumParams().edge_min
    assert proposal.expires_at == made.now + 5 * SECOND
    facts = evidence(proposal)
    assert facts["z"] >= 2 * ONE
    assert (facts["spot"], facts["strike"]) == (SPOT + 60 * ONE, 80_000 * ONE)
    assert facts["left_s"] == (MARKET.close_at - made.now) // SECOND * ONE
    assert proposal.strength == min(ONE, facts["z"] // 3)


def world_with_a_past(past: list[int]) -> SignalWorld:
    """As ``world``, but nothing was traded yet: the past is told."""
    made = SignalWorld(Momentum)
    made.put(MARKET)
    made.configure("momentum", {})
    made.now += 300 * SECOND
    made.past(past)
    for instrument in (YES, NO):
        made.snapshot_book(instrument, 49, 50)
    return made


def test_with_a_past_the_first_trade_may_be_a_breakout():
    made = world_with_a_past(calm(300))
    made.now += SECOND
    (proposal,) = made.trade(SPOT + 60 * ONE)
    assert (proposal.instrument, proposal.price) == (YES, 50 * CENT)
    without = world_with_a_past([])
    without.now += SECOND
    assert without.trade(SPOT + 60 * ONE) == []


@given(st.lists(st.integers(-50 * ONE, 50 * ONE), min_size=2, max_size=150), st.integers(0, 150))
def test_a_told_past_is_as_good_as_a_lived_one(moves, seen_count):
    """However many of its seconds were traded before it is told: a feed that was started again tells them again."""
    prices = [SPOT + move for move in moves]
    lived, told = (SignalWorld(Momentum, twin=False) for _ in range(2))
    for made in (lived, told):
        made.configure("momentum", {})
    lived.trades(prices)
    told.trades(prices[:seen_count])
    told.now = lived.now
    told.past(prices)
    samplers = [made.machine._strategies["momentum"].state.tracks[BTC].sampler for made in (lived, told)]
    assert samplers[0] == samplers[1]


def test_a_past_told_twice_or_of_another_instrument_or_of_the_time_to_come_changes_nothing():
    made = world_with_a_past(calm(300))
    before = made.machine.snapshot()
    made.past([SPOT * 2], instrument="coinbase:ETH-USD")
    made.past([SPOT * 2] * 200)
    made.put(
        Candle(instrument=BTC, at=made.now, start_at=made.now, interval_s=1, first=1, high=1, low=1, last=1)
    )
    assert made.machine.snapshot() == before


def test_a_breakout_down_buys_no_at_the_mirrored_fair_value():
    up, down = world(), world()
    for made, move in ((up, 60 * ONE), (down, -60 * ONE)):
        made.now += SECOND
        made.trade(SPOT + move)
    (_, yes), (_, no) = up.out[0], down.out[0]
    assert (yes.instrument, no.instrument) == (YES, NO)
    assert no.fair_value > ONE // 2
    assert evidence(no)["z"] < -2 * ONE


@pytest.mark.parametrize(
    ("payoff", "floor", "cap", "bought"),
    [
        (Payoff.BELOW, None, 80_010 * ONE, NO),
        (Payoff.BETWEEN, 80_040 * ONE, 81_000 * ONE, YES),
        (Payoff.BETWEEN, 79_000 * ONE, 80_010 * ONE, NO),
    ],
)
def test_a_breakout_up_buys_the_side_that_it_makes_likelier(payoff, floor, cap, bought):
    """Below a cap that is NO, of a range it is YES from below it and NO from above its middle."""
    made = world()
    made.put(MARKET.replace(payoff=payoff, floor=floor, cap=cap))
    made.now += SECOND
    (proposal,) = made.trade(SPOT + 60 * ONE)
    assert proposal.instrument == bought
    facts = evidence(proposal)
    assert (facts.get("floor"), facts["cap"]) == (floor, cap)
    assert "strike" not in facts


def test_a_kalshi_range_far_below_the_price_is_not_bought():
    """As the venue lists it: 80,000 to 80,499.99 with Bitcoin at 81,500 is worth nothing, at eight cents too."""
    made = SignalWorld(Momentum, twin=False)

    def moment(seconds: int) -> str:
        return datetime.fromtimestamp((made.now // SECOND) + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    row = {
        "ticker": "KXBTC-T0-B80250",
        "status": "active",
        "open_time": moment(-3_000),
        "close_time": moment(3_000),
        "strike_type": "between",
        "floor_strike": 80_000,
        "cap_strike": 80_499.99,
    }
    page = rest_frame("markets", json.dumps({"markets": [row], "cursor": ""}).encode())
    (market,) = [m for m in KalshiNormaliser().normalise(page, made.now) if isinstance(m, Market)]
    yes, no = (outcome.instrument for outcome in market.outcomes)
    made.put(market)
    made.configure("momentum", {})
    made.trades([price + 1_500 * ONE for price in calm(300)])
    made.snapshot_book(yes, 7, 8)
    made.snapshot_book(no, 89, 90)
    made.now += SECOND
    (proposal,) = made.trade(SPOT + 1_620 * ONE)
    assert (proposal.instrument, proposal.fair_value) == (no, ONE)


def test_outcomes_called_up_and_down_are_followed_as_yes_and_no():
    """Polymarket's windows have them: they are markets like the others."""
    named = tuple(
        outcome._replace(name=name) for outcome, name in zip(MARKET.outcomes, ("up", "down"), strict=True)
    )
    for move, instrument in ((60, YES), (-60, NO)):
        made = world()
        made.put(MARKET.replace(outcomes=named))
        made.now += SECOND
        (proposal,) = made.trade(SPOT + move * ONE)
        assert proposal.instrument == instrument


def test_calm_prices_propose_nothing():
    made = world()
    made.trades(calm(600, seed=5))
    for ask in (40, 30, 20):
        made.quote(YES, ask - 1, ask)
        made.quote(NO, ask - 1, ask)
    assert made.out == []


def test_a_book_that_has_followed_is_left_alone():
    made = world()
    made.quote(YES, 93, 94)
    made.now += SECOND
    assert made.trade(SPOT + 60 * ONE) == []


def test_a_quote_that_falls_back_during_a_breakout_is_taken():
    made = world()
    made.quote(YES, 93, 94)
    made.now += SECOND
    made.trade(SPOT + 60 * ONE)
    (proposal,) = made.quote(YES, 49, 50)
    assert proposal.instrument == YES
    assert made.quote(NO, 5, 6) == []


def test_an_old_spot_price_is_not_traded_on():
    made = world()
    made.quote(YES, 93, 94)
    made.now += SECOND
    made.trade(SPOT + 60 * ONE)
    made.now += 11 * SECOND
    assert made.quote(YES, 49, 50) == []


@pytest.mark.parametrize(
    ("change", "params"),
    [
        ({"status": MarketStatus.PAUSED}, {}),
        ({"floor": None}, {}),
        ({"payoff": Payoff.UNKNOWN}, {}),
        ({"payoff": Payoff.TOUCH}, {}),
        ({"payoff": Payoff.EVENT}, {}),
        ({"payoff": Payoff.BETWEEN}, {}),
        ({"payoff": Payoff.BELOW}, {}),
        ({"expected_end_at": START + 400 * SECOND}, {}),
        ({"close_at": START + 400 * SECOND}, {}),
        ({"close_at": START + 340 * SECOND, "settlement_average_s": 60}, {"time_to_close_min_s": 1}),
        ({"close_at": START + 9_000 * SECOND}, {}),
        ({"underlying": "coinbase:ETH-USD"}, {}),
        ({}, {"edge_min": 500_000}),
        ({}, {"z_min": 50 * ONE}),
        ({}, {"price_min": 510_000}),
        ({}, {"price_max": 490_000}),
        ({}, {"warmup_s": 400}),
        ({}, {"underlyings": ["coinbase:ETH-USD"]}),
    ],
)
def test_conditions_that_forbid_a_proposal(change, params):
    made = world(**params)
    made.put(MARKET.replace(**change))
    made.now += SECOND
    assert made.trade(SPOT + 60 * ONE) == []


def test_markets_that_no_strategy_prices_are_told_with_the_reason():
    made = world(underlyings=[BTC, "coinbase:ETH-USD"])
    for name, change in (
        ("E", {"payoff": Payoff.EVENT}),
        ("F", {"payoff": Payoff.EVENT}),
        ("T", {"payoff": Payoff.TOUCH}),
        ("G", {"underlying": ""}),
        ("S", {"underlying": "coinbase:SOL-USD"}),
        ("H", {"underlying": "coinbase:ETH-USD"}),
        ("X", {"payoff": Payoff.EVENT, "status": MarketStatus.SETTLED}),
        ("W", {"floor": None}),
    ):
        made.put(MARKET.replace(market=f"kalshi:{name}", **change))
    assert made.machine.unpriced() == {
        "momentum: a payoff of kind 'event' is not priced": ["kalshi:E", "kalshi:F"],
        "momentum: a payoff of kind 'touch' is not priced": ["kalshi:T"],
        "momentum: it has no reference price": ["kalshi:G"],
        "momentum: coinbase:SOL-USD is not among its underlyings": ["kalshi:S"],
        "momentum: no price of coinbase:ETH-USD has come: does its venue follow the pair?": ["kalshi:H"],
    }


def test_slippage_raises_the_price_and_lowers_the_edge():
    plain, generous = world(), world(slippage_ticks=2)
    for made in (plain, generous):
        made.now += SECOND
        made.trade(SPOT + 60 * ONE)
    assert generous.out[0][1].price == plain.out[0][1].price + 2 * CENT
    assert generous.out[0][1].edge < plain.out[0][1].edge


def test_the_yardstick_is_the_candles_once_there_are_enough():
    made = SignalWorld(Momentum, twin=False)
    made.put(MARKET.replace(close_at=START + 9_000 * SECOND))
    made.configure("momentum", {"candle_s": 60, "candle_count": 5})
    made.trades(calm(360))
    track = made.machine._strategies["momentum"].state.tracks[BTC]
    assert len(track.returns) == 5
    assert track.deviation > 0.0
    made.now += 400 * SECOND
    made.trade(SPOT)
    made.trades([SPOT] * 130)
    assert len(track.returns) == 2
    assert track.deviation == 0.0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-30, 30)), max_size=40))
def test_any_walk_is_followed_alike_by_a_restored_machine(steps):
    made = world(change_interval_s=0)
    made.twin = True
    price = SPOT
    for pause, step in steps:
        made.now += pause * SECOND
        price += step * ONE
        made.trade(price)
        made.quote(YES, 40 + step, 41 + step)
    for _, proposal in made.out:
        facts = evidence(proposal)
        assert abs(facts["z"]) >= 2 * ONE
        assert proposal.instrument == (YES if facts["z"] > 0 else NO)
        assert proposal.edge >= 10_000


def test_momentum_and_what_it_imports_is_pure(root: Path):
    modules = closure(root, [root / "services/signal/momentum.py"])
    assert len(modules) > 5
    found = [finding for path in modules for finding in check(path.relative_to(root), path.read_text())]
    assert not found, "\n".join(map(str, found))


@pytest.mark.recorded
@pytest.mark.slow
def test_most_recorded_quarter_hours_give_proposals(recordings: Path):
    folder = recordings / CAPTURES
    if not folder.is_dir():
        pytest.skip(f"no Kalshi captures: expected a folder {folder}")
    captures = sorted(path for path in folder.iterdir() if path.is_dir())
    counts = [len(proposals_of(path)) for path in captures]
    assert sum(count > 0 for count in counts) > len(counts) / 2, counts


def proposals_of(capture: Path) -> list[Proposal]:
    machine = SignalMachine([Momentum])
    machine.on(Config(section="signal.momentum", document={}, nonce="n", expires_at=1), Stamp(1, 1))
    found: list[Proposal] = []
    now = seq = 1
    for message in play(open_recording(capture)):
        if isinstance(message, DeadFrame):
            continue
        seq += 1
        now = max(now, getattr(message, "at", 0))
        found += [output for output in machine.on(message, Stamp(seq, now)) if isinstance(output, Proposal)]
    listed: dict[str, Market] = machine.state.markets
    assert not any(proposal.market in listed for proposal in found), "settled markets are forgotten"
    return found
