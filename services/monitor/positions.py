"""Rules about positions: every one has a manager, an exit, and an approved order behind it."""

from libs.bounded import keep_newest
from proto.exit import HELD_TO_SETTLEMENT, ExitProposal, PositionStage, PositionUpdate
from proto.feed import Side
from proto.monitor import Severity
from proto.units import SECOND, show
from proto.venue import Correction, Fill, Settlement
from services.monitor.board import Board
from services.monitor.orders import is_approved
from services.monitor.state import MonitorState, PositionRecord

SETTLED_MARKETS_MAX = 4_096
"""Settled markets remembered, so that a late fill opens no ghost: weeks of quarter-hour markets."""

ORPHANED = "orphaned_position"
UNPROTECTED = "position_without_working_exit"


def on_fill(state: MonitorState, board: Board, fill: Fill) -> None:
    """Fold a fill once; note when no approved order is behind it."""
    if fill.market in state.settled:
        return
    position = state.positions.get(fill.instrument)
    if position is None:
        position = PositionRecord(market=fill.market)
        state.positions[fill.instrument] = position
    if fill.fill_id in position.fills:
        return
    signed = fill.quantity if fill.side is Side.BUY else -fill.quantity
    position.fills[fill.fill_id] = signed
    _change(board, fill.instrument, position, signed)
    if position.quantity and not position.unapproved and not is_approved(state, fill.order):
        position.unapproved = fill.order
        text = f"order {fill.order} traded without an approval on the tape"
        board.over(ORPHANED, fill.instrument, "replaced")
        board.alert(ORPHANED, Severity.CRITICAL, fill.instrument, text)


def on_correction(state: MonitorState, board: Board, correction: Correction) -> None:
    """Undo a fill the venue took back. The fill stays known, so a repeat does not bring it back."""
    for instrument, position in state.positions.items():
        signed = position.fills.get(correction.fill_id)
        if signed is not None:
            position.fills[correction.fill_id] = 0
            _change(board, instrument, position, -signed)
            return


def on_settlement(state: MonitorState, board: Board, settlement: Settlement) -> None:
    """A settled instrument is no position any more."""
    position = state.positions.pop(settlement.instrument, None)
    if position is not None:
        _flat(board, settlement.instrument, "settled")
    if settlement.market not in state.settled:
        keep_newest(state.settled, SETTLED_MARKETS_MAX - 1)
        state.settled[settlement.market] = True


def on_position_update(state: MonitorState, board: Board, update: PositionUpdate) -> None:
    """The exit service shows that it knows a position, or that it is done with it."""
    position = state.positions.get(update.instrument)
    if position is None or not position.quantity:
        return
    # Closed with something left: below the venue's lot. Or bought for what the market pays.
    is_remainder = update.stage is PositionStage.CLOSED and update.quantity > 0
    position.kept = is_remainder or update.reason == HELD_TO_SETTLEMENT
    managed = position.kept or update.stage is not PositionStage.CLOSED
    if position.managed and not managed:
        position.unmanaged_at = board.now
    position.managed = managed
    if managed and not position.unapproved:
        board.over(ORPHANED, update.instrument, f"managed, {update.stage.value}")


def on_exit_proposal(state: MonitorState, board: Board, proposal: ExitProposal) -> None:
    """The exit service is at work on a position."""
    position = state.positions.get(proposal.instrument)
    if position is not None and position.quantity:
        position.covered_at = board.now
        board.over(UNPROTECTED, proposal.instrument, f"exit proposed, {proposal.reason.value}")


def sweep(state: MonitorState, board: Board) -> None:
    """Raise for positions without a manager or an exit; clear where an exit works again."""
    params = state.params
    if params is None:
        return
    working = {record.instrument: True for record in state.orders.values() if record.reduce_only}
    for instrument, position in state.positions.items():
        if not position.quantity:
            continue
        held = f"{show(position.quantity)} contracts"
        if not position.managed and board.now - position.unmanaged_at > params.orphaned_position_s * SECOND:
            text = f"{held} unknown to the exit service for {params.orphaned_position_s} s"
            board.alert(ORPHANED, Severity.CRITICAL, instrument, text)
        if position.kept:
            _flat(board, instrument, "kept until settlement")
        elif instrument in working:
            position.covered_at = board.now
            board.over(UNPROTECTED, instrument, "an exit order works")
        elif board.now - position.covered_at > params.unprotected_position_s * SECOND:
            text = f"{held} without a working exit for {params.unprotected_position_s} s"
            board.alert(UNPROTECTED, Severity.WARNING, instrument, text)


def rebase(state: MonitorState, now: int) -> None:
    """Session time has jumped: every position's time starts again."""
    for position in state.positions.values():
        position.unmanaged_at = now
        position.covered_at = now


def _change(board: Board, instrument: str, position: PositionRecord, signed: int) -> None:
    was_flat = not position.quantity
    position.quantity += signed
    if not position.quantity:
        position.managed = False
        position.unapproved = ""
        _flat(board, instrument, "closed")
    elif was_flat:
        position.unmanaged_at = board.now
        position.covered_at = board.now


def _flat(board: Board, instrument: str, how: str) -> None:
    board.over(ORPHANED, instrument, how)
    board.over(UNPROTECTED, instrument, how)
