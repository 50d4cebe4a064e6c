"""What the ledger holds and how full it is. It is a window: its oldest claims make room for new ones, and age out.

So a claim that is not there proves nothing of an order that was approved before the oldest claim still held: such
a claim may have been there. What was approved later can only have been claimed later, and is held if it was.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from proto.units import SECOND

CLOCK_SLACK_NS = 60 * SECOND
"""How far an approval must be younger than the oldest claim held. The broker stamps both; its clock may have been
set back a little, and claims go on leaving while an answer is on its way."""
ENTRIES_PERCENT_MAX = 90
"""From here on the rest of the ledger is for exits, unless what it holds reaches back far enough."""
REACH_NS_MIN = 600 * SECOND
"""A ledger that is full and reaches back less than this is filled by a fault: 200,000 claims take hours at any
rate that risk lets through. Entries wait until it reaches back again; exits go on."""


class LedgerWindow(NamedTuple):
    """``held_from``: every claim stored since then (ns, the broker's clock) is held; 0 if none ever left.

    ``reach``: for how long back (ns) the ledger is known whole, once claims have left it. ``last_seq``: of the newest claim.
    """

    held_from: int
    reach: int
    claims: int
    size: int
    size_max: int
    last_seq: int = 0

    @property
    def percent(self) -> int:
        """How full it is."""
        return self.size * 100 // self.size_max

    def proves_absence(self, approved_at: int) -> bool:
        """Whether an order approved at ``approved_at`` (ns) would be held if it had ever been claimed."""
        return not self.held_from or approved_at >= self.held_from + CLOCK_SLACK_NS

    @property
    def entries_refusal(self) -> str:
        """Why no entry may be claimed; empty when one may."""
        if self.percent < ENTRIES_PERCENT_MAX or self.reach >= REACH_NS_MIN:
            return ""
        return f"ledger {self.percent} % full"


def ledger_window(answer: Mapping[str, Any]) -> LedgerWindow:
    """The window as the broker's information about the stream shows it."""
    state, limits = answer["state"], answer["config"]
    claims, now = int(state["messages"]), nanoseconds(answer["ts"])
    oldest = nanoseconds(state["first_ts"]) if claims else now
    if int(state["last_seq"]) == claims:
        held_from = 0
    elif claims:
        held_from = oldest
    else:
        held_from = nanoseconds(state["last_ts"]) + 1
    return LedgerWindow(
        held_from,
        max(0, now - oldest),
        claims,
        int(state["bytes"]),
        int(limits["max_bytes"]),
        int(state["last_seq"]),
    )


def nanoseconds(text: str) -> int:
    """A time as the broker writes it (RFC 3339, UTC, up to nine digits of a second) in ns since 1970."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return int(at.timestamp()) * SECOND + int(fraction.ljust(9, "0") or 0)
