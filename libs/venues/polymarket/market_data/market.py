"""What is known of one Polymarket market: its facts and its life; its books are in ``book.py``."""

import re

from libs.bounded import clip, cut
from libs.venues.frame import FrameError
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.limits import SHARE_STEP, TAKER_NOTIONAL_MIN
from libs.venues.polymarket.schemas import gamma
from libs.venues.polymarket.schemas.gamma import GammaMarket
from proto.feed import Answer, FeeSchedule, Market, MarketStatus, Outcome, Payoff, PriceStep
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
"""What an up-or-down market follows, by its coin."""
COINS = {"bitcoin": "btc", "ethereum": "eth", "solana": "sol", "xrp": "xrp"}
"""Coins as hourly and daily up-or-down markets write them."""
_UP_DOWN = re.compile(r"^([a-z]{2,6})-updown-(\d{1,3})([mh])-(\d{9,11})\Z")
# Decided by Binance's candle of the hour or day: its beginning is in none of the streams that are read here.
_NAMED_UP_DOWN = re.compile(rf"^({'|'.join(COINS)})-up-or-down-(?:on-)?[a-z]{{3,9}}-\d{{1,2}}(?:-|\Z)")
_NOT_NAME = re.compile(r"[^a-z0-9]+")

OVER = (MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.DISPUTED, MarketStatus.SETTLED)
"""Nothing trades: the venue has closed the market, or takes no orders while an answer stands."""
_FINAL_RANK = dict(zip(OVER, (0, 1, 1, 2), strict=True))


def outcome_name(text: str) -> str:
    """An outcome as part of an instrument's name: ``Up`` is ``up``, ``Los Angeles`` is ``los-angeles``.

    Raises:
        FrameError: for one that leaves no name.
    """
    name = cut(_NOT_NAME.sub("-", text.casefold()).strip("-"), NAME_CHARACTERS_MAX)
    if not name:
        raise FrameError(f"expected an outcome with letters or digits, was {clip(text, 40)!r}")
    return name


