"""A tape in memory for the tests of runners: records are stored, outputs come back as the broker would."""

from typing import ClassVar

import msgspec

from libs.contract.codec import decode, encode
from libs.keys.signing import OPERATOR_DOMAIN, Signer, Verifier
from libs.machine.input_gate import InputGate
from libs.machine.machine import Stamp, StateMachine
from libs.machine.runner import MachineRunner, Output
from libs.tape.record import CAUSE_HEADER, ID_HEADER, KEY_ID_HEADER, ROOT_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.feed import Side, Trade
from proto.ids import MessageId
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session, Verb
from proto.signal import Proposal
from proto.units import SECOND

TAPE = "t1"
START_NS = 1_000_000 * SECOND
POISON = 666
OPERATOR = Signer.generate(OPERATOR_DOMAIN)
VERIFIER = Verifier({OPERATOR.key_id: OPERATOR.public_key})


class SumState(msgspec.Struct):
    """What was seen, in an order that matters."""

    trades: int = 0
    sum: int = 0
    own: int = 0


class Summing(StateMachine[SumState]):
    """Says (price modulo 4) things for each trade; each depends on everything before. Reads itself too."""

    name: ClassVar[str] = "signal"
    version: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__(SumState())
        self.handlers = {Trade: self._on_trade, Proposal: self._on_own}

    def _on_trade(self, trade: Trade, stamp: Stamp) -> list[Message]:
        state = self.state
        state.trades += 1
        state.sum = (state.sum * 31 + trade.price + stamp.now) % 1_000_003
        if trade.price == POISON:
            raise ValueError("poison")
        return [self._say(index) for index in range(trade.price % 4)]

    def _on_own(self, _: Proposal, __: Stamp) -> list[Message]:
        self.state.own += 1
        return []

    def _say(self, index: int) -> Proposal:
        price = self.state.sum + 1_000_003 * index + self.state.own * 10_000_019
        return Proposal(
            strategy="s", market="m", instrument="i", side=Side.BUY, price=price, fair_value=1, edge=1,
            strength=1, expires_at=1,
        )  # fmt: skip


class MemoryTape:
    """Stores records; ``play`` shows them to a runner from its position on."""

    def __init__(self) -> None:
        self.records: list[TapeRecord] = []
        self._nonce = 0
        self.tape = ""
        self.open(TAPE)

    def open(self, tape: str) -> None:
        """A session begins: the first one, or that of a new epoch after the tail was lost."""
        self.tape = tape
        self.operate(
            Session(
                tape=tape,
                mode=Mode.PLAYBACK,
                clock_owner=ClockOwner.FEED,
                started_at=START_NS,
                nonce=f"session of {tape}",
                expires_at=2**62,
            )
        )

    def store(self, subject: str, payload: bytes, headers: dict[str, str]) -> TapeRecord:
        record = TapeRecord(len(self.records) + 1, subject, headers, payload, START_NS)
        self.records.append(record)
        return record

    def trade(self, price: int, at_s: int = 0) -> TapeRecord:
        seq = len(self.records) + 1
        trade = Trade(instrument="i", at=START_NS + at_s * SECOND, price=price, quantity=1, trade_id=str(seq))
        return self.store(
            trade.subject(), encode(trade), {ID_HEADER: str(MessageId(self.tape, "feed-shell", seq, 0))}
        )

    def operate(self, message: Session | Config | Command, *, signed: bool = True) -> TapeRecord:
        message_id = f"operator.{message.nonce}"
        payload = encode(message)
        headers = {ID_HEADER: message_id, KEY_ID_HEADER: OPERATOR.key_id}
        if signed:
            headers[SIGNATURE_HEADER] = OPERATOR.sign(self.tape, message.subject(), message_id, payload)
        return self.store(message.subject(), payload, headers)

    def skip(self, seq: int, machine: str = "signal", *, signed: bool = True) -> TapeRecord:
        self._nonce += 1
        command = Command(
            verb=Verb.SKIP, nonce=f"skip{self._nonce}", expires_at=2**62, machine=machine, seq=seq
        )
        return self.operate(command, signed=signed)

    def say(self, output: Output) -> TapeRecord:
        return self.store(output.subject, output.payload, output.headers)

    def play(self, runner: MachineRunner, to: int | None = None) -> None:
        """Show the runner everything after its position, up to ``to``."""
        for record in self.records[runner.position : to]:
            runner.take(record, decode(record.subject, record.payload))

    def live(self, runner: MachineRunner) -> None:
        """Play to the end, storing what the runner says, until it says nothing more."""
        self.play(runner)
        while runner.ready:
            for output in runner.ready.popleft().outputs:
                if (output.cause, output.index) in runner.open_outputs:
                    self.say(output)
            self.play(runner)


def runner_of(machine: StateMachine[SumState] | None = None) -> MachineRunner:
    return MachineRunner(machine or Summing(), InputGate(VERIFIER), "test")


def said(records: list[TapeRecord]) -> list[tuple[str, bytes]]:
    """Id and content of everything the machine said."""
    return [(r.message_id, r.payload) for r in records if r.subject.startswith("signal.")]


def headers_of(record: TapeRecord) -> tuple[str, str]:
    return record.headers[CAUSE_HEADER], record.headers[ROOT_HEADER]
