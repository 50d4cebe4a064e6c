"""Rules about the books: two holders agree, risk's state is seen, and refusals do not pile up."""

from libs.bounded import keep_newest
from proto.monitor import Severity
from proto.operator import Command, Verb
from proto.risk import ExitPortfolioReport, PortfolioReport, Rejection, RiskState
from proto.units import SECOND, show
from services.monitor.board import Board
from services.monitor.state import MonitorState, ReportPair

REPORTS_PENDING_MAX = 16
"""Moments for which one of two reports is awaited: a quarter of an hour of minutes."""
REJECTION_WINDOW_S = 60

DIVERGENCE = "portfolio_divergence"
RISK_STATE = "risk_state"
HALT = "halt"
STORM = "rejection_storm"
CLOCK = "clock_jump"

_HOLDERS = "risk and exit"
_TRADING = "trading"
_RISK = "risk"


def check_clock(board: Board, *, doubtful: bool) -> None:
    """Say when the session's clock says another time than it is; risk lets exits alone through from then on."""
    if doubtful:
        text = "the clock says another time: no entries until you resume; exits go on"
        board.alert(CLOCK, Severity.CRITICAL, _TRADING, text)
    else:
        board.over(CLOCK, _TRADING, "the clock goes on")


def on_risk_report(state: MonitorState, board: Board, report: PortfolioReport) -> None:
    """Take risk's digest, and its state."""
    pair = _pair(state, report.at)
    pair.risk = report.digest
    _compare(state, board, report.at, pair)
    if report.state.value == state.risk_state:
        return
    board.over(RISK_STATE, state.risk_state, f"now {report.state.value}")
    state.risk_state = report.state.value
    if report.state is not RiskState.ACTIVE:
        severity = Severity.CRITICAL if report.state is RiskState.HALTED else Severity.WARNING
        text = f"risk is {report.state.value}; equity {show(report.equity)} dollars"
        board.alert(RISK_STATE, severity, report.state.value, text)


def on_exit_report(state: MonitorState, board: Board, report: ExitPortfolioReport) -> None:
    """Take the exit service's digest."""
    pair = _pair(state, report.at)
    pair.exit = report.digest
    _compare(state, board, report.at, pair)


def on_command(_state: MonitorState, board: Board, command: Command) -> None:
    """Show what the operator ordered, at once."""
    if command.verb is Verb.RESUME:
        board.over(HALT, _TRADING, "resumed by the operator")
    if command.verb in (Verb.HALT, Verb.CLOSE_ONLY) or command.close_only:
        text = f"{command.verb.value} by the operator: {command.reason or 'no reason given'}"
        board.alert(HALT, Severity.CRITICAL, _TRADING, text)


def on_rejection(state: MonitorState, _board: Board, _rejection: Rejection) -> None:
    """Count it; the sweep judges."""
    state.rejections_count += 1


def sweep(state: MonitorState, board: Board) -> None:
    """Count rejections by windows of a minute."""
    if state.params is None or board.now - state.rejections_since < REJECTION_WINDOW_S * SECOND:
        return
    limit = state.params.rejection_storm_count
    if state.rejections_count > limit:
        text = f"{state.rejections_count} rejections in {REJECTION_WINDOW_S} s, more than {limit}"
        board.alert(STORM, Severity.WARNING, _RISK, text)
    else:
        board.over(STORM, _RISK, f"{state.rejections_count} rejections in {REJECTION_WINDOW_S} s")
    state.rejections_count = 0
    state.rejections_since = board.now


def restart(state: MonitorState, board: Board, *, halted: bool) -> None:
    """A session opens: reports of the last one find no partner any more."""
    state.reports.clear()
    state.rejections_count = 0
    if halted:
        board.alert(HALT, Severity.CRITICAL, _TRADING, "the session opened halted")


def rebase(state: MonitorState, now: int) -> None:
    """Session time has jumped: the window of rejections starts again."""
    state.rejections_since = now


def _pair(state: MonitorState, at: int) -> ReportPair:
    pair = state.reports.get(at)
    if pair is None:
        keep_newest(state.reports, REPORTS_PENDING_MAX - 1)
        pair = ReportPair()
        state.reports[at] = pair
    return pair


def _compare(state: MonitorState, board: Board, at: int, pair: ReportPair) -> None:
    if not (pair.risk and pair.exit):
        return
    del state.reports[at]
    if pair.risk == pair.exit:
        board.over(DIVERGENCE, _HOLDERS, "the books agree again")
    else:
        text = f"risk's books are {pair.risk[:16]}, exit's are {pair.exit[:16]}"
        board.alert(DIVERGENCE, Severity.CRITICAL, _HOLDERS, text)
