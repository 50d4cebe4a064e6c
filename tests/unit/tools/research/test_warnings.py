"""Each warning comes when it is due, and not else."""

from types import SimpleNamespace
from typing import Any

import pytest

from libs.evaluation.day import ClosedTrade
from libs.performance.returns import DAYS_MIN
from tools.research.warnings import TRADES_MIN, warnings_of


def trade(profit: int, number: int = 0, *, fees: int = 0, expected: int = 0) -> ClosedTrade:
    return ClosedTrade(
        id=str(number),
        strategy="s",
        market=f"m{number}",
        instrument="i",
        family=f"f{number % 2}",
        opened_at=0,
        closed_at=1,
        opens_at=0,
        ends_at=0,
        quantity=1,
        entry_value=1,
        exit_value=1,
        fees=fees,
        profit=profit,
        expected=expected,
        ended="target",
    )


MANY = [trade(10, number) for number in range(TRADES_MIN)]


def texts(trades: list[ClosedTrade] = MANY, trials: int = 1, latency_ms: int = 150, **changed: Any) -> str:
    found: Any = SimpleNamespace(
        trades=trades,
        days=[0] * changed.pop("days", DAYS_MIN),
        open_trades=changed.pop("open", 0),
        left_out=0,
    )
    collected: Any = SimpleNamespace(**{"late_signals": 0, "signals": 9, "gaps": {}} | changed)
    return "\n".join(warnings_of(found, collected, {"paper": {"latency_ms": latency_ms}}, trials))


def test_a_long_and_even_run_has_none():
    assert texts() == ""


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("below 100", {"trades": MANY[:-1]}),
        ("1 day of trading", {"days": 1}),
        ("in one market", {"trades": [trade(10)] * TRADES_MIN}),
        ("in one family of markets, f0", {"trades": MANY[::2]}),
        (
            "Without the 3 best",
            {"trades": [*MANY[3:], *[trade(5_000, 1), trade(0), trade(0), trade(-2_000)]]},
        ),
        ("Before fees", {"trades": [trade(-1, number, fees=2) for number in range(TRADES_MIN)]}),
        (
            "fair values do not hold",
            {"trades": [trade(1, number, expected=3) for number in range(TRADES_MIN)]},
        ),
        ("2 of 9 proposals", {"late_signals": 2}),
        ("arrive at once", {"latency_ms": 0}),
        ("1 gap", {"gaps": {"kalshi": 1}}),
        ("2 positions still open", {"open": 2}),
        ("not stated", {"trials": 0}),
        ("Chosen from 1,000 trials", {"trials": 1_000}),
    ],
)
def test_a_weakness_is_named(words, given):
    assert words in texts(**given)
