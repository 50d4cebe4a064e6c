"""What is held and ordered, kept up with each change: a decision looks at its own market and group, not at everything.

None of it is state. It is made from the state at a start, and at any moment it equals what would be made from the
state then (``tests/unit/services/risk/test_invariants.py``).
"""

from typing import NamedTuple

import msgspec

from libs.indicators.grid import is_dust
from libs.portfolio.position import Position
from proto.feed import Market
from services.risk.exposure import Reservation
from services.risk.state import State


class HeldPosition(NamedTuple):
    """An open position and the money it can still lose."""

    instrument: str
    position: Position
    worst_loss: int


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What an order that may still fill counts for, as long as it does not change. ``closing``: contracts."""

    reservation: Reservation
    stake: int
    closing: int


class Stakes:
    """Orders that may still fill and positions that count, by market.

    ``orders``: market → order → what it counts for. ``entries``: market → how many of its orders may open or enlarge a
    position. ``reserved``: the stakes of all orders. ``closing``: instrument → contracts that reduce-only orders may
    still take. ``groups``: group → its markets. ``held_loss``: what all positions that count can still lose; to be
    read after ``held``.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.orders: dict[str, dict[str, Counted]] = {}
        self.entries: dict[str, int] = {}
        self.closing: dict[str, int] = {}
        self.groups: dict[str, dict[str, None]] = {}
        self.reserved = 0
        self.held_loss = 0
        self._market_of: dict[str, str] = {}
        self._held: dict[str, list[HeldPosition]] | None = None
        self._priced: list[tuple[str, int, int]] = []
        self._dust = False
        for order in state.reservations:
            self.count_order(order)
        for market in state.markets.values():
            self.count_market(None, market)

    def count_order(self, order: str) -> None:
        """An order was reserved, released, or fills something else than before."""
        market = self._market_of.get(order)
        if market is not None:
            self._drop(market, order)
        reservation = self._state.reservations.get(order)
        if reservation is not None and (remaining := reservation.remaining):
            self._add(order, reservation, remaining)
        if self._dust:
            self._held = None

    def _add(self, order: str, reservation: Reservation, remaining: int) -> None:
        market, stake = reservation.market, reservation.stake
        self._market_of[order] = market
        self.reserved += stake
        if reservation.reduce_only:
            instrument = reservation.instrument
            self.closing[instrument] = self.closing.get(instrument, 0) + remaining
            counted = Counted(reservation, stake, remaining)
        else:
            self.entries[market] = self.entries.get(market, 0) + 1
            counted = Counted(reservation, stake, 0)
        orders = self.orders.get(market)
        if orders is None:
            self.orders[market] = {order: counted}
        else:
            orders[order] = counted

    def _drop(self, market: str, order: str) -> None:
        del self._market_of[order]
        orders = self.orders[market]
        counted = orders.pop(order)
        if not orders:
            del self.orders[market]
        self.reserved -= counted.stake
        if counted.reservation.reduce_only:
            _take(self.closing, counted.reservation.instrument, counted.closing)
        else:
            _take(self.entries, market, 1)

    def count_market(self, before: Market | None, market: Market) -> None:
        """The feed said something of a market: its group, or its lot, may be another."""
        self._held = None
        group = market.group
        if before is not None and before.group and before.group != group:
            members = self.groups[before.group]
            del members[before.market]
            if not members:
                del self.groups[before.group]
        if group:
            self.groups.setdefault(group, {})[market.market] = None

    def count_groups(self) -> None:
        """Markets were forgotten."""
        self._held = None
        self.groups = {}
        for market in self._state.markets.values():
            if group := market.group:
                self.groups.setdefault(group, {})[market.market] = None

    def count_positions(self) -> None:
        """A position changed."""
        self._held = None

    @property
    def held(self) -> dict[str, list[HeldPosition]]:
        """Market → positions that count: what is below the venue's lot can only be paid out, and is worth next to nothing.

        It does count where an entry is working: with the next fill it would be part of a position again, and no fill
        may raise what is at stake.
        """
        held = self._held
        if held is None:
            held = self._held = self._count_held()
        return held

    def _count_held(self) -> dict[str, list[HeldPosition]]:
        found: dict[str, list[HeldPosition]] = {}
        self._dust = False
        self.held_loss = 0
        self._priced = []
        for market, instrument, position in self._state.portfolio.open_positions():
            self._priced.append((instrument, position.quantity, position.cost))
            if is_dust(self._state.markets.get(market), position.quantity):
                self._dust = True
                if not self._is_growing(instrument):
                    continue
            loss = position.worst_loss
            self.held_loss += loss
            found.setdefault(market, []).append(HeldPosition(instrument, position, loss))
        return found

    def _is_growing(self, instrument: str) -> bool:
        return any(
            counted.reservation.instrument == instrument and not counted.reservation.reduce_only
            for orders in self.orders.values()
            for counted in orders.values()
        )

    @property
    def priced(self) -> list[tuple[str, int, int]]:
        """Instrument, quantity and cost of every open position, also of those that do not count."""
        if self._held is None:
            self._held = self._count_held()
        return self._priced

    @property
    def exposure(self) -> int:
        """At stake in all: positions at cost, and reserved orders."""
        return (self.held_loss if self.held else 0) + self.reserved

    def is_idle(self, market: str) -> bool:
        """Whether nothing is held or ordered in a market."""
        return market not in self.orders and market not in (self._held or self.held)

    def count_others(self, market: str) -> int:
        """How many other markets are held or being entered."""
        entries = self.entries
        count = len(entries) - (market in entries)
        for name in self.held:
            if name != market and name not in entries:
                count += 1
        return count

    def related(self, market: str, group: str) -> list[str]:
        """Other markets of a group with a position or an order."""
        members = self.groups.get(group)
        if members is None:
            return []
        held, orders = self.held, self.orders
        if len(members) > len(held) + len(orders):
            names = [*held, *[name for name in orders if name not in held]]
            return [name for name in names if name != market and name in members]
        return [name for name in members if name != market and (name in held or name in orders)]


def _take(counts: dict[str, int], name: str, count: int) -> None:
    left = counts[name] - count
    if left:
        counts[name] = left
    else:
        del counts[name]
