"""From risk's memory to the facts of one order: equity, size, stakes, and what the checks compare."""

import msgspec

from libs.exchange.fees import fee_estimate
from libs.indicators.grid import is_dust, quantity_least
from libs.portfolio.position import Position
from libs.sizing.kelly import drawdown_scale, kelly_fraction, quantity_for_stake
from proto.feed import FeeSchedule, Level, Market, MarketStatus, Side
from proto.message import as_integer
from proto.risk import TimeInForce
from proto.units import ONE, notional, scale
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
    price_step_at,
    worst_loss,
)
from services.risk.params import RiskParams
from services.risk.state import State

NO_FEES = FeeSchedule()
"""Of a market nobody has heard of: its orders are refused anyway."""
RESTING = frozenset((TimeInForce.GTC, TimeInForce.GTD))
"""What an order that may wait in a venue's book asks for."""
# A constant of this module is read in 4 ns, a member of an enumeration in 90.
_BUY = Side.BUY
Held = list[tuple[str, str, Position]]
"""(market, instrument, position) of every open position."""
Orders = list[tuple[Reservation, int]]
"""Orders that may still fill, each with its stake."""
DEPTH_LEVELS = 5
"""Levels a side whose quantities add up to the depth."""


def equity(state: State) -> int:
    """Cash and positions at the last bid seen; a position whose book was never seen counts at cost.

    Within what a message and a snapshot can carry, whatever a book says a contract is worth.
    """
    portfolio, books = state.portfolio, state.books
    if not portfolio.open:
        return portfolio.cash
    marks = {}
    for instrument in portfolio.open:
        view = books.get(instrument)
        if view is not None:
            marks[instrument] = view.mark
    return as_integer(portfolio.equity(marks))


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


def reserved(state: State) -> int:
    """Money that open entries, unknown and waiting ones included, may still take."""
    return sum(reservation.stake for reservation in state.reservations.values())


def open_entries(state: State) -> list[Reservation]:
    """Reserved orders that may still open or enlarge a position."""
    return [r for r in state.reservations.values() if not r.reduce_only and r.remaining]


def exposure(state: State) -> int:
    """At stake in all: positions at cost, and reserved orders."""
    return sum([position.worst_loss for _, _, position in open_positions(state)]) + reserved(state)


class Ground(msgspec.Struct, frozen=True, gc=False):
    """What both sizing and checks of an entry build on, worked out once a decision.

    ``drawdown``: a fraction. ``quantity_least``: the smallest entry, ours and the venue's.
    """

    market: Market | None
    equity: int
    drawdown: int
    quantity_least: int


def ground(state: State, params: RiskParams, candidate: Reservation, equity_now: int) -> Ground:
    """What an entry stands on, at this equity."""
    market = state.markets.get(candidate.market)
    least = least_quantity(market, params, candidate)
    return Ground(market, equity_now, drawdown(state, equity_now), least)


def size(params: RiskParams, candidate: Reservation, ground: Ground) -> tuple[int, int]:
    """Quantity and fee of an entry: Kelly or fixed, less in a drawdown, never over ``bet_max``.

    Returns:
        (0, 0) when there is nothing to win at this price or the smallest order is too large.
    """
    price, market, least = candidate.price, ground.market, ground.quantity_least
    schedule = NO_FEES if market is None else market.fees
    cost = contract_stake(price, fee_estimate(schedule, price, HUNDRED))
    if params.sizing == "fixed":
        fraction = params.fixed_bet if candidate.fair_value > cost else 0
    else:
        fraction = kelly_fraction(candidate.fair_value, cost, params.kelly_share)
    fraction = scale(fraction, drawdown_scale(ground.drawdown, params.drawdown_reduce, params.drawdown_stop))
    stake = scale(max(ground.equity, 0), min(fraction, params.bet_max))
    step = market.quantity_step if market is not None else 0
    quantity = quantity_for_stake(stake, cost, step, least)
    fee = fee_estimate(schedule, price, quantity)
    excess = notional(price, quantity) + fee - stake
    if quantity and excess > 0:
        # The fee of this size was rounded up further than that of a hundred contracts.
        quantity = quantity_for_stake(stake - excess, cost, step, least)
        fee = fee_estimate(schedule, price, quantity)
    return quantity, fee


def least_quantity(market: Market | None, params: RiskParams, candidate: Reservation) -> int:
    """The smallest entry: ours and the venue's, which differs for what rests and what trades at once."""
    venues = 0
    if market is not None:
        venues = quantity_least(market, candidate.price, rests=candidate.time_in_force in RESTING)
    return max(params.quantity_min, venues, 1)


def open_positions(state: State) -> Held:
    """Positions that count: what is below the venue's lot can only be paid out, and is worth next to nothing.

    It does count where an entry is working: with the next fill it would be part of a position again, and no fill
    may raise what is at stake.
    """
    found, markets = state.portfolio.open_positions(), state.markets
    dust = [instrument for market, instrument, held in found if is_dust(markets.get(market), held.quantity)]
    if not dust:
        return found
    growing = {r.instrument for r in state.reservations.values() if r.remaining and not r.reduce_only}
    left_out = set(dust) - growing
    return [held for held in found if held[1] not in left_out]


