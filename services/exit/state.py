"""What the exit machine remembers: plain data.

Amounts are plain integers of one millionth, moments of one nanosecond: sums may pass the bounds that messages
have, and a snapshot must be readable whatever was folded.
"""

from enum import StrEnum

from msgspec import Struct, field

from libs.changes.book import ChangeBook
from libs.indicators.tops import Tops
from libs.portfolio.portfolio import Portfolio
from proto.exit import ExitReason, PositionStage
from proto.feed import Market
from proto.units import ONE
from services.exit.params import ExitParams


class Step(StrEnum):
    """What an exit order is for. ``foreign``: reduce-only in our books, but not known as ours."""

    FIRST = "first"
    REST = "rest"
    CLOSE = "close"
    FOREIGN = "foreign"


class ExitOrder(Struct):
    """One exit from its proposal to the proof of its end.

    ``order`` is empty until the approval. ``filled`` counts the fills that were folded. ``ended``: it is
    terminal, and what is open are fills it reported that have not arrived.
    """

    step: Step
    price: int
    quantity: int
    proposed_at: int
    proposal: str = ""
    order: str = ""
    filled: int = 0
    ended: bool = False
    cancel_at: int = 0

    @property
    def open(self) -> int:
        """What it may still take from the position."""
        return max(0, self.quantity - self.filled)


class Held(Struct):
    """A position under management; kept, closed, until its market is settled.

    ``bought`` and ``paid`` sum the entry fills, ``first_sold`` what the first target sold. ``stop`` and
    ``movement`` are prices derived from them. ``target_at`` and ``close_at`` are the earliest moments of
    the next target and of the next marketable exit. ``reason`` is set once everything has to leave.
    ``opened_at``, ``proved_at``: when it was opened, and when its book was last proved; ``peak``: the highest trusted bid
    since it was opened, while a trailing stop is set.
    ``is_shared``: more than one strategy bought it. ``is_kept``: it was said that it stays until settlement.
    """

    market: str
    instrument: str
    strategy: str
    stage: PositionStage = PositionStage.OPEN
    reason: ExitReason | None = None
    bought: int = 0
    paid: int = 0
    first_sold: int = 0
    stop: int = 0
    movement: int = 0
    reference: int = 0
    reference_at: int = 0
    is_shared: bool = False
    is_kept: bool = False
    opened_at: int = 0
    peak: int = 0
    proved_at: int = 0
    target_at: int = 0
    close_at: int = 0
    orders: list[ExitOrder] = []

    @property
    def entry_price(self) -> int:
        """Average price of the entry fills, rounded down; sales do not change it."""
        return self.paid * ONE // self.bought if self.bought else 0

    @property
    def open_quantity(self) -> int:
        """What all exits together may still take: proposed, working, unknown."""
        return sum(order.open for order in self.orders)

    def order_named(self, order: str) -> ExitOrder | None:
        """The exit with this order id."""
        return next((o for o in self.orders if o.order == order), None)

    def order_of_proposal(self, proposal: str) -> ExitOrder | None:
        """The exit that this proposal of ours asked for."""
        return next((o for o in self.orders if o.proposal == proposal), None)

    def drop_ended(self) -> None:
        """Forget exits that can take nothing any more."""
        self.orders = [o for o in self.orders if not (o.ended and not o.open)]


class ExitState(Struct):
    """The whole state of the machine. ``minute`` is that of the last portfolio report, ``clock_at`` the last tick's time.

    ``peak_equity``: the highest equity while a reduction in drawdown is set; ``is_reduced``: this fall has had its own.
    """

    tape: str = ""
    params: ExitParams | None = None
    portfolio: Portfolio = field(default_factory=Portfolio)
    tops: Tops = field(default_factory=Tops)
    markets: dict[str, Market] = {}
    held: dict[str, Held] = {}
    minute: int = 0
    clock_at: int = 0
    peak_equity: int = 0
    is_reduced: bool = False
    changes: ChangeBook = field(default_factory=ChangeBook)

    def quantity(self, held: Held) -> int:
        """What is held; a short position, which no exit of ours can make, counts as none."""
        return max(0, self.portfolio.quantity(held.instrument))
