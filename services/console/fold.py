"""What the console knows: the tape folded, in bounded memory.

Every number comes from here or from the journal; pages, REST and socket read the same rows, so none can say another
thing than the others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from libs.bounded import keep_newest
from libs.forecasting.families import family_of
from libs.lists.alerts import AlertList
from libs.lists.books import KINDS as BOOK_KINDS
from libs.lists.books import Books
from libs.lists.orders import KINDS as ORDER_KINDS
from libs.lists.orders import OrderList
from libs.observability.latency import StoredTimes
from libs.performance.account import AccountFold
from libs.tape.record import TapeRecord
from libs.view.model import ViewModel
from proto.advisor import Forecast
from proto.feed import Book, Candle, FeedClock, Market, Quote, Trade
from proto.message import Message
from proto.monitor import Alert, Clock
from proto.operator import Command, Config, Session
from proto.risk import PortfolioReport
from proto.signal import Proposal
from proto.subjects import TABLE
from services.console.limits import ALERTS_KEPT, FILLS_KEPT, ORDERS_KEPT

OFTEN = (Quote, Book, Trade, Candle, FeedClock, Clock)
"""Nearly all of a tape: of what is past only the newest is read."""
RARE = tuple(row.model for row in TABLE if row.model not in OFTEN)
VALUES_MAX = 1_000
"""Instruments with a fair value, markets with a forecast."""
SECTIONS_MAX = 200
COMMANDS_KEPT = 200


class FairValue(NamedTuple):
    """What a strategy's model said last of an instrument, in millionths, and when."""

    value: int
    strategy: str
    at: int


class Setting(NamedTuple):
    """A section of the configuration as the tape has it, and where."""

    document: dict[str, Any]
    seq: int
    at: int


class GivenCommand(NamedTuple):
    """What an operator said, and where it stands on the tape."""

    seq: int
    at: int
    command: Command
    key_id: str


class ConsoleFold:
    """Feed it every readable message of the tape in order."""

    def __init__(self, money: str) -> None:
        self.view = ViewModel(whose_money=money)
        self.orders = OrderList()
        self.books = Books()
        self.account = AccountFold()
        self.families: dict[str, str] = {}
        self.alerts = AlertList()
        self.fair: dict[str, FairValue] = {}
        self.forecasts: dict[str, tuple[int, Forecast]] = {}
        self.sections: dict[str, Setting] = {}
        self.commands: dict[int, GivenCommand] = {}
        self.session: Session | None = None
        self.seq = 0
        self.stored_at = 0
        self.unreadable = 0
        self.caught_up = False
        """Whether everything that happened before the start has been read."""
        self._times = StoredTimes()
        self._handlers: dict[type[Message], Callable[[TapeRecord, Any], None]] = {
            Proposal: self._on_proposal,
            Forecast: self._on_forecast,
            Config: self._on_config,
            Command: self._on_command,
            Session: self._on_session,
            Alert: self._on_alert,
            Market: self._on_market,
            **dict.fromkeys(ORDER_KINDS, self._on_order),
        }
        for kind in BOOK_KINDS:
            self._handlers[kind] = self._on_book

    def on(self, record: TapeRecord, message: Message) -> None:
        """Take one message."""
        self.seq = record.seq
        self.stored_at = record.stored_at_ns
        self._times.put(record.seq, record.stored_at_ns)
        cause, root = self._times.get(record.cause), self._times.get(record.root)
        self.view.on(message, record.seq, record.stored_at_ns, cause, root)
        if not self.caught_up and isinstance(message, PortfolioReport) and self.view.portfolio.accounts:
            # The curve of the time before, as risk reported it each minute: its clocks are not read.
            self.view.equity_history.add(message.at, message.equity)
        if type(message) in AccountFold.KINDS:
            self.account.add(message, record.message_id or str(record.seq))
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(record, message)

    def _on_order(self, record: TapeRecord, message: Message) -> None:
        self.orders.add([(record, message)])
        self.orders.forget(ORDERS_KEPT)

    def _on_book(self, record: TapeRecord, message: Message) -> None:
        if type(message) in ORDER_KINDS:
            self._on_order(record, message)
        self.books.add([(record, message)])
        keep_newest(self.books.fills, FILLS_KEPT)

    def _on_market(self, _: TapeRecord, market: Market) -> None:
        if market.open_at or market.market not in self.families:
            self.families[market.market] = family_of(market)
            keep_newest(self.families, FILLS_KEPT)

    def _on_alert(self, record: TapeRecord, message: Alert) -> None:
        self.alerts.add([(record, message)])
        self.alerts.forget(ALERTS_KEPT)

    def _on_proposal(self, record: TapeRecord, proposal: Proposal) -> None:
        self.fair.pop(proposal.instrument, None)
        self.fair[proposal.instrument] = FairValue(
            proposal.fair_value, proposal.strategy, record.stored_at_ns
        )
        keep_newest(self.fair, VALUES_MAX)

    def _on_forecast(self, record: TapeRecord, forecast: Forecast) -> None:
        self.forecasts.pop(forecast.market, None)
        self.forecasts[forecast.market] = record.seq, forecast
        keep_newest(self.forecasts, VALUES_MAX)

    def _on_config(self, record: TapeRecord, config: Config) -> None:
        self.sections[config.section] = Setting(config.document, record.seq, record.stored_at_ns)
        keep_newest(self.sections, SECTIONS_MAX)

    def _on_command(self, record: TapeRecord, command: Command) -> None:
        key_id = record.headers.get("kid", "")
        self.commands[record.seq] = GivenCommand(record.seq, record.stored_at_ns, command, key_id)
        keep_newest(self.commands, COMMANDS_KEPT)

    def _on_session(self, _: TapeRecord, session: Session) -> None:
        self.session = session
