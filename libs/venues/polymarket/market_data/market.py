"""What is known of one Polymarket market: its facts and its life; its books are in ``book.py``."""

import re

from libs.venues.frame import FrameError
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.limits import SHARE_STEP, TAKER_NOTIONAL_MIN
from libs.venues.polymarket.schemas import gamma
from libs.venues.polymarket.schemas.gamma import GammaMarket
from proto.feed import FeeSchedule, Market, MarketStatus, Outcome, Payoff, PriceStep
from proto.units import ONE, parse

TITLE_CHARACTERS_MAX = 200
"""Titles are for people; the longest seen is about 150 characters."""
NAME_CHARACTERS_MAX = 40
"""Outcome names become part of instrument names, which end at 120 characters."""

UNDERLYINGS = {
    "btc": "binance:BTCUSDT",
    "eth": "binance:ETHUSDT",
    "sol": "binance:SOLUSDT",
    "xrp": "binance:XRPUSDT",
}
"""What an up-or-down market follows, by the beginning of its slug."""
_UP_DOWN = re.compile(r"^([a-z]{2,6})-updown-(\d{1,3})([mh])-(\d{9,11})\Z")
_NOT_NAME = re.compile(r"[^a-z0-9]+")

# A market only moves forward in its life; between equals it may go back and forth.
_RANK = {
    MarketStatus.LISTED: 0,
    MarketStatus.OPEN: 1,
    MarketStatus.PAUSED: 1,
    MarketStatus.CLOSED: 2,
    MarketStatus.DETERMINED: 3,
    MarketStatus.DISPUTED: 3,
    MarketStatus.SETTLED: 4,
}


def outcome_name(text: str) -> str:
    """An outcome as part of an instrument's name: ``Up`` is ``up``, ``Los Angeles`` is ``los-angeles``.

    Raises:
        FrameError: for one that leaves no name.
    """
    name = _NOT_NAME.sub("-", text.casefold()).strip("-")[:NAME_CHARACTERS_MAX]
    if not name:
        raise FrameError(f"expected an outcome with letters or digits, was {text[:40]!r}")
    return name


class PolymarketMarket:
    """One market. Times in nanoseconds, ``tick`` and ``strike`` in millionths."""

    __slots__ = (
        "average_s",
        "close_at",
        "condition",
        "fees",
        "group",
        "market",
        "names",
        "neg_risk",
        "open_at",
        "result",
        "size_min",
        "status",
        "strike",
        "symbol",
        "tick",
        "tick_told",
        "title",
        "tokens",
        "told",
        "underlying",
    )

    def __init__(self, condition: str) -> None:
        self.condition = condition
        self.market = f"{POLYMARKET}:{condition}"
        self.names: tuple[str, ...] = ()
        self.tokens: tuple[str, ...] = ()
        self.status: MarketStatus | None = None
        self.title = ""
        self.underlying = ""
        self.symbol = ""
        self.strike: int | None = None
        self.average_s = 0
        self.open_at = 0
        self.close_at = 0
        self.fees = FeeSchedule()
        self.tick = ""
        self.tick_told = False
        self.size_min = ""
        self.neg_risk: bool | None = None
        self.group = ""
        self.result = ""
        self.told: Market | None = None

    def instrument(self, index: int) -> str:
        """The instrument of an outcome."""
        return f"{self.market}:{self.names[index]}"

    @property
    def window(self) -> bool:
        """Whether it is an up-or-down market: those end by the clock."""
        return bool(self.symbol)

    def advance(self, status: MarketStatus) -> None:
        """Go to a later (or equal) stage of life; an earlier one is ignored."""
        if self.status is None or _RANK[status] >= _RANK[self.status]:
            self.status = status

    @property
    def over(self) -> bool:
        """Whether trading has ended for good."""
        return self.status is not None and _RANK[self.status] >= _RANK[MarketStatus.CLOSED]

    def facts(self, at: int) -> Market:
        """The complete market message."""
        return Market(
            market=self.market,
            venue=POLYMARKET,
            at=at,
            status=self.status or MarketStatus.LISTED,
            outcomes=tuple(Outcome(name, self.instrument(i)) for i, name in enumerate(self.names)),
            title=self.title,
            underlying=self.underlying,
            strike=self.strike,
            # A window pays up when the price ends at its start or above it.
            payoff=Payoff.ABOVE if self.window else Payoff.UNKNOWN,
            floor=self.strike,
            open_at=self.open_at,
            close_at=self.close_at,
            settlement_average_s=self.average_s,
            price_steps=(PriceStep(0, parse(self.tick)),) if self.tick else (),
            quantity_step=SHARE_STEP,
            quantity_min=parse(self.size_min) if self.size_min else 0,
            taker_notional_min=TAKER_NOTIONAL_MIN,
            fees=self.fees,
            group=self.group,
            result=self.result,
        )


