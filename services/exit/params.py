"""Typed parameters of the exit service: configuration section ``exit``."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from libs.config.section import Section, amount, setting, text, whole
from proto.units import ONE, show

Fraction = Annotated[int, amount(0, 10 * ONE)]
Share = Annotated[int, amount(0, ONE)]
Seconds = Annotated[int, whole(0, 365 * 86_400)]
Interval = Annotated[int, whole(1, 86_400)]
Ticks = Annotated[int, whole(0, 100)]

ROWS_MAX = 20
"""Of a table: more are no policy that anybody could say."""

StrategyName = Annotated[str, text(r"^[A-Za-z0-9_]{1,40}$", "a strategy's name of letters, digits and _")]


Family = Annotated[
    str, text(r"^[a-z0-9-]{1,60}$", "the beginning of a family's name: small letters, digits and -")
]


class AgeTarget(Section):
    """From ``age_s`` on, a position leaves at this gain after fees."""

    age_s: Seconds = setting(0, "age of the position")
    gain: Fraction = setting(0, "gain after the fees of both ways, a fraction of the entry price")


class TimeStop(Section):
    """Positions in markets of a family leave at this age."""

    family: Family = setting("event-", "the beginning of the families' names: `btc-`, `btc-above-15m`")
    after_s: Interval = setting(86_400, "age at which everything leaves")


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
    trailing_stop: Share = setting(
        0, "fall below the highest bid since the entry at which everything leaves, a fraction of it; 0: off"
    )
    trailing_from: Fraction = setting(20_000, "gain of the highest bid from which it trails, a fraction")
    profit_by_age: Annotated[tuple[AgeTarget, ...], Field(max_length=ROWS_MAX)] = setting(
        (), "gain after fees at which everything leaves, by age; empty: off"
    )
    time_stops: Annotated[tuple[TimeStop, ...], Field(max_length=ROWS_MAX)] = setting(
        (), "age at which everything leaves, by family of markets, the first that fits; empty: off"
    )
    reversal: Literal["hold", "exit"] = setting(
        "hold", "its strategy wants to buy the market's other outcome; exit: everything leaves"
    )
    stale_exit_s: Seconds = setting(
        0, "a position whose book nothing has proved for so long leaves at the newest bid; 0: off"
    )
    drawdown_level: Share = setting(
        0, "fall from the highest equity at which positions are reduced, a fraction of it; 0: off"
    )
    drawdown_share: Share = setting(
        500_000, "part of what positions cost that leaves then, the largest first"
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

    @model_validator(mode="after")
    def _is_table(self) -> Self:
        """Ages rise from 0, gains fall: an older position is content with less."""
        rows = self.profit_by_age
        ages, gains = [row.age_s for row in rows], [row.gain for row in rows]
        if rows and ages[0] != 0:
            raise ValueError(f"expected the first age_s of profit_by_age to be 0, was {ages[0]}")
        if ages != sorted(dict.fromkeys(ages)):
            raise ValueError(f"expected rising ages in profit_by_age, was {ages}")
        if gains != sorted(gains, reverse=True):
            raise ValueError(
                f"expected gains in profit_by_age that do not rise, was {[show(gain) for gain in gains]}"
            )
        return self
