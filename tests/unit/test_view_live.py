"""Records to frames on a terminal."""

from io import StringIO

import pytest
from rich.console import Console

from libs.machine.codec import encode
from libs.tape.record import TapeRecord
from proto.message import Message
from proto.units import MILLISECOND
from tests.unit.view_session import T0, busy_model, proposal, rejection
from tools.view.live import LiveView, ViewFeed, service_rows
from tools.view.model import ServiceRow, ViewModel


def record(message: Message, seq: int, stored_ms: int, cause: int = 0) -> TapeRecord:
    headers = {"cause": str(cause), "root": str(cause)} if cause else {}
    return TapeRecord(seq, message.subject(), headers, encode(message), T0 + stored_ms * MILLISECOND)


def test_records_bring_their_latency_by_their_cause() -> None:
    feed = ViewFeed(ViewModel())
    feed.on_record(record(proposal(), 1, 10), proposal())
    feed.on_record(record(rejection(), 2, 14, cause=1), rejection())
    assert feed.model.seq == 2
    assert feed.model.latencies.percentiles("risk") == (4 * MILLISECOND, 4 * MILLISECOND)
    assert feed.model.latencies.percentiles("signal") is None


def test_the_table_of_services_says_who_lags_and_who_is_missing() -> None:
    rows = service_rows(
        ("feed", "risk", "exit", "journal"),
        {
            "feed": {"state": "live", "position": 0},
            "risk": {"state": "live", "position": 90},
            "exit": {"state": "live", "position": 100, "detail": "x"},
        },
        {"exit": 9.0, "risk": 0.4},
        {"risk": 2},
        last_seq=100,
    )
    assert rows == [
        ServiceRow("feed", "live"),
        ServiceRow("risk", "live", 90, 10, 2),
        ServiceRow("exit", "missing", 100, 0, 0, "x"),
        ServiceRow("journal", "starting"),
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_the_terminal_is_given_back_whatever_happens(fails: bool) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=40, legacy_windows=False, _environ={})
    view = LiveView(busy_model(), console)
    try:
        with view:
            view.refresh()
            assert "PRESAGE" in out.getvalue()
            assert "\x1b[?1049h" in out.getvalue()
            assert "\x1b[?1049l" not in out.getvalue()
            if fails:
                raise RuntimeError("boom")
    except RuntimeError:
        assert fails
    assert out.getvalue().count("\x1b[?1049l") == 1
    assert "\x1b[?25h" in out.getvalue()
