"""A market of the sandbox: who lists it, when it lives, what decides it, and its book."""

from dataclasses import dataclass, field
from enum import StrEnum

from libs.exchange.matching import LimitOrderBook
from libs.venues.polymarket import POLYMARKET
from proto.feed import MarketStatus, PriceStep
from proto.units import ONE

VOID = "void"
"""Result of a market that pays half to each side."""


class MarketKind(StrEnum):
    """What decides a market.

    ``UPDOWN``: Bitcoin's average at the close against that at the open. ``NEG_RISK``: one of several
    ranges in an event of which exactly one pays. ``VOID``: ends disputed and pays half to each side.
    ``QUESTION``: Bitcoin above a level at the close (Manifold).
    """

    UPDOWN = "updown"
    NEG_RISK = "neg_risk"
    VOID = "void"
    QUESTION = "question"


CENTS = (PriceStep(0, ONE // 100),)
MILLS = (PriceStep(0, ONE // 1000),)


@dataclass(slots=True, eq=False)
class SandboxMarket:
    """One market with two outcomes. Times in ns, prices in millionths, ``strike`` of a dollar.

    ``lower`` and ``upper`` bound a range of a neg-risk event (``None``: open). ``tokens`` are the ids of
    the outcomes where a venue has some (Polymarket), ``version`` its kind of position ("v1" or "v2").
    ``result``: "" until determined, then an outcome's name or "void".
    """

    id: str
    venue: str
    kind: MarketKind
    series: str
    slug: str
    title: str
    outcomes: tuple[str, str]
    window_s: int
    listed_ns: int
    open_ns: int
    close_ns: int
    price_steps: tuple[PriceStep, ...]
    event_id: str
    event_title: str = ""
    label: str = ""
    number: int = 0
    version: str = "v1"
    tokens: tuple[str, ...] = ()
    neg_risk: bool = False
    disputes: bool = False
    settlement_average_s: float = 60.0
    lower: int | None = None
    upper: int | None = None
    strike: int | None = None
    status: MarketStatus = MarketStatus.LISTED
    result: str = ""
    settlement_value: int | None = None
    closed_ns: int = 0
    determined_ns: int = 0
    settled_ns: int = 0
    last_price: int | None = None
    volume: int = 0
    open_interest: int = 0
    book: LimitOrderBook = field(default_factory=LimitOrderBook)

    @property
    def tick(self) -> int:
        """The finest price step, in millionths."""
        return min(step.step for step in self.price_steps)

    @property
    def accepts_orders(self) -> bool:
        """Polymarket takes orders from the listing on, the others from the open."""
        if self.status is MarketStatus.LISTED:
            return self.venue == POLYMARKET
        return self.status is MarketStatus.OPEN

    def step_at(self, price: int) -> int:
        """Return the price step that holds at a price."""
        return max((s for s in self.price_steps if s.start <= price), key=lambda s: s.start).step

    def is_on_grid(self, price: int) -> bool:
        """Whether an order for any outcome may have this price (in that outcome's space)."""
        return 0 < price < ONE and price % self.step_at(price) == 0

    def payout(self, outcome: int) -> int:
        """Return what one contract of an outcome pays, in millionths; 0 while undecided."""
        if self.result == VOID:
            return ONE // 2
        return ONE if self.result and self.result == self.outcomes[outcome] else 0
