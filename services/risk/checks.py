"""The checks: each a pure function from the facts of one order to one ``CheckResult``.

``ENTRY_CHECKS`` and ``EXIT_CHECKS`` list them in their order. All of a list are always evaluated, so a
rejection names everything that is wrong, not the first thing.

A check never divides by what the facts may hold, and a missing fact makes it fail: no bid, no ask, no
market, no close time all refuse an entry.

Units: names ending in ``_s`` count seconds and in ``_count`` things; all others are in millionths, also
levels (2 of ``kill_switch`` is 2_000_000, shown as 2).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from proto.feed import Answer, MarketStatus
from proto.units import ONE, SECOND, scale
from services.risk.params import RiskParams

ACTIVE: Final = 0
CLOSE_ONLY: Final = ONE
HALTED: Final = 2 * ONE


CheckResult = tuple[str, int, int, bool]
"""What one check found: name, limit, value, and whether it passed, as ``proto.risk.Check`` says it.

A plain tuple: thirty are made a decision, and mostly not sent."""


AUTONOMY_LEVELS: Final = {"alerts": 0, "semi": ONE, "auto": 2 * ONE}
"""What the system may do by itself, rising."""

STATUS_LEVELS: Final = {status: index * ONE for index, status in enumerate(MarketStatus)}
"""Statuses of a market in the order they are lived: 0 listed, 1 open, 2 paused, 3 closed, ..."""
ANSWER_LEVELS: Final = {answer: index * ONE for index, answer in enumerate(Answer)}
"""What is said of a result that is not final: 0 nothing, 1 proposed, 2 disputed."""
STATUS_OPEN: Final = STATUS_LEVELS[MarketStatus.OPEN]
STATUS_UNKNOWN: Final = -ONE
"""No ``feed.market`` was read for the market."""


class ProposedOrder(msgspec.Struct, gc=False):
    """Facts every order has, entry or exit.

    ``known``: the instrument is an outcome of the market the order names. ``kill_switch``, ``status``:
    levels as above. ``price_step``: the venue's tick at this price.
    """

    params: RiskParams
    now: int
    price: int
    quantity: int
    expires_at: int
    known: bool
    kill_switch: int
    status: int
    price_step: int


class EntryFacts(ProposedOrder, gc=False):
    """Facts of an order that opens a position.

    ``cost``: price and fee of the whole order. ``quantity_least``: the smallest entry, ours and the venue's. ``market_stake``, ``total_stake``: what is at stake
    before it, in the market and in all: positions at cost, and reserved orders. ``group_loss``: the worst
    loss over the outcomes of the market's group, with this order. ``conflict_count``: positions and orders
    that forbid another entry into the market. ``available``: cash less what open orders have reserved.
    ``rested_at``, ``repeated_at``: when the market's cooldown began, and when the same order was last
    approved; 0 for never. ``day_loss``: the worst of the day. ``drawdown``: a fraction.
    """

    buys: bool
    fair_value: int
    bid: int | None
    ask: int | None
    depth: int
    book_at: int
    gapped: bool
    ends_at: int
    expected_end_at: int
    answer: int
    cost: int
    quantity_least: int
    fee: int
    equity: int
    available: int
    market_stake: int
    total_stake: int
    group_loss: int
    day_equity: int
    day_loss: int
    drawdown: int
    position_count: int
    conflict_count: int
    approved_count: int
    rested_at: int
    repeated_at: int


class ExitFacts(ProposedOrder, gc=False):
    """Facts of an order that shrinks a position.

    ``position``: contracts the order's side can take away. ``closing``: contracts that other reduce-only
    orders, working, unknown or waiting for the operator, may still take away.
    """

    position: int
    closing: int


# What says yes or no is made once: thirty results are most of a decision's work.
INSTRUMENT, STRANGER = ("instrument", ONE, ONE, True), ("instrument", ONE, 0, False)
BUYS, SELLS = ("direction", ONE, ONE, True), ("direction", ONE, 0, False)
NO_GAP, GAP = ("book_gap", 0, 0, True), ("book_gap", 0, ONE, False)


def price_positive(order: ProposedOrder) -> CheckResult:
    """A price is above zero."""
    return "price_positive", 1, order.price, order.price > 0


def price_range(entry: EntryFacts) -> CheckResult:
    """An entry's price lies between ``price_min`` and ``price_max``; the limit shown is the nearer one."""
    low, high = entry.params.price_min, entry.params.price_max
    limit = low if entry.price < low else high
    return "price_range", limit, entry.price, low <= entry.price <= high


def price_inside(order: ProposedOrder) -> CheckResult:
    """An exit's price lies strictly between 0 and 1."""
    return "price_range", ONE - 1, order.price, 0 < order.price < ONE


