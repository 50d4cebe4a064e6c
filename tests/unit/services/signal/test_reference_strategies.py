"""Strategies with a view of a reference price: where they must trade, where they must not, and what chance gives them."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from libs.exchange.fees import fee_estimate
from libs.indicators.cointegration import critical_value
from libs.indicators.digital import digital_fair_value
from libs.indicators.statistics import to_millionths
from libs.indicators.volatility import ReturnSampler
from proto.feed import Payoff
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.consensus import Consensus
from services.signal.ma_cross import MaCross
from services.signal.macd import MacdTrend
from services.signal.mean_reversion import MeanReversion
from services.signal.momentum import Momentum
from services.signal.pairs import Pairs
from services.signal.patterns import Patterns
from services.signal.reference import View
from services.signal.strategy import Strategy
from tests.support.signal_world import CENT, MARKET, NO, START, YES, SignalWorld
from tools.system.composition import sections

MINUTE = 60
CLOSE_S = 60 * MINUTE
SPOT = 80_000.0
QUOTE_S = 5
ETH = "coinbase:ETH-USD"
Path = Callable[[int], float]


def noise(seed: int, seconds: int, deviation: float) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(0.0, deviation) for _ in range(seconds)]


JITTER = noise(1, 7_200, 8.0)


def trending(second: int) -> float:
    """Down for 45 minutes, then up: the averages cross when the price is about where it was a while ago."""
    turn = 45 * MINUTE
    slope = -1.2 if second < turn else 2.5
    return SPOT - 1450.0 + slope * (second - turn) + JITTER[second]


def rising(second: int) -> float:
    """Up by half a dollar a second in waves of 20 minutes: the last trough is 15 minutes before the close."""
    wave = -150.0 * math.cos((second - 45 * MINUTE) * math.tau / (20 * MINUTE))
    return SPOT - 1400.0 + second / 2 + wave + JITTER[second]


def swinging(second: int) -> float:
    """A price that goes back: swings of six minutes about the same middle, and a deeper one at the end."""
    swing = 20.0 * math.sin(second * math.tau / (6 * MINUTE))
    fall = 80.0 * max(0.0, 1.0 - abs(second - 46 * MINUTE) / (5 * MINUTE))
    return SPOT + swing - fall + JITTER[second] / 16


def leader(second: int) -> float:
    """Another price, in swings of an hour and noise."""
    return 4_000.0 * math.exp(0.004 * math.sin(second * math.tau / (60 * MINUTE)) + JITTER[second] / SPOT / 4)


def following(second: int) -> float:
    """A price that follows the leader, strays by a little for some minutes and goes back; at the end it falls behind."""
    stray = 0.0005 * math.sin(second * math.tau / (5 * MINUTE)) + JITTER[-second] / SPOT / 4
    behind = 0.0009 * max(0.0, 1.0 - abs(second - 44 * MINUTE) / (2 * MINUTE))
    return SPOT * math.exp(0.0042 + math.log(leader(second) / 4_000.0) + stray - behind)


def flagged(second: int) -> float:
    """Quiet, a rise of 120 dollars in five minutes, seven minutes that give back a third of it, and a rise beyond."""
    minute = second / MINUTE
    rise = 24.0 * min(max(minute - 36, 0.0), 5.0)
    rest = 6.0 * min(max(minute - 41, 0.0), 6.0)
    return SPOT - 110.0 + rise - rest + 40.0 * max(minute - 47, 0.0) + JITTER[second] / 16


def still(second: int) -> float:
    """Noise about one price."""
    return SPOT + JITTER[second] / 8


def played(
    strategy: type[Strategy[Any, Any]],
    path: Path,
    seconds: int = 58 * MINUTE,
    before: int = 0,
    partner: Path | None = None,
    **changes: Any,
) -> list[Proposal]:
    """Proposals on a market that is priced by the price's volatility alone, to the next cent, and by no view of it."""
    section = sections(strategies=[strategy.name])[f"signal.{strategy.name}"]
    world = SignalWorld(strategy, twin=False)
    world.configure(strategy.name, section | changes)
    world.put(MARKET.replace(close_at=START + (before + CLOSE_S) * SECOND, settlement_average_s=1))
    for instrument in (YES, NO):
        world.snapshot_book(instrument, 49, 50)
    sampler = ReturnSampler(5, 180, 60)
    for second in range(-before, seconds):
        world.now += SECOND
        price = round(path(second) * ONE)
        sampler.add(world.now, price)
        if second % QUOTE_S == 0 and second > MINUTE:
            quote(world, price, sampler.deviation(1), CLOSE_S - second)
        if partner is not None:
            world.trade(round(partner(second) * ONE), ETH)
        world.trade(price)
    # The snapshot has everything: a restored twin answers the next input alike.
    world.twin = True
    world.trade(round(path(seconds) * ONE))
    return [proposal for _, proposal in world.out]


