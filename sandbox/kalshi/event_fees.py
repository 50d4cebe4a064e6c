"""Fees of events that replace those of their series: in force, and to come."""

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from libs.bounded import clip
from libs.venues.kalshi.fees import MAKER_RATE, STANDARD, TAKER_RATE
from proto.feed import FeeSchedule
from sandbox.kalshi.bodies import iso
from sandbox.world.world import World

CHANGES_MAX = 1_000
"""Changes kept: a test makes a few."""
FEE_TYPES = ("quadratic", "quadratic_with_maker_fees")
MULTIPLIER_MAX = 10.0


class FeeChange(Struct):
    """A change at a moment (ns). Without a type the event has its series' fees again."""

    id: str
    event: str
    series: str
    fee_type: str | None
    multiplier: float | None
    at: int
    is_done: bool = False

    def override(self) -> dict[str, Any]:
        """Return what the event says of its fees."""
        return {"fee_type_override": self.fee_type, "fee_multiplier_override": self.multiplier}

    def body(self) -> dict[str, Any]:
        """Return the change as the list of changes has it."""
        ids = {"id": self.id, "event_ticker": self.event, "series_ticker": self.series}
        return {**ids, **self.override(), "scheduled_ts": iso(self.at)}


class EventFees:
    """``publish`` gets the body of the frame that tells a change as it happens."""

    def __init__(self, world: World) -> None:
        self.changes: list[FeeChange] = []
        self.publish: Callable[[dict[str, Any]], None] = lambda _: None
        self._world = world

    def change(
        self, event: str, series: str, fee_type: str | None, multiplier: float | None, in_s: float = 0.0
    ) -> FeeChange:
        """Give an event fees of its own, or its series' again (no type), so many seconds from now.

        Raises:
            ValueError: for a type that is not known here, a multiplier out of bounds, or too many changes.
        """
        if (fee_type is None) is not (multiplier is None):
            raise ValueError(f"expected type and multiplier or neither, was {fee_type!r} and {multiplier}")
        if fee_type is not None and fee_type not in FEE_TYPES:
            raise ValueError(f"expected one of {FEE_TYPES}, was {clip(fee_type, 40)!r}")
        if multiplier is not None and not 0 <= multiplier <= MULTIPLIER_MAX:
            raise ValueError(f"expected a multiplier from 0 to {MULTIPLIER_MAX:g}, was {multiplier:g}")
        if len(self.changes) >= CHANGES_MAX:
            raise ValueError(f"expected at most {CHANGES_MAX} changes of fees")
        at = self._world.now() + round(max(0.0, in_s) * 10**9)
        found = FeeChange(f"fee-{len(self.changes) + 1}", event, series, fee_type, multiplier, at)
        self.changes.append(found)
        self._schedule(found)
        return found

    def resume(self, changes: list[FeeChange]) -> None:
        """Take over the changes of before a restart; those to come are still to come."""
        self.changes = changes
        for change in changes:
            if not change.is_done:
                self._schedule(change)

    def _schedule(self, change: FeeChange) -> None:
        if change.at <= self._world.now():
            self._apply(change)
        else:
            self._world.schedule(change.at, partial(self._apply, change))

    def _apply(self, change: FeeChange) -> None:
        change.is_done = True
        self.publish({"event_ticker": change.event, **change.override()})

    def override_of(self, event: str) -> dict[str, Any]:
        """Return what an event says of its fees; nothing where it never had its own."""
        found = [change for change in self.changes if change.event == event and change.is_done]
        return max(found, key=lambda change: change.at).override() if found else {}

    def schedule_of(self, event: str) -> FeeSchedule:
        """Return the fees that trades in an event are charged."""
        override = self.override_of(event)
        if not override or override["fee_type_override"] is None:
            return STANDARD
        multiplier = override["fee_multiplier_override"]
        maker = MAKER_RATE if override["fee_type_override"] == "quadratic_with_maker_fees" else 0
        return FeeSchedule(
            model=STANDARD.model,
            taker_rate=round(TAKER_RATE * multiplier),
            maker_rate=round(maker * multiplier),
        )