def price_tick(order: ProposedOrder) -> CheckResult:
    """The price is on the venue's grid: nothing is left over."""
    rest = order.price % order.price_step
    return "price_tick", 0, rest, rest == 0


def price_collar(entry: EntryFacts) -> CheckResult:
    """The price is near the middle of the book."""
    if entry.bid is None or entry.ask is None:
        return "price_collar", entry.params.collar, ONE, False
    distance = abs(2 * entry.price - entry.bid - entry.ask)
    return "price_collar", entry.params.collar, distance // 2, distance <= 2 * entry.params.collar


def instrument(order: ProposedOrder) -> CheckResult:
    """The instrument belongs to the market whose limits apply."""
    return INSTRUMENT if order.known else STRANGER


def direction(entry: EntryFacts) -> CheckResult:
    """An entry buys: selling what is not held opens the other outcome, past its own limits."""
    return BUYS if entry.buys else SELLS


def kill_switch(entry: EntryFacts) -> CheckResult:
    """Neither halted (2) nor close-only (1)."""
    return "kill_switch", ACTIVE, entry.kill_switch, entry.kill_switch == ACTIVE


def kill_switch_exit(order: ProposedOrder) -> CheckResult:
    """Not halted: close-only lets exits through."""
    return "kill_switch", CLOSE_ONLY, order.kill_switch, order.kill_switch <= CLOSE_ONLY


def autonomy(entry: EntryFacts) -> CheckResult:
    """At least ``semi`` (1): ``alerts`` (0) places nothing."""
    level = AUTONOMY_LEVELS[entry.params.autonomy]
    return "autonomy", ONE, level, level >= ONE


def expiry(order: ProposedOrder) -> CheckResult:
    """The proposal is still meant."""
    left = order.expires_at - order.now
    return "time_to_expiry_s", 0, left // SECOND, left > 0


def book_gap(entry: EntryFacts) -> CheckResult:
    """No message of the book was lost since its last full snapshot."""
    return GAP if entry.gapped else NO_GAP


