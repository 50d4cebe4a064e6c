"""Typed parameters of the monitor: configuration section ``monitor``."""

from typing import Annotated

import msgspec

Seconds = Annotated[int, msgspec.Meta(ge=1, le=7 * 86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class MonitorParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """How long things may take before an operator is told. All times are session time.

    Attributes:
        stuck_order_s: an order on its way (approved, being submitted, unknown, being cancelled, or
            immediate-or-cancel and still open) may stand still that long.
        resting_order_s: an order that rests at the venue by intent may stand still that long.
        orphaned_position_s: a position may be unknown to the exit service that long.
        unprotected_position_s: a position may be without a working exit or exit proposal that long.
        unreconciled_venue_s: a live venue's books may go without a complete comparison that long.
        unconfirmed_fill_s: a fill may stand between match and finality that long.
        missing_payout_s: a position in a decided market may wait for its payout that long.
        silent_feed_s: an instrument of an open market may be without any feed message that long.
        notice_s: an alert about a single event (a refused approval) is over after that long.
        rejection_storm_count: more rejections than this within a minute are a storm.
    """

    stuck_order_s: Seconds = 30
    resting_order_s: Seconds = 4 * 3_600
    orphaned_position_s: Seconds = 10
    unprotected_position_s: Seconds = 60
    unreconciled_venue_s: Seconds = 120
    unconfirmed_fill_s: Seconds = 120
    missing_payout_s: Seconds = 2 * 3_600
    silent_feed_s: Seconds = 60
    notice_s: Seconds = 300
    rejection_storm_count: Count = 300
