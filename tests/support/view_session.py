"""A hand-made session on the tape for the view's tests: every kind of message, figures known by heart."""

from math import sin

from libs.view.model import ViewModel
from libs.view.rows import ServiceRow
from proto.execution import OrderStatus, OrderUpdate
from proto.exit import ExitProposal, ExitReason, PositionStage, PositionUpdate
from proto.feed import Book, FeedClock, Level, Market, MarketStatus, Outcome, Side, Trade
from proto.message import Message
from proto.monitor import Alert, Severity
from proto.operator import ClockOwner, Command, Mode, Session, Verb
from proto.risk import Approval, Check, Pending, PortfolioReport, Rejection, RiskState, TimeInForce
from proto.signal import Proposal
from proto.units import MILLISECOND, ONE, SECOND
from proto.venue import Account, Fill, Settlement

T0 = 1_790_000_000 * SECOND
MARKETS = ("kalshi:KXBTC15M-26MAY131800-00", "kalshi:KXBTC15M-26MAY131815-15")
YES, NO = f"{MARKETS[0]}:yes", f"{MARKETS[0]}:no"
LATER_YES = f"{MARKETS[1]}:yes"
BITCOIN = "coinbase:BTC-USD"


class Player:
    """Puts messages into a model with rising sequences; each is caused by the one before."""

    def __init__(self, model: ViewModel) -> None:
        self.model = model
        self.seq = 0
        self.stored_at = T0
        self.told: list[Message] = []

    def put(self, *messages: Message, took_ns: int = 2 * MILLISECOND) -> None:
        for message in messages:
            self.seq += 1
            self.told.append(message)
            began = self.stored_at
            self.stored_at += took_ns
            self.model.on(message, self.seq, self.stored_at, began, began)


def opening() -> list[Message]:
    session = Session(
        tape="t7",
        mode=Mode.PLAYBACK,
        clock_owner=ClockOwner.FEED,
        started_at=T0,
        nonce="n",
        expires_at=0,
        recording="kxbtc15m",
    )
    account = Account(account_id="a", venue="kalshi", deposit=1_000 * ONE, at=T0)
    return [session, account, *(market(index) for index in range(2))]


def market(index: int, status: MarketStatus = MarketStatus.OPEN) -> Market:
    name = MARKETS[index]
    return Market(
        market=name,
        venue="kalshi",
        at=T0,
        status=status,
        outcomes=(Outcome("yes", f"{name}:yes"), Outcome("no", f"{name}:no")),
        underlying=BITCOIN,
        strike=104_250 * ONE + index * 125 * ONE,
        close_at=T0 + (900 + index * 900) * SECOND,
    )


def book(instrument: str, bid: int, ask: int, at: int = T0) -> Book:
    bids = tuple(Level(bid - step * 10_000, (120 + 70 * step) * ONE) for step in range(5))
    asks = tuple(Level(ask + step * 10_000, (90 + 55 * step) * ONE) for step in range(5))
    return Book(instrument=instrument, at=at, counter=1, bids=bids, asks=asks, snapshot=True)


def trade(price: int, at: int = T0) -> Trade:
    return Trade(instrument=BITCOIN, at=at, trade_id="x", price=price, quantity=ONE)


def clock(seconds: int) -> FeedClock:
    return FeedClock(at=T0 + seconds * SECOND)


def proposal(instrument: str = YES, price: int = 460_000) -> Proposal:
    return Proposal(
        strategy="momentum",
        market=instrument.rpartition(":")[0],
        instrument=instrument,
        side=Side.BUY,
        price=price,
        fair_value=531_000,
        edge=54_000,
        strength=ONE,
        expires_at=0,
        reason="breakout z 2.4",
    )


def rejection(instrument: str = YES) -> Rejection:
    failed = (
        Check("spread", 30_000, 41_500, passed=False),
        Check("time_to_close_s", 60, 41, passed=False),
    )
    return Rejection(
        strategy="momentum",
        market=instrument.rpartition(":")[0],
        instrument=instrument,
        side=Side.BUY,
        price=460_000,
        proposal="p",
        failed=failed,
    )


def approval(order: str, side: Side, price: int, contracts: int, *, reduce_only: bool = False) -> Approval:
    return Approval(
        order=order,
        strategy="momentum",
        market=MARKETS[0],
        instrument=YES,
        side=side,
        price=price,
        quantity=contracts * ONE,
        time_in_force=TimeInForce.GTC,
        expires_at=0,
        proposal="p",
        reduce_only=reduce_only,
    )


def pending(order: str, left_s: int) -> Pending:
    return Pending(
        order=order,
        strategy="momentum",
        market=MARKETS[0],
        instrument=YES,
        side=Side.BUY,
        price=460_000,
        quantity=40 * ONE,
        expires_at=T0 + left_s * SECOND,
        proposal="p",
    )


