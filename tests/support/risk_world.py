"""A risk machine in a small world: one tape, a few markets with healthy books, and an account."""

from typing import Any

from libs.contract import codec
from libs.machine.machine import Stamp
from proto.execution import OrderStatus, OrderUpdate
from proto.exit import ExitProposal, ExitReason
from proto.feed import (
    Book,
    FeedClock,
    FeeSchedule,
    Level,
    Market,
    MarketStatus,
    Outcome,
    PriceStep,
    Quote,
    Side,
)
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session, Verb
from proto.risk import Approval, Rejection, TimeInForce
from proto.signal import Proposal
from proto.units import ONE, SECOND
from proto.venue import Account, Fill, Settlement
from services.risk.machine import RiskMachine

START = 1_800_000_000 * SECOND
KALSHI_FEES = FeeSchedule(model="kalshi_quadratic", taker_rate=70_000)
CASH = 1_000 * ONE
HALF_KELLY_QUANTITY = 165 * ONE
"""At fair 0.60, price 0.50, fee 0.0175: (0.6 - 0.5175) / 0.4825 / 2 of 1,000 dollars / 0.5175."""


def market_of(name: str, **changes: Any) -> Market:
    fields: dict[str, Any] = {
        "market": f"kalshi:{name}",
        "venue": "kalshi",
        "at": START,
        "status": MarketStatus.OPEN,
        "outcomes": (Outcome("yes", f"kalshi:{name}:yes"), Outcome("no", f"kalshi:{name}:no")),
        "close_at": START + 3_600 * SECOND,
        "price_steps": (PriceStep(0, 10_000),),
        "quantity_step": ONE,
        "fees": KALSHI_FEES,
    }
    return Market(**{**fields, **changes})


