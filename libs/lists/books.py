"""Fills, positions and closed trades: the portfolio's own fold, and what each event of it did."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from libs.lists.reading import Entry
from libs.portfolio.portfolio import Portfolio
from libs.portfolio.position import Entry as PositionEntry
from libs.portfolio.position import Position
from libs.view.names import short_id
from proto.feed import Side
from proto.message import Message
from proto.venue import Account, Correction, Fill, Settlement

KINDS: tuple[type[Message], ...] = (Fill, Settlement, Correction, Account)


@dataclass(slots=True)
class FillRow:
    """A fill, once by its natural key; the profit it realised is before its fee."""

    seq: int
    at: int
    fill: Fill
    realised_profit: int = 0
    is_undone: bool = False

    @property
    def market(self) -> str:
        """Where it was."""
        return self.fill.market

    @property
    def instrument(self) -> str:
        """Of what."""
        return self.fill.instrument

    @property
    def strategy(self) -> str:
        """Whose it was."""
        return self.fill.strategy

    def document(self) -> dict[str, Any]:
        """As plain data."""
        fill = self.fill
        return {
            "fill_id": fill.fill_id,
            "seq": self.seq,
            "at": self.at,
            "order": fill.order,
            "id": short_id(fill.order),
            "strategy": fill.strategy,
            "market": fill.market,
            "instrument": fill.instrument,
            "side": fill.side.value,
            "price": fill.price,
            "quantity": fill.quantity,
            "fee": fill.fee,
            "realised_profit": self.realised_profit,
            "undone": self.is_undone,
        }


@dataclass(slots=True)
class TradeRow:
    """From nothing held to nothing held in one instrument. ``profit`` is after fees."""

    instrument: str
    market: str
    strategy: str
    opened_at: int
    closed_at: int
    quantity: int
    entry_price: int
    exit_price: int
    fees: int
    profit: int
    ended: str

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass
class Books:
    """The fold over fills, settlements, corrections and deposits."""

    portfolio: Portfolio = field(default_factory=Portfolio)
    fills: dict[str, FillRow] = field(default_factory=dict)
    payouts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Instrument → when it was paid out, and at which price."""

    def add(self, entries: Iterable[Entry]) -> "Books":
        """Take entries in the order of the tape; the books themselves, for chaining."""
        for record, message in entries:
            before = self.portfolio.realised_profit
            if not self.portfolio.apply(message):
                continue
            if isinstance(message, Fill):
                made = self.portfolio.realised_profit - before
                self.fills[message.fill_id] = FillRow(
                    record.seq, message.at or record.stored_at_ns, message, made
                )
            elif isinstance(message, Settlement):
                self.payouts[message.instrument] = (message.at or record.stored_at_ns, message.price)
            elif isinstance(message, Correction) and message.fill_id in self.fills:
                self.fills[message.fill_id].is_undone = True
        return self

    def trades(self) -> list[TradeRow]:
        """Positions that were opened and left, or settled, the first to end first."""
        by_instrument: dict[str, list[FillRow]] = {}
        for row in self.fills.values():
            if not row.is_undone:
                by_instrument.setdefault(row.fill.instrument, []).append(row)
        found = [
            trade
            for instrument, rows in by_instrument.items()
            for trade in _trades_in(rows, self.payouts.get(instrument))
        ]
        return sorted(found, key=lambda trade: trade.closed_at)


@dataclass
class _Round:
    """A trade that is not over yet."""

    rows: list[FillRow] = field(default_factory=list)
    position: Position = field(default_factory=Position)

    def over(self, closed_at: int, ended: str, paid: int | None = None) -> TradeRow:
        first = self.rows[0].fill
        entries = [row.fill for row in self.rows if row.fill.side is first.side]
        exits = [row.fill for row in self.rows if row.fill.side is not first.side]
        quantity = sum(fill.quantity for fill in entries)
        received = sum(fill.price * fill.quantity for fill in exits)
        left = quantity - sum(fill.quantity for fill in exits)
        received += left * (paid or 0)
        return TradeRow(
            instrument=first.instrument,
            market=first.market,
            strategy=first.strategy,
            opened_at=self.rows[0].at,
            closed_at=closed_at,
            quantity=quantity,
            entry_price=sum(fill.price * fill.quantity for fill in entries) // quantity,
            exit_price=received // quantity,
            fees=self.position.fees,
            profit=self.position.realised_profit - self.position.fees,
            ended=ended,
        )


def _trades_in(rows: list[FillRow], payout: tuple[int, int] | None) -> list[TradeRow]:
    found: list[TradeRow] = []
    going = _Round()
    for row in rows:
        fill = row.fill
        going.rows.append(row)
        going.position.fold(
            PositionEntry(fill.instrument, fill.side is Side.BUY, fill.price, fill.quantity, fill.fee)
        )
        if not going.position.quantity:
            found.append(going.over(row.at, "left"))
            going = _Round()
    if payout is not None and going.rows:
        at, price = payout
        going.position.close(price)
        found.append(going.over(at, "settled", price))
    return found
