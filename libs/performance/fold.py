"""The fold of a tape that makes its performance: its account, and the closed trades of its days."""

from libs.evaluation.day import ClosedTrade
from libs.evaluation.fold import DayFold
from libs.performance.account import AccountFold, Performance
from libs.performance.trades import TradeResult
from proto.feed import FeedClock
from proto.ids import venue_of
from proto.message import Message
from proto.monitor import Clock
from proto.risk import PortfolioReport
from proto.venue import Account


class PerformanceFold:
    """Feed it messages of a tape in order; ``finish`` gives what the window from ``began_at`` to ``ended_at`` (ns) came to.

    Prices are not needed: without quotes and books only slippage is not known, and is 0.
    """

    KINDS: tuple[type[Message], ...] = (Account, PortfolioReport, Clock, FeedClock)
    """Kinds it reads besides those of a trading day; without the clocks it would not know when a trade was made."""

    def __init__(self, began_at: int = 0, ended_at: int = 0) -> None:
        self._day = DayFold(began_at, ended_at)
        self._account = AccountFold(began_at, ended_at)

    @property
    def reads(self) -> tuple[type[Message], ...]:
        """Every kind that it reads."""
        return (*self._day.reads, *self.KINDS)

    def add(self, message: Message, seq: int, stored_at: int, message_id: str = "") -> None:
        """Take one message. ``stored_at``: when the broker stored it, 0 where there is no broker."""
        self._day.add(message, seq, stored_at, message_id)
        self._account.add(message, message_id or str(seq))

    def finish(self) -> Performance:
        """What the window came to."""
        day = self._day.finish()
        results = [result_of(trade) for trade in day.trades]
        found = self._account.come_to(results, day.began_at, day.ended_at, day.left_out)
        return found._replace(trades=day.trades)


def result_of(trade: ClosedTrade) -> TradeResult:
    """A closed trade as its figures are made of."""
    return TradeResult(
        strategy=trade.strategy,
        family=trade.family,
        venue=venue_of(trade.market),
        event=trade.market,
        ended=trade.ended,
        opened_at=trade.opened_at,
        closed_at=trade.closed_at,
        staked=trade.entry_value,
        received=trade.exit_value,
        profit=trade.profit,
        fees=trade.fees,
        expected=trade.expected,
        slippage=trade.slippage,
    )