def book_age(entry: EntryFacts) -> CheckResult:
    """The book was heard of lately; a started second counts."""
    limit = entry.params.book_age_max_s
    age = max(entry.now - entry.book_at, 0)
    return "book_age_s", limit, -(-age // SECOND), age <= limit * SECOND


def market_status(order: ProposedOrder) -> CheckResult:
    """The market is open (1)."""
    return "market_status", STATUS_OPEN, order.status, order.status == STATUS_OPEN


def answer(entry: EntryFacts) -> CheckResult:
    """Nobody has proposed or disputed a result yet: such a market trades on, but only those who hold it leave."""
    return "answer", 0, entry.answer, entry.answer == 0


def time_to_close(entry: EntryFacts) -> CheckResult:
    """The market is expected to trade long enough to leave again; an unknown end is none.

    A market with an expected end alone has no close: it trades until the venue ends it, also past that end.
    """
    limit = entry.params.time_to_close_min_s
    if not entry.ends_at and entry.expected_end_at:
        left_s = (entry.expected_end_at - entry.now) // SECOND
        return "time_to_close_s", limit, max(limit, left_s), True
    left = max(entry.ends_at - entry.now, 0)
    return "time_to_close_s", limit, left // SECOND, left > 0 and left >= limit * SECOND


def spread(entry: EntryFacts) -> CheckResult:
    """Bid and ask are near: within ``spread_max`` of the mid price, or a few ticks.

    One per cent of a mid price of 0.50 is half a tick of a one-cent grid, which no book ever shows; hence
    the ticks.
    """
    ticks = entry.params.spread_max_ticks * entry.price_step
    if entry.bid is None or entry.ask is None:
        return "spread", ticks, ONE, False
    limit = max(ticks, scale((entry.bid + entry.ask) // 2, entry.params.spread_max))
    value = entry.ask - entry.bid
    return "spread", limit, value, 0 <= value <= limit


def depth(entry: EntryFacts) -> CheckResult:
    """Both sides hold enough in their top five levels: one to get in, the other to get out."""
    limit = entry.params.depth_min
    return "depth", limit, entry.depth, entry.depth >= limit


def edge(entry: EntryFacts) -> CheckResult:
    """Fair value less price and fee per contract, recomputed here: the strategy's own figure is not used.

    With no quantity there is no fee to divide, and the gross edge is shown.
    """
    value = entry.fair_value - entry.price
    if entry.quantity > 0:
        value -= -(-entry.fee * ONE // entry.quantity)
    limit = entry.params.edge_min
    return "edge", limit, value, value >= limit and entry.fair_value <= ONE


def quantity(entry: EntryFacts) -> CheckResult:
    """The size after all cuts is one the venue takes."""
    limit = entry.quantity_least
    return "quantity", limit, entry.quantity, entry.quantity >= limit


def _share(amount: int, fraction: int) -> int:
    """A fraction of an amount; nothing of less than nothing."""
    return amount * fraction // ONE if amount > 0 else 0


def bet(entry: EntryFacts) -> CheckResult:
    """One entry costs at most ``bet_max`` of equity."""
    limit = _share(entry.equity, entry.params.bet_max)
    return "bet", limit, entry.cost, entry.cost <= limit


def market_stake(entry: EntryFacts) -> CheckResult:
    """At stake in this market, with this order."""
    limit = _share(entry.equity, entry.params.market_stake_max)
    value = entry.market_stake + entry.cost
    return "market_stake", limit, value, value <= limit


def heat(entry: EntryFacts) -> CheckResult:
    """At stake in all markets, with this order."""
    limit = _share(entry.equity, entry.params.heat_max)
    value = entry.total_stake + entry.cost
    return "heat", limit, value, value <= limit


def group_loss(entry: EntryFacts) -> CheckResult:
    """Worst loss over the outcomes of the group, whichever working and unknown orders fill."""
    limit = _share(entry.equity, entry.params.group_loss_max)
    return "group_loss", limit, entry.group_loss, entry.group_loss <= limit


def daily_loss(entry: EntryFacts) -> CheckResult:
    """The worst loss since midnight UTC; once over the limit the day is over."""
    limit = _share(entry.day_equity, entry.params.daily_loss_max)
    return "daily_loss", limit, entry.day_loss, entry.day_loss < limit


def drawdown(entry: EntryFacts) -> CheckResult:
    """Fall from the highest equity; sizes have been shrinking since ``drawdown_reduce``."""
    limit = entry.params.drawdown_stop
    return "drawdown", limit, entry.drawdown, entry.drawdown < limit


def positions(entry: EntryFacts) -> CheckResult:
    """Markets held or being entered, with this one."""
    limit, value = entry.params.positions_max_count, entry.position_count + 1
    return "positions_count", limit, value, value <= limit


def market_positions(entry: EntryFacts) -> CheckResult:
    """Nothing held or being entered in this market that forbids another entry."""
    return "market_positions_count", 0, entry.conflict_count, entry.conflict_count == 0


def cooldown(entry: EntryFacts) -> CheckResult:
    """The market has rested; never entered counts as just rested."""
    return _elapsed("cooldown_s", entry.params.cooldown_s, entry.rested_at, entry.now)


def repeat(entry: EntryFacts) -> CheckResult:
    """The same instrument, side and price was not approved a moment ago."""
    return _elapsed("repeat_s", entry.params.repeat_s, entry.repeated_at, entry.now)


def _elapsed(name: str, limit_s: int, since: int, now: int) -> CheckResult:
    if since == 0:
        return name, limit_s, limit_s, True
    elapsed = max(now - since, 0)
    return name, limit_s, elapsed // SECOND, elapsed >= limit_s * SECOND


def order_rate(entry: EntryFacts) -> CheckResult:
    """Entries approved within the window, with this one."""
    limit, value = entry.params.order_rate_max_count, entry.approved_count + 1
    return "order_rate_count", limit, value, value <= limit


def balance(entry: EntryFacts) -> CheckResult:
    """Cash that no other order has reserved pays for price and fee."""
    return "balance", entry.available, entry.cost, entry.cost <= entry.available


def exit_quantity(order: ExitFacts) -> CheckResult:
    """An exit has a size."""
    return "quantity", 1, order.quantity, order.quantity >= 1


def position(order: ExitFacts) -> CheckResult:
    """There is a position that the order's side shrinks."""
    return "position", 1, order.position, order.position >= 1


def reduce_only(order: ExitFacts) -> CheckResult:
    """All reduce-only orders together, filled in full, take no more than the position."""
    value = order.closing + order.quantity
    return "reduce_only", order.position, value, value <= order.position


EntryCheck = Callable[[EntryFacts], CheckResult]
ExitCheck = Callable[[ExitFacts], CheckResult]

ENTRY_CHECKS: Final[tuple[EntryCheck, ...]] = (
    price_positive,
    price_range,
    price_tick,
    price_collar,
    instrument,
    direction,
    kill_switch,
    autonomy,
    expiry,
    book_gap,
    book_age,
    market_status,
    answer,
    time_to_close,
    spread,
    depth,
    edge,
    quantity,
    bet,
    market_stake,
    heat,
    group_loss,
    daily_loss,
    drawdown,
    positions,
    market_positions,
    cooldown,
    repeat,
    order_rate,
    balance,
)

EXIT_CHECKS: Final[tuple[ExitCheck, ...]] = (
    price_positive,
    price_inside,
    price_tick,
    instrument,
    kill_switch_exit,
    expiry,
    market_status,
    exit_quantity,
    position,
    reduce_only,
)
