"""Money and contracts of the sandbox's clients, by venue and owner.

It listens to the world: fills move money and contracts, resting orders reserve them, settlements pay.
Subscribe it before the venues' servers, so that they read balances that already know the event.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct

from libs.exchange.matching_types import LimitOrder
from proto.feed import MarketStatus, Side
from proto.units import notional
from sandbox.world.events import FillEvent, MarketMoved, OrderChange, OrderEvent, WorldEvent
from sandbox.world.markets import SandboxMarket
from sandbox.world.venue_markets import market_venues, markets_of
from sandbox.world.world import World

Position = tuple[str, int]
"""Market id and index of the outcome."""


class InsufficientFunds(ValueError):
    """Not enough money, or contracts to sell, that are not already promised to other orders."""


@dataclass(frozen=True, slots=True)
class Payout:
    """A settled position became money: ``price`` a contract, in millionths."""

    market: SandboxMarket
    outcome: int
    quantity: int
    price: int
    at: int


@dataclass(slots=True)
class ClientAccount:
    """One client at one venue. ``cash`` in money, ``positions`` in contracts; both include what is reserved.

    ``open`` are its resting orders as of their last event, with their market.
    """

    venue: str
    owner: str
    cash: int
    positions: dict[Position, int] = field(default_factory=dict)
    open: dict[str, tuple[SandboxMarket, LimitOrder]] = field(default_factory=dict)
    fills: list[FillEvent] = field(default_factory=list)
    payouts: list[Payout] = field(default_factory=list)
    fees_paid: int = 0

    def held(self, market: SandboxMarket, outcome: int) -> int:
        """Return contracts of an outcome, those promised to sell orders included."""
        return self.positions.get((market.id, outcome), 0)

    @property
    def available(self) -> int:
        """Money that no resting buy order is waiting for."""
        return self.cash - self.reserved

    @property
    def reserved(self) -> int:
        """Money that resting buy orders may cost. Where venues net, what closes a position costs none."""
        covered = dict(self.positions) if markets_of(self.venue).nets else {}
        total = 0
        for market, order in self.open.values():
            if order.side is Side.BUY:
                total += _cost(market, order, covered)
        return total

    def sellable(self, market: SandboxMarket, outcome: int) -> int:
        """Return contracts that no resting sell order is waiting for."""
        promised = sum(
            order.remaining
            for where, order in self.open.values()
            if where is market and order.outcome == outcome and order.side is Side.SELL
        )
        return self.held(market, outcome) - promised

    def check(self, market: SandboxMarket, order: LimitOrder, fee: int = 0) -> None:
        """Raise ``InsufficientFunds`` unless the account can carry a new order (``fee``: at most, in money)."""
        if order.side is Side.SELL:
            free = self.sellable(market, order.outcome)
            if order.quantity > free:
                raise InsufficientFunds(f"expected at most {free} contracts to sell, was {order.quantity}")
            return
        covered: dict[Position, int] = {}
        if markets_of(self.venue).nets:
            covered = dict(self.positions)
            for where, resting in self.open.values():
                if resting.side is Side.BUY:
                    _cost(where, resting, covered)
        cost = _cost(market, order, covered) + fee
        if cost > self.available:
            raise InsufficientFunds(f"expected a cost of at most {self.available}, was {cost}")

    def move(self, market: SandboxMarket, outcome: int, quantity: int, cash: int) -> None:
        """Add contracts and money (either may be negative); where the venue nets, pairs become money."""
        self.cash += cash
        key = (market.id, outcome)
        self.positions[key] = self.positions.get(key, 0) + quantity
        if markets_of(self.venue).nets:
            other = (market.id, 1 - outcome)
            pairs = min(self.positions[key], self.positions.get(other, 0))
            if pairs > 0:
                self.positions[key] -= pairs
                self.positions[other] -= pairs
                self.cash += pairs
        for held in (key, (market.id, 1 - outcome)):
            if not self.positions.get(held, 1):
                del self.positions[held]


def _cost(market: SandboxMarket, order: LimitOrder, covered: dict[Position, int]) -> int:
    """Return what a buy order may still cost; uses up what of ``covered`` it would close."""
    other = (market.id, 1 - order.outcome)
    closing = min(max(covered.get(other, 0), 0), order.remaining)
    if closing:
        covered[other] -= closing
    return notional(order.price, order.remaining - closing)


class SavedAccount(Struct, kw_only=True):
    """An account as it is saved: positions, orders and payouts with the id of their market first."""

    venue: str
    owner: str
    cash: int
    fees_paid: int
    positions: list[tuple[str, int, int]]
    open: list[tuple[str, LimitOrder]]
    payouts: list[tuple[str, int, int, int, int]]


class Accounts:
    """Every client's account. Unknown owners have none: open them with ``open``."""

    def __init__(self, world: World) -> None:
        self.redeem_after_s = {venue: markets_of(venue).redeem_after_s for venue in market_venues()}
        self._world = world
        self._accounts: dict[tuple[str, str], ClientAccount] = {}
        world.subscribe(self._handle_event)

    def open(self, venue: str, owner: str, cash: int) -> ClientAccount:
        """Open an account with so much money (millionths); an existing one is returned as it is."""
        return self._accounts.setdefault((venue, owner), ClientAccount(venue, owner, cash))

    def get(self, venue: str, owner: str) -> ClientAccount | None:
        """Return an account, or ``None``."""
        return self._accounts.get((venue, owner))

    def of(self, venue: str) -> list[ClientAccount]:
        """Return a venue's accounts."""
        return [account for (where, _), account in self._accounts.items() if where == venue]

    def redeem(self, account: ClientAccount, market: SandboxMarket) -> list[Payout]:
        """Turn positions of a settled market into money; empty when there are none or it is undecided."""
        if market.status is not MarketStatus.SETTLED:
            return []
        payouts = []
        for outcome in (0, 1):
            quantity = account.positions.pop((market.id, outcome), 0)
            if quantity:
                price = market.payout(outcome)
                account.cash += notional(price, quantity)
                payouts.append(Payout(market, outcome, quantity, price, self._world.now()))
        account.payouts += payouts
        return payouts

    # ── a restart ───────────────────────────────────────────────────────────────────────────────────

    def save(self) -> "list[SavedAccount]":
        """Return every account; markets by their ids."""
        return [
            SavedAccount(
                venue=account.venue,
                owner=account.owner,
                cash=account.cash,
                fees_paid=account.fees_paid,
                positions=[(*key, quantity) for key, quantity in account.positions.items()],
                open=[(market.id, order) for market, order in account.open.values()],
                payouts=[(p.market.id, p.outcome, p.quantity, p.price, p.at) for p in account.payouts],
            )
            for account in self._accounts.values()
        ]

    def resume(self, saved: "Sequence[SavedAccount]") -> None:
        """Restore what was saved; rows of markets that are gone are dropped."""
        for row in saved:
            account = self.open(row.venue, row.owner, row.cash)
            account.cash, account.fees_paid = row.cash, row.fees_paid
            for market_id, outcome, quantity in row.positions:
                account.positions[market_id, outcome] = quantity
            for market_id, order in row.open:
                if (market := self._world.market(row.venue, market_id)) is not None:
                    account.open[order.order_id] = (market, order)
            for market_id, *numbers in row.payouts:
                if (market := self._world.market(row.venue, market_id)) is not None:
                    account.payouts.append(Payout(market, *numbers))
        for venue in self.redeem_after_s:
            for market in self._world.markets(venue):
                if market.status is MarketStatus.SETTLED:
                    self._schedule_redemption(market)

    def _handle_event(self, event: WorldEvent) -> None:
        if isinstance(event, FillEvent):
            account = self._accounts.get((event.market.venue, event.owner))
            if account is not None:
                account.fills.append(event)
                _apply_fill(account, event)
        elif isinstance(event, OrderEvent):
            account = self._accounts.get((event.market.venue, event.owner))
            if account is not None:
                _update_open_orders(account, event)
        elif isinstance(event, MarketMoved) and event.market.status is MarketStatus.SETTLED:
            self._schedule_redemption(event.market)

    def _schedule_redemption(self, market: SandboxMarket) -> None:
        delay = self.redeem_after_s[market.venue]
        if delay is None:
            return
        for account in self.of(market.venue):
            act: Callable[[], object] = partial(self.redeem, account, market)
            if delay:
                self._world.after(delay, partial(_discard, act))
            else:
                act()


def _discard(act: Callable[[], object]) -> None:
    act()


def _apply_fill(account: ClientAccount, fill: FillEvent) -> None:
    """Move a fill's contracts, money and fee."""
    execution = fill.execution
    money = notional(execution.price, execution.quantity)
    buying = execution.side is Side.BUY
    account.fees_paid += fill.fee
    account.move(
        fill.market,
        execution.outcome,
        execution.quantity if buying else -execution.quantity,
        (-money if buying else money) - fill.fee,
    )


def _update_open_orders(account: ClientAccount, event: OrderEvent) -> None:
    """Keep an order among the open ones while it rests."""
    order = event.order
    if event.change in (OrderChange.CANCELLED, OrderChange.REJECTED) or not order.remaining:
        account.open.pop(order.order_id, None)
    else:
        account.open[order.order_id] = (event.market, order)
