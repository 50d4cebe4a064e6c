"""The pages of the view and their keys: any presses, any size, and what matters in each."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from libs.lists.orders import OrderList, OrderRow
from libs.view.model import ViewModel
from proto.monitor import Severity
from tests.support.console_world import records, session
from tests.support.view_session import Player, alert, busy_model
from tools.view.keys import (
    BEFORE,
    DOWN,
    ENTER,
    ERASE,
    ESCAPE,
    NEXT,
    PAGE_DOWN,
    PAGE_UP,
    PAGES,
    TAB,
    UP,
    Shown,
    Wish,
)
from tools.view.render import HEIGHT_MIN, WIDTH_MIN, render

KEYS = [*"123456hHyYnq/jkx ", NEXT, BEFORE, UP, DOWN, PAGE_UP, PAGE_DOWN, ESCAPE, ENTER, ERASE, TAB]
ORDERS: list[OrderRow] = list(OrderList().add(records(session())).rows.values())


@pytest.fixture(scope="module")
def model() -> ViewModel:
    busy = busy_model()
    Player(busy).put(alert("stuck_order", Severity.CRITICAL))
    return busy


def drawn(model: ViewModel, shown: Shown, width: int = 120, height: int = 40) -> list[str]:
    console = Console(width=width, height=height, file=StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(render(model, width, height, shown, ORDERS))
    return capture.get().splitlines()


def pressed(*keys: str, **values: bool) -> Shown:
    shown = Shown(**values)
    for key in keys:
        shown.press(key)
    return shown


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (WIDTH_MIN, HEIGHT_MIN), (300, 24)])
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_page_has_exactly_its_size(model: ViewModel, page: str, width: int, height: int, is_empty: bool):
    lines = drawn(ViewModel() if is_empty else model, Shown(page=page), width, height)
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("1", ("equity $", "latency per hop", "1 overview")),
        ("2", ("decisions", "×", "rejected", "spread 0.0415", "17-0")),
        ("3", ("orders", "31-0", "pending", "14-0", "filled", "momentum")),
        ("4", ("open positions", "half closed", "20 @ 0.48")),
        ("5", ("markets", "104,250.00", "0.465/0.485")),
        ("6", ("execution", "reading back", "stuck_order", "critical")),
    ],
)
def test_each_page_shows_what_it_is_about(model: ViewModel, key: str, words: tuple[str, ...]):
    text = "\n".join(drawn(model, pressed(key)))
    for word in words:
        assert word in text, word


def test_a_filter_keeps_what_has_its_text_and_escape_ends_it(model: ViewModel):
    shown = pressed("3", "/", *"14-x", ERASE, "0", ENTER)
    lines = drawn(model, shown)
    assert shown.filter == "14-0"
    assert any("14-0" in line and "filled" in line for line in lines)
    assert not any("17-0" in line for line in lines)
    assert any("1 of 4 with '14-0'" in line for line in lines)
    assert any("nothing fits the filter" in line for line in drawn(model, pressed("3", "/", *"zzz", ENTER)))
    shown.press(ESCAPE)
    assert any("17-0" in line for line in drawn(model, shown))


def test_letters_of_a_filter_command_nothing():
    shown = pressed("2", "/")
    assert [shown.press(key) for key in "qhy12"] == [None] * 5
    assert (shown.filter, shown.page, shown.asks_to_halt) == ("qhy12", "decisions", False)


def test_a_halt_takes_two_keys(model: ViewModel):
    shown = pressed("h")
    assert "y halts" in drawn(model, shown)[-1]
    assert shown.press("y") is Wish.HALT
    assert not shown.asks_to_halt
    shown = pressed("h", "n")
    assert not shown.asks_to_halt
    assert shown.press("y") is None
    assert pressed("h", may_halt=False).asks_to_halt is False
    assert "HALT" not in drawn(model, Shown(may_halt=False))[-1]


@given(keys=st.lists(st.sampled_from(KEYS), max_size=30))
def test_no_halt_but_by_h_and_then_y(keys: list[str]):
    shown = Shown()
    for before, key in zip([None, *keys], keys, strict=False):
        asked = shown.asks_to_halt
        wish = shown.press(key)
        assert (wish is Wish.HALT) == (asked and key in "yY")
        assert not asked or before in ("h", "H")
        assert shown.page in PAGES
        assert shown.first >= 0


@given(
    keys=st.lists(st.sampled_from(KEYS), max_size=12), width=st.integers(40, 130), height=st.integers(12, 45)
)
def test_any_presses_leave_a_frame_of_its_size(keys: list[str], width: int, height: int):
    lines = drawn(ViewModel(), pressed(*keys), width, height)
    assert len(lines) == height
