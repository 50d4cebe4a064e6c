"""Frames of any size: no exception, the right shape, and what matters in them."""

from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from libs.view.history import EquityPoint
from libs.view.model import ViewModel
from libs.view.rows import ServiceRow, VenueRow
from proto.feed import Book, Level, Side
from proto.monitor import Alert, Severity
from proto.operator import Command, Verb
from proto.risk import RiskState
from proto.units import ONE, SECOND
from tests.support.view_session import (
    YES,
    Player,
    alert,
    approval,
    busy_model,
    fill,
    halt,
    market,
    pending,
    report,
)
from tools.view.chart import line_chart, resample
from tools.view.render import HEIGHT_MIN, WIDTH_MIN, export_svg, render

SIZES = [(120, 40), (80, 24), (100, 30), (100, 36), (99, 50), (200, 60), (WIDTH_MIN, HEIGHT_MIN), (300, 24)]


def drawn(model: ViewModel, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=StringIO(), force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(render(model, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("state", ["empty", "busy", "halted"])
def test_a_frame_has_exactly_its_size(width: int, height: int, state: str) -> None:
    model = ViewModel() if state == "empty" else busy_model()
    if state == "halted":
        Player(model).put(halt(), *(alert("r", Severity.CRITICAL, f"t{n}") for n in range(20)))
    lines = drawn(model, width, height)
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (200, 60)])
def test_a_frame_shows_what_matters(width: int, height: int) -> None:
    text = "\n".join(drawn(busy_model(), width, height))
    for words in (
        "PRESAGE",
        "ACTIVE",
        "equity $999.25",
        "cash $989.95",
        "BTC-USD 104,",
        "104,250.00",
        "5m02",
        "0.465/0.485",
        "half closed",
        "20 @ 0.48",
        "+$0.10",
        "rejected",
        "17-0",
        "spread 0.0415",
        "11 proposed · 2 exits · 3 approved · 10 rejected",
        "execution",
        "3.00 ms",
    ):
        assert words in text, words


def test_the_wide_frame_has_services_reasons_and_both_percentiles() -> None:
    text = "\n".join(drawn(busy_model(), 120, 40))
    for words in (
        "6 of 7 live",
        "2,209",
        "starting",
        "rejected because",
        "closes too soon",
        "17-0",
        "(realised +$0.20, unrealised +$0.10, fees $1.05)",
        "p50 · p99",
        "$1,000.00",
    ):
        assert words in text, words
    assert any(0x2801 <= ord(c) <= 0x28FF for c in text)


@pytest.mark.parametrize("contracts", [1, 99_999, 12_345_678])
def test_the_book_has_a_line_for_each_level(contracts: int) -> None:
    model = busy_model()
    bids = tuple(Level(450_000 - step * 10_000, contracts * ONE + 10_000) for step in range(3))
    asks = tuple(Level(470_000 + step * 10_000, contracts * ONE + 10_000) for step in range(3))
    Player(model).put(Book(instrument=YES, at=0, counter=2, bids=bids, asks=asks))
    lines = drawn(model, 120, 40)
    first = next(number for number, line in enumerate(lines) if "0.45 │ 0.47" in line)
    assert "0.44 │ 0.48" in lines[first + 1]
    assert "0.43 │ 0.49" in lines[first + 2]


def test_the_banner_says_halted_and_names_the_worst_alert() -> None:
    model = busy_model()
    player = Player(model)
    player.put(halt("lunch"), alert("book_gapped", Severity.WARNING), alert("stuck_order", Severity.CRITICAL))
    wide = "\n".join(drawn(model, 120, 40))
    assert "HALTED: lunch" in wide
    assert wide.index("critical: stuck_order") < wide.index("warning: book_gapped")
    narrow = "\n".join(drawn(model, 80, 24))
    assert "HALTED: lunch" in narrow
    assert "+2 more" in narrow
    player.put(Command(verb=Verb.RESUME, nonce="n", expires_at=0))
    assert "HALTED" not in "\n".join(drawn(model, 80, 24))
    assert "critical: stuck_order" in "\n".join(drawn(model, 80, 24))


def test_the_banner_shows_what_waits_and_a_halt_file_with_what_to_type() -> None:
    model = busy_model()
    Player(model).put(pending("t7-99-0", left_s=86_400))
    model.halt_file = ""
    for width, height in ((120, 40), (200, 60)):
        text = "\n".join(drawn(model, width, height))
        assert "HALTED by the HALT file: no reason given. No new orders: presage resume" in text
        assert "pending buy 40 KXBTC15M-26MAY131800-00 YES @ 0.46, 23h" in text
        assert "presage approve 99-0" in text
    model.halt_file = None
    assert "HALTED" not in "\n".join(drawn(model, 120, 40))


def test_an_alert_says_what_to_type() -> None:
    model = busy_model()
    Player(model).put(alert("stuck_order", Severity.CRITICAL))
    assert "without progress for 30 s: presage why t7-9-0" in "\n".join(drawn(model, 120, 40))


def test_risks_own_halt_shows_without_an_operator() -> None:
    model = busy_model()
    Player(model).put(report(990 * ONE, 999 * ONE, RiskState.HALTED))
    assert "HALTED" in "\n".join(drawn(model, 120, 40))


def test_a_terminal_that_is_too_small_is_told_so() -> None:
    assert "expected a terminal of at least 40×12" in "".join(drawn(busy_model(), 39, 12)).replace("\n", "")


def test_nothing_from_the_tape_reaches_the_terminal_as_a_command() -> None:
    model = busy_model()
    evil = "\x1b[2J[red]boo[/red]\r\n\x07"
    Player(model).put(
        halt(evil),
        Alert(rule="r", severity=Severity.CRITICAL, topic=evil, text=evil),
    )
    model.show_services([ServiceRow(evil, "stopped", detail=evil)])
    for width, height in SIZES:
        text = "\n".join(drawn(model, width, height))
        assert "\x1b" not in text
        assert "\x07" not in text


def test_more_than_fits_is_counted_not_drawn() -> None:
    model = busy_model()
    player = Player(model)
    for number in range(30):
        order = f"o{number}"
        message = fill(100 + number, order, Side.BUY, 400_000, 1, 0)
        instrument = f"kalshi:M{number}:yes"
        player.put(
            approval(order, Side.BUY, 400_000, 1),
            type(message)(
                **{
                    **{name: getattr(message, name) for name in type(message).model_fields},
                    "market": f"kalshi:M{number}",
                    "instrument": instrument,
                }
            ),
        )
    text = "\n".join(drawn(model, 120, 40))
    assert "31 open" in text
    assert "more" in text


def test_the_picture_is_an_svg_with_the_frame_in_it() -> None:
    svg = export_svg(busy_model(), 120, 40, title="make run")
    assert svg.lstrip().startswith("<svg")
    assert "PRESAGE" in svg
    assert "make&#160;run" in svg or "make run" in svg


def test_a_chart_goes_from_bottom_to_top() -> None:
    rising = [EquityPoint(at, at) for at in range(8)]
    assert line_chart(rising, 4, 2) == ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]
    assert line_chart(rising[::-1][:1], 2, 1) == ["⠒⠒"]
    assert line_chart([], 3, 1) == ["⠀⠀⠀"]
    assert line_chart(rising, 0, 5) == []