class PolymarketListing:
    """One Gamma market, read and checked, before anything is changed by it."""

    def __init__(self, body: GammaMarket, neg_risk_group: str = "") -> None:
        """Read a body.

        Raises:
            FrameError: for fields that are not what they should be.
        """
        self.condition = body.conditionId
        outcomes = gamma.strings(body.outcomes, "outcomes")
        tokens = gamma.strings(body.positionIds, "positions") if body.version == "v2" else []
        self.tokens = tuple(tokens or gamma.strings(body.clobTokenIds, "tokens"))
        self.names = tuple(outcome_name(text) for text in outcomes)
        if len(set(self.names)) != len(self.names) or len(set(self.tokens)) != len(self.tokens):
            raise FrameError(f"expected outcomes and tokens each once, was {self.names!r}"[:200])
        self.tradable = bool(self.tokens) and len(self.tokens) == len(self.names) >= 2
        if not all(token.isdecimal() and token.isascii() and len(token) <= 78 for token in self.tokens):
            raise FrameError("expected tokens of digits, was something else")
        self.title = "".join(c for c in body.question or "" if c.isprintable())[:TITLE_CHARACTERS_MAX]
        self.fees = gamma.fees_of(body)
        self.tick = gamma.text_of(body.orderPriceMinTickSize)
        if self.tick and not 0 < gamma.number(body.orderPriceMinTickSize, "tick") < ONE:
            raise FrameError(f"expected a tick between 0 and 1, was {self.tick[:40]}")
        self.size_min = gamma.text_of(body.orderMinSize)
        gamma.number(body.orderMinSize, "minimum size")
        self.neg_risk = body.negRisk
        group = neg_risk_group or body.negRiskMarketID or ""
        self.group = f"{POLYMARKET}:{group[:100]}" if body.negRisk and group else ""
        window = _UP_DOWN.match(body.slug or "")
        self.symbol = window[1] if window else ""
        starts_at = gamma.nanoseconds(body.eventStartTime)
        self.open_at = starts_at or gamma.nanoseconds(body.startDate)
        self.close_at = gamma.nanoseconds(body.endDate)
        self.average_s = (
            60 if window and body.cryptoMarketConfig and body.cryptoMarketConfig.twapEnabled else 0
        )
        self.result = gamma.result_of(body, list(self.names))
        self.status = _status(body, self.result)

    def apply(self, market: PolymarketMarket) -> None:
        """Take over what the body says."""
        market.names, market.tokens, market.title = self.names, self.tokens, self.title
        market.fees, market.size_min, market.neg_risk = self.fees, self.size_min, self.neg_risk
        market.group = self.group or market.group
        market.symbol, market.underlying = self.symbol, UNDERLYINGS.get(self.symbol, "")
        market.average_s = self.average_s
        market.open_at, market.close_at = self.open_at, self.close_at
        # The socket tells a change of tick at once; Gamma's copy of it is late.
        if self.tick and not market.tick_told:
            market.tick = self.tick
        market.result = self.result or market.result
        # Not accepting orders is a pause for a market that did before, else it has not begun.
        begun = market.status is not None and market.status is not MarketStatus.LISTED
        waits = self.status is MarketStatus.LISTED
        market.advance(MarketStatus.PAUSED if begun and waits else self.status)


def _status(body: GammaMarket, result: str) -> MarketStatus:
    """Return the status that a body gives a market."""
    if body.closed or body.archived:
        return MarketStatus.SETTLED if result else MarketStatus.CLOSED
    if body.umaResolutionStatus == "disputed":
        return MarketStatus.DISPUTED
    if body.umaResolutionStatus in ("proposed", "resolved"):
        return MarketStatus.DETERMINED
    return MarketStatus.OPEN if body.acceptingOrders and body.active is not False else MarketStatus.LISTED
