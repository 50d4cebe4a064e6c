"""Raw Manifold frames to feed messages: markets, books made of pool and limit orders, trades.

Pure: time comes with the frames. A market's pool comes by REST (``market``); between two such answers it is
carried on by the probability after each new bet, which tells it exactly while nobody adds liquidity.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from libs.bounded import keep_newest
from libs.venues.frame import FrameError
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.market_data.amm import Pool
from libs.venues.manifold.market_data.market import ManifoldMarket, RestingBet, is_binary, limit_order
from libs.venues.manifold.schemas import wire
from libs.venues.odd_items import OddItems
from libs.venues.reference_normaliser import HandlerNormaliser, Handlers
from proto.feed import Market, MarketStatus, Side, Trade
from proto.message import Message
from proto.units import ONE

MARKETS_MAX = 1_000
"""Markets kept at once: an answer to a search has as many. What ended first gives way; nothing else does."""
SEEN_MAX = 20_000
"""Bets kept so that each is published once: the socket and REST overlap by far less."""

Row = TypeVar("Row")
Read = TypeVar("Read")


class ManifoldNormaliser(HandlerNormaliser):
    """Normalises the frames of one Manifold connection, or of a recording; ``old`` counts bets published before."""

    def __init__(self) -> None:
        self._markets: dict[str, ManifoldMarket] = {}
        self._seen: dict[str, None] = {}
        self.odd_items = OddItems(MANIFOLD)
        self.left_out = 0
        self.evicted = 0
        handlers: Handlers = {
            wire.Contracts: self._on_contracts,
            wire.Bets: self._on_bets,
            wire.Orders: self._on_orders,
            wire.OpenOrders: self._on_open_orders,
            wire.Connected: self._on_connected,
            wire.Disconnected: self._on_disconnected,
            wire.Ack: self._on_ack,
        }
        super().__init__(wire.decode, handlers)

    def tick(self, at: int) -> list[Message]:
        """Markets whose close has come."""
        out: list[Message] = []
        for market in self._markets.values():
            told = market.told
            if told is not None and told.status is MarketStatus.OPEN and 0 < told.close_at <= at:
                market.told = _closed(told, at)
                out.append(market.told)
        return out

    def resend(self, at: int) -> list[Message]:
        """All markets, and their whole books as snapshots."""
        out: list[Message] = []
        for market in self._markets.values():
            if market.told is not None:
                out.append(market.told)
            out += market.due_messages(at, snapshot=True)
        return out

    @property
    def wanted_markets(self) -> tuple[str, ...]:
        """Contracts that trade and have no book: ``market`` and ``open-limit`` are to be asked for."""
        return tuple(c for c, market in self._markets.items() if market.pool is None and not market.over())

    def invalidate(self, market: str, at: int, reason: str) -> list[Message]:
        """Drop the book of one market until REST delivers it again."""
        known = self._markets.get(market.removeprefix(f"{MANIFOLD}:"))
        return self._invalidate(known, at, reason) if known is not None else []

    # ── markets ─────────────────────────────────────────────────────────────────────────────────────

    def _on_contracts(self, frame: wire.Contracts, at: int) -> list[Message]:
        binary = filter(is_binary, frame.contracts)
        read = self._readable(
            "market", binary, lambda c: c.id, lambda c: self._read_contract(c, at), frame.odd
        )
        out: list[Message] = []
        for market, facts, pool in read:
            if not self._adopt(market):
                continue
            if market.told is None or _same(facts) != _same(market.told):
                self._note_correction(market, facts)
                market.told = facts
                out.append(facts)
            if market.over():
                out += self._invalidate(market, at, "the market has ended")
            elif pool is not None:
                market.pool = pool
                out += market.due_messages(at)
        return out

    def _read_contract(self, contract: wire.Contract, at: int) -> tuple[ManifoldMarket, Market, Pool | None]:
        market = self._markets.get(contract.id) or ManifoldMarket(contract.id)
        return market, market.facts(contract, at), market.read_pool(contract)

    def _readable(
        self,
        kind: str,
        rows: Iterable[Row],
        name: Callable[[Row], str],
        read: Callable[[Row], Read],
        odd: Iterable[wire.OddRow],
    ) -> list[Read]:
        """Read each row; odd ones are recorded, those that the decoder left out (``odd``) too.

        Raises:
            FrameError: for rows of which none can be read.
        """
        found: list[Read] = []
        reasons = list(odd)
        for row in rows:
            try:
                found.append(read(row))
            except FrameError as e:
                reasons.append(wire.OddRow(name(row), str(e)))
        if reasons and not found:
            raise FrameError(reasons[0].reason)
        for reason in reasons:
            self.odd_items.record(kind, reason.name, reason.reason)
        return found

    def _note_correction(self, market: ManifoldMarket, facts: Market) -> None:
        """Tell a result that the venue takes back or changes: what was paid by the first stands until there is another."""
        told = market.told
        if told is None or told.status is not MarketStatus.SETTLED:
            return
        if (told.status, told.result, told.payout) != (facts.status, facts.result, facts.payout):
            is_anew = facts.status is MarketStatus.SETTLED
            now = facts.result or facts.status.value
            booked = "is booked anew" if is_anew else "stands until it is resolved again"
            words = f"was resolved {told.result} and is {now} now: what was paid {booked}"
            self.odd_items.record("resolution", market.contract, words)

    def notes(self) -> list[str]:
        """What is left out of that which the venue lists, and why, in words."""
        found = [
            f"{self.odd_items.count} odd rows, last {odd.kind} {odd.name}: {odd.reason}"
            for odd in self.odd_items.latest(1)
        ]
        if self.left_out:
            found.append(f"{self.left_out} times a market was left out: {len(self._markets)} trade already")
        if self.evicted:
            found.append(f"{self.evicted} ended markets forgotten")
        return found

    def _adopt(self, market: ManifoldMarket) -> bool:
        """Keep a market, if there is room: what ended first gives way, an open one never does."""
        if market.contract in self._markets:
            return True
        if len(self._markets) >= MARKETS_MAX:
            over = [known.told for known in self._markets.values() if known.told and known.over()]
            if not over:
                self.left_out += 1
                return False
            first = min(over, key=lambda told: told.ended_at)
            del self._markets[first.market.removeprefix(f"{MANIFOLD}:")]
            self.evicted += 1
        self._markets[market.contract] = market
        return True

    def _invalidate(self, market: ManifoldMarket, at: int, reason: str) -> list[Message]:
        out = market.invalidate(at, reason)
        self.gaps += bool(out)
        return out

    # ── bets ────────────────────────────────────────────────────────────────────────────────────────

    def _on_bets(self, frame: wire.Bets, at: int) -> list[Message]:
        """New bets: each a trade, and the probability after the newest one moves the pool."""
        known = [bet for bet in frame.bets if bet.contractId in self._markets and not bet.answerId]
        read = self._readable("bet", known, _key, lambda bet: self._read_bet(bet, at), frame.odd)
        out: list[Message] = []
        changed: dict[str, ManifoldMarket] = {}
        for bet, market, order, trades, moved in read:
            if bet.key in self._seen:
                self.old += 1
                continue
            self._remember(bet.key)
            out += trades
            if moved is not None and bet.createdTime >= market.bet_at:
                market.bet_at = float(bet.createdTime)
                market.pool = moved
            if order is not None:
                market.set_order(bet.key, order)
            changed[market.contract] = market
        for market in changed.values():
            out += market.due_messages(at)
        return out

    def _read_bet(
        self, bet: wire.Bet, at: int
    ) -> tuple[wire.Bet, ManifoldMarket, RestingBet | None, list[Message], Pool | None]:
        if not bet.key:
            raise FrameError("expected the id of a bet, was none")
        market = self._markets[bet.contractId]
        moved = None
        if market.pool is not None and bet.probAfter and not bet.isRedemption:
            moved = market.pool.at(bet.probAfter)
        return bet, market, limit_order(bet), _trades(bet, market, at), moved

    def _remember(self, bet: str) -> None:
        self._seen[bet] = None
        keep_newest(self._seen, SEEN_MAX)

    def _on_orders(self, frame: wire.Orders, at: int) -> list[Message]:
        read = self._readable("order", frame.bets, _key, self._read_order, frame.odd)
        changed: dict[str, ManifoldMarket] = {}
        for bet_id, market, order in read:
            if market is not None and bet_id:
                market.set_order(bet_id, order)
                changed[market.contract] = market
        return [message for market in changed.values() for message in market.due_messages(at)]

    def _read_order(self, bet: wire.Bet) -> tuple[str, ManifoldMarket | None, RestingBet | None]:
        return bet.key, self._markets.get(bet.contractId), limit_order(bet)

    def _on_open_orders(self, frame: wire.OpenOrders, at: int) -> list[Message]:
        own = [bet for bet in frame.bets if bet.contractId == frame.contract]
        read = self._readable("order", own, _key, self._read_order, frame.odd)
        market = self._markets.get(frame.contract)
        if market is None:
            return []
        market.orders = {bet_id: order for bet_id, _, order in read if order is not None}
        return market.due_messages(at)

    # ── the connection ──────────────────────────────────────────────────────────────────────────────

    def _on_connected(self, frame: wire.Connected, at: int) -> list[Message]:
        """What happened before it is not known: every book is asked for again."""
        return self._on_disconnected(frame, at, "connection started again")

    def _on_disconnected(
        self, frame: wire.Connected | wire.Disconnected, at: int, reason: str = "connection lost"
    ) -> list[Message]:
        del frame
        return [m for market in self._markets.values() for m in self._invalidate(market, at, reason)]

    def _on_ack(self, frame: wire.Ack, at: int) -> list[Message]:  # noqa: ARG002
        self.errors += not frame.success
        return []


def _trades(bet: wire.Bet, market: ManifoldMarket, at: int) -> list[Message]:
    """A bet as a trade of both instruments, each in its own price space; nothing for what only rests."""
    quantity = abs(wire.millionths(bet.shares))
    amount = abs(wire.millionths(bet.amount))
    if bet.isRedemption or not quantity or bet.outcome not in ("YES", "NO"):
        return []
    price = min(max((2 * amount * ONE + quantity) // (2 * quantity), 1), ONE - 1)
    buys = bet.shares > 0
    own, other = (market.yes, market.no) if bet.outcome == "YES" else (market.no, market.yes)
    return [
        Trade(
            instrument=instrument,
            at=at,
            trade_id=bet.key,
            price=own_price,
            quantity=quantity,
            aggressor=Side.BUY if taker_buys else Side.SELL,
        )
        for instrument, own_price, taker_buys in ((own, price, buys), (other, ONE - price, not buys))
    ]


def _key(bet: wire.Bet) -> str:
    return bet.key


def _same(market: Market) -> Market:
    """Return a market's facts without their time."""
    return market.replace(at=0)


def _closed(market: Market, at: int) -> Market:
    return market.replace(status=MarketStatus.CLOSED, at=at, ended_at=market.close_at)


def build_normaliser(section: Mapping[str, Any]) -> ManifoldNormaliser:  # noqa: ARG001 - the form of the catalogue
    """A normaliser; it reads the same whatever is configured."""
    return ManifoldNormaliser()
