"""The weight: whatever is forecast and in whatever order outcomes come, the market is not lost to by more than ln 2."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.plain import decode_state, encode_state
from libs.forecasting.odds import clamp_market, log_loss, shrink
from libs.forecasting.weight import OPEN_MAX, REGRET_MAX, Learner
from proto.units import ONE

ROUNDING = 1e-6
"""Of floats summed a thousand times."""


class Ledger:
    """What was really said and what the market said, market by market: the loss is computed again, from nothing."""

    def __init__(self, outcomes_min: int = 30) -> None:
        self.learner = Learner()
        self.outcomes_min = outcomes_min
        self.said: dict[str, list[tuple[int, int]]] = {}
        self.regret = 0.0
        self.peak = 0.0
        self.weights: list[int] = []

    def forecast(self, market: str, forecast: int, price: int) -> None:
        weighed = self.learner.commit(market, forecast, price, self.outcomes_min)
        self.weights.append(weighed.weight)
        self.said.setdefault(market, []).append((weighed.probability, clamp_market(price)))

    def settle(self, market: str, *, happened: bool) -> None:
        pairs = self.said.pop(market, [])
        if pairs:
            losses = [log_loss(p, happened=happened) - log_loss(m, happened=happened) for p, m in pairs]
            self.regret += math.fsum(losses) / len(losses)
            self.peak = max(self.peak, self.regret)
        self.learner.settle(market, happened=happened)


steps = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, ONE), st.integers(0, ONE), st.sampled_from("ffsyn")),
    max_size=120,
)


@given(steps, st.integers(0, 3))
def test_the_market_is_never_lost_to_by_more_than_the_bound(
    events: list[tuple[int, int, int, str]], outcomes_min: int
):
    ledger = Ledger(outcomes_min)
    for number, forecast, price, what in events:
        market = f"m{number}"
        if what == "f":
            ledger.forecast(market, forecast, price)
        elif what != "s":
            ledger.settle(market, happened=what == "y")
        assert ledger.regret <= REGRET_MAX + ROUNDING
    for market in list(ledger.said):
        # The rest ends in the way that costs most.
        worst = max(
            (True, False),
            key=lambda h: sum(
                log_loss(p, happened=h) - log_loss(m, happened=h) for p, m in ledger.said[market]
            ),
        )
        ledger.settle(market, happened=worst)
    assert ledger.regret <= REGRET_MAX + ROUNDING


@pytest.mark.parametrize("seed", range(3))
def test_a_traitor_who_was_right_until_he_was_believed_costs_no_more(seed: int):
    chance = random.Random(seed)
    ledger = Ledger()
    for number in range(400):
        happened = chance.random() < 0.5
        honest = ledger.learner.regret > -1.0
        right = happened if honest else not happened
        ledger.forecast(f"m{number}", 900_000 if right else 100_000, 500_000)
        ledger.settle(f"m{number}", happened=happened)
    assert max(ledger.weights) > 0
    assert ledger.peak <= REGRET_MAX + ROUNDING


def run(forecaster, seed: int, count: int = 600, error: float = 0.12) -> Ledger:
    chance = random.Random(seed)
    ledger = Ledger()
    for number in range(count):
        truth = chance.uniform(0.1, 0.9)
        price = round(min(max(truth + chance.gauss(0, error), 0.02), 0.98) * ONE)
        ledger.forecast(f"m{number}", forecaster(chance, truth, price), price)
        ledger.settle(f"m{number}", happened=chance.random() < truth)
    return ledger


def test_skill_earns_a_weight_and_loses_less_than_the_market():
    ledger = run(lambda chance, truth, _: round(truth * ONE), 1, error=0.25)
    assert ledger.weights[-1] > ONE // 2
    assert ledger.regret < -5.0


@pytest.mark.parametrize(
    "forecaster",
    [
        lambda chance, *_: chance.randrange(ONE),
        lambda _, __, price: price,
        lambda _, truth, __: round((1 - truth) * ONE),
        lambda *_: 0,
    ],
    ids=["noise", "copies the price", "wrong", "always zero"],
)
def test_no_skill_earns_nothing(forecaster):
    ledger = run(forecaster, 2)
    assert ledger.weights[-1] == 0
    assert ledger.regret <= REGRET_MAX


def test_few_outcomes_earn_nothing_however_good():
    ledger = Ledger()
    for number in range(29):
        ledger.forecast(f"m{number}", 950_000, 500_000)
        ledger.settle(f"m{number}", happened=True)
    ledger.forecast("next", 950_000, 500_000)
    assert set(ledger.weights) == {0}
    assert not ledger.learner.has_earned(30)


def test_many_forecasts_of_one_market_are_one_outcome():
    ledger = Ledger()
    for _ in range(200):
        ledger.forecast("m", 900_000, 500_000)
    ledger.settle("m", happened=True)
    assert ledger.learner.outcomes == 1
    gain = log_loss(500_000, happened=True) - log_loss(shrink(500_000, 900_000, 0.5), happened=True)
    assert ledger.learner.gain == pytest.approx(gain)


def test_skill_that_is_lost_is_out_again():
    ledger = Ledger()
    chance = random.Random(3)
    for number in range(400):
        happened = chance.random() < 0.5
        right = happened if number < 200 else chance.random() < 0.5
        ledger.forecast(f"m{number}", 700_000 if right else 300_000, 500_000)
        ledger.settle(f"m{number}", happened=happened)
    assert ledger.weights[150] > 0
    assert ledger.weights[-1] == 0


def test_markets_that_never_end_are_bounded_and_count_as_lost():
    learner = Learner(outcomes=100, gain=50.0, gain_squares=26.0, recent=[0.5] * 60)
    first = learner.commit("m0", 900_000, 500_000, 30)
    assert first.weight > 0
    for number in range(1, OPEN_MAX + 5):
        learner.commit(f"m{number}", 900_000, 500_000, 30)
    assert len(learner.open) == OPEN_MAX
    assert 0 < learner.regret <= REGRET_MAX


def test_a_void_market_costs_nothing_and_state_survives_its_bytes():
    learner = Learner()
    learner.commit("m", 900_000, 500_000, 0)
    again = decode_state(encode_state(learner), Learner)
    assert again == learner
    learner.drop("m")
    assert learner == Learner()
