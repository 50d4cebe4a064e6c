"""Rules about live venues: books that agree, fills that become final, payouts that arrive."""

from libs.bounded import cut, keep_newest
from proto.feed import Market, MarketStatus
from proto.monitor import Severity
from proto.units import SECOND, show
from proto.venue import Correction, Reconciliation, Settlement, TradeState, TradeStatus
from services.monitor.board import Board
from services.monitor.state import MonitorState, UnconfirmedFill

UNCONFIRMED_MAX = 4_096
"""Fills on their way to finality at a time; the oldest beyond it are given up."""
DECIDED_MAX = 4_096
"""Decided markets in which something was held."""

UNRECONCILED = "venue_not_reconciled"
DIFFERENCE = "venue_difference"
GHOST = "fill_unconfirmed"
FAILED = "fill_failed"
UNREDEEMED = "payout_missing"

_DECIDED = (MarketStatus.DETERMINED, MarketStatus.DISPUTED, MarketStatus.SETTLED)
_SERIOUS = ("position", "over_fill", "unreadable", "fill_changed", "still_working")


def on_reconciliation(state: MonitorState, board: Board, found: Reconciliation) -> None:
    """Say what the books of a venue do not explain, and when they do again."""
    venue = found.venue
    if not found.complete:
        board.alert(UNRECONCILED, Severity.WARNING, venue, f"not reconciled: {found.reason}")
        return
    state.reconciled[venue] = board.now
    board.over(UNRECONCILED, venue, "reconciled")
    topics: dict[str, bool] = {}
    for item in found.differences:
        topic = cut(f"{venue} {item.difference} {item.topic}", 256)
        topics[topic] = True
        severity = Severity.CRITICAL if item.difference in _SERIOUS else Severity.WARNING
        text = f"ours {show(item.ours)}, the venue's {show(item.theirs)}"
        board.alert(DIFFERENCE, severity, topic, text)
    for topic in list(state.active.get(DIFFERENCE, {})):
        if topic.startswith(f"{venue} ") and topic not in topics:
            board.over(DIFFERENCE, topic, "the books agree")


def on_trade_state(state: MonitorState, board: Board, trade: TradeState) -> None:
    """Follow a fill until it is final."""
    if trade.status in (TradeStatus.CONFIRMED, TradeStatus.FAILED):
        state.unconfirmed.pop(trade.fill_id, None)
        board.over(GHOST, trade.fill_id, f"now {trade.status.value}")
        if trade.status is TradeStatus.FAILED:
            text = f"{trade.instrument}: matched, then failed to settle; the position is taken back"
            board.notice(FAILED, Severity.WARNING, trade.fill_id, text)
        return
    if trade.fill_id not in state.unconfirmed:
        state.unconfirmed[trade.fill_id] = UnconfirmedFill(trade.instrument, board.now)
        keep_newest(state.unconfirmed, UNCONFIRMED_MAX)


def on_correction(state: MonitorState, board: Board, correction: Correction) -> None:
    """A fill that was taken back is final."""
    state.unconfirmed.pop(correction.fill_id, None)
    board.over(GHOST, correction.fill_id, "taken back")


def on_market(state: MonitorState, board: Board, market: Market) -> None:
    """Note when a market in which something is held is decided: from then on its payout is due."""
    held = any(p.quantity and p.market == market.market for p in state.positions.values())
    if market.status not in _DECIDED or not held or market.market in state.decided:
        return
    state.decided[market.market] = board.now
    keep_newest(state.decided, DECIDED_MAX)


def on_settlement(state: MonitorState, board: Board, settlement: Settlement) -> None:
    """The payout is there."""
    board.over(UNREDEEMED, settlement.instrument, "paid out")
    if not any(p.quantity and p.market == settlement.market for p in state.positions.values()):
        state.decided.pop(settlement.market, None)


def sweep(state: MonitorState, board: Board) -> None:
    """Raise what takes too long."""
    params = state.params
    if params is None:
        return
    for venue, at in state.reconciled.items():
        if board.now - at > params.unreconciled_venue_s * SECOND:
            text = f"not reconciled for {params.unreconciled_venue_s} s"
            board.alert(UNRECONCILED, Severity.WARNING, venue, text)
    for fill_id, fill in state.unconfirmed.items():
        if board.now - fill.since > params.unconfirmed_fill_s * SECOND:
            text = f"{fill.instrument}: matched and not confirmed for {params.unconfirmed_fill_s} s"
            board.alert(GHOST, Severity.CRITICAL, fill_id, text)
    if not state.decided:
        return
    for instrument, position in state.positions.items():
        since = state.decided.get(position.market)
        if since is None or not position.quantity:
            continue
        if board.now - since > params.missing_payout_s * SECOND:
            text = f"{show(position.quantity)} contracts, decided and not paid out for {params.missing_payout_s} s"
            board.alert(UNREDEEMED, Severity.WARNING, instrument, text)


def rebase(state: MonitorState, now: int) -> None:
    """Session time has jumped: everything's time starts again."""
    for venue in state.reconciled:
        state.reconciled[venue] = now
    for fill in state.unconfirmed.values():
        fill.since = now
    for market in state.decided:
        state.decided[market] = now
