"""Times are those of the operator's clock, and UTC stands beside them where they are copied from."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from libs.config.environment import Environment
from libs.config.errors import ConfigError
from proto.units import MILLISECOND, SECOND
from tests.support.view_session import busy_model
from tests.unit.tools.view.test_render import drawn
from tools.cli.commands.logs import Line, _for_people
from tools.exit_codes import UsageError
from tools.view import times
from tools.view.times import VARIABLE


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


SUMMER, WINTER = at("2026-05-13 21:51:30"), at("2026-12-01 08:00:00")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "Europe/Berlin")


@pytest.mark.usefixtures("berlin")
def test_another_zone_has_utc_beside_it():
    assert times.clock(SUMMER) == "23:51:30"
    assert times.clock(WINTER) == "09:00:00"
    assert times.clock_and_utc(SUMMER) == "23:51:30 CEST (21:51:30 UTC)"
    assert times.clock_and_utc(WINTER) == "09:00:00 CET (08:00:00 UTC)"
    assert times.heading("closed", WINTER) == "closed CET (UTC)"
    assert times.cell(SUMMER, SUMMER) == "23:51:30 (21:51:30Z)"
    assert times.cell(SUMMER, WINTER) == "2026-05-13 23:51 (21:51Z)"
    midnight = SUMMER + 3_600 * SECOND
    assert times.cell(midnight, WINTER) == "2026-05-14 00:51 (2026-05-13 22:51Z)"
    assert times.exact(SUMMER + 250 * MILLISECOND) == (
        "2026-05-13 23:51:30.250 CEST (2026-05-13 21:51:30.250Z)"
    )
    assert times.exact(WINTER, date=False) == "09:00:00.000 CET (08:00:00.000Z)"


def test_utc_is_told_once():
    assert times.clock_and_utc(SUMMER) == "21:51:30 UTC"
    assert times.heading("time", SUMMER) == "time UTC"
    assert times.cell(SUMMER, SUMMER) == "21:51:30"
    assert times.exact(SUMMER) == "2026-05-13 21:51:30.000Z"


@pytest.mark.usefixtures("berlin")
def test_what_is_copied_is_read_again():
    copied = times.exact(SUMMER).partition("(")[2].rstrip(")")
    assert datetime.fromisoformat(copied) == datetime(2026, 5, 13, 21, 51, 30, tzinfo=UTC)


def test_without_a_name_the_zone_is_the_systems(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("TZ", "XYZ-05:30")
    time.tzset()
    try:
        assert times.clock_and_utc(SUMMER) == "03:21:30 XYZ (21:51:30 UTC)"
        assert times.local(SUMMER).utcoffset() == timedelta(hours=5, minutes=30)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../etc/passwd", "/etc/localtime", "Europe"])
def test_a_zone_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(UsageError, match=rf"expected {VARIABLE} to be the name of a time zone .*, was '"):
        times.clock(SUMMER)
    with pytest.raises(ConfigError, match=rf"{VARIABLE}: expected the name of a time zone, was '"):
        Environment.read()


@pytest.mark.usefixtures("berlin")
def test_view_and_logs_show_it():
    lines = drawn(busy_model(), 120, 40)
    assert "16:23:18 CEST (14:23:18 UTC)" in lines[0]
    line = Line("", "risk", '{"at": "2026-05-13T21:51:30.250+00:00", "text": "live"}')
    assert _for_people(line._replace(at="2026-05-13T21:51:30.250+00:00")).plain.startswith(
        "2026-05-13 23:51 (21:51Z) risk"
    )
    assert _for_people(Line("", "risk", '{"text": "live"}')).plain.startswith("         risk")
