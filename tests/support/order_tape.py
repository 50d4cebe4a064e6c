"""A hand-held tape for the tests of execution and the paper venue: few words, time in seconds."""

from collections.abc import Sequence
from typing import Any, TypeVar

from libs.contract.codec import encode
from libs.machine.machine import Stamp, StateMachine
from proto.execution import Claim, OrderStatus, OrderUpdate
from proto.feed import Book, FeedClock, FeeSchedule, Level, Market, MarketStatus, Outcome, Side
from proto.ids import order_id
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session, Verb
from proto.risk import Approval, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Ack, AckStatus, Correction, Fill
from services.execution.machine import ExecutionMachine

TAPE = "tape1"
MARKET = "kalshi:KXBTC15M-T1"
YES = f"{MARKET}:yes"
NO = f"{MARKET}:no"
START_S = 1_000_000
CENT = 10_000
ORDER = "tape1-1-0"
Kind = TypeVar("Kind", bound=Message)


class Hand:
    """Feeds some machines one after another; keeps what each said, in order."""

    def __init__(self, *machines: StateMachine) -> None:
        self.machines: tuple[Any, ...] = machines
        self.seq = 0
        self.now_s = START_S
        self.said: list[Message] = []

    def put(self, event: Message, *, message_id: str = "", verified: bool = True) -> list[Any]:
        """One input to all machines; their outputs are not fed back."""
        self.seq += 1
        stamp = Stamp(seq=self.seq, now=self.now_s * SECOND, message_id=message_id, verified=verified)
        outputs: list[Message] = []
        for machine in self.machines:
            outputs.extend(machine.on(event, stamp))
        self.said.extend(outputs)
        return outputs

    def approve(self, event: Approval, *, verified: bool = True, message_id: str = "") -> list[Any]:
        return self.put(event, message_id=message_id or message_id_of(event), verified=verified)

    def tick(self, seconds: int = 0) -> list[Any]:
        self.now_s += seconds
        return self.put(FeedClock(at=self.now_s * SECOND))

    def configure(self, **sections: dict[str, object]) -> list[Any]:
        """Open a session and give ``execution`` and ``paper`` their parameters."""
        self.put(session(self.now_s))
        outputs: list[Message] = []
        for section in ("execution", "paper"):
            outputs += self.put(
                Config(section=section, document=sections.get(section, {}), nonce="n", expires_at=0)
            )
        return outputs


def session(now_s: int, *, tape: str = TAPE, halted: bool = False) -> Session:
    return Session(
        tape=tape,
        mode=Mode.PLAYBACK,
        clock_owner=ClockOwner.FEED,
        started_at=now_s * SECOND,
        nonce="n",
        expires_at=0,
        halted=halted,
    )


def command(verb: Verb, *, close_only: bool = False) -> Command:
    return Command(verb=verb, nonce="n", expires_at=0, close_only=close_only)


def approval(
    cause: int = 1,
    *,
    index: int = 0,
    side: Side = Side.BUY,
    price: int = 45,
    quantity: int = 10,
    tif: TimeInForce = TimeInForce.GTC,
    expires_s: int = START_S + 3_600,
    instrument: str = YES,
    reduce_only: bool = False,
) -> Approval:
    """An approval as risk would write it; price in cents, quantity in contracts."""
    return Approval(
        order=order_id(TAPE, cause, index),
        strategy="momentum",
        market=MARKET,
        instrument=instrument,
        side=side,
        price=price * CENT,
        quantity=quantity * ONE,
        time_in_force=tif,
        expires_at=expires_s * SECOND,
        proposal="p",
        reduce_only=reduce_only,
    )


def message_id_of(event: Approval) -> str:
    tape, cause, index = event.order.rsplit("-", 2)
    return f"{tape}:risk:{cause}:{index}"


def claim(event: Approval) -> Claim:
    return Claim(
        order=event.order,
        approval_subject=event.subject(),
        message_id=message_id_of(event),
        payload=encode(event),
        signature="s",
        key_id="k",
        client_order_id=event.order,
        nonce="n",
        claimed_at=0,
    )


def listing(status: MarketStatus = MarketStatus.OPEN, result: str = "") -> Market:
    return Market(
        market=MARKET,
        venue="kalshi",
        at=START_S * SECOND,
        status=status,
        outcomes=(Outcome("yes", YES), Outcome("no", NO)),
        close_at=(START_S + 900) * SECOND,
        quantity_step=CENT,
        fees=FeeSchedule(model="kalshi_quadratic", taker_rate=70_000, maker_rate=0),
        result=result,
    )


def book(bids: dict[int, int], asks: dict[int, int]) -> Book:
    return Book(
        instrument=YES,
        at=0,
        counter=1,
        bids=tuple(Level(price * CENT, quantity * ONE) for price, quantity in bids.items()),
        asks=tuple(Level(price * CENT, quantity * ONE) for price, quantity in asks.items()),
    )


def of(kind: type[Kind], messages: Sequence[Message]) -> list[Kind]:
    """The messages of one class."""
    return [message for message in messages if isinstance(message, kind)]


def execution_hand() -> Hand:
    """An execution machine with the timeouts the tests count on."""
    tape = Hand(ExecutionMachine())
    tape.configure(execution={"ack_timeout_s": 5, "query_interval_s": 10})
    return tape


def submitted(quantity: int = 10, tif: TimeInForce = TimeInForce.GTC, **changes: Any) -> Hand:
    tape = execution_hand()
    event = approval(1, quantity=quantity, tif=tif, **changes)
    tape.approve(event)
    tape.put(claim(event))
    return tape


def accepted(quantity: int = 10, tif: TimeInForce = TimeInForce.GTC, **changes: Any) -> Hand:
    tape = submitted(quantity, tif, **changes)
    tape.put(ack(AckStatus.ACCEPTED))
    return tape


def ack(status: AckStatus, order: str = ORDER, reason: str = "") -> Ack:
    return Ack(order=order, status=status, reason=reason)


def fill(number: int, quantity: int, order: str = ORDER) -> Fill:
    return Fill(
        fill_id=f"fill:paper:{order}:{number}",
        order=order,
        market=MARKET,
        instrument=YES,
        strategy="momentum",
        side=Side.BUY,
        price=45 * CENT,
        quantity=quantity * ONE,
        fee=0,
    )


def correction(number: int, order: str = ORDER) -> Correction:
    return Correction(correction_id=f"c{number}", fill_id=f"fill:paper:{order}:{number}", order=order)


def states(messages: list[Message]) -> list[tuple[OrderStatus, int, int]]:
    """(status, filled, remaining) of the updates, in contracts."""
    return [(m.status, m.filled // ONE, m.remaining // ONE) for m in of(OrderUpdate, messages)]
