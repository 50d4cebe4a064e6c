"""The operator's own conditions become alerts, once each, and are over when they are not met any more."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.config.errors import ConfigError
from libs.config.load import load, override
from proto.feed import Book, Level, MarketStatus, Quote, Side, Trade
from proto.operator import Config
from proto.signal import Proposal
from proto.units import ONE
from services.monitor.conditions import SECTION, AlertsParams, moment_s
from services.monitor.machine import MonitorMachine
from tests.support.monitor_tape import MARKET, YES, Tape, market, said, session

MODELS = {SECTION: AlertsParams}


def conditions(*entries: dict, refused: tuple = ()) -> Config:
    known = [{"name": "mine", "instrument": YES} | entry for entry in entries]
    document = AlertsParams.model_validate({"conditions": known, "refused": refused}).document()
    return Config(section=SECTION, document=document, nonce="n", expires_at=0)


def watching(*entries: dict) -> Tape:
    tape = Tape()
    assert tape.put(conditions(*entries)) == []
    return tape


class Prices:
    """Quotes of one instrument with a counter that rises."""

    def __init__(self, tape: Tape, instrument: str = YES) -> None:
        self.tape, self.instrument, self.counter = tape, instrument, 0

    def at(self, bid: int, ask: int | None) -> list:
        self.counter += 1
        quote = Quote(instrument=self.instrument, at=0, counter=self.counter, bid=bid, ask=ask)
        return said(self.tape.put(quote))


def trade(price: int, contracts: int) -> Trade:
    return Trade(instrument=YES, at=0, trade_id="x", price=price, quantity=contracts * ONE)


def proposal(fair_value: int) -> Proposal:
    return Proposal(
        strategy="s",
        market=MARKET,
        instrument=YES,
        side=Side.BUY,
        price=500_000,
        fair_value=fair_value,
        edge=0,
        strength=0,
        expires_at=0,
    )


TOPIC = f"mine {YES}"
RAISED, OVER = [("condition", TOPIC, True)], [("condition", TOPIC, False)]


def test_a_price_is_told_at_once_when_it_crosses_and_when_it_is_back():
    tape = watching({"watch": "price", "above": 600_000})
    prices = Prices(tape)
    assert prices.at(590_000, 610_000) == []  # the middle is not above
    assert prices.at(600_000, 610_000) == RAISED
    assert prices.at(610_000, 620_000) == []
    assert tape.alerts[-1].text == f"price of {YES} is 0.605, above 0.6"
    assert prices.at(590_000, 610_000) == OVER


def test_once_is_once_and_again_waits():
    tape = watching(
        {"watch": "price", "below": 400_000},
        {"name": "often", "watch": "price", "below": 400_000, "again_after_s": 60},
    )
    often = f"often {YES}"
    prices = Prices(tape)
    assert prices.at(300_000, 310_000) == [*RAISED, ("condition", often, True)]
    assert prices.at(500_000, 510_000) == [*OVER, ("condition", often, False)]
    tape.tick(59)
    assert prices.at(300_000, 310_000) == []
    assert [row for row in said(tape.tick(1)) if row[0] == "condition"] == [("condition", often, True)]


def test_a_side_without_a_price_meets_nothing_and_ends_nothing():
    tape = watching({"watch": "spread", "above": 50_000})
    prices = Prices(tape)
    assert prices.at(400_000, None) == []
    assert prices.at(400_000, 500_000) == RAISED
    assert prices.at(400_000, None) == []
    assert prices.at(450_000, 500_000) == OVER


def test_a_book_says_prices_too():
    tape = watching({"watch": "spread", "above": 50_000})
    book = Book(
        instrument=YES,
        at=0,
        counter=1,
        snapshot=True,
        bids=(Level(400_000, ONE),),
        asks=(Level(500_000, ONE),),
    )
    assert said(tape.put(book)) == RAISED


def test_a_fair_value_counts_for_its_time_only():
    tape = watching({"watch": "edge", "above": 80_000, "within_s": 30})
    prices = Prices(tape)
    prices.at(490_000, 510_000)
    assert said(tape.put(proposal(570_000))) == []
    assert said(tape.put(proposal(590_000))) == RAISED
    tape.tick(31)  # too old to say anything: it stays as it was
    assert prices.at(590_000, 610_000) == []
    assert said(tape.put(proposal(610_000))) == OVER


def test_volume_and_change_are_of_their_window():
    tape = watching(
        {"watch": "volume", "above": 100 * ONE, "within_s": 60},
        {"name": "fall", "watch": "change", "below": -50_000, "within_s": 60},
    )
    fall = f"fall {YES}"
    Prices(tape).at(490_000, 510_000)
    tape.tick(1)
    assert said(tape.put(trade(500_000, 60))) == []
    tape.tick(30)
    assert said(tape.put(trade(500_000, 41))) == RAISED
    tape.tick(31)
    assert ("condition", TOPIC, False) in said(tape.alerts)  # the first trade has left the window
    prices = Prices(tape)
    prices.counter = 1
    assert prices.at(430_000, 450_000) == [("condition", fall, True)]


def test_time_to_close_is_looked_at_by_the_clock():
    tape = watching({"watch": "time_to_close", "below": 60 * ONE})
    tape.put(market(close_s=tape.now_s + 100))
    Prices(tape).at(490_000, 510_000)
    assert tape.tick(39) == []
    assert said(tape.tick(2)) == RAISED
    assert said(tape.put(market(MarketStatus.SETTLED))) == OVER


def test_until_ends_it():
    tape = watching({"watch": "price", "above": 600_000, "until": "1970-01-01T00:17:00Z"})  # 1020
    prices = Prices(tape)
    assert prices.at(610_000, 620_000) == RAISED
    assert ("condition", TOPIC, False) in said(tape.tick(20))
    assert prices.at(650_000, 660_000) == []


def test_a_beginning_watches_several_and_a_stranger_none():
    tape = watching({"instrument": "kalshi:KX*", "watch": "price", "above": 600_000})
    assert Prices(tape).at(610_000, 620_000) == RAISED
    other = "kalshi:KXETH-1:yes"
    assert Prices(tape, other).at(610_000, 620_000) == [("condition", f"mine {other}", True)]
    assert Prices(tape, "polymarket:1").at(610_000, 620_000) == []


def test_what_is_wrong_is_said_and_the_others_are_watched():
    tape = Tape()
    twice = {"watch": "price", "above": 600_000}
    out = tape.put(conditions(twice, twice, refused=("config/alerts.yaml:3: above: expected …",)))
    assert said(out) == [
        ("condition_refused", "config/alerts.yaml:3", True),
        ("condition_refused", "mine", True),
    ]
    assert Prices(tape).at(610_000, 620_000) == RAISED
    assert said(tape.put(conditions(twice))) == [
        ("condition_refused", "config/alerts.yaml:3", False),
        ("condition_refused", "mine", False),
    ]


def test_a_section_that_changes_ends_what_changed_and_keeps_the_rest():
    tape = watching({"watch": "price", "above": 600_000})
    prices = Prices(tape)
    prices.at(610_000, 620_000)
    assert tape.put(conditions({"watch": "price", "above": 600_000})) == []
    assert said(tape.put(conditions({"watch": "price", "above": 700_000}))) == OVER


def test_a_new_session_forgets_prices_and_remembers_what_was_told():
    tape = watching({"watch": "price", "above": 600_000})
    prices = Prices(tape)
    prices.at(610_000, 620_000)
    assert OVER[0] in said(tape.put(session(tape.now_s)))
    tape.put(conditions({"watch": "price", "above": 600_000}))
    assert prices.at(610_000, 620_000) == []


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(300_000, 700_000)), max_size=30), st.integers(0, 30)
)
def test_a_restored_machine_says_the_same(steps, stop):
    entries = (
        {"watch": "price", "above": 600_000, "again_after_s": 10},
        {"name": "c", "watch": "change", "above": 100_000, "within_s": 60, "again_after_s": 5},
    )
    tape = watching(*entries)
    whole: list = []
    other: Tape | None = None
    rest: list = []
    for index, (seconds, price) in enumerate(steps):
        if index == stop:
            restored = MonitorMachine()
            restored.restore(tape.machine.snapshot())
            other = Tape(restored, configured=False)
            other.seq, other.now_s, whole = tape.seq, tape.now_s, []
        quote = Quote(instrument=YES, at=0, counter=index + 1, bid=price - 10_000, ask=price + 10_000)
        for each, out in ((tape, whole), (other, rest)):
            if each is not None:
                out += [*each.tick(seconds), *each.put(quote)]
    assert other is None or rest == whole


def test_without_conditions_nothing_is_kept_of_prices():
    tape = Tape()
    Prices(tape).at(610_000, 620_000)
    assert tape.machine.state.watched == {}


@given(st.integers(0, 7_000_000_000))
def test_a_written_time_is_the_calendars(seconds):
    written = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert moment_s(written) == seconds


def test_a_file_with_a_bad_entry_names_it_and_keeps_the_others(tmp_path: Path):
    (tmp_path / "alerts.yaml").write_text(
        """conditions:
  - {name: good, instrument: "coinbase:BTC-USD", watch: price, above: 12.5}
  - {name: bad, instrument: "coinbase:BTC-USD", watch: price, above: 12}
  - {name: late, instrument: "coinbase:BTC-USD", watch: price, above: 1.0, until: "2026-02-30T00:00:00Z"}
  - {name: none, instrument: "coinbase:BTC-USD", watch: price}
"""
    )
    section = AlertsParams.model_validate(load(tmp_path, MODELS)[SECTION])
    assert [condition.name for condition in section.conditions] == ["good"]
    assert [text.rpartition("/")[2].split(": ")[0] for text in section.refused] == [
        f"alerts.yaml:{line}" for line in (3, 4, 5)
    ]
    assert "write 12.0" in section.refused[0]
    assert "expected a day of the calendar" in section.refused[1]


def test_what_is_wrong_outside_the_entries_refuses_the_file(tmp_path: Path):
    (tmp_path / "alerts.yaml").write_text("conditions: []\nconditons: []\n")
    with pytest.raises(ConfigError, match="did you mean conditions"):
        load(tmp_path, MODELS)
    resolved = {SECTION: AlertsParams().document()}
    changed = override(
        resolved, MODELS, {"alerts.conditions": '[{name: x, instrument: "a:b", watch: price}]'}
    )
    assert "expected above or below" in changed[SECTION]["refused"][0]