def update(order: str, status: OrderStatus, filled: int = 0, *, reduce_only: bool = False) -> OrderUpdate:
    return OrderUpdate(
        order=order,
        status=status,
        instrument=YES,
        market=MARKETS[0],
        strategy="momentum",
        filled=filled,
        reduce_only=reduce_only,
    )


def fill(number: int, order: str, side: Side, price: int, contracts: int, fee: int) -> Fill:
    return Fill(
        fill_id=f"fill:{number}",
        order=order,
        market=MARKETS[0],
        instrument=YES,
        strategy="momentum",
        side=side,
        price=price,
        quantity=contracts * ONE,
        fee=fee,
    )


def exit_proposal(price: int, contracts: int) -> ExitProposal:
    return ExitProposal(
        strategy="momentum",
        market=MARKETS[0],
        instrument=YES,
        side=Side.SELL,
        price=price,
        quantity=contracts * ONE,
        time_in_force=TimeInForce.GTC,
        reason=ExitReason.TARGET,
        expires_at=0,
    )


def bought_and_half_sold() -> list[Message]:
    """Buys 40 at 0.46 for a fee of 0.70, sells 20 at 0.47 for 0.35; an exit of 20 at 0.48 rests."""
    return [
        proposal(),
        approval("t7-9-0", Side.BUY, 460_000, 40),
        update("t7-9-0", OrderStatus.SUBMITTED),
        fill(1, "t7-9-0", Side.BUY, 460_000, 40, 700_000),
        update("t7-9-0", OrderStatus.FILLED, 40 * ONE),
        PositionUpdate(
            market=MARKETS[0],
            instrument=YES,
            strategy="momentum",
            stage=PositionStage.OPEN,
            quantity=40 * ONE,
            entry_price=460_000,
        ),
        exit_proposal(470_000, 20),
        approval("t7-14-0", Side.SELL, 470_000, 20, reduce_only=True),
        update("t7-14-0", OrderStatus.ACCEPTED, reduce_only=True),
        exit_proposal(480_000, 20),
        approval("t7-17-0", Side.SELL, 480_000, 20, reduce_only=True),
        update("t7-17-0", OrderStatus.ACCEPTED, reduce_only=True),
        fill(2, "t7-14-0", Side.SELL, 470_000, 20, 350_000),
        update("t7-14-0", OrderStatus.FILLED, 20 * ONE, reduce_only=True),
        PositionUpdate(
            market=MARKETS[0],
            instrument=YES,
            strategy="momentum",
            stage=PositionStage.HALF_CLOSED,
            quantity=20 * ONE,
            entry_price=460_000,
        ),
    ]


def report(cash: int, equity: int, state: RiskState = RiskState.ACTIVE) -> PortfolioReport:
    return PortfolioReport(
        digest="d",
        cash=cash,
        equity=equity,
        realised_profit=0,
        fees=0,
        exposure=9_200_000,
        exposure_limit=200 * ONE,
        positions=1,
        state=state,
    )


def alert(rule: str, severity: Severity, topic: str = "t7-9-0", *, active: bool = True) -> Alert:
    return Alert(rule=rule, severity=severity, topic=topic, text="without progress for 30 s", active=active)


def settlement(price: int) -> Settlement:
    return Settlement(settlement_id="s", market=MARKETS[0], instrument=YES, price=price)


def halt(reason: str = "lunch") -> Command:
    return Command(verb=Verb.HALT, nonce="n", expires_at=0, reason=reason)


SERVICES = (
    ServiceRow("feed", "live", 48_211, 0, 0),
    ServiceRow("signal", "live", 48_209, 2, 0),
    ServiceRow("risk", "live", 48_211, 0, 1),
    ServiceRow("execution", "starting", 46_002, 2_209, 2, "reading back"),
    ServiceRow("exit", "live", 48_210, 1, 0),
    ServiceRow("journal", "live", 48_180, 31, 0),
    ServiceRow("monitor", "live", 48_211, 0, 0),
)


def busy_model() -> ViewModel:
    """Half an hour of trading in one market, with prices that move."""
    model = ViewModel()
    player = Player(model)
    player.put(*opening())
    for second in range(0, 600, 2):
        drift = round(9_000 * sin(second / 40) + second * 20)
        bid = 455_000 + drift // 10_000 * 10_000
        at = player.stored_at
        price = (104_233 + second) * ONE + 510_000 - drift * 900
        player.put(book(YES, bid, bid + 20_000, at), trade(price, at))
        player.put(book(NO, 960_000 - bid, 1_000_000 - bid, at), book(LATER_YES, 500_000, 530_000, at))
        if second == 120:
            player.put(*bought_and_half_sold())
        if second % 60 == 30:
            player.put(proposal(LATER_YES), rejection(LATER_YES), took_ns=3 * MILLISECOND)
        player.put(clock(second))
    model.show_services(SERVICES)
    return model
