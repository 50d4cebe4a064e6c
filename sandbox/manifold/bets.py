"""Contracts and bets: limit orders first, then the pool, as the venue computes fills."""

import hashlib
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct, field

from sandbox.manifold.amm import DUST, LiquidityPool

LIQUIDITY = 1000.0
"""Mana with which the house begins a contract's pool."""
STAKE = {"YES": 1.0, "NO": 0.0}
FILLS_MAX = 500
"""Orders one bet may meet."""


class BetFill(Struct, rename="camel"):
    """A part of a bet: against a limit order, or the pool (``matched_bet_id`` null)."""

    amount: float
    shares: float
    timestamp: int
    matched_bet_id: str | None = None


class BetFees(Struct, rename="camel"):
    """Nothing at present."""

    creator_fee: float = 0.0
    platform_fee: float = 0.0
    liquidity_fee: float = 0.0


class ClientBet(Struct, rename="camel", omit_defaults=False, kw_only=True):
    """A bet in the venue's words. ``limit_prob`` is of YES whichever the outcome."""

    id: str
    contract_id: str
    user_id: str
    outcome: str
    amount: float = 0.0
    shares: float = 0.0
    order_amount: float = 0.0
    limit_prob: float | None = None
    prob_before: float
    prob_after: float
    is_filled: bool = False
    is_cancelled: bool = False
    is_redemption: bool = False
    loan_amount: float = 0.0
    created_time: int
    expires_at: int | None = None
    fills: list[BetFill] = []
    fees: BetFees = field(default_factory=BetFees)

    @property
    def is_open(self) -> bool:
        return self.limit_prob is not None and not self.is_filled and not self.is_cancelled

    @property
    def left(self) -> float:
        return self.order_amount - self.amount

    @property
    def price(self) -> float:
        """What a share costs its bettor at the limit."""
        limit = self.limit_prob or 0.0
        return limit if self.outcome == "YES" else 1 - limit


class User(Struct):
    """A user, its mana, and shares by contract and outcome."""

    id: str
    name: str
    key: str
    balance: float
    shares: dict[tuple[str, str], float] = field(default_factory=dict)
    invested: dict[str, float] = field(default_factory=dict)


