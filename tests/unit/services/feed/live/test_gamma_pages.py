"""What Gamma is asked for: names of windows, and markets before and after their expected end."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.feed.live.gamma_pages import (
    HOUR_S,
    new_york_hour,
    new_york_offset_s,
    past_query,
    tag_query,
    window_slugs,
)

NEW_YORK = ZoneInfo("America/New_York")


@given(st.integers(1_200_000_000, 4_000_000_000))
@example(int(datetime(2026, 3, 8, 6, 59, 59, tzinfo=UTC).timestamp()))
@example(int(datetime(2026, 3, 8, 7, tzinfo=UTC).timestamp()))
@example(int(datetime(2026, 11, 1, 5, 59, 59, tzinfo=UTC).timestamp()))
@example(int(datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp()))
def test_new_york_s_clock_is_that_of_the_time_zones(at_s: int):
    offset = datetime.fromtimestamp(at_s, NEW_YORK).utcoffset()
    assert offset is not None
    assert new_york_offset_s(at_s) == offset.total_seconds()


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2026-10-02T16:00:00Z", "october-2-2026-12pm-et"),
        ("2026-10-02T04:00:00Z", "october-2-2026-12am-et"),
        ("2026-10-02T03:00:00Z", "october-1-2026-11pm-et"),
        ("2026-12-31T18:00:00Z", "december-31-2026-1pm-et"),
    ],
)
def test_an_hour_is_named_by_its_start_in_new_york(at: str, name: str):
    assert new_york_hour(int(datetime.fromisoformat(at).timestamp())) == name


def test_the_running_window_and_the_next_are_asked_for_by_their_names():
    now_s = 1_790_959_500  # 2026-10-02T16:45:00Z
    assert window_slugs(("btc-updown-15m", "bitcoin-up-or-down"), now_s) == [
        "btc-updown-15m-1790959500",
        "btc-updown-15m-1790960400",
        "bitcoin-up-or-down-october-2-2026-12pm-et",
        "bitcoin-up-or-down-october-2-2026-1pm-et",
    ]


def test_the_two_lists_of_a_tag_meet_at_now():
    soon, past = tag_query("7", 5, 1_790_959_500), past_query("7", 1_790_959_500)
    assert soon["end_date_min"] == past["end_date_max"] == "2026-10-02T16:45:00Z"
    assert soon["end_date_max"] == "2026-10-02T21:45:00Z"
    assert "end_date_min" not in past
    assert (soon["ascending"], past["ascending"], soon["tag_id"], past["tag_id"]) == (
        "true",
        "false",
        "7",
        "7",
    )
    assert "tag_id" not in past_query("", HOUR_S)
