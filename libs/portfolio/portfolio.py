"""Positions, cash and profit: one fold over fills, settlements, corrections and deposits.

Every holder of a portfolio (risk, exit, journal, console) folds the same four messages with this
code; equal inputs give equal digests. The state is plain data and lives inside a machine's state.

Exact arithmetic. A position's ``cost`` is the money its open quantity cost; a sale releases
``cost * sold // quantity`` of it, and everything at the end, so at any moment, to the millionth:

    cash = deposits + realised profit − fees − Σ cost

Realised profit is before fees. Short positions carry a negative quantity and a negative cost (what
their sale brought in).

Folded once for ever. Fills and settlements are known by their ids inside their market's ledger. An instrument settles
once, unless the venue resolves its market anew: another settlement at another price makes the position again.
Ledgers of settled markets are kept until ``SETTLED_MARKETS_MAX`` others have settled after them, so
that a late fill or correction still counts; then only the market's name remains, and whatever names it
again is a repetition. Corrections are known by the fill they undo, deposits by their id.
"""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from libs.bounded import keep_newest
from libs.portfolio.position import Entry, MarketLedger, Position
from proto.feed import Side
from proto.message import Message
from proto.units import notional
from proto.venue import Account, Correction, Fill, Settlement

SETTLED_MARKETS_MAX = 256
"""Settled markets whose fills are kept: over two days of 15-minute markets, longer than the tape's window."""
FORGOTTEN_MARKETS_MAX = 50_000
"""Names kept of markets settled before those: more than a year of 15-minute markets, about 2 MB."""
EARLY_CORRECTIONS_MAX = 1_000
"""Corrections kept that came before their fill; the fill follows within seconds or never."""


