"""Typed parameters of the monitor: configuration section ``monitor``."""

from typing import Annotated

from libs.config.section import Section, setting, whole

Seconds = Annotated[int, whole(1, 7 * 86_400)]
Count = Annotated[int, whole(1, 1_000_000)]


class MonitorParams(Section):
    """How long things may take before an operator is told. All times are session time."""

    stuck_order_s: Seconds = setting(
        30,
        "an order on its way (approved, being submitted, unknown, being cancelled, or immediate-or-cancel and"
        " still open) may stand still that long",
    )
    resting_order_s: Seconds = setting(
        4 * 3_600, "an order that rests at the venue by intent may stand still that long"
    )
    orphaned_position_s: Seconds = setting(10, "a position may be unknown to the exit service that long")
    unprotected_position_s: Seconds = setting(
        60, "a position may be without a working exit or exit proposal that long"
    )
    unreconciled_venue_s: Seconds = setting(
        120, "a live venue's books may go without a complete comparison that long"
    )
    unconfirmed_fill_s: Seconds = setting(120, "a fill may stand between match and finality that long")
    missing_payout_s: Seconds = setting(
        2 * 3_600, "a position in a decided market may wait for its payout that long"
    )
    silent_feed_s: Seconds = setting(
        60, "an instrument of an open market may be without any feed message that long"
    )
    notice_s: Seconds = setting(
        300, "an alert about a single event (a refused approval) is over after that long"
    )
    rejection_storm_count: Count = setting(300, "more rejections than this within a minute are a storm")
