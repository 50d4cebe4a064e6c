"""From risk's memory to the facts of one order: equity, size, stakes, and what the checks compare."""

from operator import itemgetter

import msgspec

from libs.exchange.fees import fee_estimate
from libs.indicators.grid import quantity_least
from libs.sizing.joint import JointOutcome, added_stake
from libs.sizing.kelly import (
    drawdown_scale,
    kelly_fraction,
    quantity_for_stake,
    risk_fraction,
    volatility_fraction,
)
from proto.feed import FeeSchedule, Level, Market, MarketStatus, Side
from proto.message import as_integer
from proto.risk import TimeInForce
from proto.units import AMOUNT_MAX, ONE, notional, scale
from services.risk import outcomes
from services.risk.checks import (
    ACTIVE,
    ANSWER_LEVELS,
    CLOSE_ONLY,
    HALTED,
    STATUS_LEVELS,
    STATUS_UNKNOWN,
    EntryFacts,
    ExitFacts,
)
from services.risk.exposure import (
    HUNDRED,
    Leg,
    Reservation,
    WorkingOrder,
    contract_stake,
    lone_loss,
    price_step_at,
    worst_loss,
)
from services.risk.params import RiskParams
from services.risk.stakes import Counted, Stakes
from services.risk.state import BookView, State

NO_FEES = FeeSchedule()
"""Of a market nobody has heard of: its orders are refused anyway."""
RESTING = frozenset((TimeInForce.GTC, TimeInForce.GTD))
"""What an order that may wait in a venue's book asks for."""
# A constant of this module is read in 4 ns, a member of an enumeration in 90.
_BUY = Side.BUY
_NO_ORDERS: dict[str, Counted] = {}
_quantity_of = itemgetter(Level._fields.index("quantity"))
DEPTH_LEVELS = 5
"""Levels a side whose quantities add up to the depth."""


def equity(state: State, stakes: Stakes) -> int:
    """Cash and positions at the last bid seen; a position whose book was never seen counts at cost.

    Within what a message and a snapshot can carry, whatever a book says a contract is worth.
    """
    total, books = state.portfolio.cash, state.books
    for instrument, quantity, cost in stakes.priced:
        view = books.get(instrument)
        mark = None if view is None else view.mark
        if mark is None:
            total += cost
        else:
            value = notional(mark, abs(quantity))
            total += value if quantity > 0 else -value
    return as_integer(total)


def drawdown(state: State, equity_now: int) -> int:
    """Fall from the highest equity, as a fraction of it; 0 before there was any."""
    if state.peak_equity <= 0:
        return 0
    return max(state.peak_equity - equity_now, 0) * ONE // state.peak_equity


def kill_switch_level(state: State) -> int:
    """Halted, close-only or active, as the checks know it."""
    if state.halted:
        return HALTED
    return CLOSE_ONLY if state.close_only else ACTIVE


class Ground(msgspec.Struct, frozen=True, gc=False):
    """What both sizing and checks of an entry build on, worked out once a decision.

    ``drawdown``: a fraction. ``quantity_least``: the smallest entry, ours and the venue's; ``quantity_most``: what the
    book's depth lets it be. ``joint``: the ways its group can end, where something is held of it and the size asks.
    """

    market: Market | None
    equity: int
    drawdown: int
    quantity_least: int
    quantity_most: int = AMOUNT_MAX
    joint: tuple[JointOutcome, ...] = ()


def ground(
    state: State, stakes: Stakes, params: RiskParams, candidate: Reservation, equity_now: int
) -> Ground:
    """What an entry stands on, at this equity."""
    market = state.markets.get(candidate.market)
    view = state.books.get(candidate.instrument)
    crosses = view is not None and view.ask is not None and candidate.price >= view.ask
    least = least_quantity(market, params, candidate, crosses=crosses)
    most, joint = AMOUNT_MAX, tuple[JointOutcome, ...]()
    if params.depth_share_max:
        most = scale(offered(view, candidate.price), params.depth_share_max)
    if params.kelly_joint and params.sizing == "kelly" and market is not None:
        joint = outcomes.joint_outcomes(state, stakes, market, candidate, equity_now)
    return Ground(market, equity_now, drawdown(state, equity_now), least, most, joint)


def offered(view: BookView | None, price: int) -> int:
    """Contracts that the top five levels offer at a price or better; nothing by a book that is not known."""
    asks = () if view is None else view.asks[:DEPTH_LEVELS]
    return sum([level.quantity for level in asks if level.price <= price])


