"""The plain records the view's model is made of."""

from dataclasses import dataclass
from typing import NamedTuple

from proto.risk import RiskState


class ServiceRow(NamedTuple):
    """What the supervisor knows of a service. ``lag``: messages on the tape after its position."""

    name: str
    state: str
    position: int = 0
    lag: int = 0
    restarts: int = 0
    detail: str = ""


class VenueRow(NamedTuple):
    """A venue as the feed and execution report it.

    ``feed``: "live", or why its prices do not come. ``gate``: "open", why no order may go there, or "" for a
    venue that gets none. ``money``: "paper", "sandbox" or "real" where orders go.
    """

    name: str
    feed: str
    markets: int = 0
    gate: str = ""
    unknown: int = 0
    money: str = ""


class PositionRow(NamedTuple):
    """An open position; money and prices in millionths, ``exits`` as text."""

    instrument: str
    quantity: int
    entry_price: int
    mark: int | None
    unrealised_profit: int
    cost: int
    stage: str
    exits: str


@dataclass(slots=True)
class OpenOrder:
    """An order that may still trade."""

    instrument: str
    side: str
    price: int
    quantity: int
    reduce_only: bool
    status: str = "approved"
    filled: int = 0


@dataclass
class Money:
    """The books in millionths of a dollar; the limit and the state as risk last reported them."""

    started_equity: int | None = None
    exposure: int = 0
    exposure_limit: int = 0
    equity_offset: int = 0
    cash_offset: int = 0
    reported: bool = False
    risk_state: RiskState = RiskState.ACTIVE
