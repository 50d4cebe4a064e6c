"""What came of a command: the tape read on from it, until the answer is there or patience ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from libs.contract.codec import Unreadable, decode
from libs.operator.watch import Reports
from libs.tape.connection import Link
from libs.tape.reader import TapeReader
from libs.tape.record import TapeRecord
from libs.view.check_words import check_words
from libs.view.names import short_id
from libs.view.wording import clean, quantity
from proto.evaluation import ExitChange, SignalChange
from proto.execution import TERMINAL, Cancel, OrderStatus, OrderUpdate, Refusal
from proto.exit import PositionStage, PositionUpdate
from proto.message import Message
from proto.operator import Verb
from proto.risk import Approval, Check, Rejection

STEP_S = 0.1
HALT_PATIENCE_S = 3.0
"""A halt acts within a second, cancels included; a busy machine takes longer to say so."""
ANSWER_PATIENCE_S = 10.0
"""Risk answers within milliseconds, unless its machine is behind or stopped."""
ORDER_PATIENCE_S = 5.0
"""A venue answers within a second; an order that rests has been answered too."""

FLATTEN_PATIENCE_S = 15.0
"""Resting targets are cancelled and proved dead first, then the position is sold at the bid, again and again."""

RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)

Take = Callable[[TapeRecord, Message], None]


async def read_on(
    link: Link, seq: int, take: Take, is_enough: Callable[[bool], bool], patience_s: float
) -> bool:
    """Hand what follows ``seq`` to ``take`` until it is enough; whether it was in time.

    ``is_enough`` is told whether everything stored so far has been read.
    """
    reader = TapeReader(link, seq)
    deadline = monotonic() + patience_s
    try:
        while monotonic() < deadline:
            batch = await reader.next_batch(STEP_S)
            for record in batch:
                try:
                    take(record, decode(record.subject, record.payload))
                except Unreadable:
                    continue
            if is_enough(not batch and not reader.lag):
                return True
        return False
    finally:
        await reader.close()


async def have_acted(link: Link, seq: int, services: Sequence[str] = ("risk", "execution")) -> bool:
    """Wait until the services have read the tape to ``seq``; whether they did in time."""
    reports = Reports()
    await reports.listen(link)
    return await reports.wait_for(
        lambda latest: all(latest.get(name, {}).get("position", 0) >= seq for name in services),
        HALT_PATIENCE_S,
    )


@dataclass
class HaltEffect:
    """Orders that a halt found alive, with their newest state. ``acted``: execution has read the command."""

    orders: dict[str, OrderStatus] = field(default_factory=dict)
    acted: bool = False

    @property
    def over(self) -> bool:
        """Whether none of them may trade any more."""
        return all(status in TERMINAL for status in self.orders.values())

    def text(self) -> str:
        """In words."""
        if not self.acted:
            return "execution has not read the command yet; the HALT file stops new orders until it does"
        if not self.orders:
            return "no order was working"
        open_ = [order for order, status in self.orders.items() if status not in TERMINAL]
        count = len(self.orders)
        told = f"{count} working order{'s' if count > 1 else ''}: "
        if not open_:
            return told + "none is left"
        return told + f"cancels sent, not confirmed yet for {', '.join(open_)}"


async def effect_of_halt(link: Link, seq: int) -> HaltEffect:
    """Wait until execution has read the halt stored at ``seq``, and its cancels are confirmed."""
    effect = HaltEffect()
    reports = Reports()
    await reports.listen(link)

    def take(record: TapeRecord, message: Message) -> None:
        if isinstance(message, Cancel) and record.cause == seq:
            effect.orders.setdefault(message.order, OrderStatus.PENDING_CANCEL)
        elif isinstance(message, OrderUpdate) and (record.cause == seq or message.order in effect.orders):
            effect.orders[message.order] = message.status

    def is_enough(read_all: bool) -> bool:
        position = reports.latest.get("execution", {}).get("position", 0)
        effect.acted = effect.acted or bool(effect.orders) or position >= seq
        return effect.acted and read_all and effect.over

    await read_on(link, seq, take, is_enough, HALT_PATIENCE_S)
    return effect


async def outcome_of_change(link: Link, seq: int) -> SignalChange | ExitChange | None:
    """Wait for what a machine makes of the acceptance stored at ``seq``; ``None`` when none answers in time."""
    found: list[SignalChange | ExitChange] = []

    def take(record: TapeRecord, message: Message) -> None:
        if isinstance(message, SignalChange | ExitChange) and record.cause == seq:
            found.append(message)

    await read_on(link, seq, take, lambda _: bool(found), ANSWER_PATIENCE_S)
    return found[0] if found else None


@dataclass
class FlattenEffect:
    """Positions that a flatten set to leave, with their newest stage. ``acted``: exit has read the command."""

    stages: dict[str, PositionStage] = field(default_factory=dict)
    acted: bool = False

    @property
    def open(self) -> list[str]:
        """Instruments that have not left yet."""
        return [name for name, stage in self.stages.items() if stage is not PositionStage.CLOSED]

    def text(self) -> str:
        """In words."""
        if not self.acted:
            return "exit has not read the command yet; presage status says whether it runs"
        if not self.stages:
            return "no position that is not leaving already"
        left = self.open
        if not left:
            return f"{len(self.stages)} closed: {', '.join(self.stages)}"
        return f"{len(self.stages)} leaving, not closed yet: {', '.join(left)}"


async def effect_of_flatten(link: Link, seq: int) -> FlattenEffect:
    """Wait until exit has read the flatten stored at ``seq``, and the positions it set to leave are closed."""
    effect = FlattenEffect()
    reports = Reports()
    await reports.listen(link)

    def take(record: TapeRecord, message: Message) -> None:
        if isinstance(message, PositionUpdate) and (
            record.cause == seq or message.instrument in effect.stages
        ):
            effect.stages[message.instrument] = message.stage

    def is_enough(read_all: bool) -> bool:
        position = reports.latest.get("exit", {}).get("position", 0)
        effect.acted = effect.acted or bool(effect.stages) or position >= seq
        return effect.acted and read_all and not effect.open

    await read_on(link, seq, take, is_enough, FLATTEN_PATIENCE_S)
    return effect


@dataclass
class Answer:
    """What risk answered to an approval or a denial, and what became of the order it let through."""

    order: str = ""
    failed: tuple[Check, ...] = ()
    is_rejected: bool = False
    lapsed: bool = False
    """Rejected by something else than this command, before it: its time was over."""
    status: OrderStatus | None = None
    filled: int = 0
    quantity: int = 0
    reason: str = ""

    @property
    def given(self) -> bool:
        """Whether risk has answered."""
        return bool(self.order) or self.is_rejected

    @property
    def reached_the_venue(self) -> bool:
        """Whether the order rests there or has traded."""
        return bool(self.filled) or self.status in (*RESTING, OrderStatus.FILLED)

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "order": self.order,
            "failed": [check.name for check in self.failed],
            "status": self.status.value if self.status else "",
            "filled": self.filled,
            "reason": self.reason,
        }


async def answer_to_decision(link: Link, seq: int, proposal: str) -> Answer:
    """Wait for risk's answer to the decision stored at ``seq``, and for the end of the order it lets through."""
    answer = Answer()

    def take(record: TapeRecord, message: Message) -> None:
        if isinstance(message, Approval) and record.cause == seq:
            answer.order, answer.quantity = message.order, message.quantity
        elif isinstance(message, Rejection) and message.proposal == proposal:
            answer.is_rejected, answer.failed = True, message.failed
            answer.lapsed = record.cause != seq
        elif isinstance(message, OrderUpdate) and message.order == answer.order:
            answer.status, answer.filled, answer.reason = message.status, message.filled, message.reason
        elif isinstance(message, Refusal) and message.order == answer.order:
            answer.status, answer.reason = OrderStatus.DENIED, message.reason.value

    def is_over(read_all: bool) -> bool:
        ended = answer.status in TERMINAL
        # An order that must trade at once is accepted for a moment only: what follows is on its way.
        return answer.is_rejected or (ended or (read_all and answer.status in RESTING))

    if await read_on(link, seq, take, lambda _: answer.given, ANSWER_PATIENCE_S) and answer.order:
        await read_on(link, seq, take, is_over, ORDER_PATIENCE_S)
    return answer


def outcome_of(answer: Answer, verb: Verb, order: str, unit: str) -> tuple[bool, str]:
    """Whether what was asked for happened, and what did, in words."""
    words = ", ".join(check_words(check, unit) for check in answer.failed)
    if not answer.given:
        return False, f"{order}: risk has not answered; presage status says whether it runs"
    if answer.is_rejected:
        if answer.lapsed:
            return False, f"{order}: too late, {words}"
        if verb is Verb.DENY:
            return True, f"{order}: denied"
        return False, f"{order}: risk refuses it: {words}"
    status = answer.status.value.replace("_", " ") if answer.status else "on its way"
    told = f"{order}: approved as {short_id(answer.order)}, {status}"
    if answer.filled:
        told += f", {quantity(answer.filled)} of {quantity(answer.quantity)} contracts filled"
    if answer.reason:
        told += f" ({clean(answer.reason)})"
    return answer.reached_the_venue and verb is Verb.APPROVE, told