def size(params: RiskParams, candidate: Reservation, ground: Ground) -> tuple[int, int]:
    """Quantity and fee of an entry by the rule that is set, less in a drawdown, never over ``bet_max`` or the depth's share.

    Returns:
        (0, 0) when there is nothing to win at this price or the smallest order is too large.
    """
    price, market, least = candidate.price, ground.market, ground.quantity_least
    schedule = NO_FEES if market is None else market.fees
    cost = contract_stake(price, fee_estimate(schedule, price, HUNDRED))
    fraction = _fraction(params, candidate, ground, cost)
    fraction = scale(fraction, drawdown_scale(ground.drawdown, params.drawdown_reduce, params.drawdown_stop))
    stake = scale(max(ground.equity, 0), min(fraction, params.bet_max))
    step = market.quantity_step if market is not None else 0
    stake = min(stake, notional(cost, ground.quantity_most))
    quantity = quantity_for_stake(stake, cost, step, least)
    fee = fee_estimate(schedule, price, quantity)
    excess = notional(price, quantity) + fee - stake
    if quantity and excess > 0:
        # The fee of this size was rounded up further than that of a hundred contracts.
        quantity = quantity_for_stake(stake - excess, cost, step, least)
        fee = fee_estimate(schedule, price, quantity)
    return quantity, fee


def _fraction(params: RiskParams, candidate: Reservation, ground: Ground, cost: int) -> int:
    """The fraction of equity to stake, before drawdown and caps."""
    fair_value = candidate.fair_value
    if params.sizing == "fixed":
        return params.fixed_bet if fair_value > cost else 0
    if params.sizing == "volatility":
        return volatility_fraction(fair_value, cost, params.volatility_target)
    if params.sizing == "risk":
        return risk_fraction(fair_value, cost, candidate.price, params.risk_per_trade, params.risk_stop)
    if ground.joint and ground.equity > 0:
        # A share of Kelly is all of Kelly with that share of the wealth: what is held counts in full, so that entries one
        # after the other come to the share and not to all of Kelly.
        own = scale(ground.equity, params.kelly_share)
        spared = ground.equity - own
        rows = [outcome._replace(wealth=outcome.wealth - spared) for outcome in ground.joint]
        return added_stake(rows, cost, own) * ONE // ground.equity
    return kelly_fraction(fair_value, cost, params.kelly_share)


def least_quantity(
    market: Market | None, params: RiskParams, candidate: Reservation, *, crosses: bool
) -> int:
    """The smallest entry: ours and the venue's, which differs for what rests and what trades at once.

    ``crosses``: its price reaches the best offer, so that it trades at once even if the rest of it may wait.
    """
    venues = 0
    if market is not None:
        rests = candidate.time_in_force in RESTING
        venues = quantity_least(market, candidate.price, rests=rests, crosses=crosses or not rests)
    return max(params.quantity_min, venues, 1)


def _entry_status(state: State, market: Market) -> int:
    """The market's status for an entry. One that has paid us and is open again counts as settled.

    The books pay a purchase in it by the result that was taken back, until there is another one.
    """
    ledger = state.portfolio.ledgers.get(market.market)
    is_paid = ledger is not None and bool(ledger.payouts)
    return STATUS_LEVELS[MarketStatus.SETTLED if is_paid else market.status]


def entry_facts(
    state: State, stakes: Stakes, params: RiskParams, candidate: Reservation, now: int, ground: Ground
) -> EntryFacts:
    """What the checks of an entry compare. The candidate itself must not be reserved yet."""
    name, instrument, price, quantity = (
        candidate.market,
        candidate.instrument,
        candidate.price,
        candidate.quantity,
    )
    fee, fair_value, expires_at = candidate.fee, candidate.fair_value, candidate.expires_at
    cost = notional(price, quantity) + fee
    market = ground.market
    if market is None:
        known, status, price_step, group_loss = False, STATUS_UNKNOWN, 1, cost
        ends_at = expected_end_at = answer = 0
    else:
        known = state.market_of.get(instrument) == name
        status = _entry_status(state, market)
        price_step = price_step_at(market, price)
        group_loss = _group_loss(state, stakes, market, candidate, cost)
        ends_at, expected_end_at = market.ends_at, market.expected_end_at
        answer = ANSWER_LEVELS[market.answer]
    view = state.books.get(instrument)
    if view is None:
        bid = ask = None
        depth = book_at = 0
        gapped = True
    else:
        bid, ask, book_at, gapped = view.bid, view.ask, view.at, view.gapped
        depth = _depth(view.bids, view.asks)
    if not stakes.is_idle(name):
        market_stake = _market_stake(stakes, name)
        conflict_count = _conflicts(stakes, candidate, params.one_position_per_market)
    else:
        market_stake = conflict_count = 0
    total_stake = stakes.held_loss + stakes.reserved
    available = state.portfolio.cash - stakes.reserved
    kill_switch, buys = kill_switch_level(state), candidate.side is _BUY
    quantity_least, equity, drawdown = ground.quantity_least, ground.equity, ground.drawdown
    day_equity, day_loss = state.day_equity, state.day_loss
    position_count, approved_count = stakes.count_others(name), len(state.approved_at)
    rested_at = state.rested_at.get(name, 0)
    repeated_at = state.repeated_at.get(repeat_key(candidate), 0)
    # By place: 35 keywords take 1.6 µs, a twentieth of a decision. A test compares the names with the fields'.
    return EntryFacts(
        params,
        now,
        price,
        quantity,
        expires_at,
        known,
        kill_switch,
        status,
        price_step,
        buys,
        fair_value,
        bid,
        ask,
        depth,
        book_at,
        gapped,
        ends_at,
        expected_end_at,
        answer,
        cost,
        quantity_least,
        fee,
        equity,
        available,
        market_stake,
        total_stake,
        group_loss,
        day_equity,
        day_loss,
        drawdown,
        position_count,
        conflict_count,
        approved_count,
        rested_at,
        repeated_at,
    )


