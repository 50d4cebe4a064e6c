"""Money of a run counted a second time, from fills and settlements alone, and compared with what risk reported."""

from typing import NamedTuple

from proto.feed import Side
from proto.message import Message
from proto.risk import PortfolioReport
from proto.units import notional, show
from proto.venue import Account, Correction, Fill, Settlement
from tools.research.verdicts import Verdict


class _Paid(NamedTuple):
    price: int
    quantity: int


class BooksChecked:
    """Cash and contracts by plain sums, without the code that keeps the books of the system."""

    def __init__(self) -> None:
        self.cash = 0
        self.held: dict[str, int] = {}
        self._accounts: set[str] = set()
        self._fills: dict[str, Fill] = {}
        self._undone: set[str] = set()
        self._paid: dict[str, _Paid] = {}
        self._cash = Verdict(
            "cash", "cash is deposits, less what was bought and its fees, plus what was paid out"
        )
        self._negative = Verdict("no_debt", "no purchase is made with money that is not there")
        self._open = Verdict(
            "contracts", "contracts bought, less those sold and paid out, are those still held"
        )

    @property
    def verdicts(self) -> list[Verdict]:
        """Its checks."""
        return [self._cash, self._negative, self._open]

    def add(self, seq: int, message: Message) -> None:
        """Take one message of the tape."""
        if isinstance(message, Fill):
            self._on_fill(seq, message)
        elif isinstance(message, Settlement):
            self._on_settlement(message)
        elif isinstance(message, Account):
            if message.account_id not in self._accounts:
                self._accounts.add(message.account_id)
                self.cash += message.deposit
        elif isinstance(message, Correction):
            self._on_correction(message)
        elif isinstance(message, PortfolioReport):
            self._cash.check(message.cash == self.cash, seq, show(self.cash), show(message.cash))
            count = sum(1 for quantity in self.held.values() if quantity)
            self._open.check(message.positions == count, seq, f"{count} positions", message.positions)

    def finish(self, seq: int, held: dict[str, int]) -> None:
        """Compare with the books at the end: instrument → contracts held."""
        ours = {name: quantity for name, quantity in self.held.items() if quantity}
        self._open.check(ours == held, seq, ours, held)

    def _on_fill(self, seq: int, fill: Fill) -> None:
        if fill.fill_id in self._fills:
            return
        self._fills[fill.fill_id] = fill
        self._book(fill, 1)
        if fill.side is Side.BUY:
            self._negative.check(self.cash >= 0, seq, "cash of 0 or more", show(self.cash))

    def _on_correction(self, correction: Correction) -> None:
        fill = self._fills.get(correction.fill_id)
        if fill is not None and fill.fill_id not in self._undone:
            self._undone.add(fill.fill_id)
            self._book(fill, -1)

    def _book(self, fill: Fill, sign: int) -> None:
        bought = sign if fill.side is Side.BUY else -sign
        self.cash -= bought * notional(fill.price, fill.quantity) + sign * fill.fee
        self.held[fill.instrument] = self.held.get(fill.instrument, 0) + bought * fill.quantity

    def _on_settlement(self, settlement: Settlement) -> None:
        """A second settlement of an instrument at another price replaces the first."""
        before = self._paid.get(settlement.instrument)
        quantity = self.held.get(settlement.instrument, 0) if before is None else before.quantity
        if before is not None:
            self.cash -= _value(before.price, quantity)
        self.cash += _value(settlement.price, quantity)
        self._paid[settlement.instrument] = _Paid(settlement.price, quantity)
        self.held[settlement.instrument] = 0


def _value(price: int, quantity: int) -> int:
    value = notional(price, abs(quantity))
    return value if quantity >= 0 else -value
