"""What came of a run: money, orders, and each decision of risk with its checks."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from libs.machine.machine import Stamp
from libs.portfolio.portfolio import Portfolio
from libs.view.tally import Tally
from proto.execution import OrderStatus, OrderUpdate, Refusal
from proto.feed import Book, Candle, FeedClock, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.risk import Approval, Check, Pending, Rejection
from proto.units import ONE, SECOND, notional, show
from proto.venue import Account, Correction, Fill, Settlement

SAMPLE_EVERY_NS = 60 * SECOND
"""Between two looks at equity; it is also looked at with every fill and payout."""

MARKET_DATA = frozenset((Quote, Book, Trade, Candle))
_PRICES = frozenset((Quote, Book))
_FAILED = (OrderStatus.REJECTED, OrderStatus.UNKNOWN)
_MONEY = (Fill, Settlement, Correction, Account)


class Figures(NamedTuple):
    """What a run came to, from where the branches part; money in millionths of a dollar."""

    proposals: int
    approvals: int
    rejected: int
    orders: int
    fills: int
    exits: int
    settlements: int
    open_positions: int
    cash: int
    equity: int
    profit: int
    realised_profit: int
    fees: int
    drawdown: int
    trades: int
    """Closed."""
    errors: int
    """Orders that failed: refused by the venue, of unknown outcome, or not acted on by execution."""

    def document(self) -> dict[str, Any]:
        """As plain data, money in dollars."""
        return {name: value / ONE if name in _IN_DOLLARS else value for name, value in self._asdict().items()}


_IN_DOLLARS = frozenset(("cash", "equity", "profit", "realised_profit", "fees", "drawdown"))


@dataclass(slots=True)
class Decision:
    """What risk decided on one proposal, step by step: an order that waits is decided twice."""

    at_ns: int
    seq: int
    strategy: str
    market: str
    instrument: str
    side: str
    words: list[str] = field(default_factory=list)
    checks: tuple[Check, ...] = ()
    order: str = ""

    @property
    def text(self) -> str:
        """The steps in words."""
        return ", then ".join(self.words)


@dataclass(slots=True)
class Flow:
    """The money that came and went in one instrument, without fees; ``entries`` and ``exits`` are (quantity, money)."""

    money: int = 0
    fees: int = 0
    entries: list[tuple[int, int]] = field(default_factory=list)
    exits: list[tuple[int, int]] = field(default_factory=list)


class Outcome:
    """Folds everything on one tape. ``portfolio`` and the prices are those at the place where the branches part."""

    def __init__(
        self,
        portfolio: Portfolio | None = None,
        bids: dict[str, int] | None = None,
        asks: dict[str, int] | None = None,
    ) -> None:
        self.tally = Tally(portfolio=portfolio or Portfolio(), bids=bids or {}, asks=asks or {})
        self.decisions: dict[str, Decision] = {}
        self.flows: dict[str, Flow] = {}
        self.filled: dict[str, int] = {}
        """Order → quantity."""
        self.prices: dict[str, int] = {}
        """Order → limit price, of those approved."""
        self.trades: dict[str, list[int]] = {}
        """Instrument → the profit of each trade that was closed in it, after fees, in order."""
        self._going: dict[str, int] = {}
        """Instrument → what was made, after fees, of a position that is still open."""
        self._errors: dict[str, int] = {}
        self._reducing: set[str] = set()
        self._start = self._money()
        self._peak = self.tally.equity
        self._drawdown = 0
        self._sampled_at = 0

    def _money(self) -> tuple[int, int, int, int]:
        portfolio = self.tally.portfolio
        return self.tally.equity, portfolio.deposits, portfolio.realised_profit, portfolio.fees

    def add(self, message: Message, stamp: Stamp, seq: int) -> None:
        """Take one message; ``seq`` is 0 for one that the recorded tape does not have."""
        kind = type(message)
        if kind in MARKET_DATA:
            if kind in _PRICES:
                self.tally.add(message)
        elif isinstance(message, _MONEY):
            self._add_money(message)
            self._sample(stamp.now)
        elif kind is Clock or kind is FeedClock:
            if not 0 <= stamp.now - self._sampled_at < SAMPLE_EVERY_NS:
                self._sample(stamp.now)
        else:
            self.tally.add(message)
            if isinstance(message, Approval | Rejection | Pending):
                self._decide(message, stamp, seq)
            elif isinstance(message, Refusal) or (
                isinstance(message, OrderUpdate) and message.status in _FAILED
            ):
                self._errors[message.order] = 1

    def _sample(self, now: int) -> None:
        equity = self.tally.equity
        self._sampled_at = now
        self._peak = max(self._peak, equity)
        self._drawdown = max(self._drawdown, self._peak - equity)

    def _add_money(self, message: Fill | Settlement | Correction | Account) -> None:
        portfolio = self.tally.portfolio
        cash, fees, made = portfolio.cash, portfolio.fees, portfolio.realised_profit
        if self.tally.add(message) is None:
            return
        if isinstance(message, Account):
            self._peak += message.deposit
            return
        flow = self.flows.setdefault(getattr(message, "instrument", ""), Flow())
        paid = portfolio.fees - fees
        flow.money += portfolio.cash - cash + paid
        flow.fees += paid
        self._count_trade(getattr(message, "instrument", ""), portfolio.realised_profit - made - paid)
        if isinstance(message, Fill):
            self.filled[message.order] = self.filled.get(message.order, 0) + message.quantity
            side = flow.exits if message.order in self._reducing else flow.entries
            side.append((message.quantity, notional(message.price, message.quantity)))

    def _count_trade(self, instrument: str, made: int) -> None:
        made += self._going.pop(instrument, 0)
        position = self.tally.portfolio.position(instrument)
        if position is None or not position.quantity:
            self.trades.setdefault(instrument, []).append(made)
        else:
            self._going[instrument] = made

    def results(self) -> dict[str, list[int]]:
        """Instrument → the profit of each trade, closed ones and then the open one as it is valued now."""
        found = {instrument: list(profits) for instrument, profits in self.trades.items()}
        for instrument in self.tally.portfolio.open:
            position = self.tally.portfolio.position(instrument)
            if position is not None:
                value = self._going.get(instrument, 0) + self.value_of(instrument) - position.cost
                found.setdefault(instrument, []).append(value)
        return found

    def _decide(self, message: Approval | Rejection | Pending, stamp: Stamp, seq: int) -> None:
        decision = self.decisions.get(message.proposal)
        if decision is None:
            decision = Decision(
                stamp.now, seq, message.strategy, message.market, message.instrument, message.side.value
            )
            self.decisions[message.proposal] = decision
        decision.words.append(_words_of(message))
        if isinstance(message, Rejection):
            decision.checks = message.failed
            return
        decision.order = message.order
        if isinstance(message, Approval):
            decision.checks = message.checks
            self.prices[message.order] = message.price
            if message.reduce_only:
                self._reducing.add(message.order)

    def value_of(self, instrument: str) -> int:
        """What an open position is worth, as equity counts it."""
        position = self.tally.portfolio.position(instrument)
        if position is None:
            return 0
        marks = self.tally.bids if position.quantity > 0 else self.tally.asks
        mark = marks.get(instrument)
        if mark is None:
            return position.cost
        value = notional(mark, abs(position.quantity))
        return value if position.quantity > 0 else -value

    def figures(self) -> Figures:
        """What it came to."""
        counts, portfolio = self.tally.counts, self.tally.portfolio
        equity, deposits, realised, fees = self._start
        return Figures(
            proposals=counts["proposals"],
            approvals=counts["approvals"],
            rejected=counts["rejections"],
            orders=counts["orders"],
            fills=counts["fills"],
            exits=counts["exits"],
            settlements=counts["settlements"],
            open_positions=len(portfolio.open),
            cash=portfolio.cash,
            equity=self.tally.equity,
            profit=self.tally.equity - equity - (portfolio.deposits - deposits),
            realised_profit=portfolio.realised_profit - realised,
            fees=portfolio.fees - fees,
            drawdown=max(self._drawdown, self._peak - self.tally.equity),
            trades=sum(map(len, self.trades.values())),
            errors=len(self._errors),
        )


def _words_of(message: Approval | Rejection | Pending) -> str:
    if isinstance(message, Rejection):
        return f"rejected ({', '.join(check.name for check in message.failed)})"
    verb = "approved" if isinstance(message, Approval) else "waits for the operator:"
    return f"{verb} {message.side.value} {show(message.quantity)} at {show(message.price)}"
