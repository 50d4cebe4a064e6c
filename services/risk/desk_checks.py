"""Checks of an entry that apply where their limit is set; ``checks.py`` has those that always do.

A check here has a condition beside it: with its limit at the value that ``config/risk.yaml`` calls off, it is neither
evaluated nor listed, so a decision costs and says what it did without it. Each is a pure function of the scene: risk's
memory, the candidate, and the facts that the other checks compare. None of them is ever asked about an exit.
"""

from collections.abc import Callable
from math import isqrt
from typing import Final, NamedTuple

from libs.forecasting.families import coin_of, family_of
from proto.feed import Market
from proto.ids import venue_of
from proto.units import ONE, SECOND
from services.risk.checks import CheckResult, EntryFacts
from services.risk.exposure import Reservation
from services.risk.outcomes import direction_of
from services.risk.params import RiskParams
from services.risk.stakes import HeldPosition, Stakes
from services.risk.state import State

PAPER = "paper"
"""Whose account pays for all venues where nothing is sent to any."""
HOUR: Final = 3_600 * SECOND
HOURS: Final = 24


class Scene(NamedTuple):
    """What stands around an entry that is decided: it is not reserved yet."""

    state: State
    stakes: Stakes
    candidate: Reservation
    entry: EntryFacts

    @property
    def params(self) -> RiskParams:
        """The limits."""
        return self.entry.params


DeskCheck = Callable[[Scene], CheckResult]
Key = Callable[[State, str], str]
"""What a market belongs to: its venue, its asset, its family."""


# ── when ──


def market_age(scene: Scene) -> CheckResult:
    """The market has been open for so long; one whose opening is not known has not."""
    limit = scene.params.market_age_min_s
    market = scene.state.markets.get(scene.candidate.market)
    opened_at = 0 if market is None else market.open_at
    age = max(scene.entry.now - opened_at, 0) if opened_at else 0
    return "market_age_s", limit, age // SECOND, age >= limit * SECOND


def trading_hours(scene: Scene) -> CheckResult:
    """The hour of the day in UTC is one of those in which entries are made; the limit shown is the first of them."""
    first, end = scene.params.hour_first, scene.params.hour_end
    hour = scene.entry.now // HOUR % HOURS
    is_within = first <= hour < end if first < end else hour >= first or hour < end
    return "trading_hours", first * ONE, hour * ONE, is_within


# ── at stake, of equity ──


def venue_stake(scene: Scene) -> CheckResult:
    """At stake at the market's venue, with this order."""
    return _stake_check("venue_stake", scene, scene.params.venue_stake_max, _venue)


def asset_stake(scene: Scene) -> CheckResult:
    """At stake on the price of one coin or share, with this order; on markets that no price decides it is nothing."""
    if not asset_of(scene.state, scene.candidate.market):
        return "asset_stake", _share(scene, scene.params.asset_stake_max), 0, True
    return _stake_check("asset_stake", scene, scene.params.asset_stake_max, asset_of)


def family_stake(scene: Scene) -> CheckResult:
    """At stake in markets of one family (``btc-above-15m``), with this order."""
    return _stake_check("family_stake", scene, scene.params.family_stake_max, _family)


def strategy_stake(scene: Scene) -> CheckResult:
    """At stake for the strategy, with this order. Contracts of nobody's known strategy count for each."""
    strategy, stakes, lots_of = scene.candidate.strategy, scene.stakes, scene.state.lots
    stake = scene.entry.cost
    for positions in stakes.held.values():
        for held in positions:
            stake += _strategy_part(held, lots_of.get(held.instrument, {}), strategy)
    for orders in stakes.orders.values():
        for counted in orders.values():
            if counted.reservation.strategy == strategy:
                stake += counted.stake
    limit = _share(scene, scene.params.strategy_stake_max)
    return "strategy_stake", limit, stake, stake <= limit


