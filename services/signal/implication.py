"""Implication: markets whose outcomes imply each other must be in order, and books that contradict that are bought towards it.

Above 100,000 implies above 90,000, so the first can never be worth more. Where somebody pays more for the first than somebody
asks for the second, one of the two books is wrong, and nothing says which: both are taken for worth the closest prices that are
in order, a book counting the more the narrower it is. Each side is a proposal of its own. Only both together are safe, and no
order has two legs here: what is held of one alone is a bet that its market was the one that was wrong.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Struct, field

from libs.bounded import keep_newest
from libs.config.section import amount, setting
from libs.indicators.digital import bound_of, is_priced
from libs.indicators.ordered import never_rising
from libs.indicators.tops import Top
from proto.feed import Market, MarketStatus, Payoff
from proto.signal import Evidence, Proposal
from proto.units import ONE, Price
from services.signal.buying import BuyingParams, BuyingStrategy, Probability
from services.signal.strategy import NO_PROPOSALS

LADDERS_MAX = 500
"""Moments at which an underlying decides markets."""
RUNGS_MAX = 200
"""Markets of one such moment; venues list some dozens."""
WIDTH_MIN = ONE // 100
"""A book narrower than a cent is not believed more than one of a cent."""


class ImplicationParams(BuyingParams):
    """Parameters of implication; ``config/signal/implication.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = BuyingParams.changeable | frozenset(("gap_min", "width_max"))

    gap_min: Annotated[int, amount(ONE // 1000, ONE)] = setting(
        20_000, "how far a bid has to be above the ask of what it implies, in money"
    )
    width_max: Probability = setting(100_000, "a book with a wider spread says nothing")
    edge_min: Probability = setting(5_000, "smallest edge a contract after the fee, in money")
    price_min: Probability = setting(20_000, "asks below are left alone")
    price_max: Probability = setting(980_000, "asks above are left alone")


class Rung(NamedTuple):
    """A market of a ladder as its books stand: bid and ask of its outcome "above the strike"."""

    market: Market
    is_first: bool
    bid: Price
    ask: Price

    @property
    def weight(self) -> float:
        """How much the middle is believed: an error as wide as the book."""
        return (ONE / max(self.ask - self.bid, WIDTH_MIN)) ** 2


class ImplicationState(Struct):
    """Markets by what decides them and when."""

    ladders: dict[str, list[str]] = field(default_factory=dict)


class Implication(BuyingStrategy[ImplicationParams, ImplicationState]):
    """Buys both sides of two markets whose books contradict that one outcome implies the other."""

    name: ClassVar[str] = "implication"
    params_type = ImplicationParams
    state_type = ImplicationState

    def on_market(self, market: Market) -> Sequence[Proposal]:
        key = ladder_of(market)
        for other, names in list(self.state.ladders.items()):
            if market.market in names and (other != key or market.status is MarketStatus.SETTLED):
                names.remove(market.market)
                if not names:
                    del self.state.ladders[other]
        if key and market.status is not MarketStatus.SETTLED:
            names = self.state.ladders.setdefault(key, [])
            if market.market not in names and len(names) < RUNGS_MAX:
                names.append(market.market)
            keep_newest(self.state.ladders, LADDERS_MAX)
        return NO_PROPOSALS

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:  # noqa: ARG002 - all rungs are looked at
        market = self.market_of(instrument)
        names = self.state.ladders.get(ladder_of(market), ()) if market is not None else ()
        if len(names) < 2:
            return NO_PROPOSALS
        rungs = sorted(filter(None, map(self._rung, names)), key=lambda rung: strike_of(rung.market))
        if not self._is_contradicted(rungs):
            return NO_PROPOSALS
        middles = [(rung.bid + rung.ask) / 2 for rung in rungs]
        ordered = never_rising(middles, [rung.weight for rung in rungs])
        found: list[Proposal] = []
        for rung, middle, fair in zip(rungs, middles, ordered, strict=True):
            found += self._towards(rung, round(middle), round(fair))
        return found

    def why_not_priced(self, market: Market) -> str:
        return "" if ladder_of(market) else "nothing is known that it implies"

    def _rung(self, name: str) -> Rung | None:
        market = self.market(name)
        if market is None or market.status is not MarketStatus.OPEN:
            return None
        is_first = market.payoff is Payoff.ABOVE
        top = self.top(market.outcomes[0 if is_first else 1].instrument)
        if top is None or top.bid is None or top.ask is None:
            return None
        is_narrow = 0 < top.ask - top.bid <= self.params.width_max
        return Rung(market, is_first, top.bid, top.ask) if is_narrow else None

    def _is_contradicted(self, rungs: Sequence[Rung]) -> bool:
        """Whether somebody pays more for a higher strike than somebody asks for a lower one."""
        cheapest = ONE
        for rung in rungs:
            if rung.bid - cheapest >= self.params.gap_min:
                return True
            cheapest = min(cheapest, rung.ask)
        return False

    def _towards(self, rung: Rung, middle: Price, fair: Price) -> Sequence[Proposal]:
        """Buy the outcome that the order makes worth more than its book says."""
        if fair == middle:
            return NO_PROPOSALS
        is_above = fair > middle
        index = 0 if is_above is rung.is_first else 1
        evidence = (
            Evidence("middle", middle if is_above else ONE - middle),
            Evidence("strike", round(strike_of(rung.market))),
        )
        fair_value = fair if is_above else ONE - fair
        instrument = rung.market.outcomes[index].instrument
        return self.buy(rung.market, instrument, fair_value, ONE, "books contradict", evidence)


def ladder_of(market: Market) -> str:
    """What markets share that one figure decides: venue, underlying, moment and average; empty for any other."""
    is_one_sided = is_priced(market) and market.payoff is not Payoff.BETWEEN
    if not is_one_sided or not market.underlying or not market.ends_at or len(market.outcomes) != 2:
        return ""
    return f"{market.venue}|{market.underlying}|{market.ends_at}|{market.settlement_average_s}"


def strike_of(market: Market) -> float:
    """The figure above which the one outcome pays, and below which the other."""
    return bound_of(market, market.floor if market.payoff is Payoff.ABOVE else market.cap)
