"""The plots of a report, of its document alone."""

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from libs.view import wording
from libs.view.moment import moment
from proto.units import ONE
from tools.research.svg import Line, Marks, bars, plot

SERIES_MAX = 6
"""Curves of one plot: as many as the page has colours."""
BINS = 24

Section = Callable[[str, str], str]


def plots(document: dict[str, Any], section: Section) -> Iterator[str]:
    """Sections with the plots."""
    yield section("Equity and drawdown", _equity(document))
    yield section("Profit", _profit(document))
    yield section("Expected and captured", _captured(document))
    yield section("Calibration of fair values", _calibration(document))
    yield section(
        "Entries and exits", "".join(_entries(chart) for chart in document["charts"]) or "<p>None.</p>"
    )


def _time(at: float) -> str:
    return moment(int(at))[5:16]


def _money(value: float) -> str:
    return wording.money(round(value))


def _share(value: float) -> str:
    return f"{value / ONE:.0%}" if abs(value) >= ONE // 10 or not value else f"{value / ONE:.2%}"


def _equity(document: dict[str, Any]) -> str:
    curve = document["curve"]
    equity = [(at, value) for at, value, *_ in curve]
    falls = [(at, -fall) for at, *_, fall in curve]
    exposure = [(at, value) for at, _, _, value, _ in curve]
    low = min((value for _, value in equity), default=0)
    high = max((value for _, value in equity), default=0)
    words = f"Equity once a minute, between {_money(low)} and {_money(high)}."
    deepest = max((-fall for _, fall in falls), default=0)
    return (
        "<h3>Equity</h3>"
        + plot("Equity", words, _time, _money, [Line("equity", equity)])
        + "<h3>Fall below the highest equity before</h3>"
        + plot(
            "Drawdown",
            f"At most {deepest / ONE:.2%}.",
            _time,
            _share,
            [Line("drawdown", falls, 3, filled=True)],
        )
        + "<h3>Exposure</h3>"
        + plot(
            "Exposure",
            "Money in positions and working orders.",
            _time,
            _money,
            [Line("exposure", exposure, 1, filled=True)],
        )
    )


def _profit(document: dict[str, Any]) -> str:
    by = document["performance"]["by"]
    made = "<h3>Cumulative, by strategy</h3>" + plot(
        "Cumulative profit by strategy",
        "; ".join(f"{name} {_money(row['profit'])}" for name, row in by["strategy"].items()),
        _time,
        _money,
        _cumulative(document["trades"]),
        with_zero=True,
    )
    for name in ("family", "hour", "exit"):
        rows = [(key.replace("_", " "), figures["profit"]) for key, figures in by[name].items()]
        words = "; ".join(f"{key} {_money(value)}" for key, value in rows)
        made += f"<h3>By {name}</h3>" + bars(f"Profit by {name}", words, rows, _money)
    profits = [trade["profit"] for trade in document["trades"]]
    words = f"How many trades made how much, from {_money(min(profits, default=0))} to {_money(max(profits, default=0))}."
    return (
        made + "<h3>Of a trade</h3>" + bars("Profit of a trade", words, _histogram(profits), "{:.0f}".format)
    )


def _cumulative(trades: list[dict[str, Any]]) -> list[Line]:
    sums: dict[str, int] = {}
    points: dict[str, list[tuple[float, float]]] = {}
    for trade in sorted(trades, key=lambda row: row["closed_at"]):
        name = trade["strategy"]
        sums[name] = sums.get(name, 0) + trade["profit"]
        points.setdefault(name, []).append((trade["closed_at"], sums[name]))
    largest = sorted(points, key=lambda name: (-abs(sums[name]), name))[:SERIES_MAX]
    return [Line(name, points[name], number) for number, name in enumerate(sorted(largest), 1)]


def _histogram(values: list[int]) -> list[tuple[str, float]]:
    if not values:
        return []
    low, high = min(values), max(values)
    width = max((high - low) // BINS + 1, 1)
    counts = [0] * BINS
    for value in values:
        counts[(value - low) // width] += 1
    return [(_money(low + width * place), float(count)) for place, count in enumerate(counts)]


def _captured(document: dict[str, Any]) -> str:
    rows = [(trade["expected"], trade["profit"]) for trade in document["trades"]]
    above = sum(profit >= expected for expected, profit in rows)
    words = (
        f"{above} of {len(rows)} trades made what was expected of them or more. Across: expected; up: made."
    )
    return f"<p>{words}</p>" + plot(
        "Expected and captured edge",
        words,
        _money,
        _money,
        marks=[Marks("trades", rows, 1)],
        with_zero=True,
        diagonal=True,
    )


def _calibration(document: dict[str, Any]) -> str:
    bins = document["expected"]
    words = "; ".join(
        f"{row['count']} with a fair value of {row['mean'] / ONE:.2f} on average: {row['happened'] / ONE:.0%} happened"
        for row in bins
    )
    points = [(row["mean"], row["happened"]) for row in bins]
    return f"<p>{words or 'No market with an approved entry has ended.'}</p>" + plot(
        "Calibration of fair values",
        words,
        _share,
        _share,
        marks=[Marks("fair values by tenths", points, 1)],
        diagonal=True,
    )


def _entries(chart: dict[str, Any]) -> str:
    name = wording.clean(chart["title"] or chart["instrument"])
    words = (
        f"{wording.counted(len(chart['entries']), 'entry').replace('entrys', 'entries')} at"
        f" {', '.join(wording.price(price) for _, price in chart['entries'])}; left at"
        f" {', '.join(wording.price(price) for _, price in chart['exits'])}."
    )
    made = plot(
        name,
        words,
        _time,
        lambda value: wording.price(round(value)),
        [Line("middle of bid and ask", chart["prices"])],
        [Marks("entry", chart["entries"], 2, "up"), Marks("exit", chart["exits"], 3, "down")],
    )
    return f"<h3>{escape(name)}</h3>{made}"
