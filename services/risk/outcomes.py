"""The ways markets can end, with their books' probabilities: for sizes that know what is held, and for its tail."""

from itertools import chain

from libs.forecasting.families import coin_of
from libs.portfolio.tail import Bet, Ending, tail_of
from libs.sizing.joint import JointOutcome
from proto.feed import Market, Payoff, Side
from proto.units import ONE, notional
from services.risk.exposure import Reservation
from services.risk.params import RiskParams
from services.risk.stakes import Stakes
from services.risk.state import State

PAIR = 2
"""Outcomes of a market: the first pays, or the second does."""


def middle_of(state: State, instrument: str) -> int | None:
    """The middle of an instrument's book; one side alone, or what was bid last, where there is no other."""
    view = state.books.get(instrument)
    if view is None:
        return None
    if view.bid is not None and view.ask is not None:
        return (view.bid + view.ask) // 2
    return view.ask if view.bid is None and view.mark is None else view.mark


def first_chance(state: State, market: Market) -> int:
    """The market's probability of a pair's first outcome, in millionths; a half where no book says anything."""
    first, second = (outcome.instrument for outcome in market.outcomes)
    middle = middle_of(state, first)
    if middle is None:
        other = middle_of(state, second)
        middle = ONE // 2 if other is None else ONE - other
    return min(max(middle, 0), ONE)


def joint_outcomes(
    state: State, stakes: Stakes, market: Market, candidate: Reservation, equity: int
) -> tuple[JointOutcome, ...]:
    """Every way the candidate's group can end, and wealth then; empty where nothing of it is held or ordered.

    In the candidate's own market the probability is its fair value, in the others the middle of their books, made less
    where they would not fit beside it. Working orders count as filled.
    """
    names = [market.market, *(stakes.related(market.market, market.group) if market.group else [])]
    markets = [state.markets[name] for name in names]
    is_alone = len(names) == 1 and stakes.is_idle(market.market)
    if is_alone or any(len(known.outcomes) != PAIR for known in markets):
        return ()
    chances = _chances(state, markets, candidate)
    firsts = _firsts(markets)
    base, holdings = _holdings(state, stakes, names, equity)
    found: list[JointOutcome] = []
    # One market pays its first outcome and the others their second; or all pay their second.
    for index, chance in enumerate([*chances, ONE - sum(chances)]):
        winner = markets[index].outcomes[0].instrument if index < len(markets) else ""
        wealth = base + _payoff(holdings, firsts, winner)
        found.append(JointOutcome(chance, wealth, _pays(candidate.instrument, firsts, winner)))
    return tuple(found)


def _chances(state: State, markets: list[Market], candidate: Reservation) -> list[int]:
    """Probability of each market's first outcome; together at most 1, for at most one of them comes."""
    own = min(max(candidate.fair_value, 0), ONE)
    if candidate.instrument != markets[0].outcomes[0].instrument:
        own = ONE - own
    others = [first_chance(state, known) for known in markets[1:]]
    room, wanted = ONE - own, sum(others)
    if wanted > room:
        others = [chance * room // wanted for chance in others]
    return [own, *others]


def _holdings(
    state: State, stakes: Stakes, names: list[str], equity: int, *, with_orders: bool = True
) -> tuple[int, list[tuple[str, int]]]:
    """Wealth without what these markets hold or may still buy, and the contracts of both."""
    base, holdings = equity, list[tuple[str, int]]()
    for held in chain.from_iterable(stakes.held.get(name, ()) for name in names):
        quantity = held.position.quantity
        view = state.books.get(held.instrument)
        mark = None if view is None else view.mark
        base -= held.position.cost if mark is None else notional(mark, quantity)
        holdings.append((held.instrument, quantity))
    if not with_orders:
        return base, holdings
    for counted in chain.from_iterable(stakes.orders.get(name, {}).values() for name in names):
        order = counted.reservation
        if not order.reduce_only and order.side is Side.BUY:
            base -= counted.stake
            holdings.append((order.instrument, order.remaining))
    return base, holdings


# ── what all positions may lose ──


def direction_of(market: Market, instrument: str) -> int:
    """1 if an outcome pays when the price that decides rises, -1 when it falls, 0 where that cannot be said."""
    rises = {Payoff.ABOVE: 1, Payoff.BELOW: -1}.get(market.payoff, 0)
    if len(market.outcomes) != PAIR:
        return 0
    return rises if instrument == market.outcomes[0].instrument else -rises


def measure(state: State, stakes: Stakes, params: RiskParams) -> None:
    """Bring value at risk and expected shortfall up to now, where a limit asks for them.

    Kept in the state: between two measurements a machine made from a snapshot must decide by the same figures.
    """
    if params.var_max == params.shortfall_max == ONE:
        state.value_at_risk = state.expected_shortfall = 0
        return
    found = tail_of(bets_of(state, stakes), params.tail_confidence, params.asset_correlation)
    state.value_at_risk, state.expected_shortfall = found


def bets_of(state: State, stakes: Stakes) -> list[Bet]:
    """What is held, as bets that end: a market by itself, or all held markets of a group together."""
    groups: dict[str, list[str]] = {}
    for name in stakes.held:
        known = state.markets.get(name)
        groups.setdefault((known.group if known is not None else "") or name, []).append(name)
    return [_bet(state, stakes, names) for names in groups.values()]


def _bet(state: State, stakes: Stakes, names: list[str]) -> Bet:
    """The endings of a group: each of its held markets pays its first outcome, or none does."""
    value, holdings = _holdings(state, stakes, names, 0, with_orders=False)
    markets = [state.markets[name] for name in names if name in state.markets]
    if len(markets) < len(names) or any(len(known.outcomes) != PAIR for known in markets):
        # Nobody knows how it ends: all of it is lost.
        return Bet((Ending(ONE, -value),))
    chances = [first_chance(state, known) for known in markets]
    if sum(chances) > ONE:
        chances = [chance * ONE // sum(chances) for chance in chances]
    firsts, winners = _firsts(markets), [known.outcomes[0].instrument for known in markets]
    endings: list[Ending] = []
    for chance, winner in zip([*chances, ONE - sum(chances)], [*winners, ""], strict=True):
        endings.append(Ending(chance, -value - _payoff(holdings, firsts, winner)))
    asset = coin_of(markets[0]) if len(markets) == 1 else ""
    return Bet(tuple(endings), asset, direction_of(markets[0], winners[0]) if asset else 0)


def _firsts(markets: list[Market]) -> dict[str, str]:
    """Instrument → the first outcome's instrument of its own market."""
    return {
        outcome.instrument: known.outcomes[0].instrument for known in markets for outcome in known.outcomes
    }


def _pays(instrument: str, firsts: dict[str, str], winner: str) -> bool:
    """Whether a contract pays if this first outcome comes, or none: a second pays unless its own market's first does."""
    first = firsts.get(instrument, instrument)
    return (instrument == first) == (first == winner)


def _payoff(holdings: list[tuple[str, int]], firsts: dict[str, str], winner: str) -> int:
    return sum(quantity for instrument, quantity in holdings if _pays(instrument, firsts, winner))
