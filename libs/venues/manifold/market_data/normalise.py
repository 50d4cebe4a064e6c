"""Raw Manifold frames to feed messages: markets, books made of pool and limit orders, trades.

Pure: time comes with the frames. A market's pool comes by REST (``market``); between two such answers it is
carried on by the probability after each new bet, which tells it exactly while nobody adds liquidity.
"""

from collections.abc import Mapping
from typing import Any

from libs.venues.frame import FrameError
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.market_data.amm import Pool
from libs.venues.manifold.market_data.market import ManifoldMarket, RestingBet, is_binary, limit_order
from libs.venues.manifold.schemas import wire
from libs.venues.reference_normaliser import HandlerNormaliser, Handlers
from proto.feed import Market, MarketStatus, Side, Trade
from proto.message import Message
from proto.units import ONE

MARKETS_MAX = 1_000
"""Markets kept at once: an answer to a search has as many. Resolved ones go first."""
SEEN_MAX = 20_000
"""Bets kept so that each is published once: the socket and REST overlap by far less."""


class ManifoldNormaliser(HandlerNormaliser):
    """Normalises the frames of one Manifold connection, or of a recording; ``old`` counts bets published before."""

    def __init__(self) -> None:
        self._markets: dict[str, ManifoldMarket] = {}
        self._seen: dict[str, None] = {}
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
        read: list[tuple[wire.Contract, ManifoldMarket, Pool | None]] = []
        for contract in frame.contracts:
            if is_binary(contract):
                market = self._markets.get(contract.id) or ManifoldMarket(contract.id)
                read.append((contract, market, market.read_pool(contract)))
        out: list[Message] = []
        for contract, market, pool in read:
            self._adopt(market)
            facts = market.facts(contract, at)
            if market.told is None or _same(facts) != _same(market.told):
                market.told = facts
                out.append(facts)
            if market.over():
                out += self._invalidate(market, at, "the market has ended")
            elif pool is not None:
                market.pool = pool
                out += market.due_messages(at)
        return out

    def _adopt(self, market: ManifoldMarket) -> None:
        if market.contract not in self._markets:
            if len(self._markets) >= MARKETS_MAX:
                ended = (name for name, known in self._markets.items() if known.over())
                del self._markets[next(ended, None) or next(iter(self._markets))]
            self._markets[market.contract] = market

    def _invalidate(self, market: ManifoldMarket, at: int, reason: str) -> list[Message]:
        out = market.invalidate(at, reason)
        self.gaps += bool(out)
        return out

    # ── bets ────────────────────────────────────────────────────────────────────────────────────────

    def _on_bets(self, frame: wire.Bets, at: int) -> list[Message]:
        """New bets: each a trade, and the probability after the newest one moves the pool."""
        read: list[tuple[wire.Bet, ManifoldMarket, RestingBet | None, list[Message], Pool | None]] = []
        for bet in frame.bets:
            market = self._markets.get(bet.contractId)
            if market is None or bet.answerId:
                continue
            if not bet.key:
                raise FrameError("expected the id of a bet, was none")
            moved = None
            if market.pool is not None and bet.probAfter and not bet.isRedemption:
                moved = market.pool.at(bet.probAfter)
            read.append((bet, market, limit_order(bet), _trades(bet, market, at), moved))
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

    def _remember(self, bet: str) -> None:
        self._seen[bet] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]

    def _on_orders(self, frame: wire.Orders, at: int) -> list[Message]:
        read = [(bet.key, self._markets.get(bet.contractId), limit_order(bet)) for bet in frame.bets]
        changed: dict[str, ManifoldMarket] = {}
        for bet_id, market, order in read:
            if market is not None and bet_id:
                market.set_order(bet_id, order)
                changed[market.contract] = market
        return [message for market in changed.values() for message in market.due_messages(at)]

    def _on_open_orders(self, frame: wire.OpenOrders, at: int) -> list[Message]:
        read = {bet.key: limit_order(bet) for bet in frame.bets if bet.contractId == frame.contract}
        market = self._markets.get(frame.contract)
        if market is None:
            return []
        market.orders = {bet_id: order for bet_id, order in read.items() if order is not None}
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


def _same(market: Market) -> Market:
    """Return a market's facts without their time."""
    return market.replace(at=0)


def _closed(market: Market, at: int) -> Market:
    return market.replace(status=MarketStatus.CLOSED, at=at)


def build_normaliser(section: Mapping[str, Any]) -> ManifoldNormaliser:  # noqa: ARG001 - the form of the catalogue
    """A normaliser; it reads the same whatever is configured."""
    return ManifoldNormaliser()
