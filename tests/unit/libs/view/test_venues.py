"""What is told of each venue, from the reports of two services."""

from io import StringIO

import pytest
from rich.console import Console

from libs.view.venues import venue_rows, venue_status
from proto.units import ONE
from tools.cli.commands.status import print_status

FEED = {
    "venues": {
        "kalshi": {"connected": True, "markets": 2, "detail": ""},
        "polymarket": {"connected": True, "markets": 4, "detail": "polymarket: silent for 31 s"},
        "binance": {"connected": False, "markets": 1, "detail": ""},
        "coinbase": {"connected": False, "detail": "no key"},
    }
}
EXECUTION = {
    "venues": {
        "kalshi": {"gate": "open", "unknown": 2, "reconciled_at": 5, "balance": 7 * ONE, "available": ONE},
        "polymarket": {"gate": "not reconciled"},
    }
}
REPORTS = {"feed": FEED, "execution": EXECUTION}


def test_venues_that_get_orders_come_first_with_their_gates():
    found = venue_status(REPORTS, ("kalshi", "polymarket"), "sandbox")
    assert list(found) == ["kalshi", "polymarket", "binance", "coinbase"]
    assert found["kalshi"] == {
        "feed": "live",
        "markets": 2,
        "money": "sandbox",
        "gate": "open",
        "unknown": 2,
        "reconciled_at": 5,
        "balance": 7 * ONE,
        "available": ONE,
    }
    assert (found["polymarket"]["feed"], found["polymarket"]["gate"]) == ("silent for 31 s", "not reconciled")
    assert (found["binance"]["feed"], found["binance"]["money"]) == ("not connected", "")
    assert found["coinbase"]["feed"] == "no key"


def test_on_paper_no_venue_has_a_gate():
    rows = venue_rows({"feed": FEED}, (), "paper")
    assert {row.gate for row in rows} == {""}
    assert {row.name: row.money for row in rows}["kalshi"] == "paper"


def test_a_venue_whose_gate_nobody_reports_is_not_taken_for_open():
    found = venue_status({"feed": FEED}, ("kalshi",), "real")
    assert (found["kalshi"]["gate"], found["kalshi"]["money"]) == ("not reported", "real")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_width_cuts_a_balance(width: int):
    console = Console(width=width, file=StringIO(), color_system=None)
    gate = {"gate": "not reconciled yet", "reconciled_at": 5, "balance": 1_234_567_890_000, "unknown": 12}
    reports = {"feed": FEED, "execution": {"venues": {"kalshi": gate, "polymarket": gate}}}
    alert = {
        "severity": "critical",
        "rule": "halt",
        "topic": "trading",
        "text": "x" * 90,
        "next": "presage resume",
    }
    document = {
        "money": "real",
        "orders": "open",
        "account": {"cash": 1_234_567_890_000, "exposure_limit": 9_876_543_210_000},
        "services": {},
        "venues": venue_status(reports, (), "real"),
        "alerts": [alert],
    }
    with console.capture() as capture:
        print_status(console, document)
    text = capture.get()
    assert text.count("$1,234,567.89") == 3
    assert "$9,876,543.21" in text
    assert "…" not in text
    assert "presage resume" in text


def test_status_says_what_is_not_followed_and_what_no_strategy_prices():
    console = Console(width=60, file=StringIO(), color_system=None)
    kalshi = FEED["venues"]["kalshi"] | {
        "notes": ["KXNFLGAME: none of 568 markets is expected to end within 2 h"]
    }
    unpriced = {"why": "momentum: it has no reference price", "markets": 3, "example": "kalshi:KXGOLD15M-1"}
    document = {
        "money": "paper",
        "orders": "open",
        "account": {},
        "services": {"signal": {"state": "live", "unpriced": [unpriced]}},
        "venues": venue_status({"feed": {"venues": {"kalshi": kalshi}}}, (), "paper"),
    }
    with console.capture() as capture:
        print_status(console, document)
    text = capture.get()
    assert "kalshi: KXNFLGAME: none of 568 markets is expected to end within 2 h" in text
    assert "no strategy prices 3 markets (kalshi:KXGOLD15M-1): momentum: it has no reference price" in text


def test_status_shows_money_gates_and_balances():
    console = Console(width=120, file=StringIO(), color_system=None)
    document = {
        "money": "real",
        "orders": "no new orders to polymarket not reconciled (others open)",
        "account": {},
        "services": {},
        "venues": venue_status(REPORTS, (), "real"),
    }
    with console.capture() as capture:
        print_status(console, document)
    text = capture.get()
    for words in ("money: real", "REAL", "not reconciled", "never", "$7.00", "silent for 31 s"):
        assert words in text
    mana = {
        "money": "real mana",
        "account": {"cash": 7_000_000},
        "venues": venue_status(REPORTS, (), "real mana"),
    }
    with console.capture() as capture:
        print_status(console, document | mana)
    text = capture.get()
    assert "$" not in text
    for words in ("money: real mana", "REAL mana", "cash Ṁ7.00", "exposure Ṁ0.00"):
        assert words in text