class Portfolio(Struct):
    """The fold. ``apply`` events in tape order; everything else only reads."""

    cash: int = 0
    deposits: int = 0
    realised_profit: int = 0
    fees: int = 0
    accounts: dict[str, int] = {}
    ledgers: dict[str, MarketLedger] = {}
    open: dict[str, str] = {}
    """Instruments with a position → their market."""
    settled: dict[str, int] = {}
    """Markets that paid out and hold nothing, oldest first; the values mean nothing."""
    forgotten: dict[str, int] = {}
    early_corrections: dict[str, str] = {}
    """Fill ids taken back before they came → the correction that did it."""

    def apply(self, event: Message) -> bool:
        """Fold one message in; ``False`` when it was folded before, or is none of the four."""
        if isinstance(event, Fill):
            return self._fill(event)
        if isinstance(event, Settlement):
            return self._settle(event)
        if isinstance(event, Correction):
            return self._correct(event)
        if isinstance(event, Account):
            return self._deposit(event)
        return False

    # ── reading ──

    def position(self, instrument: str) -> Position | None:
        """The open position in an instrument, or ``None``. Callers only read it."""
        market = self.open.get(instrument)
        return None if market is None else self.ledgers[market].positions[instrument]

    def quantity(self, instrument: str) -> int:
        """Contracts held, in millionths; negative when short, 0 when flat."""
        position = self.position(instrument)
        return 0 if position is None else position.quantity

    def open_positions(self) -> list[tuple[str, str, Position]]:
        """(market, instrument, position) of every open position, in the order they were opened."""
        ledgers = self.ledgers
        return [
            (market, instrument, ledgers[market].positions[instrument])
            for instrument, market in self.open.items()
        ]

    def positions_in(self, market: str) -> dict[str, Position]:
        """Open positions of one market by instrument."""
        ledger = self.ledgers.get(market)
        if ledger is None:
            return {}
        return {name: position for name, position in ledger.positions.items() if position.quantity}

    def exposure(self) -> int:
        """Money that open positions can still lose, fees aside, if every one of them ends badly."""
        return sum(position.worst_loss for _, _, position in self.open_positions())

    def equity(self, marks: Mapping[str, int | None]) -> int:
        """Cash and the value of open positions at ``marks`` (instrument → price), at cost without one."""
        total, ledgers = self.cash, self.ledgers
        for instrument, market in self.open.items():
            position = ledgers[market].positions[instrument]
            mark = marks.get(instrument)
            if mark is None:
                total += position.cost
            else:
                value = notional(mark, abs(position.quantity))
                total += value if position.quantity > 0 else -value
        return total

    def digest(self) -> str:
        """SHA-256 (hexadecimal) over money and open positions; the same for everyone who folded the same.

        What only serves to recognise repetitions is not part of it.
        """
        holdings = sorted(
            (instrument, position.quantity, position.cost)
            for _, instrument, position in self.open_positions()
        )
        content = (self.cash, self.deposits, self.realised_profit, self.fees, holdings)
        return hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()

    # ── folding ──

    def _deposit(self, event: Account) -> bool:
        if event.account_id in self.accounts:
            return False
        self.accounts[event.account_id] = event.deposit
        self.deposits += event.deposit
        self.cash += event.deposit
        return True

    def _fill(self, event: Fill) -> bool:
        ledger = self._ledger(event.market)
        if ledger is None or event.fill_id in ledger.fills:
            return False
        entry = Entry(
            instrument=event.instrument,
            buy=event.side is Side.BUY,
            price=event.price,
            quantity=event.quantity,
            fee=event.fee,
        )
        ledger.fills[event.fill_id] = entry
        if self.early_corrections.pop(event.fill_id, None) is not None:
            entry.undone = True
            return True
        if event.instrument in ledger.payouts:
            self._refold(event.market, ledger, event.instrument)
            return True
        position = ledger.positions.get(event.instrument)
        if position is None:
            position = ledger.positions[event.instrument] = Position()
        self._count(position, -1)
        position.fold(entry)
        self._count(position, 1)
        self._index(event.market, ledger, event.instrument)
        return True

    def _settle(self, event: Settlement) -> bool:
        ledger = self._ledger(event.market)
        if ledger is None or event.settlement_id in ledger.settlements:
            return False
        ledger.settlements[event.settlement_id] = event.price
        if ledger.payouts.get(event.instrument) == event.price:
            return False
        ledger.payouts[event.instrument] = event.price
        self._refold(event.market, ledger, event.instrument)
        return True

    def _correct(self, event: Correction) -> bool:
        for market, ledger in self.ledgers.items():
            entry = ledger.fills.get(event.fill_id)
            if entry is None:
                continue
            if entry.undone:
                return False
            entry.undone = True
            self._refold(market, ledger, entry.instrument)
            return True
        if event.fill_id in self.early_corrections:
            return False
        self.early_corrections[event.fill_id] = event.correction_id
        _drop_oldest(self.early_corrections, EARLY_CORRECTIONS_MAX)
        return True

    def _refold(self, market: str, ledger: MarketLedger, instrument: str) -> None:
        """Make a position again from its fills: exact, whichever of them was undone or came late."""
        old = ledger.positions.get(instrument)
        if old is not None:
            self._count(old, -1)
        position = Position()
        for entry in ledger.fills.values():
            if entry.instrument == instrument and not entry.undone:
                position.fold(entry)
        payout = ledger.payouts.get(instrument)
        if payout is not None and position.quantity:
            position.close(payout)
        ledger.positions[instrument] = position
        self._count(position, 1)
        self._index(market, ledger, instrument)

    def _count(self, position: Position, sign: int) -> None:
        self.realised_profit += sign * position.realised_profit
        self.fees += sign * position.fees
        self.cash += sign * (position.realised_profit - position.fees - position.cost)

    def _index(self, market: str, ledger: MarketLedger, instrument: str) -> None:
        """Keep ``open`` and ``settled`` in step with one position that changed."""
        if ledger.positions[instrument].quantity:
            self.open.setdefault(instrument, market)
        else:
            self.open.pop(instrument, None)
        self.settled.pop(market, None)
        if ledger.payouts and not any(p.quantity for p in ledger.positions.values()):
            self.settled[market] = 1
            while len(self.settled) > SETTLED_MARKETS_MAX:
                oldest = next(iter(self.settled))
                del self.settled[oldest], self.ledgers[oldest]
                self.forgotten[oldest] = 1
            _drop_oldest(self.forgotten, FORGOTTEN_MARKETS_MAX)

    def _ledger(self, market: str) -> MarketLedger | None:
        if market in self.forgotten:
            return None
        ledger = self.ledgers.get(market)
        if ledger is None:
            ledger = self.ledgers[market] = MarketLedger()
        return ledger


def _drop_oldest(memory: dict[str, int] | dict[str, str], size_max: int) -> None:
    keep_newest(memory, size_max)
