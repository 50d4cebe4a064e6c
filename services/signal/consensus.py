"""Consensus: what several strategies propose on one market becomes one proposal, weighed by what each one's word was worth.

The strategies that take part propose nothing themselves while it runs: their proposals come here, as votes. Each is weighed
against the market's price by its record (``libs/forecasting/specialists.py``), which this strategy keeps itself from the
outcomes that it reads itself. Votes for opposite outcomes cancel: nothing is proposed while both stand.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Struct, field

from libs.bounded import keep_newest
from libs.config.section import amount, setting, whole
from libs.forecasting.odds import clamp_forecast
from libs.forecasting.specialists import Specialists
from libs.portfolio.payouts import did_first_happen
from proto.feed import Market, MarketStatus, Side
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND, Nanoseconds, Price
from services.signal.buying import BuyingParams, BuyingStrategy, Probability, Seconds
from services.signal.strategy import NO_PROPOSALS

MARKETS_MAX = 2_000
"""Markets with votes that stand."""


class ConsensusParams(BuyingParams):
    """Parameters of consensus; ``config/signal/consensus.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = BuyingParams.changeable | frozenset(
        ("vote_age_max_s", "votes_min")
    )

    members: tuple[str, ...] = setting((), "strategies that take part; none named: all that run beside it")
    prior_mass: Annotated[int, amount(0, 10 * ONE)] = setting(
        333_333, "what a strategy without a record counts beside the market's price, which counts 1"
    )
    votes_min: Annotated[int, whole(1, 20)] = setting(1, "fewer votes that stand propose nothing")
    vote_age_max_s: Seconds = setting(10, "an older vote stands no more")
    edge_min: Probability = setting(10_000, "smallest edge a contract after the fee, in money")


class Vote(Struct, array_like=True):
    """A strategy's newest word on a market: for which outcome, and how likely it holds the first one to be."""

    at: Nanoseconds
    outcome: int
    first: Price


class ConsensusState(Struct):
    """Votes by market and strategy, and what such votes were worth."""

    votes: dict[str, dict[str, Vote]] = field(default_factory=dict)
    record: Specialists = field(default_factory=Specialists)


class Consensus(BuyingStrategy[ConsensusParams, ConsensusState]):
    """Makes one proposal of those that other strategies make on a market, weighed by their records."""

    name: ClassVar[str] = "consensus"
    params_type = ConsensusParams
    state_type = ConsensusState

    def takes_votes_of(self, strategy: str) -> bool:
        return not self.params.members or strategy in self.params.members

    def on_votes(self, votes: Sequence[Proposal]) -> Sequence[Proposal]:
        heard = dict.fromkeys(vote.market for vote in votes if self._hear(vote))
        return [made for name in heard for made in self._propose(name)]

    def _hear(self, vote: Proposal) -> bool:
        """Whether a vote counts: for an outcome of one of two, in a market that has a price."""
        market = self.market(vote.market)
        price = self.middle(market) if market is not None else None
        if market is None or price is None or vote.side is not Side.BUY:
            return False
        outcome = int(vote.instrument != market.outcomes[0].instrument)
        first = clamp_forecast(ONE - vote.fair_value if outcome else vote.fair_value)
        self.state.votes.setdefault(vote.market, {})[vote.strategy] = Vote(self.now, outcome, first)
        keep_newest(self.state.votes, MARKETS_MAX)
        self.state.record.speak(vote.market, vote.strategy, first, price, self.params.prior_mass / ONE)
        return True

    def on_market(self, market: Market) -> Sequence[Proposal]:
        if market.status is not MarketStatus.SETTLED:
            return NO_PROPOSALS
        self.state.votes.pop(market.market, None)
        happened = did_first_happen(market)
        if happened is None:
            self.state.record.drop(market.market)
        else:
            self.state.record.settle(market.market, happened=happened)
        return NO_PROPOSALS

    def why_not_priced(self, market: Market) -> str:
        return "" if len(market.outcomes) == 2 else "it has not two outcomes"

    def _propose(self, name: str) -> Sequence[Proposal]:
        market = self.market(name)
        price = self.middle(market) if market is not None else None
        if market is None or price is None:
            return NO_PROPOSALS
        age_max = self.params.vote_age_max_s * SECOND
        standing = {
            name: vote
            for name, vote in sorted(self.state.votes[market.market].items())
            if 0 <= self.now - vote.at <= age_max
        }
        outcomes = {vote.outcome for vote in standing.values()}
        if len(standing) < self.params.votes_min or len(outcomes) != 1:
            return NO_PROPOSALS
        mixed = self.state.record.mix({name: vote.first for name, vote in standing.items()}, price)
        is_second = 1 in outcomes
        fair_value = ONE - mixed.probability if is_second else mixed.probability
        votes = (
            Evidence(f"vote_{name}", ONE - vote.first if is_second else vote.first)
            for name, vote in standing.items()
        )
        evidence = (*votes, Evidence("middle", ONE - price if is_second else price))
        instrument = market.outcomes[int(is_second)].instrument
        return self.buy(market, instrument, fair_value, mixed.share, f"{len(standing)} agree", evidence)