class BetError(ValueError):
    """What the venue answers with a message; ``status`` is the HTTP status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class PoolContract(Struct):
    """One binary market: its pool and every bet, oldest first."""

    id: str
    pool: LiquidityPool
    bets: list[ClientBet] = field(default_factory=list)
    volume: float = 0.0
    resolution: str = ""
    resolution_probability: float = 0.0
    resolved_ms: int = 0

    def resting(self) -> list[ClientBet]:
        return [bet for bet in self.bets if bet.is_open]


class ContractMarket:
    """Bets on one contract, by users who pay and are paid from their balance."""

    def __init__(
        self, contract: PoolContract, users: dict[str, User], now_ms: Callable[[], int], seed: int
    ) -> None:
        self.contract = contract
        self._users = users
        self._now_ms = now_ms
        self._seed = seed
        self.count = 0

    # ── betting ─────────────────────────────────────────────────────────────────────────────────────

    def bet(
        self,
        user: User,
        outcome: str,
        amount: float,
        limit: float | None = None,
        expires_at: int | None = None,
        dry_run: bool = False,
    ) -> tuple[ClientBet, list[ClientBet]]:
        """Return a new bet, and the resting ones it met. Raises ``BetError``; a dry run changes nothing."""
        self._expire()
        before = self.contract.pool
        bet = self._new(user.id, outcome, amount, limit, expires_at)
        pool, parts = self._fills(bet, before)
        spent = sum(fill.amount for fill, _ in parts)
        if spent > user.balance + DUST:
            raise BetError("Insufficient balance.", 403)
        bet.fills = [fill for fill, _ in parts]
        bet.amount = spent
        bet.shares = sum(fill.shares for fill, _ in parts)
        bet.is_filled = bet.left < DUST or limit is None
        bet.prob_after = pool.probability
        if dry_run:
            return bet, []
        self.contract.pool = pool
        self.contract.bets.append(bet)
        self.contract.volume += spent
        self._transfer(user, outcome, spent, bet.shares)
        met = [maker for fill, maker in parts if maker is not None and self._fill_maker(maker, bet, fill)]
        self._redeem(user, bet)
        return bet, met

    def _new(
        self, user: str, outcome: str, amount: float, limit: float | None, expires_at: int | None
    ) -> ClientBet:
        self.count += 1
        name = f"{self._seed}/{self.contract.id}/{self.count}"
        now = self.contract.pool.probability
        return ClientBet(
            id=hashlib.sha256(name.encode()).hexdigest()[:20],
            contract_id=self.contract.id,
            user_id=user,
            outcome=outcome,
            order_amount=amount,
            limit_prob=limit,
            prob_before=now,
            prob_after=now,
            created_time=self._now_ms(),
            expires_at=expires_at,
        )

    def _fills(
        self, bet: ClientBet, pool: LiquidityPool
    ) -> tuple[LiquidityPool, list[tuple[BetFill, ClientBet | None]]]:
        """Walk the opposite orders, best first, and the pool between them."""
        buying_yes = bet.outcome == "YES"
        makers = [maker for maker in self.contract.resting() if maker.outcome != bet.outcome]
        makers.sort(key=lambda maker: (maker.limit_prob or 0.0) * (1 if buying_yes else -1))
        parts: list[tuple[BetFill, ClientBet | None]] = []
        left, now = bet.order_amount, self._now_ms()
        bound = bet.limit_prob if bet.limit_prob is not None else (0.9999 if buying_yes else 0.0001)
        for maker in [*makers[:FILLS_MAX], None]:
            target = bound
            if maker is not None and maker.limit_prob is not None:
                target = min(bound, maker.limit_prob) if buying_yes else max(bound, maker.limit_prob)
            amount = min(left, pool.cost_to(bet.outcome, target))
            if amount > DUST:
                shares, pool = pool.buy(bet.outcome, amount)
                parts.append((BetFill(amount, shares, now), None))
                left -= amount
            if left <= DUST or maker is None or target != maker.limit_prob:
                break
            taken = self._fill_against(maker, left, now)
            if taken is not None:
                parts.append((taken, maker))
                left -= taken.amount
        return pool, parts

    def _fill_against(self, maker: ClientBet, left: float, now: int) -> BetFill | None:
        """Return what a bet gets of one limit order, at its price; a maker who cannot pay is passed by."""
        affordable = min(maker.left, max(0.0, self._users[maker.user_id].balance))
        shares = min(left / (1 - maker.price), affordable / maker.price)
        if shares <= DUST:
            return None
        return BetFill(shares * (1 - maker.price), shares, now, maker.id)

    def _fill_maker(self, maker: ClientBet, taker: ClientBet, fill: BetFill) -> bool:
        amount = fill.shares * maker.price
        maker.amount += amount
        maker.shares += fill.shares
        maker.fills = [*maker.fills, BetFill(amount, fill.shares, fill.timestamp, taker.id)]
        maker.is_filled = maker.left < DUST
        self.contract.volume += amount
        owner = self._users[maker.user_id]
        self._transfer(owner, maker.outcome, amount, fill.shares)
        self._redeem(owner, maker)
        return True

    def _transfer(self, user: User, outcome: str, paid: float, shares: float) -> None:
        key = (self.contract.id, outcome)
        user.balance -= paid
        user.shares[key] = user.shares.get(key, 0.0) + shares
        user.invested[self.contract.id] = user.invested.get(self.contract.id, 0.0) + paid

    def _redeem(self, user: User, cause: ClientBet) -> None:
        """Turn pairs of YES and NO into mana, listed as two bets of negative size."""
        held = {outcome: user.shares.get((self.contract.id, outcome), 0.0) for outcome in ("YES", "NO")}
        pairs = min(held.values())
        if pairs <= DUST:
            return
        probability = self.contract.pool.probability
        for outcome in ("YES", "NO"):
            price = probability if outcome == "YES" else 1 - probability
            row = self._new(user.id, outcome, -pairs * price, None, None)
            row.amount, row.shares = -pairs * price, -pairs
            row.is_filled = row.is_redemption = True
            row.prob_before = row.prob_after = probability
            row.created_time = cause.created_time
            self.contract.bets.append(row)
            self._transfer(user, outcome, -pairs * price, -pairs)

    def sell(self, user: User, outcome: str, shares: float | None) -> tuple[ClientBet, list[ClientBet]]:
        """Sell by buying the other outcome: the pairs are redeemed at once."""
        held = user.shares.get((self.contract.id, outcome), 0.0)
        wanted = held if shares is None else shares
        if wanted <= DUST or wanted > held + DUST:
            raise BetError(f"You can only sell up to {held:g} shares.")
        other = "NO" if outcome == "YES" else "YES"
        return self.bet(user, other, self._cost_of(user, other, wanted))

    def _cost_of(self, user: User, outcome: str, shares: float) -> float:
        """Return mana that buys so many shares now; bisection, for the fills are steps and curves."""
        low, high = 0.0, shares
        for _ in range(60):
            middle = (low + high) / 2
            probe = self._new(user.id, outcome, middle, None, None)
            _, parts = self._fills(probe, self.contract.pool)
            low, high = (middle, high) if sum(f.shares for f, _ in parts) < shares else (low, middle)
        return high

    # ── ends ────────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, user: User, bet_id: str) -> ClientBet:
        for bet in self.contract.bets:
            if bet.id == bet_id:
                if bet.user_id != user.id:
                    raise BetError("You can only cancel your own bets.", 403)
                if bet.limit_prob is None:
                    raise BetError("Not a limit order.")
                if not bet.is_open:
                    raise BetError("Bet already cancelled or filled.", 403)
                bet.is_cancelled = True
                return bet
        raise BetError("Bet not found.", 404)

    def _expire(self) -> None:
        now = self._now_ms()
        for bet in self.contract.resting():
            if bet.expires_at is not None and bet.expires_at <= now:
                bet.is_cancelled = True

    def resolve(self, resolution: str, probability: float) -> None:
        """Pay everybody: ``YES``, ``NO``, ``MKT`` at a probability, or ``CANCEL``: stakes are given back."""
        contract = self.contract
        for bet in contract.resting():
            bet.is_cancelled = True
        for user in self._users.values():
            held = {outcome: user.shares.pop((contract.id, outcome), 0.0) for outcome in ("YES", "NO")}
            invested = user.invested.pop(contract.id, 0.0)
            if resolution == "CANCEL":
                user.balance += invested
            else:
                yes = STAKE.get(resolution, probability)
                user.balance += held["YES"] * yes + held["NO"] * (1 - yes)
        contract.resolution = resolution
        contract.resolution_probability = STAKE.get(resolution, probability)
        contract.resolved_ms = self._now_ms()


def bet_body(bet: ClientBet) -> dict[str, object]:
    """Return a bet as the venue shows it: what it has not is left out."""
    body: dict[str, object] = msgspec.to_builtins(bet)
    return {name: value for name, value in body.items() if value is not None}


def newest_first(bets: Iterable[ClientBet]) -> list[ClientBet]:
    """Sort bets as /bets lists them."""
    return sorted(bets, key=lambda bet: bet.created_time, reverse=True)