class RiskWorld:
    """Feeds a machine and keeps what it says. Every message goes through the codec, as on the tape."""

    def __init__(self, markets: tuple[str, ...] = ("A", "B", "C"), cash: int = CASH, **params: Any) -> None:
        self.machine = RiskMachine()
        self.now = START
        self.seq = 0
        self.counters: dict[str, int] = {}
        self.fill_count = 0
        self.outputs: list[Any] = []
        self.session()
        self.configure(**params)
        self.send(Account(account_id="deposit", venue="kalshi", deposit=cash, at=self.now))
        for name in markets:
            self.send(market_of(name))
            self.book(f"kalshi:{name}:yes", snapshot=True)
            self.book(f"kalshi:{name}:no", snapshot=True)

    def send(self, message: Message, *, message_id: str = "") -> list[Any]:
        self.seq += 1
        message = codec.decode(message.subject(), codec.encode(message))
        stamp = Stamp(self.seq, self.now, message_id or f"t1:x:{self.seq}:0")
        outputs = list(self.machine.on(message, stamp))
        for output in outputs:
            assert codec.decode(output.subject(), codec.encode(output)) == output
        self.outputs += outputs
        return outputs

    def session(self, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "tape": "t1",
            "mode": Mode.PLAYBACK,
            "clock_owner": ClockOwner.FEED,
            "started_at": self.now,
            "nonce": "n",
            "expires_at": self.now,
        }
        self.send(Session(**{**fields, **changes}))

    def configure(self, **params: Any) -> None:
        document = {
            "cooldown_s": 0,
            "repeat_s": 0,
            "order_rate_max_count": 1_000,
            "book_age_max_s": 86_400,
            **params,
        }
        self.send(Config(section="risk", document=document, nonce="n", expires_at=self.now))

    def command(self, verb: Verb, order: str = "", *, close_only: bool = False) -> list[Any]:
        told = Command(verb=verb, nonce="n", expires_at=self.now, order=order, close_only=close_only)
        return self.send(told)

    def clock(self, seconds: float = 1) -> list[Any]:
        self.now += int(seconds * SECOND)
        return self.send(FeedClock(at=self.now))

    def book(
        self,
        instrument: str,
        bid: int = 490_000,
        ask: int = 500_000,
        size: int = 1_000 * ONE,
        *,
        snapshot: bool = False,
    ) -> None:
        self.counters[instrument] = self.counters.get(instrument, 0) + 1
        self.send(
            Book(
                instrument=instrument,
                at=self.now,
                counter=self.counters[instrument],
                bids=(Level(bid, size),) if bid else (),
                asks=(Level(ask, size),) if ask else (),
                snapshot=snapshot,
            )
        )

    def quote(self, instrument: str, bid: int | None, ask: int | None, *, skip: int = 0) -> None:
        self.counters[instrument] = self.counters.get(instrument, 0) + 1 + skip
        self.send(
            Quote(instrument=instrument, at=self.now, counter=self.counters[instrument], bid=bid, ask=ask)
        )

    def propose(
        self, market: str = "A", outcome: str = "yes", *, message_id: str = "", **changes: Any
    ) -> Any:
        fields: dict[str, Any] = {
            "strategy": "momentum",
            "market": f"kalshi:{market}",
            "instrument": f"kalshi:{market}:{outcome}",
            "side": Side.BUY,
            "price": 500_000,
            "fair_value": 600_000,
            "edge": 80_000,
            "strength": ONE,
            "expires_at": self.now + 5 * SECOND,
        }
        (output,) = self.send(Proposal(**{**fields, **changes}), message_id=message_id)
        return output

    def approve(self, market: str = "A", outcome: str = "yes", **changes: Any) -> Approval:
        output = self.propose(market, outcome, **changes)
        assert isinstance(output, Approval), output
        return output

    def reject(self, market: str = "A", outcome: str = "yes", **changes: Any) -> dict[str, tuple[int, int]]:
        """The failed checks: name → (limit, value)."""
        return failed_of(self.propose(market, outcome, **changes))

    def exit(self, market: str = "A", outcome: str = "yes", **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "strategy": "momentum",
            "market": f"kalshi:{market}",
            "instrument": f"kalshi:{market}:{outcome}",
            "side": Side.SELL,
            "price": 490_000,
            "quantity": ONE,
            "time_in_force": TimeInForce.GTC,
            "reason": ExitReason.TARGET,
            "expires_at": self.now + 60 * SECOND,
        }
        (output,) = self.send(ExitProposal(**{**fields, **changes}))
        return output

    def fill(
        self, order: Approval, quantity: int | None = None, price: int | None = None, fee: int = 0
    ) -> None:
        self.fill_count += 1
        self.send(
            Fill(
                fill_id=f"fill:kalshi:{self.fill_count}",
                order=order.order,
                market=order.market,
                instrument=order.instrument,
                strategy=order.strategy,
                side=order.side,
                price=order.price if price is None else price,
                quantity=order.quantity if quantity is None else quantity,
                fee=fee,
                at=self.now,
            )
        )

    def update(self, order: Approval, status: OrderStatus, filled: int = 0) -> None:
        self.send(
            OrderUpdate(
                order=order.order,
                status=status,
                instrument=order.instrument,
                market=order.market,
                strategy=order.strategy,
                filled=filled,
                remaining=order.quantity - filled,
                reduce_only=order.reduce_only,
            )
        )

    def hold(self, market: str = "A", outcome: str = "yes", **changes: Any) -> Approval:
        """Open a position: an approval, filled in full."""
        order = self.approve(market, outcome, **changes)
        self.fill(order)
        self.update(order, OrderStatus.FILLED, order.quantity)
        return order

    def settle(self, market: str, price: int) -> None:
        for outcome, paid in (("yes", price), ("no", ONE - price)):
            self.send(
                Settlement(
                    settlement_id=f"settlement:{market}:{outcome}",
                    market=f"kalshi:{market}",
                    instrument=f"kalshi:{market}:{outcome}",
                    price=paid,
                    at=self.now,
                )
            )

    def restarted(self) -> None:
        """Carry on with a new machine from a snapshot of this one."""
        state = self.machine.snapshot()
        self.machine = RiskMachine()
        self.machine.restore(state)


def failed_of(output: Message) -> dict[str, tuple[int, int]]:
    assert isinstance(output, Rejection), output
    return {check.name: (check.limit, check.value) for check in output.failed}


def of(outputs: list[Message], kind: type[Message]) -> list[Any]:
    return [output for output in outputs if isinstance(output, kind)]