def test_a_chart_holds_the_last_known_value() -> None:
    points = [EquityPoint(0, 10), EquityPoint(90, 20), EquityPoint(100, 30)]
    assert resample(points, 11) == [10] * 9 + [20, 30]


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(-(10**15), 10**15)), max_size=50),
    st.integers(1, 60),
    st.integers(1, 12),
)
@settings(max_examples=60)
def test_any_curve_fits_its_room(points: list[tuple[int, int]], width: int, height: int) -> None:
    ordered = [EquityPoint(at * SECOND, equity) for at, equity in sorted(points)]
    lines = line_chart(ordered, width, height)
    assert [len(line) for line in lines] == [width] * height
    if ordered:
        # Every column of characters holds some part of the line.
        assert all(any(line[column] != "⠀" for line in lines) for column in range(width))


@pytest.mark.parametrize(
    ("money", "words"),
    [
        ("paper", "paper"),
        ("sandbox", "SANDBOX LIVE"),
        ("real", "REAL MONEY"),
        ("?", "REAL MONEY"),
        ("sandbox mana", "SANDBOX LIVE MANA"),
        ("real mana", "REAL MANA"),
    ],
)
def test_the_frame_says_whose_money_it_is_and_how_venues_are(money: str, words: str) -> None:
    model = busy_model()
    model.show_venues(
        [
            VenueRow("kalshi", "live", 2, "not reconciled", 3, money),
            VenueRow("binance", "silent for 31 s"),
        ],
        money,
    )
    lines = drawn(model, 120, 40)
    assert len(lines) == 40
    assert words in lines[0]
    mana = money.endswith("mana")
    assert ("$" in lines[1], "Ṁ" in lines[1]) == (not mana, mana)
    for told in ("kalshi 2 markets", "gate not reconciled", "3 unknown", "binance silent for 31 s"):
        assert told in lines[2]


def test_markets_of_two_venues_stand_under_their_names() -> None:
    model = busy_model()
    other = market(1)
    named = other.replace(market="polymarket:0xaa", venue="polymarket", title="Will it rain?")
    Player(model).put(named)
    lines = "\n".join(drawn(model, 140, 45))
    assert lines.index("kalshi BTC-USD") < lines.index("polymarket BTC-USD") < lines.index("Will it rain?")
