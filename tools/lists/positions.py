"""Open positions as risk holds them: its newest snapshot moved on, or the whole tape where there is none."""

from dataclasses import dataclass
from typing import Any

import msgspec

from libs.archive.history import History
from libs.lists.books import KINDS
from libs.lists.reading import newest_of, read_kinds
from libs.machine.snapshots import SnapshotStore
from libs.portfolio.portfolio import Portfolio
from libs.tape.connection import Link
from proto.feed import Book, Quote
from proto.message import token
from proto.units import notional
from services.risk.machine import RiskMachine
from tools.system.installation import Installation

MARKS_BACK = 100_000
"""Messages looked back for a price of what is held: a minute and more of a busy feed."""


@dataclass(slots=True)
class HeldRow:
    """An open position; money and prices in millionths. Without a ``mark`` it is valued at cost."""

    market: str
    instrument: str
    quantity: int
    entry_price: int
    cost: int
    mark: int | None

    @property
    def value(self) -> int:
        """What it is worth at the mark."""
        if self.mark is None:
            return self.cost
        value = notional(self.mark, abs(self.quantity))
        return value if self.quantity > 0 else -value

    @property
    def unrealised_profit(self) -> int:
        """What it would make at the mark, before fees."""
        return self.value - self.cost

    def document(self) -> dict[str, Any]:
        """As plain data."""
        names = (
            "market",
            "instrument",
            "quantity",
            "entry_price",
            "cost",
            "mark",
            "value",
            "unrealised_profit",
        )
        return {name: getattr(self, name) for name in names}


@dataclass
class Holdings:
    """The account: cash, open positions, profit so far, and where the numbers come from."""

    source: str
    portfolio: Portfolio
    rows: list[HeldRow]

    @property
    def equity(self) -> int:
        """Cash and positions at their marks."""
        return self.portfolio.cash + sum(row.value for row in self.rows)

    @property
    def unrealised_profit(self) -> int:
        """What the positions would make at their marks, before fees."""
        return self.equity - self.portfolio.deposits - self.portfolio.realised_profit + self.portfolio.fees

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "source": self.source,
            "cash": self.portfolio.cash,
            "equity": self.equity,
            "profit": self.equity - self.portfolio.deposits,
            "realised_profit": self.portfolio.realised_profit,
            "unrealised_profit": self.unrealised_profit,
            "fees": self.portfolio.fees,
            "positions": [row.document() for row in self.rows],
        }


async def read_holdings(installation: Installation, history: History) -> Holdings:
    """The account as the tape has it now."""
    risk, position = _newest_risk(installation)
    link = history.link
    reading = await read_kinds(history, KINDS, position)
    portfolio = risk.state.portfolio
    for _, message in reading.entries:
        portfolio.apply(message)
    rows = []
    for market, instrument, held in portfolio.open_positions():
        view = risk.state.books.get(instrument)
        mark = await _mark(link, instrument, held.quantity, reading.last_seq)
        if mark is None and view is not None:
            mark = view.mark
        rows.append(HeldRow(market, instrument, held.quantity, held.entry_price, held.cost, mark))
    source = reading.source
    if position:
        source = f"risk's snapshot at sequence {position:,}, and the tape from there to {reading.last_seq:,}"
    return Holdings(source, portfolio, rows)


def _newest_risk(installation: Installation) -> tuple[RiskMachine, int]:
    """Risk's machine as its newest snapshot has it, and the sequence up to which; a fresh one and 0 without."""
    machine = RiskMachine()
    tape = installation.layout.read_tape() or {}
    for snapshot in SnapshotStore(installation.layout.root / "snapshots", machine.name).newest_first():
        if (snapshot.version, snapshot.tape) != (machine.version, tape.get("tape")):
            continue
        try:
            machine.restore(snapshot.state)
        except (msgspec.DecodeError, ValueError):
            continue
        return machine, snapshot.seq
    return machine, 0


async def _mark(link: Link, instrument: str, quantity: int, last_seq: int) -> int | None:
    """A long position is worth the newest bid, a short one the newest ask; ``None`` where none was told lately."""
    position = max(0, last_seq - MARKS_BACK)
    quote = await newest_of(link, f"{Quote.kind}.{token(instrument)}", position)
    if quote is not None and (found := quote.bid if quantity > 0 else quote.ask) is not None:
        return int(found)
    book = await newest_of(link, f"{Book.kind}.{token(instrument)}", position)
    levels = () if book is None else book.bids if quantity > 0 else book.asks
    return levels[0].price if levels else None