def _strategy_part(held: HeldPosition, lots: dict[str, int], strategy: str) -> int:
    """The part of a position's worst loss that a strategy answers for, rounded up."""
    quantity = abs(held.position.quantity)
    others = sum(lots.values()) - lots.get(strategy, 0)
    mine = max(quantity - others, 0)
    return -(-held.worst_loss * mine // quantity) if quantity else 0


def _share(scene: Scene, fraction: int) -> int:
    return max(scene.entry.equity, 0) * fraction // ONE


def _stake_check(name: str, scene: Scene, fraction: int, key: Key) -> CheckResult:
    stake = scene.entry.cost + stake_in(scene, key)
    limit = _share(scene, fraction)
    return name, limit, stake, stake <= limit


def stake_in(scene: Scene, key: Key) -> int:
    """At stake in all markets with the candidate's key, before it."""
    state, stakes = scene.state, scene.stakes
    mine = key(state, scene.candidate.market)
    stake = 0
    for market, positions in stakes.held.items():
        if key(state, market) == mine:
            for held in positions:
                stake += held.worst_loss
    for market, orders in stakes.orders.items():
        if key(state, market) == mine:
            for counted in orders.values():
                stake += counted.stake
    return stake


def _venue(_state: State, market: str) -> str:
    return venue_of(market)


def asset_of(state: State, market: str) -> str:
    """The coin or share whose price decides a market; empty without one."""
    known: Market | None = state.markets.get(market)
    return "" if known is None else coin_of(known)


def _family(state: State, market: str) -> str:
    known = state.markets.get(market)
    return "" if known is None else family_of(known)


# ── the tail ──


def correlated_stake(scene: Scene) -> CheckResult:
    """At stake with this order, what moves together counted together."""
    stakes, candidate = scene.stakes, scene.candidate
    rows = [(candidate.market, candidate.instrument, scene.entry.cost)]
    for market, positions in stakes.held.items():
        rows += [(market, held.instrument, held.worst_loss) for held in positions]
    for market, orders in stakes.orders.items():
        rows += [(market, counted.reservation.instrument, counted.stake) for counted in orders.values()]
    total = 0
    for index, row in enumerate(rows):
        total += row[2] * row[2] * ONE
        for other in rows[:index]:
            total += 2 * row[2] * other[2] * _correlation(scene, row[:2], other[:2])
    value, limit = isqrt(max(total, 0) // ONE), _share(scene, scene.params.correlated_stake_max)
    return "correlated_stake", limit, value, value <= limit


def _correlation(scene: Scene, one: tuple[str, str], other: tuple[str, str]) -> int:
    """Of two outcomes, in millionths: a market and an instrument each."""
    if one[0] == other[0]:
        return ONE if one[1] == other[1] else -ONE
    state = scene.state
    asset = asset_of(state, one[0])
    if not asset or asset != asset_of(state, other[0]):
        return 0
    # Where it cannot be said which way an outcome goes, it goes with the others.
    signs = [direction_of(state.markets[market], instrument) or 1 for market, instrument in (one, other)]
    return scene.params.asset_correlation * signs[0] * signs[1]


def value_at_risk(scene: Scene) -> CheckResult:
    """The positions' value at risk when last measured; open orders and this one count as lost."""
    value = scene.state.value_at_risk + scene.stakes.reserved + scene.entry.cost
    limit = _share(scene, scene.params.var_max)
    return "value_at_risk", limit, value, value <= limit


def expected_shortfall(scene: Scene) -> CheckResult:
    """The positions' expected shortfall when last measured; open orders and this one count as lost."""
    value = scene.state.expected_shortfall + scene.stakes.reserved + scene.entry.cost
    limit = _share(scene, scene.params.shortfall_max)
    return "expected_shortfall", limit, value, value <= limit


# ── money and orders ──


def venue_cash(scene: Scene) -> CheckResult:
    """The cash at the market's own venue, less what orders there have reserved, pays for it.

    Where the only deposits are paper's, which has one cash for all, it is all cash that is free. Where there are others and
    none of this venue is known yet, it is nothing.
    """
    state, entry = scene.state, scene.entry
    venue = venue_of(scene.candidate.market)
    available = entry.available
    cash = state.cash_by_venue.get(venue)
    if cash is not None:
        reserved = 0
        for market, orders in scene.stakes.orders.items():
            if venue_of(market) == venue:
                for counted in orders.values():
                    reserved += counted.stake
        available = cash - reserved
    elif set(state.cash_by_venue) != {PAPER} and (state.cash_by_venue or len(state.portfolio.accounts) > 1):
        available = 0
    return "venue_cash", available, entry.cost, entry.cost <= available


def self_trade(scene: Scene) -> CheckResult:
    """It would not trade with an order of our own: an exit that sells at its price, or a purchase of the other outcome.

    Both outcomes of two share one book: who buys YES at 0.60 sells NO at 0.40.
    """
    candidate = scene.candidate
    market = scene.state.markets.get(candidate.market)
    is_pair = market is not None and len(market.outcomes) == 2
    crossing = 0
    for counted in scene.stakes.orders.get(candidate.market, {}).values():
        order = counted.reservation
        is_same = order.instrument == candidate.instrument
        sells = is_same and order.side is not candidate.side and order.price <= candidate.price
        covers = (
            not is_same and is_pair and order.side is candidate.side and order.price + candidate.price >= ONE
        )
        if sells or covers:
            crossing += order.remaining
    return "self_trade", 0, crossing, crossing == 0


# ── what happened lately ──


def loss_streak(scene: Scene) -> CheckResult:
    """Fewer trades than that were lost in a row, or the last loss is so long ago that another may be tried."""
    limit, state = scene.params.loss_streak_max_count, scene.state
    is_rested = scene.entry.now - state.loss_at >= scene.params.loss_streak_rest_s * SECOND
    return "loss_streak_count", limit, state.loss_streak, state.loss_streak < limit or is_rested


def anomaly(scene: Scene) -> CheckResult:
    """Nothing unusual since the last resume: 1 a fill far from the book, 2 one beyond its approval, 3 a sudden loss."""
    level = scene.state.anomaly * ONE
    return "anomaly", 0, level, level == 0


class Optional(NamedTuple):
    """A check and whether its limit is set."""

    check: DeskCheck
    is_on: Callable[[RiskParams], bool]


DESK_CHECKS: Final[tuple[Optional, ...]] = (
    Optional(market_age, lambda params: params.market_age_min_s > 0),
    Optional(trading_hours, lambda params: params.hour_end - params.hour_first != HOURS),
    Optional(venue_stake, lambda params: params.venue_stake_max < ONE),
    Optional(asset_stake, lambda params: params.asset_stake_max < ONE),
    Optional(family_stake, lambda params: params.family_stake_max < ONE),
    Optional(strategy_stake, lambda params: params.strategy_stake_max < ONE),
    Optional(correlated_stake, lambda params: params.correlated_stake_max < ONE),
    Optional(value_at_risk, lambda params: params.var_max < ONE),
    Optional(expected_shortfall, lambda params: params.shortfall_max < ONE),
    Optional(venue_cash, lambda params: params.venue_cash_apart),
    Optional(self_trade, lambda params: params.self_trade_refused),
    Optional(loss_streak, lambda params: params.loss_streak_max_count > 0),
    Optional(anomaly, lambda params: params.anomaly_stop),
)


def checks_set(params: RiskParams) -> tuple[DeskCheck, ...]:
    """The checks whose limits are set, in their order."""
    return tuple(check for check, is_on in DESK_CHECKS if is_on(params))