def quote(world: SignalWorld, price: int, sigma: float, left_s: int) -> None:
    fair = digital_fair_value(price, round(SPOT) * ONE, sigma, left_s)
    for instrument, worth in ((YES, fair), (NO, ONE - fair)):
        ask = min(worth // CENT + 2, 99)
        world.quote(instrument, max(ask - 2, 1), ask)


@pytest.mark.parametrize(
    ("strategy", "path", "bought"),
    [
        (MaCross, trending, YES),
        (MacdTrend, rising, YES),
        (MeanReversion, swinging, YES),
        (Patterns, flagged, YES),
    ],
)
def test_it_trades_where_its_view_is_right(strategy: type[Strategy[Any, Any]], path: Path, bought: str):
    made = played(strategy, path, before=40 * MINUTE)
    assert made
    assert made[0].instrument == bought
    for proposal in made:
        rows = {row.name: row.value for row in proposal.evidence}
        assert proposal.fair_value > rows["fair_value_without_view"]
        fee = fee_estimate(MARKET.fees, proposal.price, ONE)
        assert proposal.edge == proposal.fair_value - proposal.price - fee >= CENT


def test_a_price_that_fell_behind_its_partner_is_expected_back():
    before = 60 * MINUTE
    made = played(Pairs, following, before=before, partner=leader)
    assert made
    assert {proposal.instrument for proposal in made} == {YES}
    rows = {row.name: row.value for row in made[0].evidence}
    assert made[0].reason == "cheap beside its partner"
    assert -3_500_000 <= rows["deviations"] <= -2_000_000
    assert rows["dickey_fuller"] < to_millionths(critical_value(90))
    # Nothing to go back to: no partner, one that does not move, one that wanders by itself.
    assert played(Pairs, following, before=before) == []
    assert played(Pairs, following, before=before, partner=lambda _: 4_000.0) == []
    apart = noise(2, 7_200, 0.0002)
    assert played(Pairs, following, before=before, partner=lambda s: 4_000.0 * math.exp(sum(apart[:s]))) == []


@pytest.mark.parametrize("strategy", [MaCross, MacdTrend, MeanReversion, Patterns])
def test_it_does_not_trade_where_nothing_happens(strategy: type[Strategy[Any, Any]]):
    assert played(strategy, lambda _: SPOT) == []
    assert played(strategy, still) == []


@pytest.mark.parametrize(
    ("strategy", "path", "weak"),
    [
        (MaCross, trending, {"persistence": 0}),
        (MacdTrend, rising, {"persistence": 0}),
        (MeanReversion, swinging, {"half_life_max_count": 1}),
        (Patterns, flagged, {"persistence": 0, "before": 40 * MINUTE}),
    ],
)
def test_without_the_view_nothing_is_bought(
    strategy: type[Strategy[Any, Any]], path: Path, weak: dict[str, int]
):
    assert played(strategy, path, **weak) == []


@pytest.mark.parametrize("strategy", [MaCross, MacdTrend, MeanReversion])
def test_it_says_what_it_cannot_price(strategy: type[Strategy[Any, Any]]):
    world = SignalWorld(strategy, twin=False)
    world.configure(strategy.name, sections(strategies=[strategy.name])[f"signal.{strategy.name}"])
    world.put(MARKET.replace(payoff=Payoff.TOUCH))
    (text,) = world.machine.unpriced()
    assert text == f"{strategy.name}: a payoff of kind 'touch' is not priced"
    world.put(MARKET.replace(underlying="coinbase:ETH-USD"))
    (text,) = world.machine.unpriced()
    assert text == f"{strategy.name}: coinbase:ETH-USD is not among its underlyings"


def test_a_drift_ends_with_its_view_and_a_pull_with_its_target():
    drift = View(until=100 * SECOND, reason="r", strength=1, drift=1e-5)
    assert drift.outlook(40 * SECOND, ONE, 600.0) == pytest.approx((60e-5, 1.0))
    assert drift.outlook(40 * SECOND, ONE, 30.0) == pytest.approx((30e-5, 1.0))
    pull = View(until=100 * SECOND, reason="r", strength=1, target=1.01 * ONE, half_life_s=60.0)
    move, factor = pull.outlook(0, ONE, 60.0)
    assert move == pytest.approx(math.log(1.01) / 2)
    assert factor == pytest.approx((1 - 0.25) / (2 * math.log(2)))
    assert pull.outlook(0, ONE, 60_000.0).move == pytest.approx(math.log(1.01))
    broken = View(until=100 * SECOND, reason="r", strength=1, drift=1.0)
    assert broken.outlook(0, ONE, 90.0).move == 0.1


# ── chance ──

SIGMA = 0.0001
TRADED_MIN = 4
REFERENCE = (Momentum, MaCross, MacdTrend, MeanReversion)
EAGER = {
    "persistence": ONE,
    "significance_min": 0,
    "edge_min": 1_000,
    "half_life_max_count": 20,
    "prior_mass": 10 * ONE,
    "window_count": 40,
    "deviations_min": ONE,
}
"""Parameters that trade on little, so that chance has its say often."""


def fate(strategies: Sequence[type[Strategy[Any, Any]]], seed: int) -> dict[str, list[int]]:
    """What each strategy's proposals came to by contract on a random walk whose market is priced rightly, held to the end.

    The market is worth the digital option by the walk's own volatility and asks a cent more, so that whoever buys loses half
    of the spread and the fee on average, whatever he sees.
    """
    draw = random.Random(seed)
    world = SignalWorld(*strategies, twin=False)
    for strategy in strategies:
        section = sections(strategies=[strategy.name])[f"signal.{strategy.name}"]
        eager = {key: value for key, value in EAGER.items() if key in section}
        world.configure(strategy.name, section | eager)
    world.put(MARKET.replace(close_at=START + CLOSE_S * SECOND, settlement_average_s=1))
    for instrument in (YES, NO):
        world.snapshot_book(instrument, 40, 60)
    price, other, apart = SPOT, 4_000.0, random.Random(-1 - seed)
    for second in range(CLOSE_S):
        world.now += SECOND
        price *= math.exp(draw.gauss(-SIGMA * SIGMA / 2, SIGMA))
        if Pairs in strategies:
            # A partner that has nothing to do with it.
            other *= math.exp(apart.gauss(-SIGMA * SIGMA / 2, SIGMA))
            world.trade(round(other * ONE), ETH)
        if second % QUOTE_S == 0 and second < CLOSE_S - 2 * QUOTE_S:
            quote(world, round(price * ONE), SIGMA, CLOSE_S - second)
        world.trade(round(price * ONE))
    won = YES if price >= SPOT else NO
    found: dict[str, list[int]] = {}
    for _, proposal in world.out:
        payout = ONE if proposal.instrument == won else 0
        fee = fee_estimate(MARKET.fees, proposal.price, ONE)
        found.setdefault(proposal.strategy, []).append(payout - proposal.price - fee)
    return found


def expect_losses(seeds: int, strategies: Sequence[type[Strategy[Any, Any]]] = REFERENCE) -> None:
    """Mean profit by contract is below nothing within three standard errors; a walk is one sample, however often bought."""
    samples: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, profits in fate(strategies, seed).items():
            samples.setdefault(name, []).append(sum(profits) / len(profits) / ONE)
    if Consensus in strategies:
        assert samples.keys() <= {"consensus"}, "its members say nothing themselves"
    elif seeds >= 100:
        assert samples.keys() == {strategy.name for strategy in strategies}
    for name, values in samples.items():
        if len(values) < TRADED_MIN:
            # A strategy that rarely sees anything in chance says nothing on few walks.
            assert seeds < 100, f"{name} traded on {len(values)} of {seeds} walks"
            continue
        mean = sum(values) / len(values)
        error = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
        # What everybody pays: from half a cent to a cent and a half of spread, and the fee.
        assert mean - 3 * error < -0.005, f"{name} made {mean:.3f} ± {error:.3f} a contract out of chance"


@pytest.mark.soak
def test_on_random_walks_everything_loses_what_trading_costs(count: Callable[[int, int], int]):
    expect_losses(count(6, 100))


@pytest.mark.soak
@pytest.mark.parametrize(
    "strategies", [(*REFERENCE, Consensus), (Pairs,), (Patterns,)], ids=["consensus", "pairs", "patterns"]
)
def test_on_random_walks_these_lose_it_too(
    strategies: tuple[type[Strategy[Any, Any]], ...], count: Callable[[int, int], int]
):
    expect_losses(count(1, 100), strategies)
