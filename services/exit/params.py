"""Typed parameters of the exit service: configuration section ``exit``."""

from typing import Annotated, ClassVar, Literal

from libs.config.section import Section, amount, setting, text, whole
from proto.units import ONE

Fraction = Annotated[int, amount(0, 10 * ONE)]
Share = Annotated[int, amount(0, ONE)]
Seconds = Annotated[int, whole(0, 365 * 86_400)]
Interval = Annotated[int, whole(1, 86_400)]
Ticks = Annotated[int, whole(0, 100)]

StrategyName = Annotated[str, text(r"^[A-Za-z0-9_]{1,40}$", "a strategy's name of letters, digits and _")]


class ExitParams(Section):
    """When positions are left. ``config/exit.yaml`` gives the reason of each default.

    Fractions are in millionths, those of a price are of the average entry price.
    """

    changeable: ClassVar[frozenset[str]] = frozenset(
        (
            "first_share",
            "first_target",
            "rest_target",
            "stop_loss",
            "stop_min_ticks",
            "decay_s",
            "decay_movement",
            "before_close_s",
            "slippage_ticks",
            "target_delay_s",
            "close_retry_s",
            "target_retry_s",
        )
    )

    first_share: Share = setting(500_000, "part of the bought quantity that leaves at the first target")
    first_target: Fraction = setting(20_000, "gain at which it leaves, a fraction")
    rest_target: Fraction = setting(50_000, "gain at which the rest leaves, a fraction")
    stop_loss: Share = setting(30_000, "loss on the bid at which everything leaves, a fraction")
    stop_min_ticks: Ticks = setting(
        2, "the stop is at least so many ticks below the entry", former="stop_tick_count_min"
    )
    decay_s: Interval = setting(4 * 3_600, "a position whose bid did not move for so long leaves")
    decay_movement: Fraction = setting(10_000, "a smaller change of the bid is no movement, a fraction")
    before_close_s: Seconds = setting(60, "everything leaves so long before the market is expected to end")
    hold_to_settlement: tuple[StrategyName, ...] = setting(
        ("near_certainty",),
        "positions that these strategies alone bought leave neither before the close nor for time decay",
    )
    disputed: Literal["hold", "exit"] = setting(
        "hold", "a position whose market's proposed answer is disputed; exit: everything leaves"
    )
    slippage_ticks: Ticks = setting(
        1, "ticks below the bid that a marketable exit still accepts", former="slippage_tick_count"
    )
    target_delay_s: Seconds = setting(2, "targets wait so long for more fills of an entry that still works")
    expires_s: Interval = setting(5, "lifetime of a proposal")
    close_retry_s: Interval = setting(2, "shortest time between two marketable exits of one position")
    close_order_max_s: Interval = setting(
        5, "a marketable exit that still works after so long is cancelled", former="close_order_s_max"
    )
    target_retry_s: Interval = setting(30, "wait after a target was refused")
    cancel_retry_s: Interval = setting(5, "an unanswered cancel is repeated after so long")
    answer_max_s: Interval = setting(
        600,
        "a proposal without any answer is given up; longer than `risk.pending_ttl_s`",
        former="answer_s_max",
    )
