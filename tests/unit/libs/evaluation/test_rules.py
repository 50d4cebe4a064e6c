"""Each leak rule finds the leak that was planted in a day, and nothing in the day without it."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from libs.evaluation.day import ClosedTrade, Entry, Exit, Refused, RoleRecord, TradingDay
from libs.evaluation.finding import CASES_MIN, COUNT_MIN
from libs.evaluation.prices import LATER_S, LONG_S, SOON_S, Markout
from libs.evaluation.rules import RULES, evaluate
from proto.units import ONE, SECOND
from tests.support.paths import ROOT

NOON = 12 * 3_600 * SECOND
MINUTE = 60 * SECOND
CENT = 10_000
MARKET = "kalshi:BTC-A"
YES = f"{MARKET}:yes"


def markout(later: int | None = None, *, bid: int = 49 * CENT, ask: int = 50 * CENT) -> Markout:
    """Prices at a moment, and the same bid at every horizon after it."""
    marks = {} if later is None else dict.fromkeys((SOON_S, LATER_S, LONG_S), later)
    return Markout(YES, NOON, bid, ask, marks, highest=later)


def refused(number: int, checks: Sequence[str], later: int = 49 * CENT, venue: str = "kalshi") -> Refused:
    after = markout(later)
    return Refused(
        f"{number}", NOON, "momentum", MARKET, YES, "btc-above-15m", venue, 50 * CENT, tuple(checks), after
    )


def entry(number: int, **changes: Any) -> Entry:
    made = Entry(
        id=f"t-{number}-0",
        at=NOON,
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        family="btc-above-15m",
        price=50 * CENT,
        quantity=10 * ONE,
        edge=5 * CENT,
        ends_at=NOON + 15 * MINUTE,
        after=markout(49 * CENT),
        status="filled",
        filled=10 * ONE,
        value=5 * ONE,
        fees=CENT,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def leaving(number: int, reason: str, later: int, highest: int | None = None) -> Exit:
    """An exit of ten contracts at 0.45."""
    after = markout(later, bid=45 * CENT, ask=46 * CENT)
    after.highest = later if highest is None else highest
    return Exit(f"t-{number}-1", NOON, YES, reason, after, 10 * ONE, 4_500_000, CENT)


def trade(number: int, profit: int, **changes: Any) -> ClosedTrade:
    made = ClosedTrade(
        id=f"t-{number}-1",
        strategy="momentum",
        market=f"{MARKET}{number}",
        instrument=f"{YES}{number}",
        family="btc-above-15m",
        opened_at=NOON,
        closed_at=NOON + MINUTE,
        opens_at=NOON - 5 * MINUTE,
        ends_at=NOON + 10 * MINUTE,
        quantity=10 * ONE,
        entry_value=5 * ONE,
        exit_value=5 * ONE + profit,
        fees=2 * CENT,
        profit=profit,
        expected=profit,
        ended="target",
        entries=(entry(number),),
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def numbers(count: int = COUNT_MIN) -> range:
    return range(100, 100 + count)


def day(**rows: Any) -> TradingDay:
    return TradingDay(NOON, NOON + 3_600 * SECOND, 1_000, **rows)


def exits(reason: str, later: int, highest: int | None = None) -> TradingDay:
    left = [leaving(n, reason, later, highest) for n in numbers()]
    return day(trades=[trade(n, CENT, left=(row,)) for n, row in zip(numbers(), left, strict=True)])


def results(profits: Sequence[int], **changes: Any) -> TradingDay:
    return day(
        trades=[trade(n, profit, **changes) for n, profit in zip(range(100, 200), profits, strict=False)]
    )


def hours(worse: int) -> TradingDay:
    """Twelve fills at the price that was seen, then three in another hour that are so much worse."""
    usual = [entry(n, at=NOON + n % 3 * 3_600 * SECOND) for n in numbers(12)]
    bad = [entry(200 + n, at=NOON + 5 * 3_600 * SECOND, value=5 * ONE + 10 * worse) for n in range(3)]
    return day(entries=usual + bad)


def pairs(second: int) -> TradingDay:
    """A loss, and ten minutes later another trade in the same market, ten times over."""
    rows = []
    for n in numbers():
        rows.append(trade(n, -CENT))
        rows.append(trade(n, second, opened_at=NOON + 10 * MINUTE, closed_at=NOON + 11 * MINUTE))
    return day(trades=rows)


def roles(brier: int, markets: int = 40) -> TradingDay:
    record = RoleRecord("news.1@model", "btc-above-15m", "77", markets, brier, 200_000)
    return day(roles={("news.1@model", "btc-above-15m"): record}, role_cost={"news": 5 * CENT})


LOSSES = [-5 * CENT, -CENT, -4 * CENT, -2 * CENT, -3 * CENT] * 3
EVEN = [5 * CENT, -5 * CENT] * 8
LATE = {"opened_at": NOON + 9 * MINUTE}


class Case(NamedTuple):
    """A day with the leak, and one that is alike and has none."""

    rule: str
    leaking: Callable[[], TradingDay]
    sound: Callable[[], TradingDay]


CASES = (
    Case(
        "cooldown",
        lambda: day(entries=[entry(1)], refused=[refused(n, ("cooldown_s",), 60 * CENT) for n in numbers()]),
        lambda: day(entries=[entry(1)], refused=[refused(n, ("cooldown_s",), 40 * CENT) for n in numbers()]),
    ),
    Case("losing_family", lambda: results(LOSSES), lambda: results(EVEN)),
    Case(
        "stops_recovered",
        lambda: exits("stop_loss", 40 * CENT, highest=55 * CENT),
        lambda: exits("stop_loss", 40 * CENT, highest=46 * CENT),
    ),
    Case("targets_near", lambda: exits("target", 60 * CENT), lambda: exits("target", 44 * CENT)),
    Case("decay_early", lambda: exits("time_decay", 60 * CENT), lambda: exits("time_decay", 44 * CENT)),
    Case(
        "fees_above_edge",
        lambda: results([CENT] * 12, expected=2 * CENT, fees=4 * CENT),
        lambda: results([CENT] * 12, expected=20 * CENT, fees=4 * CENT),
    ),
    Case(
        "slippage_above_edge",
        lambda: results([CENT] * 12, expected=2 * CENT, entries=(entry(1, value=5 * ONE + 2 * CENT),)),
        lambda: results([CENT] * 12, expected=2 * CENT),
    ),
    Case("bad_hours", lambda: hours(3 * CENT), lambda: hours(0)),
    Case(
        "late_entries",
        lambda: results([-CENT] * 12, **LATE),
        lambda: results([-CENT] * 12),
    ),
    Case(
        "one_limit",
        lambda: day(entries=[entry(1)], refused=[refused(n, ("spread",), 60 * CENT) for n in numbers()]),
        lambda: day(entries=[entry(1)], refused=[refused(n, ("spread",), 45 * CENT) for n in numbers()]),
    ),
    Case(
        "unfilled",
        lambda: day(
            entries=[entry(n, filled=0, status="canceled", after=markout(60 * CENT)) for n in numbers()]
        ),
        lambda: day(
            entries=[entry(n, filled=0, status="canceled", after=markout(45 * CENT)) for n in numbers()]
        ),
    ),
    Case(
        "edge_not_captured",
        lambda: results([CENT] * 12, expected=5 * CENT),
        lambda: results([4 * CENT] * 12, expected=5 * CENT),
    ),
    Case("again_after_loss", lambda: pairs(-2 * CENT), lambda: pairs(2 * CENT)),
    Case("role_worse", lambda: roles(250_000), lambda: roles(190_000)),
    Case(
        "paid_for_nothing",
        lambda: day(role_cost={"news": ONE}, forecasts=20, answers=80, entries=[entry(1)]),
        lambda: day(
            role_cost={"news": ONE}, forecasts=20, answers=80, entries=[entry(1, strategy="model_edge")]
        ),
    ),
    Case(
        "stale_books",
        lambda: day(refused=[refused(n, ("book_age_s", "edge")) for n in numbers(12)]),
        lambda: day(
            refused=[refused(n, ("book_gap",), venue=v) for n in numbers(6) for v in ("kalshi", "polymarket")]
        ),
    ),
)


def test_every_rule_has_its_case():
    assert sorted(case.rule for case in CASES) == sorted(rule.name for rule in RULES)
    assert len(RULES) >= 12


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_planted_leak_is_found(case: Case):
    found = [finding for finding in evaluate(case.leaking()).findings if finding.rule == case.rule]
    assert len(found) == 1
    assert found[0].text
    assert found[0].cost >= 0
    assert found[0].evidence or case.rule == "paid_for_nothing"
    # What ``presage why`` takes: an order's id, or a sequence.
    assert all(name.isdecimal() or name.startswith("t-") for name in found[0].evidence)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_day_without_the_leak_is_clear(case: Case):
    report = evaluate(case.sound())
    assert [finding for finding in report.findings if finding.rule == case.rule] == []


def test_costs_are_what_was_lost():
    cost = {
        finding.rule: finding.cost
        for case in CASES
        for finding in evaluate(case.leaking()).findings
        if finding.rule == case.rule
    }
    # Ten entries of ten contracts, bought at 0.50 and worth 0.60.
    assert cost["cooldown"] == cost["one_limit"] == cost["unfilled"] == 10 * ONE
    assert cost["losing_family"] == 45 * CENT
    # Ten times ten contracts sold at 0.45 that were bought at 0.50, or could have been sold at 0.60.
    assert cost["stops_recovered"] == 5 * ONE
    assert cost["targets_near"] == cost["decay_early"] == 15 * ONE
    assert cost["late_entries"] == 12 * CENT
    assert cost["again_after_loss"] == 20 * CENT
    assert cost["bad_hours"] == 90 * CENT


def test_an_empty_day_says_that_there_is_not_enough():
    report = evaluate(TradingDay())
    assert report.findings == ()
    assert set(report.not_enough) == {rule.name for rule in RULES}


def test_few_cases_are_a_hint_and_come_last():
    profits = [-5 * CENT, -4 * CENT, -6 * CENT][:CASES_MIN]
    few = results(profits)
    few.refused = [refused(n, ("spread",), 51 * CENT) for n in numbers()]
    few.entries = [entry(1)]
    report = evaluate(few)
    assert report.findings[0].rule == "one_limit"
    assert {finding.rule: finding.is_enough for finding in report.findings}["losing_family"] is False


def test_the_page_lists_every_rule():
    page = (ROOT / "docs" / "concepts" / "evaluation.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [rule.name for rule in RULES]
