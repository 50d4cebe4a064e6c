"""A hand-held tape for the monitor's tests: messages with few words, time in seconds."""

from collections.abc import Sequence

from libs.machine.machine import Stamp
from proto.execution import Claim, OrderStatus, OrderUpdate, Refusal, RefusalReason
from proto.exit import ExitProposal, ExitReason, PositionStage, PositionUpdate
from proto.feed import Book, FeedClock, Gap, Market, MarketStatus, Outcome, Quote, Side, Trade
from proto.message import Message
from proto.monitor import Alert
from proto.operator import ClockOwner, Config, Mode, Session
from proto.risk import Approval, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Fill
from services.monitor.machine import MonitorMachine
from tests.support import few_words

YES = "kalshi:KXBTC15M-T1:yes"
NO = "kalshi:KXBTC15M-T1:no"
MARKET = "kalshi:KXBTC15M-T1"
HERE = {"market": MARKET, "instrument": YES}
BITCOIN = "coinbase:BTC-USD"


class Tape:
    """Feeds one machine, with a sequence that rises and a time that is set in seconds."""

    def __init__(self, machine: MonitorMachine | None = None, *, configured: bool = True) -> None:
        self.machine = machine or MonitorMachine()
        self.seq = 0
        self.now_s = 1_000
        self.alerts: list[Alert] = []
        if configured:
            self.put(session(self.now_s))
            self.put(Config(section="monitor", document={}, nonce="n", expires_at=0))
            self.tick(0)

    def put(self, event: Message, *, verified: bool = True, message_id: str = "") -> list[Alert]:
        self.seq += 1
        stamp = Stamp(seq=self.seq, now=self.now_s * SECOND, verified=verified, message_id=message_id)
        out: Sequence[Message] = self.machine.on(event, stamp)
        alerts = [message for message in out if isinstance(message, Alert)]
        assert len(alerts) == len(out)
        self.alerts += alerts
        return alerts

    def tick(self, seconds: int) -> list[Alert]:
        """Let that much time pass in one tick of the clock."""
        self.now_s += seconds
        return self.put(FeedClock(at=self.now_s * SECOND))


def session(started_s: int, *, halted: bool = False) -> Session:
    return Session(
        tape="t1",
        mode=Mode.PLAYBACK,
        clock_owner=ClockOwner.FEED,
        started_at=started_s * SECOND,
        nonce="n",
        expires_at=0,
        halted=halted,
    )


def approval(order: str, *, reduce_only: bool = False, tif: TimeInForce = TimeInForce.IOC) -> Approval:
    return few_words.approval(order, **HERE, quantity=10 * ONE, time_in_force=tif, reduce_only=reduce_only)


def update(
    order: str,
    status: OrderStatus,
    *,
    filled: int = 0,
    reduce_only: bool = False,
    instrument: str = YES,
) -> OrderUpdate:
    return few_words.update(
        order, status, market=MARKET, instrument=instrument, filled=filled, reduce_only=reduce_only
    )


def claim(order: str) -> Claim:
    return few_words.claim(order)


def refusal(order: str, reason: RefusalReason, message_id: str = "") -> Refusal:
    return Refusal(order=order, reason=reason, message_id=message_id)


def fill(number: int, order: str, side: Side = Side.BUY, contracts: int = 10, instrument: str = YES) -> Fill:
    return few_words.fill(
        f"fill:{number}", order, market=MARKET, instrument=instrument, side=side, quantity=contracts * ONE
    )


def position_update(
    stage: PositionStage, instrument: str = YES, quantity: int = 0, reason: str = ""
) -> PositionUpdate:
    return PositionUpdate(
        market=MARKET,
        instrument=instrument,
        strategy="momentum",
        stage=stage,
        quantity=quantity,
        entry_price=0,
        reason=reason,
    )


def exit_proposal(instrument: str = YES) -> ExitProposal:
    return ExitProposal(
        strategy="momentum",
        market=MARKET,
        instrument=instrument,
        side=Side.SELL,
        price=510_000,
        quantity=ONE,
        time_in_force=TimeInForce.GTC,
        reason=ExitReason.TARGET,
        expires_at=0,
    )


def market(status: MarketStatus = MarketStatus.OPEN, close_s: int = 0) -> Market:
    return Market(
        market=MARKET,
        venue="kalshi",
        at=0,
        status=status,
        outcomes=(Outcome("yes", YES), Outcome("no", NO)),
        underlying=BITCOIN,
        close_at=close_s * SECOND,
    )


def quote(counter: int, instrument: str = YES) -> Quote:
    return Quote(instrument=instrument, at=0, counter=counter, bid=490_000, bid_size=ONE)


def book(counter: int, instrument: str = YES, *, snapshot: bool = True) -> Book:
    return Book(instrument=instrument, at=0, counter=counter, snapshot=snapshot)


def trade(instrument: str = BITCOIN) -> Trade:
    return Trade(instrument=instrument, at=0, trade_id="x", price=ONE, quantity=ONE)


def gap(instrument: str = "", venue: str = "kalshi") -> Gap:
    return Gap(venue=venue, at=0, reason="reconnect", instrument=instrument)


def said(alerts: Sequence[Alert]) -> list[tuple[str, str, bool]]:
    """What the alerts amount to: rule, topic, raised or cleared."""
    return [(alert.rule, alert.topic, alert.active) for alert in alerts]