def _entry_status(state: State, market: Market) -> int:
    """The market's status for an entry. One that has paid us and is open again counts as settled.

    The books pay a purchase in it by the result that was taken back, until there is another one.
    """
    ledger = state.portfolio.ledgers.get(market.market)
    is_paid = ledger is not None and bool(ledger.payouts)
    return STATUS_LEVELS[MarketStatus.SETTLED if is_paid else market.status]


def entry_facts(
    state: State, params: RiskParams, candidate: Reservation, now: int, ground: Ground
) -> EntryFacts:
    """What the checks of an entry compare. The candidate itself must not be reserved yet."""
    market = ground.market
    view = state.books.get(candidate.instrument)
    cost = notional(candidate.price, candidate.quantity) + candidate.fee
    held = open_positions(state)
    orders = [(r, r.stake) for r in state.reservations.values() if r.remaining]
    reserved_now = sum([stake for _, stake in orders])
    beside = _beside(held, orders, candidate, params.one_position_per_market)
    return EntryFacts(
        params=params,
        now=now,
        price=candidate.price,
        quantity=candidate.quantity,
        expires_at=candidate.expires_at,
        known=market is not None and state.market_of.get(candidate.instrument) == candidate.market,
        kill_switch=kill_switch_level(state),
        status=STATUS_UNKNOWN if market is None else _entry_status(state, market),
        price_step=1 if market is None else price_step_at(market, candidate.price),
        buys=candidate.side is _BUY,
        fair_value=candidate.fair_value,
        bid=None if view is None else view.bid,
        ask=None if view is None else view.ask,
        depth=0 if view is None else _depth(view.bids, view.asks),
        book_at=0 if view is None else view.at,
        gapped=view is None or view.gapped,
        ends_at=0 if market is None else market.ends_at,
        expected_end_at=0 if market is None else market.expected_end_at,
        answer=0 if market is None else ANSWER_LEVELS[market.answer],
        cost=cost,
        quantity_least=ground.quantity_least,
        fee=candidate.fee,
        equity=ground.equity,
        available=state.portfolio.cash - reserved_now,
        market_stake=beside.market_stake,
        total_stake=beside.total_stake,
        group_loss=cost if market is None else _group_loss(state, market, held, orders, candidate, cost),
        day_equity=state.day_equity,
        day_loss=state.day_loss,
        drawdown=ground.drawdown,
        position_count=beside.markets,
        conflict_count=beside.conflicts,
        approved_count=len(state.approved_at),
        rested_at=state.rested_at.get(candidate.market, 0),
        repeated_at=state.repeated_at.get(repeat_key(candidate), 0),
    )


def exit_facts(state: State, params: RiskParams, candidate: Reservation, now: int) -> ExitFacts:
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
        closing=sum(
            r.remaining
            for r in state.reservations.values()
            if r.reduce_only and r.instrument == candidate.instrument
        ),
    )


def repeat_key(candidate: Reservation) -> str:
    """What makes two entries the same order said twice."""
    return f"{candidate.instrument} {candidate.side} {candidate.price}"


def _depth(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> int:
    bid = ask = 0
    for _, quantity in bids[:DEPTH_LEVELS]:
        bid += quantity
    for _, quantity in asks[:DEPTH_LEVELS]:
        ask += quantity
    return min(bid, ask)


class _Beside(msgspec.Struct, frozen=True, gc=False):
    """What is held and ordered beside a candidate; ``markets`` counts those that are not its own."""

    market_stake: int
    total_stake: int
    markets: int
    conflicts: int


def _beside(held: Held, orders: Orders, candidate: Reservation, one_position: bool) -> _Beside:
    """Sum up stakes, other markets, and positions and open entries in the market that forbid another.

    Those are all of them with ``one_position``, else those of other outcomes.
    """
    market, instrument = candidate.market, candidate.instrument
    market_stake = total_stake = conflicts = 0
    names: dict[str, None] = {}
    for name, outcome, position in held:
        loss = position.worst_loss
        total_stake += loss
        names[name] = None
        if name == market:
            market_stake += loss
            conflicts += one_position or outcome != instrument
    for order, stake in orders:
        total_stake += stake
        if order.market == market:
            market_stake += stake
        if order.reduce_only:
            continue
        names[order.market] = None
        if order.market == market:
            conflicts += one_position or order.instrument != instrument
    return _Beside(market_stake, total_stake, len(names) - (market in names), conflicts)


def _group_loss(
    state: State, market: Market, held: Held, orders: Orders, candidate: Reservation, cost: int
) -> int:
    related = {candidate.market: market}
    if group := market.group:
        markets = state.markets
        names = [name for name, _, _ in held]
        if orders:
            names += [order.market for order, _ in orders]
        for name in names:
            other = markets.get(name)
            if other is not None and other.group == group:
                related[name] = other
    legs = [
        Leg(name, instrument, position.quantity, position.cost)
        for name, instrument, position in held
        if name in related
    ]
    working = [_working(order) for order, _ in orders if order.market in related]
    working.append(
        WorkingOrder(candidate.market, candidate.instrument, candidate.side is _BUY, candidate.quantity, cost)
    )
    return worst_loss(tuple(related.values()), legs, working)


def _working(reservation: Reservation) -> WorkingOrder:
    remaining = reservation.remaining
    buys = reservation.side is _BUY
    value = (
        reservation.stake if buys and not reservation.reduce_only else notional(reservation.price, remaining)
    )
    return WorkingOrder(reservation.market, reservation.instrument, buys, remaining, value)
