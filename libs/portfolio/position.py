"""One position, folded fill by fill, and the ledger of a market that it belongs to."""

from msgspec import Struct

from proto.units import ONE, notional


class Entry(Struct, array_like=True):
    """A fill as the fold keeps it; ``undone`` by a correction."""

    instrument: str
    buy: bool
    price: int
    quantity: int
    fee: int
    undone: bool = False


class MarketLedger(Struct):
    """What happened to us in one market: fills and settlements by id, positions and payouts by instrument."""

    fills: dict[str, Entry] = {}
    positions: dict[str, "Position"] = {}
    payouts: dict[str, int] = {}
    settlements: dict[str, int] = {}


class Position(Struct):
    """Contracts of one instrument and what they cost; see ``portfolio.py`` for the arithmetic."""

    quantity: int = 0
    cost: int = 0
    realised_profit: int = 0
    fees: int = 0

    @property
    def entry_price(self) -> int:
        """Average price paid (or received, when short) for the open quantity, rounded half up; 0 if flat."""
        quantity = abs(self.quantity)
        return (2 * abs(self.cost) * ONE + quantity) // (2 * quantity) if quantity else 0

    @property
    def worst_loss(self) -> int:
        """Money the open quantity can still lose: a contract is worth 0 at least and 1 at most."""
        return self.cost if self.quantity >= 0 else self.cost - self.quantity

    def fold(self, entry: Entry) -> None:
        """Take one fill in."""
        self.fees += entry.fee
        self._trade(entry.quantity if entry.buy else -entry.quantity, notional(entry.price, entry.quantity))

    def close(self, price: int) -> None:
        """Everything left is paid out at ``price``, without a fee."""
        self._trade(-self.quantity, notional(price, abs(self.quantity)))

    def _trade(self, signed: int, value: int) -> None:
        """Add ``signed`` contracts worth ``value``; what shrinks the position realises its profit first."""
        held = self.quantity
        closing = 0 if held * signed >= 0 else min(abs(held), abs(signed))
        if closing:
            value_closing = value * closing // abs(signed)
            released = abs(self.cost) * closing // abs(held)
            if held > 0:
                self.realised_profit += value_closing - released
                self.cost -= released
            else:
                self.realised_profit += released - value_closing
                self.cost += released
            value -= value_closing
        if abs(signed) > closing:
            self.cost += value if signed > 0 else -value
        self.quantity = held + signed
