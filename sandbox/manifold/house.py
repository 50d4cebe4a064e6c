"""Who bets on Manifold besides the clients: the house, which follows Bitcoin late and rests a few orders."""

import random
from collections.abc import Callable

from proto.feed import MarketStatus
from sandbox.manifold.bets import BetError, ContractMarket
from sandbox.manifold.requests import NewBet
from sandbox.world.fair import fair_value
from sandbox.world.markets import MarketKind, SandboxMarket
from sandbox.world.world import World

LAG_S = 60.0
"""How old the price is that the house follows, in nominal seconds."""
EVERY_S = 3.0
"""Seconds between its bets on a contract, on average."""
STEP_MAX = 0.05
"""How far it moves the probability with one bet."""
ORDER_MANA = (20.0, 120.0)
ORDERS_RESTING = 6


class House:
    """Bets by ``place``, which is the venue's own way in."""

    def __init__(self, world: World, seed: int, place: Callable[[str, NewBet], object]) -> None:
        self._world = world
        self._seed = seed
        self._place = place

    def begin(self, market: SandboxMarket, held: ContractMarket) -> None:
        """Start betting on a contract."""
        draw = random.Random(f"presage-sandbox/{self._seed}/house/{market.id}")
        self._schedule_next(market, held, draw)

    def _schedule_next(self, market: SandboxMarket, held: ContractMarket, draw: random.Random) -> None:
        wait_s = draw.expovariate(1 / EVERY_S)
        self._world.after(wait_s, lambda: self._act(market, held, draw))

    def _act(self, market: SandboxMarket, held: ContractMarket, draw: random.Random) -> None:
        if held.contract.resolution or market.status not in (MarketStatus.LISTED, MarketStatus.OPEN):
            return
        order = None if self._world.catching_up else self._order(market, held, draw)
        if order is not None:
            try:
                self._place(market.id, order)
            except BetError:
                return
        self._schedule_next(market, held, draw)

    def _order(self, market: SandboxMarket, held: ContractMarket, draw: random.Random) -> "NewBet | None":

        now = held.contract.pool.probability
        resting = len(held.contract.resting())
        if resting < ORDERS_RESTING and draw.random() < 0.3:
            distance = draw.randint(2, 8) / 100
            yes = draw.random() < 0.5
            limit = round(now - distance if yes else now + distance, 2)
            if not 0.01 <= limit <= 0.99:
                return None
            outcome = "YES" if yes else "NO"
            return NewBet(market.id, draw.uniform(*ORDER_MANA), outcome, limit, expires_millis_after=60_000)
        target = min(max(self._opinion(market, draw), 0.02), 0.98)
        step = min(max(target - now, -STEP_MAX), STEP_MAX)
        outcome = "YES" if step > 0 else "NO"
        amount = held.contract.pool.cost_to(outcome, now + step)
        return NewBet(market.id, amount, outcome) if amount >= 1 else None

    def _opinion(self, market: SandboxMarket, draw: random.Random) -> float:
        if market.kind is MarketKind.VOID:
            return 0.5 + draw.gauss(0, 0.03)
        scale = self._world.settings.time_scale
        price = self._world.price.ago(LAG_S / scale)
        return fair_value(market, price, self._world.now(), scale) + draw.gauss(0, 0.01)