def exit_facts(
    state: State, stakes: Stakes, params: RiskParams, candidate: Reservation, now: int
) -> ExitFacts:
    """What the checks of an exit compare. The candidate itself must not be reserved yet."""
    market = state.markets.get(candidate.market)
    held = state.portfolio.quantity(candidate.instrument)
    return ExitFacts(
        params=params,
        now=now,
        price=candidate.price,
        quantity=candidate.quantity,
        expires_at=candidate.expires_at,
        known=market is not None and state.market_of.get(candidate.instrument) == candidate.market,
        kill_switch=kill_switch_level(state),
        status=STATUS_UNKNOWN if market is None else STATUS_LEVELS[market.status],
        price_step=1 if market is None else price_step_at(market, candidate.price),
        position=max(held if candidate.side is Side.SELL else -held, 0),
        closing=stakes.closing.get(candidate.instrument, 0),
    )


def repeat_key(candidate: Reservation) -> str:
    """What makes two entries the same order said twice."""
    side = "buy" if candidate.side is _BUY else "sell"
    return f"{candidate.instrument} {side} {candidate.price}"


def _depth(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> int:
    bid: int = sum(map(_quantity_of, bids[:DEPTH_LEVELS]))
    ask: int = sum(map(_quantity_of, asks[:DEPTH_LEVELS]))
    return min(bid, ask)


def _market_stake(stakes: Stakes, market: str) -> int:
    """At stake in one market before the order."""
    stake = 0
    for held in stakes.held.get(market, ()):
        stake += held.worst_loss
    for counted in stakes.orders.get(market, _NO_ORDERS).values():
        stake += counted.stake
    return stake


def _conflicts(stakes: Stakes, candidate: Reservation, one_position: bool) -> int:
    """Positions and open entries in the order's market that forbid another: all, or those of other outcomes."""
    market, instrument = candidate.market, candidate.instrument
    count = 0
    for held in stakes.held.get(market, ()):
        count += one_position or held.instrument != instrument
    for counted in stakes.orders.get(market, _NO_ORDERS).values():
        order = counted.reservation
        count += not order.reduce_only and (one_position or order.instrument != instrument)
    return count


def _group_loss(state: State, stakes: Stakes, market: Market, candidate: Reservation, cost: int) -> int:
    name, group = candidate.market, market.group
    others = stakes.related(name, group) if group else []
    buys, instrument, quantity = candidate.side is _BUY, candidate.instrument, candidate.quantity
    if buys and not others and stakes.is_idle(name):
        return lone_loss(market, instrument, quantity, cost)
    legs: list[Leg] = []
    working: list[WorkingOrder] = []
    for related in (name, *others):
        for held, position, _ in stakes.held.get(related, ()):
            legs.append(Leg(related, held, position.quantity, position.cost))
        orders = stakes.orders.get(related, _NO_ORDERS)
        working += [_working(counted.reservation) for counted in orders.values()]
    working.append(WorkingOrder(name, instrument, buys, quantity, cost))
    markets = state.markets
    return worst_loss([market, *[markets[other] for other in others]], legs, working)


def _working(reservation: Reservation) -> WorkingOrder:
    remaining = reservation.remaining
    buys = reservation.side is _BUY
    value = (
        reservation.stake if buys and not reservation.reduce_only else notional(reservation.price, remaining)
    )
    return WorkingOrder(reservation.market, reservation.instrument, buys, remaining, value)
