"""Typed parameters of the exit service: configuration section ``exit``."""

from typing import Annotated

from msgspec import Meta, Struct

from proto.units import MILLIONTHS, ONE

Fraction = Annotated[int, Meta(ge=0, le=10 * ONE, extra=MILLIONTHS)]
Share = Annotated[int, Meta(ge=0, le=ONE, extra=MILLIONTHS)]
Seconds = Annotated[int, Meta(ge=0, le=365 * 86_400)]
Interval = Annotated[int, Meta(ge=1, le=86_400)]
Ticks = Annotated[int, Meta(ge=0, le=100)]


class ExitParams(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """When positions are left. ``config/exit.yaml`` gives the reason of each default.

    Fractions are in millionths, those of a price are of the average entry price.

    Attributes:
        first_share: part of the bought quantity that leaves at the first target.
        first_target: gain at which it leaves, a fraction.
        rest_target: gain at which the rest leaves, a fraction.
        stop_loss: loss on the bid at which everything leaves, a fraction.
        stop_tick_count_min: the stop is at least so many ticks below the entry.
        decay_s: a position whose bid did not move for so long leaves.
        decay_movement: a smaller change of the bid is no movement, a fraction.
        before_close_s: everything leaves so long before the market closes.
        slippage_tick_count: ticks below the bid that a marketable exit still accepts.
        target_delay_s: targets wait so long for more fills of an entry that still works.
        expires_s: lifetime of a proposal.
        close_retry_s: shortest time between two marketable exits of one position.
        close_order_s_max: a marketable exit that still works after so long is cancelled.
        target_retry_s: wait after a target was refused.
        cancel_retry_s: an unanswered cancel is repeated after so long.
        answer_s_max: a proposal without any answer is given up; longer than ``risk.pending_ttl_s``.
    """

    first_share: Share = 500_000
    first_target: Fraction = 20_000
    rest_target: Fraction = 50_000
    stop_loss: Share = 30_000
    stop_tick_count_min: Ticks = 2
    decay_s: Interval = 4 * 3_600
    decay_movement: Fraction = 10_000
    before_close_s: Seconds = 60
    slippage_tick_count: Ticks = 1
    target_delay_s: Seconds = 2
    expires_s: Interval = 5
    close_retry_s: Interval = 2
    close_order_s_max: Interval = 5
    target_retry_s: Interval = 30
    cancel_retry_s: Interval = 5
    answer_s_max: Interval = 600
