"""The fold of a tape that makes its account: equity by day, the deepest fall, and what strategies believed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from libs.bounded import keep_newest
from libs.evaluation.day import ClosedTrade
from libs.performance.figure import Figure, undefined
from libs.performance.returns import (
    DAY,
    DayReturn,
    Drawdown,
    DrawdownWatch,
    EquityPoint,
    annual_return,
    calmar,
    daily_returns,
    sharpe,
    sortino,
    total_return,
)
from libs.performance.trades import (
    SPLITS,
    Called,
    TradeFigures,
    TradeResult,
    brier,
    log_score,
    split,
    time_in_market,
    trade_figures,
    turnover,
)
from libs.portfolio.payouts import payouts_of
from libs.portfolio.portfolio import Portfolio
from proto.feed import Market
from proto.message import Message
from proto.risk import Approval, PortfolioReport
from proto.signal import Proposal
from proto.units import ONE
from proto.venue import Account, Correction, Fill, Settlement

DAYS_MAX = 3_660
"""Ends of days kept: ten years."""
HOUR = DAY // 24
CURVE_MAX = 5_000
"""Points of the equity curve kept, one an hour: 200 days, more than a plot can show."""
PROPOSALS_MAX = 20_000
"""A proposal is decided within seconds."""
CALLS_MAX = 100_000


class AccountFigures(NamedTuple):
    """Money of the account in the window, in millionths. ``deposits``: paid in less taken out, up to its end."""

    equity: int = 0
    cash: int = 0
    deposits: int = 0
    profit: int = 0
    realised_profit: int = 0
    unrealised_profit: int = 0
    fees: int = 0
    rebates: int = 0
    exposure: int = 0


class Performance(NamedTuple):
    """What a window of a tape came to. Moments in nanoseconds; ``ends_at`` is 0 before anything happened.

    ``results``: what figures are made of; ``trades``: the same with their orders, where a trading day was folded.
    """

    begins_at: int
    ends_at: int
    account: AccountFigures
    days: list[DayReturn]
    drawdown: Drawdown
    curve: list[EquityPoint]
    trades: list[ClosedTrade]
    results: list[TradeResult]
    calls: list[Called]
    open_trades: int
    left_out: int

    def figures(self) -> dict[str, Figure]:
        """Every figure of the account by its name."""
        days = self.days
        mean_equity = sum(day.equity for day in days) / len(days) if days else 0.0
        return {
            "return": total_return(days),
            "annual_return": annual_return(days),
            "sharpe": sharpe(days),
            "sortino": sortino(days),
            "calmar": calmar(days, self.drawdown),
            "brier": brier(self.calls),
            "log_score": log_score(self.calls),
            "time_in_market": time_in_market(self.results, self.begins_at, self.ends_at)
            if self.ends_at
            else undefined(0, "nothing happened"),
            "turnover": turnover(self.results, mean_equity),
        }

    def total(self) -> TradeFigures:
        """Figures of all closed trades."""
        return trade_figures(self.results)

    def by(self, name: str) -> dict[str, TradeFigures]:
        """Figures of the closed trades split by one of ``SPLITS``."""
        return {key: trade_figures(part) for key, part in split(self.results, SPLITS[name]).items()}

    def document(self) -> dict[str, Any]:
        """As plain data: money in millionths, figures with their number of samples or their reason."""
        return {
            "begins_at": self.begins_at,
            "ends_at": self.ends_at,
            "account": self.account._asdict(),
            "figures": {name: figure.document() for name, figure in self.figures().items()},
            "drawdown": self.drawdown._asdict(),
            "days": [day._asdict() for day in self.days],
            "trades": self.total().document(),
            "open_trades": self.open_trades,
            "by": {name: {key: part.document() for key, part in self.by(name).items()} for name in SPLITS},
            "left_out": self.left_out,
        }


class _Call(NamedTuple):
    instrument: str
    fair_value: int


class AccountFold:
    """Feed it messages of a tape in order; ``come_to`` gives what the window from ``began_at`` to ``ended_at`` (ns) came to.

    Trades are not its matter: who follows them hands them in.
    """

    KINDS: tuple[type[Message], ...] = (
        Fill,
        Settlement,
        Correction,
        Account,
        PortfolioReport,
        Proposal,
        Approval,
        Market,
    )

    def __init__(self, began_at: int = 0, ended_at: int = 0) -> None:
        self._began_at, self._ended_at = began_at, ended_at
        self._portfolio = Portfolio()
        self._rebates = 0
        self._before: EquityPoint | None = None
        self._ends: dict[int, EquityPoint] = {}
        self._curve: dict[int, EquityPoint] = {}
        self._drawdown = DrawdownWatch()
        self._report: PortfolioReport | None = None
        self._fees_before = 0
        self._realised_before = 0
        self._proposals: dict[str, _Call] = {}
        self._called: dict[tuple[str, str], int] = {}
        self._paid: dict[str, int] = {}

    def add(self, message: Message, name: str) -> None:
        """Take one message; ``name``: its id, by which an approval says what it approves."""
        if isinstance(message, (Fill, Settlement, Correction, Account)):
            before = self._portfolio.fees
            if self._portfolio.apply(message) and isinstance(message, Fill):
                self._rebates -= min(self._portfolio.fees - before, 0)
        elif isinstance(message, PortfolioReport):
            self._on_report(message)
        elif isinstance(message, Proposal):
            self._proposals[name] = _Call(message.instrument, message.fair_value)
            keep_newest(self._proposals, PROPOSALS_MAX)
        elif isinstance(message, Approval):
            self._on_approval(message)
        elif isinstance(message, Market):
            self._paid.update(payouts_of(message))
            keep_newest(self._paid, CALLS_MAX)

    def _on_report(self, report: PortfolioReport) -> None:
        point = EquityPoint(report.at, report.equity, self._portfolio.deposits)
        if report.at < self._began_at:
            self._before = point
            self._fees_before, self._realised_before = report.fees, report.realised_profit
            return
        if self._ended_at and report.at >= self._ended_at:
            return
        if not self._ends and self._before is not None:
            self._drawdown.add(self._before)
        self._report = report
        self._ends[report.at // DAY] = point
        keep_newest(self._ends, DAYS_MAX)
        self._curve[report.at // HOUR] = point
        keep_newest(self._curve, CURVE_MAX)
        self._drawdown.add(point)

    def _on_approval(self, approval: Approval) -> None:
        call = self._proposals.get(approval.proposal)
        if call is not None and not approval.reduce_only:
            # A strategy that says the same again has made one call.
            self._called.setdefault((approval.strategy, call.instrument), call.fair_value)
            keep_newest(self._called, CALLS_MAX)

    def come_to(
        self, results: Sequence[TradeResult], began_at: int = 0, ended_at: int = 0, left_out: int = 0
    ) -> Performance:
        """What the window came to, with the trades that were closed in it; the moments are those of a tape without reports."""
        points = list(self._ends.values())
        return Performance(
            begins_at=began_at or (points[0].at if points else 0),
            ends_at=points[-1].at if points else ended_at,
            account=self._account(),
            days=daily_returns(points, self._before),
            drawdown=self._drawdown.deepest,
            curve=list(self._curve.values()),
            trades=[],
            results=list(results),
            calls=self._calls(),
            open_trades=len(self._portfolio.open),
            left_out=left_out,
        )

    def _account(self) -> AccountFigures:
        report = self._report
        if report is None:
            return AccountFigures(deposits=self._portfolio.deposits)
        start = self._before
        deposits = self._ends[report.at // DAY].deposits
        profit = report.equity - deposits - (start.equity - start.deposits if start is not None else 0)
        realised = report.realised_profit - self._realised_before
        fees = report.fees - self._fees_before
        return AccountFigures(
            equity=report.equity,
            cash=report.cash,
            deposits=deposits,
            profit=profit,
            realised_profit=realised,
            unrealised_profit=profit - realised + fees,
            fees=fees,
            rebates=self._rebates,
            exposure=report.exposure,
        )

    def _calls(self) -> list[Called]:
        """Fair values of what was approved and has ended at all or nothing."""
        return [
            Called(fair_value, self._paid[instrument] == ONE)
            for (_, instrument), fair_value in self._called.items()
            if self._paid.get(instrument) in (0, ONE)
        ]
