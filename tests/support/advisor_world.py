"""An advisor machine with a clock of its own, fed message by message; each input also goes to a restored twin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.contract.codec import decode, encode
from libs.machine.machine import Stamp
from proto.advisor import AnswerStatus, Forecast, ModelAnswer, Question
from proto.feed import Book, Level, Market, MarketStatus, Outcome, Payoff, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import ClockOwner, Config, Mode, Session
from proto.units import ONE, SECOND
from services.advisor.machine import AdvisorMachine
from tools.system.composition import CONFIG_DIRECTORY, advisor_sections

START = 1_764_590_400 * SECOND
BTC = "coinbase:BTC-USD"
CENT = 10_000
SECTIONS = advisor_sections(Path(CONFIG_DIRECTORY))


def market(number: int = 0, **changes: Any) -> Market:
    """A window on Bitcoin that ends in fifteen minutes."""
    name = f"kalshi:M{number}"
    given: dict[str, Any] = {
        "market": name,
        "venue": "kalshi",
        "at": START,
        "status": MarketStatus.OPEN,
        "outcomes": (Outcome("yes", f"{name}:yes"), Outcome("no", f"{name}:no")),
        "title": f"Bitcoin above $80,000 at the close? window {number}",
        "underlying": BTC,
        "payoff": Payoff.ABOVE,
        "floor": 80_000 * ONE,
        "open_at": START,
        "close_at": START + 900 * SECOND,
    }
    return Market(**given | changes)


class AdvisorWorld:
    """``out`` collects all outputs; ``say`` answers questions."""

    def __init__(self, changes: Mapping[str, Any] | None = None, *, twin: bool = True) -> None:
        self.machine = AdvisorMachine()
        self.twin = twin
        self.now = START
        self.seq = 0
        self.counters: dict[str, int] = {}
        self.out: list[Any] = []
        self.inputs: list[tuple[Stamp, Message]] = []
        self.put(
            Session(
                tape="t",
                mode=Mode.REALTIME,
                clock_owner=ClockOwner.MONITOR,
                started_at=START,
                nonce="n",
                expires_at=START,
            )
        )
        for name, document in SECTIONS.items():
            changed = {**document, **(changes or {})} if name == "advisor" else document
            self.put(Config(section=name, document=changed, nonce=name, expires_at=START))

    @property
    def state(self):
        return self.machine.state

    def put(self, event: Message) -> list[Any]:
        self.seq += 1
        stamp = Stamp(self.seq, self.now)
        self.inputs.append((stamp, event))
        state = self.machine.snapshot() if self.twin else b""
        outputs = list(self.machine.on(event, stamp))
        if self.twin:
            twin = AdvisorMachine()
            twin.restore(state)
            assert list(twin.on(event, stamp)) == outputs
            assert twin.snapshot() == self.machine.snapshot()
        for output in outputs:
            assert decode(output.subject(), encode(output)) == output
        self.out.extend(outputs)
        for output in outputs:
            if isinstance(output, Question):
                # As on the tape: the machine reads its own question back.
                self.put(output)
        return outputs

    def open_market(self, *numbers: int, bid: int = 48, ask: int = 52, **changes: Any) -> None:
        for number in numbers:
            listed = market(number, **changes)
            self.put(listed)
            for outcome in listed.outcomes:
                self.book(outcome.instrument, bid, ask)

    def book(self, instrument: str, bid: int, ask: int) -> None:
        self.counters[instrument] = 1
        levels = ((Level(bid * CENT, ONE),), (Level(ask * CENT, ONE),))
        self.put(
            Book(instrument=instrument, at=self.now, counter=1, bids=levels[0], asks=levels[1], snapshot=True)
        )

    def quote(self, instrument: str, bid: int | None, ask: int | None) -> None:
        self.counters[instrument] += 1
        self.put(
            Quote(
                instrument=instrument,
                at=self.now,
                counter=self.counters[instrument],
                bid=None if bid is None else bid * CENT,
                bid_size=ONE,
                ask=None if ask is None else ask * CENT,
                ask_size=ONE,
            )
        )

    def trade(self, price: int, instrument: str = BTC) -> None:
        self.put(
            Trade(instrument=instrument, at=self.now, trade_id=str(self.seq), price=price, quantity=CENT)
        )

    def pass_s(self, seconds: int) -> list[Any]:
        """So many seconds pass, with one look at the clock at the end."""
        self.now += seconds * SECOND
        return self.put(Clock(at=self.now))

    def cycle(self) -> list[Question]:
        """The questions of the first round of a session."""
        return [message for message in self.pass_s(60) if isinstance(message, Question)]

    def say(
        self,
        question: Question,
        percent: float | None = None,
        status: AnswerStatus = AnswerStatus.FORECAST,
        cost: int = 1_000,
        **fields: Any,
    ) -> list[Any]:
        return self.put(
            ModelAnswer(
                question=question.question,
                market=question.market,
                role=question.role,
                status=status,
                at=self.now,
                probability=None if percent is None else round(percent * ONE / 100),
                cost=cost,
                **fields,
            )
        )

    def answer_all(self, percent: float) -> list[Forecast]:
        """Answer everything that is open, until there are forecasts and no more questions."""
        made: list[Forecast] = []
        while self.state.open:
            held = next(iter(self.state.open.values()))
            made += [message for message in self.say(held.question, percent) if isinstance(message, Forecast)]
        return made

    def settle(self, number: int, *, happened: bool) -> list[Any]:
        return self.put(market(number, status=MarketStatus.SETTLED, result="yes" if happened else "no"))
