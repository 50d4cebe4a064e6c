"""What a report needs of a run, gathered while it runs: figures, self-checks, prices of what was proposed, reasons."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from libs.bounded import keep_newest
from libs.performance.account import Performance
from libs.performance.fold import PerformanceFold
from proto.feed import Book, Gap, Market, Quote
from proto.message import Message
from proto.risk import Approval, PortfolioReport, Rejection
from proto.signal import Proposal
from proto.units import MILLISECOND, ONE
from proto.venue import Fill
from tools.offline.backtest import Backtest
from tools.research.books_checked import BooksChecked
from tools.research.fills_checked import FillsChecked
from tools.research.price_path import PricePath
from tools.research.time_checked import TimeChecked
from tools.research.verdicts import Verdict

PROPOSALS_MAX = 20_000
"""A proposal is decided within seconds."""
PATHS_MAX = 200
"""Instruments whose prices are kept; the first that were proposed."""
CURVE_MAX = 1_500
"""Points of the curve of equity kept; thinned beyond."""


class CurvePoint(NamedTuple):
    """The account at a moment (nanoseconds), in millionths."""

    at: int
    equity: int
    cash: int
    exposure: int


class Reason(NamedTuple):
    """Why an entry was wanted: what the strategy said. ``edge`` per contract, in millionths."""

    text: str
    fair_value: int
    edge: int
    evidence: tuple[tuple[str, int], ...]
    checks: int


class Collector:
    """Observes a backtest; ``performance`` and the rest are complete after its run."""

    def __init__(self, test: Backtest, paper: dict[str, Any]) -> None:
        self.books = BooksChecked()
        self.fills = FillsChecked(paper["fee_precision"])
        self.time = TimeChecked()
        self.curve: list[CurvePoint] = []
        self.paths: dict[str, PricePath] = {}
        self.reasons: dict[str, Reason] = {}
        self.titles: dict[str, str] = {}
        self.gaps: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()
        self.makers = self.takers = 0
        self.late_signals = self.signals = 0
        """Proposals that would be over before an order could arrive, and all."""
        self.fee_models: Counter[str] = Counter()
        self._latency_ns = paper["latency_ms"] * MILLISECOND
        self._fold = PerformanceFold()
        self._proposals: dict[str, Proposal] = {}
        self._markets: dict[str, Market] = {}
        self._turned: dict[str, str] = {}
        """First outcome of two, whose book both share → the second."""
        self._test = test
        self._every = 1
        self._reports = 0
        self._handlers: dict[type[Message], Callable[[str, Any], None]] = {
            PortfolioReport: self._on_report,
            Proposal: self._on_proposal,
            Approval: self._on_approval,
            Rejection: self._on_rejection,
            Market: self._on_market,
            Gap: self._on_gap,
            Fill: self._on_fill,
        }
        test.observe(self.observe)

    def observe(self, seq: int, producer: str, message_id: str, message: Message) -> None:
        """Take one message of the tape."""
        self._fold.add(message, seq, 0, message_id)
        self.fills.add(seq, message)
        self.time.add(seq, producer, message_id, message)
        kind = type(message)
        if kind is Quote or kind is Book:
            if self.paths:
                self._on_price(message)  # type: ignore[arg-type]  # one of the two
            return
        self.books.add(seq, message)
        handle = self._handlers.get(kind)
        if handle is not None:
            handle(message_id, message)

    def performance(self) -> Performance:
        """Every figure of the run."""
        return self._fold.finish()

    def verdicts(self) -> list[Verdict]:
        """Every self-check, the books at the end compared with those of the system."""
        summary = self._test.summary
        held = {name: summary.portfolio.quantity(name) for name in summary.portfolio.open}
        self.books.finish(summary.last_seq, held)
        return [*self.books.verdicts, *self.fills.verdicts, *self.time.verdicts]

    def _on_price(self, message: Quote | Book) -> None:
        path = self.paths.get(message.instrument)
        turned = self.paths.get(self._turned.get(message.instrument, ""))
        if path is None and turned is None:
            return
        if isinstance(message, Book):
            bid = message.bids[0].price if message.bids else None
            ask = message.asks[0].price if message.asks else None
        else:
            bid, ask = message.bid, message.ask
        if bid is None or ask is None:
            return
        if path is not None:
            path.add(message.at, (bid + ask) // 2)
        if turned is not None:
            turned.add(message.at, ONE - (bid + ask) // 2)

    def _on_report(self, _: str, report: PortfolioReport) -> None:
        """One in ``_every`` reports is a point of the curve, and always the newest."""
        self._reports += 1
        point = CurvePoint(report.at, report.equity, report.cash, report.exposure)
        if self.curve and (self._reports - 1) % self._every:
            self.curve[-1] = point
            return
        self.curve.append(point)
        if len(self.curve) > CURVE_MAX:
            self.curve = self.curve[::2]
            self._every *= 2

    def _on_proposal(self, message_id: str, proposal: Proposal) -> None:
        self._proposals[message_id] = proposal
        keep_newest(self._proposals, PROPOSALS_MAX)
        self.signals += 1
        self.late_signals += proposal.expires_at < self._test.now + self._latency_ns
        market = self._markets.get(proposal.market)
        self.titles.setdefault(proposal.market, market.title if market is not None else "")
        if proposal.instrument not in self.paths and len(self.paths) < PATHS_MAX:
            self.paths[proposal.instrument] = PricePath()

    def _on_rejection(self, _: str, rejection: Rejection) -> None:
        self.rejections.update(check.name for check in rejection.failed)

    def _on_market(self, _: str, market: Market) -> None:
        self._markets[market.market] = market
        keep_newest(self._markets, PROPOSALS_MAX)
        if len(market.outcomes) == 2:
            self._turned[market.outcomes[0].instrument] = market.outcomes[1].instrument
            keep_newest(self._turned, PROPOSALS_MAX)

    def _on_gap(self, _: str, gap: Gap) -> None:
        self.gaps[gap.venue] += 1

    def _on_approval(self, _: str, approval: Approval) -> None:
        proposal = self._proposals.get(approval.proposal)
        if proposal is None or approval.reduce_only:
            return
        self.reasons[approval.order] = Reason(
            proposal.reason,
            proposal.fair_value,
            proposal.edge,
            tuple((row.name, row.value) for row in proposal.evidence),
            len(approval.checks),
        )

    def _on_fill(self, _: str, fill: Fill) -> None:
        if fill.maker:
            self.makers += 1
        else:
            self.takers += 1
        market = self._markets.get(fill.market)
        if market is not None:
            self.fee_models[market.fees.model] += 1
