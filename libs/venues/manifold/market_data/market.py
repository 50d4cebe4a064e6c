"""What is known of one Manifold market: its facts, its pool and its open limit orders, and the book they make."""

from typing import NamedTuple

from libs.bounded import clip, cut
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.market_data.amm import PRICE_STEP, Pool
from libs.venues.manifold.schemas.wire import Bet, Contract, millionths, pool_of
from proto.feed import (
    BOOK_LEVELS_MAX,
    Book,
    Gap,
    Market,
    MarketStatus,
    Outcome,
    Payoff,
    PriceStep,
    Quote,
    book_of,
    quote_of,
    to_levels,
)
from proto.message import Message
from proto.units import AMOUNT_MAX, MILLISECOND, ONE

TITLE_CHARACTERS_MAX = 200
ORDERS_MAX = 5_000
"""Limit orders kept a market; more than the busiest has."""
TIME_MS_MAX = 2**43
"""The year 2248. Markets that close later than nanoseconds can say have no close: the year 9999 stands for never."""
RESULTS = {"YES": "yes", "NO": "no", "MKT": "mkt", "CANCEL": "void"}
"""Our words for the venue's: ``mkt`` pays a probability to each side, ``void`` gives the stakes back."""


class RestingBet(NamedTuple):
    """What rests: for which outcome, at which price of that outcome, how many shares, until when (0: for ever)."""

    outcome: str
    price: int
    quantity: int
    expires_at: int


def is_binary(contract: Contract) -> bool:
    """Whether a market is of the kind traded here."""
    return contract.outcomeType == "BINARY" and contract.mechanism == "cpmm-1"