class PolymarketMarket:
    """One market. Times in nanoseconds, ``tick`` and ``strike`` in millionths."""

    __slots__ = (
        "answer",
        "average_s",
        "clears_at",
        "close_at",
        "condition",
        "ended_at",
        "expected_end_at",
        "fees",
        "group",
        "is_final",
        "is_up_down",
        "market",
        "names",
        "neg_risk",
        "open_at",
        "result",
        "size_min",
        "status",
        "strike",
        "symbol",
        "taker_delay_ms",
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
        self.expected_end_at = 0
        # When trading ended; ``is_final``: by the venue's own word or a window's clock, and for good.
        self.ended_at = 0
        self.is_final = False
        self.is_up_down = False
        self.answer = Answer.NONE
        self.taker_delay_ms = 0
        # When the venue cancels all that rests, because the game begins; 0 when it does not, or has.
        self.clears_at = 0
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

    def move(self, status: MarketStatus, at: int) -> None:
        """Go to a stage of life; what ended for good only goes on to its result: lists may be behind.

        A market that takes no orders while an answer stands may take them again: the question is asked anew.
        """
        if self.is_final and _FINAL_RANK.get(status, -1) < _FINAL_RANK[self.status or MarketStatus.CLOSED]:
            return
        self.status = status
        self.ended_at = (self.ended_at or at) if self.over else 0

    def end(self, status: MarketStatus, at: int) -> None:
        """Trading has ended for good at ``at``, closed or settled."""
        if not self.is_final:
            self.ended_at = at
            self.status = self.status if self.over else MarketStatus.CLOSED
            self.is_final = True
        self.move(status, at)

    @property
    def over(self) -> bool:
        """Whether nothing trades."""
        return self.status in OVER

    @property
    def payoff(self) -> Payoff:
        """A window pays up when the price ends at its strike or above; another market is about an event.

        The strike of windows by the hour or day is the beginning of a candle that nothing here reads: unknown.
        """
        if self.symbol:
            return Payoff.ABOVE
        return Payoff.UNKNOWN if self.is_up_down else Payoff.EVENT

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
            payoff=self.payoff,
            floor=self.strike,
            expected_end_at=self.expected_end_at,
            ended_at=self.ended_at,
            answer=self.answer,
            taker_delay_ms=self.taker_delay_ms,
            clears_at=self.clears_at,
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
            raise FrameError(clip(f"expected outcomes and tokens each once, was {self.names!r}", 200))
        # The placeholder of an augmented event stands for outcomes that are still to be listed: nobody's to trade.
        self.tradable = (
            not body.negRiskOther and bool(self.tokens) and len(self.tokens) == len(self.names) >= 2
        )
        self.is_active = body.active is not False
        if not all(token.isdecimal() and token.isascii() and len(token) <= 78 for token in self.tokens):
            raise FrameError("expected tokens of digits, was something else")
        self.title = cut("".join(c for c in body.question or "" if c.isprintable()), TITLE_CHARACTERS_MAX)
        self.fees = gamma.fees_of(body)
        self.tick = gamma.text_of(body.orderPriceMinTickSize)
        if self.tick and not 0 < gamma.number(body.orderPriceMinTickSize, "tick") < ONE:
            raise FrameError(f"expected a tick between 0 and 1, was {clip(self.tick, 40)}")
        self.size_min = gamma.text_of(body.orderMinSize)
        gamma.number(body.orderMinSize, "minimum size")
        self.neg_risk = body.negRisk
        group = neg_risk_group or body.negRiskMarketID or ""
        self.group = f"{POLYMARKET}:{cut(group, 100)}" if body.negRisk and group else ""
        window = _UP_DOWN.match(body.slug or "")
        named = _NAMED_UP_DOWN.match(body.slug or "")
        self.symbol = window[1] if window else ""
        self.underlying = UNDERLYINGS.get(COINS[named[1]] if named else self.symbol, "")
        self.is_up_down = window is not None or named is not None
        starts_at = gamma.nanoseconds(body.eventStartTime)
        self.open_at = starts_at or gamma.nanoseconds(body.startDate)
        # When the answer is expected. Only windows that carry the second of their start end by the clock; all others,
        # those by the day or hour too, trade until the venue closes them.
        self.expected_end_at = gamma.nanoseconds(body.endDate)
        self.close_at = self.expected_end_at if window else 0
        self.ended_at = gamma.nanoseconds(body.closedTime) if body.closed else 0
        self.is_final = bool(body.closed or body.archived)
        self.answer = gamma.answer_of(body)
        self.taker_delay_ms = gamma.taker_delay_ms(body)
        self.clears_at = gamma.nanoseconds(body.gameStartTime) if body.clearBookOnStart else 0
        self.average_s = (
            60 if window and body.cryptoMarketConfig and body.cryptoMarketConfig.twapEnabled else 0
        )
        self.result = gamma.result_of(body, list(self.names))
        self.status = _status(body, self.result, self.answer)

    def apply(self, market: PolymarketMarket, at: int) -> None:
        """Take over what the body says, received ``at``."""
        market.names, market.tokens, market.title = self.names, self.tokens, self.title
        market.fees, market.size_min, market.neg_risk = self.fees, self.size_min, self.neg_risk
        market.group = self.group or market.group
        market.symbol, market.underlying = self.symbol, self.underlying
        market.is_up_down, market.average_s = self.is_up_down, self.average_s
        market.open_at, market.close_at = self.open_at, self.close_at
        market.expected_end_at, market.taker_delay_ms = self.expected_end_at, self.taker_delay_ms
        market.clears_at = self.clears_at if self.clears_at > at else 0
        if not self.is_final or self.result:
            market.answer = self.answer
        # The socket tells a change of tick at once; Gamma's copy of it is late.
        if self.tick and not market.tick_told:
            market.tick = self.tick
        market.result = self.result or market.result
        if self.is_final:
            market.end(self.status, min(self.ended_at or at, at))
            return
        # Not accepting orders is a pause for a market that did before, else it has not begun.
        begun = market.status is not None and market.status is not MarketStatus.LISTED
        waits = self.status is MarketStatus.LISTED
        market.move(MarketStatus.PAUSED if begun and waits else self.status, at)


def _status(body: GammaMarket, result: str, answer: Answer) -> MarketStatus:
    """The stage of life that a body tells. An answer alone ends nothing: such markets trade for months."""
    if body.closed or body.archived:
        return MarketStatus.SETTLED if result else MarketStatus.CLOSED
    if body.acceptingOrders and body.active is not False:
        return MarketStatus.OPEN
    if answer is Answer.NONE:
        return MarketStatus.LISTED
    return MarketStatus.DISPUTED if answer is Answer.DISPUTED else MarketStatus.DETERMINED
