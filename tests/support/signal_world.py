"""A signal machine with a clock of its own, fed message by message; each input also goes to a restored twin."""

from collections.abc import Iterable, Mapping
from typing import Any

from libs.machine.machine import Stamp
from proto.feed import (
    Book,
    Candle,
    FeeSchedule,
    Level,
    Market,
    MarketStatus,
    Outcome,
    Payoff,
    PriceStep,
    Quote,
    Trade,
)
from proto.message import Message
from proto.operator import ClockOwner, Config, Mode, Session
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.machine import SignalMachine
from services.signal.strategy import Strategy

START = 1_000_000 * 300 * SECOND
BTC = "coinbase:BTC-USD"
YES, NO = "kalshi:M:yes", "kalshi:M:no"
CENT = 10_000
MARKET = Market(
    market="kalshi:M",
    venue="kalshi",
    at=START,
    status=MarketStatus.OPEN,
    outcomes=(Outcome("yes", YES), Outcome("no", NO)),
    underlying=BTC,
    strike=80_000 * ONE,
    payoff=Payoff.ABOVE,
    floor=80_000 * ONE,
    close_at=START + 3_000 * SECOND,
    settlement_average_s=60,
    price_steps=(PriceStep(0, CENT),),
    quantity_step=CENT,
    fees=FeeSchedule(model="kalshi_quadratic", taker_rate=70_000),
)


class SignalWorld:
    """``out`` collects (time, proposal)."""

    def __init__(self, *strategies: type[Strategy[Any, Any]], twin: bool = True) -> None:
        self.strategies = strategies
        self.machine = SignalMachine(strategies)
        self.twin = twin
        self.now = START
        self.seq = 0
        self.counters: dict[str, int] = {}
        self.out: list[tuple[int, Proposal]] = []
        self.put(
            Session(
                tape="t",
                mode=Mode.PLAYBACK,
                clock_owner=ClockOwner.FEED,
                started_at=START,
                nonce="n",
                expires_at=START,
            )
        )

    def put(self, event: Message) -> list[Proposal]:
        self.seq += 1
        stamp = Stamp(self.seq, self.now)
        twin = SignalMachine(self.strategies)
        if self.twin:
            twin.restore(self.machine.snapshot())
        outputs = list(self.machine.on(event, stamp))
        if self.twin:
            assert list(twin.on(event, stamp)) == outputs
            assert twin.snapshot() == self.machine.snapshot()
        proposals = [output for output in outputs if isinstance(output, Proposal)]
        assert len(proposals) == len(outputs)
        self.out.extend((self.now, proposal) for proposal in proposals)
        return proposals

    def configure(self, name: str, document: Mapping[str, Any]) -> list[Proposal]:
        return self.put(
            Config(section=f"signal.{name}", document=dict(document), nonce="n", expires_at=START)
        )

    def snapshot_book(self, instrument: str, bid: int, ask: int) -> list[Proposal]:
        self.counters[instrument] = 1
        return self.put(
            Book(
                instrument=instrument,
                at=self.now,
                counter=1,
                bids=(Level(bid * CENT, ONE),),
                asks=(Level(ask * CENT, ONE),),
                snapshot=True,
            )
        )

    def quote(self, instrument: str, bid: int, ask: int, lost: int = 0) -> list[Proposal]:
        self.counters[instrument] = self.counters.get(instrument, 0) + 1 + lost
        return self.put(
            Quote(
                instrument=instrument,
                at=self.now,
                counter=self.counters[instrument],
                bid=bid * CENT,
                bid_size=ONE,
                ask=ask * CENT,
                ask_size=ONE,
            )
        )

    def trade(self, price: int, instrument: str = BTC) -> list[Proposal]:
        return self.put(
            Trade(instrument=instrument, at=self.now, trade_id=str(self.seq), price=price, quantity=CENT)
        )

    def past(self, prices: Iterable[int], instrument: str = BTC) -> None:
        """Seconds of before, told now: the last of ``prices`` ends now."""
        told = list(prices)
        for i, price in enumerate(told):
            start_at = self.now - (len(told) - i) * SECOND
            self.put(
                Candle(
                    instrument=instrument,
                    at=self.now,
                    start_at=start_at,
                    interval_s=1,
                    first=price,
                    high=price,
                    low=price,
                    last=price,
                )
            )

    def trades(self, prices: Iterable[int], pause_s: int = 1) -> None:
        for price in prices:
            self.now += pause_s * SECOND
            self.trade(price)