def limit_order(bet: Bet) -> RestingBet | None:
    """What of a limit order still rests; ``None`` when nothing does, or when it is none."""
    if bet.limitProb is None or bet.isFilled or bet.isCancelled or bet.outcome not in ("YES", "NO"):
        return None
    probability = millionths(bet.limitProb)
    price = probability if bet.outcome == "YES" else ONE - probability
    left = millionths(bet.orderAmount) - millionths(bet.amount)
    if left <= 0 or not 0 < price < ONE:
        return None
    quantity = min(AMOUNT_MAX, left * ONE // price)
    expires_at = int(bet.expiresAt or 0) * MILLISECOND
    return RestingBet(bet.outcome, price, quantity, expires_at) if quantity else None


class ManifoldMarket:
    """One market. ``pool`` is None while it may be out of date; then there is no book."""

    def __init__(self, contract: str) -> None:
        self.contract = contract
        self.market = f"{MANIFOLD}:{contract}"
        self.yes = f"{self.market}:yes"
        self.no = f"{self.market}:no"
        self.pool: Pool | None = None
        self.orders: dict[str, RestingBet] = {}
        self.bet_at = 0.0
        self.counter = 0
        self.told: Market | None = None
        self._shown: tuple[list[tuple[int, int]], list[tuple[int, int]]] | None = None
        self._best: tuple[int | None, int | None] | None = None

    # ── facts ───────────────────────────────────────────────────────────────────────────────────────

    def facts(self, contract: Contract, at: int) -> Market:
        """The complete market message of what the venue says now."""
        close_ms = contract.closeTime or 0
        close_at = int(close_ms) * MILLISECOND if 0 <= close_ms <= TIME_MS_MAX else 0
        status, ended_at = MarketStatus.OPEN, 0
        if contract.isResolved:
            known_at = self.told.ended_at if self.told is not None else 0
            resolved_at = int(contract.resolutionTime or 0) * MILLISECOND or known_at or at
            status, ended_at = MarketStatus.SETTLED, min(resolved_at, close_at or resolved_at)
        elif close_at and at >= close_at:
            status, ended_at = MarketStatus.CLOSED, close_at
        title = cut("".join(c for c in contract.question if c.isprintable()), TITLE_CHARACTERS_MAX)
        return Market(
            market=self.market,
            venue=MANIFOLD,
            at=at,
            status=status,
            outcomes=(Outcome("yes", self.yes), Outcome("no", self.no)),
            title=title,
            open_at=int(contract.createdTime) * MILLISECOND,
            close_at=close_at,
            expected_end_at=close_at,
            ended_at=ended_at,
            payoff=Payoff.EVENT,
            price_steps=(PriceStep(0, PRICE_STEP),),
            quantity_step=1,
            result=RESULTS.get(contract.resolution or "", "") if contract.isResolved else "",
            payout=_payout(contract),
        )

    def over(self) -> bool:
        """Whether the market trades no more."""
        return self.told is not None and self.told.status in (MarketStatus.CLOSED, MarketStatus.SETTLED)

    # ── the book ────────────────────────────────────────────────────────────────────────────────────

    def read_pool(self, contract: Contract) -> Pool | None:
        """Read the pool of a market body; ``None`` where it has none.

        Raises:
            FrameError: for one that cannot be.
        """
        amounts = pool_of(contract)
        return None if amounts is None else Pool(*amounts, contract.p)

    def set_order(self, bet_id: str, order: RestingBet | None) -> None:
        """Take over what rests of one limit order; beyond ``ORDERS_MAX`` a new one only makes the book thinner."""
        if order is None:
            self.orders.pop(bet_id, None)
        elif bet_id in self.orders or len(self.orders) < ORDERS_MAX:
            self.orders[bet_id] = order

    def invalidate(self, at: int, reason: str) -> list[Message]:
        """Drop the book, and say so if there was one."""
        if self.pool is None:
            return []
        self.pool, self._shown, self._best = None, None, None
        self.orders.clear()
        return [
            Gap(venue=MANIFOLD, at=at, reason=clip(reason, 200), instrument=name)
            for name in (self.yes, self.no)
        ]

    def due_messages(self, at: int, *, snapshot: bool = False) -> list[Message]:
        """The book and best prices of both instruments if they changed, or anyway with ``snapshot``."""
        if self.pool is None:
            return []
        asks = self._asks("YES", self.pool, at)
        no_asks = self._asks("NO", self.pool.mirrored(), at)
        shown = (asks, no_asks)
        snapshot = snapshot or self._shown is None
        if shown == self._shown and not snapshot:
            return []
        self._shown = shown
        self.counter += 1
        out: list[Message] = [
            self._book(self.yes, no_asks, asks, at, snapshot),
            self._book(self.no, asks, no_asks, at, snapshot),
        ]
        best = (asks[0][0] if asks else None, no_asks[0][0] if no_asks else None)
        if best != self._best or snapshot:
            self._best = best
            self.counter += 1
            out += [self._quote(self.yes, no_asks, asks, at), self._quote(self.no, asks, no_asks, at)]
        return out

    def _asks(self, outcome: str, pool: Pool, at: int) -> list[tuple[int, int]]:
        """Where ``outcome`` can be bought: from the pool, and from who rests on the other side."""
        levels = dict(pool.asks(BOOK_LEVELS_MAX))
        for order in self.orders.values():
            if order.outcome != outcome and not 0 < order.expires_at <= at:
                price = ONE - order.price
                levels[price] = min(AMOUNT_MAX, levels.get(price, 0) + order.quantity)
        return sorted(levels.items())[:BOOK_LEVELS_MAX]

    def _book(
        self,
        instrument: str,
        other_asks: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        at: int,
        snapshot: bool,
    ) -> Book:
        """To sell an outcome is to buy the other one: its asks are our bids, at one minus the price."""
        return book_of(
            instrument=instrument,
            at=at,
            counter=self.counter,
            bids=to_levels([(ONE - price, quantity) for price, quantity in other_asks]),
            asks=to_levels(asks),
            snapshot=snapshot,
        )

    def _quote(
        self, instrument: str, other_asks: list[tuple[int, int]], asks: list[tuple[int, int]], at: int
    ) -> Quote:
        bid, bid_size = (ONE - other_asks[0][0], other_asks[0][1]) if other_asks else (None, 0)
        ask, ask_size = asks[0] if asks else (None, 0)
        return quote_of(
            instrument=instrument,
            at=at,
            counter=self.counter,
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )


def _payout(contract: Contract) -> int | None:
    """What YES pays of a market resolved to a probability."""
    if not contract.isResolved or contract.resolution != "MKT" or contract.resolutionProbability is None:
        return None
    return millionths(contract.resolutionProbability)
