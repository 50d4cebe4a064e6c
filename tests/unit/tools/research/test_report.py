"""A report of a busy half minute: its checks hold, its page stands alone, and it is the same when made again."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from libs.performance.returns import DAY
from libs.performance.trades import Called
from tests.fault.rig import BUSY, busy_recording
from tools.cli.app import app
from tools.offline.backtest import Backtest
from tools.research.books_checked import BooksChecked
from tools.research.collector import CURVE_MAX, Collector, CurvePoint
from tools.research.page import page
from tools.research.price_path import POINTS_MAX, PricePath
from tools.research.report import Report, calibration, curve_of
from tools.research.svg import Line, Marks, bars, plot
from tools.research.writing import DOCUMENT, PAGE, TRADES, write_report
from tools.system.composition import DEFAULT_STRATEGIES, sections

VOID = {"meta", "br"}


class Balanced(HTMLParser):
    """Every element that opens is closed, in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        assert not {"src", "href", "onclick"} & {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def made_of(recording: Path) -> dict[str, Any]:
    configured = sections(overrides=BUSY)
    test = Backtest(configured)
    collected = Collector(test, configured["paper"])
    test.run([recording])
    return Report(test, collected, configured, DEFAULT_STRATEGIES, BUSY, 3).document([recording])


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return busy_recording(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def document(recording: Path) -> dict[str, Any]:
    return made_of(recording)


def command(recording: Path, folder: Path) -> Any:
    sets = [argument for name, value in BUSY.items() for argument in ("--set", f"{name}={value}")]
    arguments = [str(recording), "--report", str(folder), "--trials", "3", "--json", *sets]
    return CliRunner().invoke(app, ["backtest", *arguments])


def test_every_check_looked_and_holds(document):
    checks = {check["name"]: check for check in document["checks"]}
    assert document["checks_passed"]
    assert [name for name, check in checks.items() if check["failed"]] == []
    assert all(
        checks[name]["looked"] > 0 for name in ("limit", "shown", "fees", "causes", "forward", "no_debt")
    )


def test_its_parts_add_up(document):
    trades = document["trades"]
    assert trades
    profit = sum(trade["profit"] for trade in trades)
    assert profit == document["performance"]["trades"]["profit"]
    for part in document["performance"]["by"].values():
        assert sum(row["profit"] for row in part.values()) == profit
    assert all(trade["why"]["text"] and trade["why"]["checks_passed"] for trade in trades)
    assert {trade["instrument"] for trade in trades} >= {chart["instrument"] for chart in document["charts"]}
    assert all(chart["prices"] for chart in document["charts"])


def test_the_command_makes_the_same_bytes_again(recording, document, tmp_path):
    write_report(tmp_path / "one", document)
    result = command(recording, tmp_path / "two")
    assert result.exit_code == 0, result.output
    for name in (PAGE, DOCUMENT, TRADES):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads(result.stdout)["outputs_hash"] == document["outputs_hash"]
    assert len((tmp_path / "two" / TRADES).read_text().splitlines()) == len(document["trades"]) + 1


def test_a_check_that_fails_fails_the_command(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(
        BooksChecked, "finish", lambda self, seq, held: self.verdicts[2].check(False, seq, "none", held)
    )
    result = command(recording, tmp_path)
    assert result.exit_code == 1
    assert "contracts" in result.stderr
    assert "do not rely on this report" in (tmp_path / PAGE).read_text()


def test_the_page_stands_alone(document):
    text = page(document)
    parsed = Balanced(text)
    assert not {"script", "link", "img", "iframe"} & parsed.seen
    assert "http" not in text
    assert "url(" not in text
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) >= 8
    for one in plots:
        root = ET.fromstring(one)
        assert root.get("role") == "img"
        assert root.find("title") is not None
        assert root.find("desc") is not None


def test_words_of_strangers_stay_words(document):
    hostile = '<script>alert(1)</script>"&\x1b'
    trades = [trade | {"title": hostile, "strategy": hostile} for trade in document["trades"]]
    charts = [chart | {"title": hostile} for chart in document["charts"]]
    text = page(
        document | {"trades": trades, "charts": charts, "warnings": [hostile], "strategies": [hostile]}
    )
    assert "<script" not in text
    assert "\x1b" not in text
    Balanced(text)


def test_a_run_without_trades_has_a_page(document):
    empty: dict[str, Any] = {"trades": [], "charts": [], "curve": [], "expected": [], "rejections": {}}
    by: dict[str, Any] = {name: {} for name in document["performance"]["by"]}
    Balanced(page(document | empty | {"performance": document["performance"] | {"by": by}}))


def test_fair_values_by_tenths():
    calls = [Called(50_000, False), Called(70_000, True), Called(1_000_000, True)]
    assert calibration(calls) == [
        {"from": 0, "count": 2, "mean": 60_000, "happened": 500_000},
        {"from": 900_000, "count": 1, "mean": 1_000_000, "happened": 1_000_000},
    ]


def test_the_fall_is_from_the_highest_before():
    points = [CurvePoint(DAY * day, equity, 0, 0) for day, equity in enumerate((100, 80, 200, 150))]
    assert [row[-1] for row in curve_of(points)] == [0, 200_000, 0, 250_000]


def test_a_path_keeps_its_newest_price_and_its_bound():
    path = PricePath()
    for second in range(10 * POINTS_MAX):
        path.add(second * 1_000_000_000, second)
    points = path.points()
    assert len(points) <= POINTS_MAX
    assert points[-1][1] == 10 * POINTS_MAX - 1
    assert points == sorted(points)
    assert CURVE_MAX % 2 == 0


@pytest.mark.parametrize("points", [[(1.0, 1.0)], [(1.0, 2.0), (1.0, 2.0)], [(0.0, -5.0), (9.0, 7.0)]])
def test_any_points_give_a_plot(points):
    made = plot("t", "d", str, str, [Line("a", points, filled=True)], [Marks("b", points)], with_zero=True)
    assert "nan" not in made
    ET.fromstring(made.partition("<ul")[0])
    ET.fromstring(bars("t", "d", [("x", y) for _, y in points], str))
    assert "nothing to show" in plot("t", "d", str, str)
