"""Reasons to leave that apply where they are set: without any state but the position's own.

Each answers with its reason or ``None``. When several hold at once the first of these leaves: a stop, the market's end, a
reduction in drawdown, a reversed signal, the trailing stop, profit by age, time.
"""

from collections.abc import Mapping
from typing import NamedTuple

from libs.exchange.fees import fee_estimate
from libs.forecasting.families import family_of
from libs.indicators.grid import price_step
from proto.exit import ExitReason
from proto.feed import Market
from proto.units import ONE, SECOND, Nanoseconds, Price, scale, show
from services.exit.params import ExitParams
from services.exit.state import ExitState, Held

HUNDRED = 100 * ONE
"""The size whose fee stands for the fee of a contract: some venues round the fee of an order up to a cent."""


def by_bid(held: Held, bid: Price, market: Market, params: ExitParams, now: Nanoseconds) -> ExitReason | None:
    """Whether a trusted bid is one to leave at: the trailing stop, then profit by age."""
    if params.trailing_stop:
        held.peak = max(held.peak, bid)
        armed_at = held.entry_price + scale(held.entry_price, params.trailing_from)
        if held.peak >= armed_at and bid <= trailing_price(held.peak, market, params):
            return ExitReason.TRAILING_STOP
    if params.profit_by_age and bid - held.entry_price - _fees(held.entry_price, bid, market) >= scale(
        held.entry_price, _gain_wanted(held, params, now)
    ):
        return ExitReason.PROFIT_BY_AGE
    return None


def trailing_price(peak: Price, market: Market, params: ExitParams) -> Price:
    """The bid at or below which a position leaves whose highest bid was ``peak``; at least the stop's ticks below it."""
    ticks = params.stop_min_ticks * price_step(market, peak)
    return max(0, peak - max(scale(peak, params.trailing_stop), ticks))


def _fees(entry: Price, bid: Price, market: Market) -> int:
    """What a contract costs to buy at the one and to sell at the other price, both at once, rounded up."""
    fees = fee_estimate(market.fees, entry, HUNDRED) + fee_estimate(market.fees, bid, HUNDRED)
    return -(-fees // 100)


def _gain_wanted(held: Held, params: ExitParams, now: Nanoseconds) -> int:
    """The gain at which a position of this age leaves: that of the last row it is old enough for."""
    age = now - held.opened_at
    return [row.gain for row in params.profit_by_age if age >= row.age_s * SECOND or not row.age_s][-1]


def by_time(held: Held, market: Market, params: ExitParams, now: Nanoseconds) -> ExitReason | None:
    """Whether a position has been held for as long as its family of markets may be."""
    family = family_of(market)
    for row in params.time_stops:
        if family.startswith(row.family):
            return ExitReason.TIME_STOP if now - held.opened_at >= row.after_s * SECOND else None
    return None


def by_silence(held: Held, state: ExitState, params: ExitParams, now: Nanoseconds) -> ExitReason | None:
    """Whether nothing has proved the position's book for too long."""
    if not params.stale_exit_s:
        return None
    top = state.tops.tops.get(held.instrument)
    if top is not None and not top.gapped:
        held.proved_at = max(held.proved_at, top.at)
    elif not held.proved_at:
        held.proved_at = now
    return ExitReason.STALE_BOOK if now - held.proved_at >= params.stale_exit_s * SECOND else None


# ── the account's fall ──


class Fall(NamedTuple):
    """The account's equity, and how far it is below its highest, as a fraction of that."""

    equity: int
    drawdown: int


def fall_of(state: ExitState) -> Fall:
    """Work out equity at the newest bids and its fall; the highest so far is kept in the state."""
    marks: Mapping[str, int | None] = {name: top.bid for name, top in state.tops.tops.items()}
    equity = state.portfolio.equity(marks)
    state.peak_equity = max(state.peak_equity, equity)
    fall = max(state.peak_equity - equity, 0) * ONE // state.peak_equity if state.peak_equity > 0 else 0
    return Fall(equity, fall)


def to_reduce(state: ExitState, params: ExitParams) -> list[Held]:
    """The positions that leave because the account has fallen so far: the largest first, until the share has left.

    Once a fall: the next begins when equity is within the level again, or the operator has resumed.
    """
    if not params.drawdown_level:
        return []
    is_deep = fall_of(state).drawdown >= params.drawdown_level
    if not is_deep or state.is_reduced:
        state.is_reduced = state.is_reduced and is_deep
        return []
    state.is_reduced = True
    costs = [(held, _cost(state, held)) for held in state.held.values()]
    # At the same cost in the order of their names, so that it is one order.
    ranked = sorted(
        ((h, cost) for h, cost in costs if cost > 0), key=lambda row: (-row[1], row[0].instrument)
    )
    left = -(-sum(cost for _, cost in ranked) * params.drawdown_share // ONE)
    found: list[Held] = []
    for held, cost in ranked:
        if left <= 0:
            break
        left -= cost
        if held.reason is None:
            found.append(held)
    return found


def _cost(state: ExitState, held: Held) -> int:
    position = state.portfolio.position(held.instrument)
    return 0 if position is None else position.cost


# ── in words ──


def plan_of(held: Held, market: Market, params: ExitParams) -> str:
    """All reasons to leave that are set beside the ladder, the stop and the clock, in words; empty with none of them."""
    parts: list[str] = []
    if params.trailing_stop:
        below, since = _percent(params.trailing_stop), _percent(params.trailing_from)
        parts.append(f"trailing stop {below} below the highest bid once that is {since} above the entry")
    if params.profit_by_age:
        rows = ", ".join(f"{_percent(row.gain)} from {row.age_s} s" for row in params.profit_by_age)
        parts.append(f"profit after fees of {rows}")
    for row in params.time_stops:
        if family_of(market).startswith(row.family):
            parts.append(f"time stop after {row.after_s} s")
            break
    if params.reversal == "exit":
        parts.append(f"when {held.strategy} wants the other outcome")
    if params.stale_exit_s:
        parts.append(f"book unproved for {params.stale_exit_s} s")
    if params.drawdown_level:
        parts.append(f"largest positions at a drawdown of {_percent(params.drawdown_level)}")
    if not parts:
        return ""
    ladder = f"targets {_percent(params.first_target)} and {_percent(params.rest_target)}"
    return "; ".join([ladder, f"stop {_percent(params.stop_loss)}", *parts])


def _percent(fraction: int) -> str:
    return f"{show(fraction * 100)} %"
