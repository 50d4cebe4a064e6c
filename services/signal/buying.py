"""What strategies share that say what an outcome is worth: they buy it where it sells below that by enough after the fee."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, TypeVar

from msgspec import Struct

from libs.config.section import amount, setting, whole
from libs.exchange.fees import fee_estimate
from proto.feed import Market, MarketStatus, Side
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND, Price, later
from services.signal.strategy import NO_PROPOSALS, Strategy, StrategyParams

Probability = Annotated[int, amount(0, ONE)]
Seconds = Annotated[int, whole(1, 86_400)]


class BuyingParams(StrategyParams):
    """Parameters of every strategy that buys below its own value."""

    changeable: ClassVar[frozenset[str]] = StrategyParams.changeable | frozenset(
        ("edge_min", "price_min", "price_max", "time_to_close_min_s", "expires_s")
    )

    edge_min: Probability = setting(20_000, "smallest edge a contract after the fee, in money")
    price_min: Probability = setting(50_000, "asks below are left alone")
    price_max: Probability = setting(950_000, "asks above are left alone")
    time_to_close_min_s: Seconds = setting(120, "least time to the market's end")
    expires_s: Seconds = setting(5, "lifetime of a proposal")


Params = TypeVar("Params", bound=BuyingParams)
State = TypeVar("State", bound=Struct)


class BuyingStrategy(Strategy[Params, State]):
    """Base: a subclass says what an outcome is worth, and why."""

    def middle(self, market: Market) -> Price | None:
        """Halfway between bid and ask of the first of two outcomes; ``None`` without both, or with other outcomes."""
        top = self.top(market.outcomes[0].instrument) if len(market.outcomes) == 2 else None
        return None if top is None or top.bid is None or top.ask is None else (top.bid + top.ask) // 2

    def buy(
        self,
        market: Market,
        instrument: str,
        fair_value: Price,
        strength: int,
        reason: str,
        evidence: tuple[Evidence, ...],
    ) -> Sequence[Proposal]:
        """A proposal at the ask, if that leaves enough edge and the market enough time."""
        params, top = self.params, self.top(instrument)
        if market.status is not MarketStatus.OPEN or top is None or top.ask is None:
            return NO_PROPOSALS
        left = market.decided_at - self.now
        is_wanted = params.price_min <= top.ask <= params.price_max
        if not is_wanted or left < params.time_to_close_min_s * SECOND or not self.may_propose(instrument):
            return NO_PROPOSALS
        edge = fair_value - top.ask - fee_estimate(market.fees, top.ask, ONE)
        if edge < params.edge_min:
            return NO_PROPOSALS
        return (
            Proposal(
                strategy=self.name,
                market=market.market,
                instrument=instrument,
                side=Side.BUY,
                price=top.ask,
                fair_value=fair_value,
                edge=edge,
                strength=min(max(strength, 0), ONE),
                expires_at=later(self.now, params.expires_s * SECOND),
                reason=reason,
                evidence=evidence,
            ),
        )
