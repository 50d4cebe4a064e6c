"""Where the account stands against its limits, and how that moves with time."""

from bisect import insort
from typing import Final

from proto.feed import MarketStatus
from proto.risk import PortfolioReport, RiskState
from proto.units import SECOND, as_money, scale
from services.risk import facts, records
from services.risk.params import RiskParams
from services.risk.stakes import Stakes
from services.risk.state import State

DAY: Final = 86_400 * SECOND
RESTED_KEPT_NS: Final = 7 * DAY
"""The longest cooldown that can be set: what began longer ago holds nothing back."""


def advance(state: State, stakes: Stakes, params: RiskParams, now: int) -> int:
    """Bring the rate window, the day, the highest equity and the day's worst loss up to ``now``.

    Returns:
        Equity, so that one decision works it out once.
    """
    equity = facts.equity(state, stakes)
    day = now // DAY
    if day != state.day:
        state.day, state.day_equity, state.day_loss = day, equity, 0
    state.day_loss = max(state.day_loss, state.day_equity - equity)
    state.peak_equity = max(state.peak_equity, equity)
    records.watch_equity(state, params, equity, now)
    window = params.order_rate_window_s * SECOND
    # Kept in order (``note_approval``), so the first is the earliest.
    if state.approved_at and now - state.approved_at[0] >= window:
        state.approved_at = [at for at in state.approved_at if now - at < window]
    return equity


def note_approval(state: State, now: int) -> None:
    """Remember an entry for the rate window; in order, also where time was set back meanwhile."""
    insort(state.approved_at, now)


def exposure_limit(state: State, stakes: Stakes) -> int:
    """What ``heat_max`` allows at present equity, in millionths of a dollar; 0 without configuration."""
    return 0 if state.params is None else scale(max(facts.equity(state, stakes), 0), state.params.heat_max)


def headroom(state: State, stakes: Stakes) -> dict[str, int]:
    """How much is left of the limits that run out: money in millionths, ``_count`` in things."""
    params = state.params
    if params is None:
        return {}
    return {
        "heat": exposure_limit(state, stakes) - stakes.exposure,
        "balance": state.portfolio.cash - stakes.reserved,
        "daily_loss": scale(max(state.day_equity, 0), params.daily_loss_max) - state.day_loss,
        "drawdown": params.drawdown_stop - facts.drawdown(state, facts.equity(state, stakes)),
        "positions_count": params.positions_max_count - len(stakes.held | stakes.entries),
    }


def risk_state(state: State, stakes: Stakes) -> RiskState:
    """What risk lets through at present."""
    if state.halted:
        return RiskState.HALTED
    if state.params is None or state.close_only:
        return RiskState.CLOSE_ONLY
    fall = facts.drawdown(state, facts.equity(state, stakes))
    limit = scale(max(state.day_equity, 0), state.params.daily_loss_max)
    # Before the account is there, nothing is lost: a limit of nothing ends no day.
    day_over = state.day_equity > 0 and state.day_loss >= limit
    if fall >= state.params.drawdown_stop or day_over or (state.anomaly and state.params.anomaly_stop):
        return RiskState.CLOSE_ONLY
    return RiskState.REDUCED if fall > state.params.drawdown_reduce else RiskState.ACTIVE


def report(state: State, stakes: Stakes, now: int) -> PortfolioReport:
    """Risk's books, for comparison with the other holders' at the same input."""
    portfolio = state.portfolio
    return PortfolioReport(
        digest=portfolio.digest(),
        cash=as_money(portfolio.cash),
        equity=as_money(facts.equity(state, stakes)),
        realised_profit=as_money(portfolio.realised_profit),
        fees=as_money(portfolio.fees),
        exposure=as_money(stakes.exposure),
        exposure_limit=as_money(exposure_limit(state, stakes)),
        positions=sum(map(len, stakes.held.values())),
        state=risk_state(state, stakes),
        at=now,
    )


def forget(state: State, params: RiskParams, now: int) -> None:
    """Drop what can no longer matter, so that weeks of 15-minute markets do not pile up."""
    state.seen = {name: expires_at for name, expires_at in state.seen.items() if expires_at > now}
    state.rested_at = {name: at for name, at in state.rested_at.items() if now - at < RESTED_KEPT_NS}
    state.repeated_at = {
        key: at for key, at in state.repeated_at.items() if now - at < params.repeat_s * SECOND
    }
    reserved = dict.fromkeys(r.market for r in state.reservations.values())
    for name, market in list(state.markets.items()):
        if market.status is not MarketStatus.SETTLED or name in reserved:
            continue
        if state.portfolio.positions_in(name):
            continue
        del state.markets[name]
        state.rested_at.pop(name, None)
        for outcome in market.outcomes:
            state.books.pop(outcome.instrument, None)
            state.market_of.pop(outcome.instrument, None)
            state.trade_bases.pop(outcome.instrument, None)
