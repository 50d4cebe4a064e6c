"""What fills, payouts and deposits say beyond the portfolio: whose contracts, which venue's cash, how trades ended.

Folded always, also while no limit asks for it, so that a limit which is set at a restart finds it complete. What an older
build did not keep is missing: contracts that no strategy is known to have bought count for each of them, and cash is
split by venue only if it was split from the first deposit on.
"""

from typing import Final

from proto.exit import ExitReason
from proto.feed import Side
from proto.ids import venue_of
from proto.units import SECOND, scale
from proto.venue import Account, Fill
from services.risk.exposure import Reservation
from services.risk.params import RiskParams
from services.risk.state import State

FAR_FILL: Final = 1
EXCESS_FILL: Final = 2
SUDDEN_LOSS: Final = 3
"""What may be unusual, as ``State.anomaly`` says it; 0: nothing."""


# ── cash by venue ──


def open_cash(state: State, event: Account) -> None:
    """Add a deposit that was folded to the cash of its venue."""
    if event.venue in state.cash_by_venue:
        state.cash_by_venue[event.venue] += event.deposit
    elif state.cash_by_venue or len(state.portfolio.accounts) == 1:
        state.cash_by_venue[event.venue] = event.deposit


def count_cash(state: State, market: str, natural_key: str, change: int) -> None:
    """Count a change of cash at the market's venue, or where its natural key says (all of paper has one cash)."""
    if not change:
        return
    for venue in (venue_of(market), natural_key.partition(":")[2].partition(":")[0]):
        if venue in state.cash_by_venue:
            state.cash_by_venue[venue] += change
            return
    if len(state.cash_by_venue) == 1:
        (only,) = state.cash_by_venue
        state.cash_by_venue[only] += change


# ── lots by strategy ──


def count_lot(state: State, event: Fill) -> None:
    """Count bought contracts for their strategy; sold ones leave the seller's lot first, then the others, oldest first."""
    lots = state.lots.setdefault(event.instrument, {})
    if event.side is Side.BUY:
        lots[event.strategy] = lots.get(event.strategy, 0) + event.quantity
    trim_lots(state, event.instrument, event.strategy)


def trim_lots(state: State, instrument: str, first: str = "") -> None:
    """Cut the lots of an instrument to what is held: that of ``first`` first."""
    lots = state.lots.get(instrument)
    if lots is None:
        return
    excess = sum(lots.values()) - max(state.portfolio.quantity(instrument), 0)
    for strategy in (first, *lots):
        if excess > 0 and strategy in lots:
            excess -= _take(lots, strategy, excess)
    for strategy in [name for name, quantity in lots.items() if not quantity]:
        del lots[strategy]
    if not lots:
        del state.lots[instrument]


def _take(lots: dict[str, int], strategy: str, quantity: int) -> int:
    taken = min(lots[strategy], quantity)
    lots[strategy] -= taken
    return taken


# ── how trades ended ──


def count_trade(state: State, market: str, instrument: str, reason: str, now: int) -> None:
    """Count a trade that is over: nothing is held of it any more. What the operator flattened is no lost trade in a row."""
    ledger = state.portfolio.ledgers.get(market)
    position = None if ledger is None else ledger.positions.get(instrument)
    if position is None or position.quantity:
        return
    net = position.realised_profit - position.fees
    profit = net - state.trade_bases.get(instrument, 0)
    state.trade_bases[instrument] = net
    if reason == ExitReason.FLATTEN.value or not profit:
        return
    if profit > 0:
        state.loss_streak = 0
    else:
        state.loss_streak += 1
        state.loss_at = now


# ── what is unusual ──


def watch_fill(
    state: State, params: RiskParams, event: Fill, reservation: Reservation | None, now: int
) -> None:
    """Note a fill far from the book, or one beyond what was approved. The fill is counted in its reservation already."""
    if not params.anomaly_stop or state.anomaly:
        return
    excess = event.quantity if reservation is None else reservation.filled - reservation.approved_quantity
    if excess > params.anomaly_excess_max:
        state.anomaly = EXCESS_FILL
        return
    view = state.books.get(event.instrument)
    if view is None or view.gapped or view.bid is None or view.ask is None:
        return
    if now - view.at > params.book_age_max_s * SECOND:
        return
    # A price inside the book is none far from it, however wide it is.
    if max(view.bid - event.price, event.price - view.ask) > params.anomaly_distance_max:
        state.anomaly = FAR_FILL


def watch_equity(state: State, params: RiskParams, equity: int, now: int) -> None:
    """Note a loss that is larger than losses are within the window."""
    if not params.anomaly_stop:
        return
    falls = state.recent_equity
    while falls and falls[-1][1] <= equity:
        falls.pop()
    if not falls or now - falls[-1][0] >= SECOND:
        # At most one a second is kept, which bounds the list by the window.
        falls.append((now, equity))
    while len(falls) > 1 and now - falls[0][0] > params.anomaly_window_s * SECOND:
        falls.pop(0)
    highest = falls[0][1]
    if not state.anomaly and highest > 0 and (highest - equity) > scale(highest, params.anomaly_loss_max):
        state.anomaly = SUDDEN_LOSS


def move_equity(state: State, deposit: int) -> None:
    """Take a deposit out of the comparison: it is neither profit nor loss."""
    state.recent_equity = [(at, equity + deposit) for at, equity in state.recent_equity]
