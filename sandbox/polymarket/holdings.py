"""What wallets hold and did, and the payout of winnings.

Source: docs/reference/venue-facts.md, Polymarket data API; Polymarket settlement.
"""

from collections import deque
from functools import partial

from msgspec import Struct

from libs.venues.polymarket import POLYMARKET
from proto.feed import MarketStatus
from proto.units import ONE, SECOND, notional
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.gamma import amount, iso, outcome_prices, outcome_word
from sandbox.polymarket.ledger import COLLATERAL, Movement, Wallet
from sandbox.polymarket.orders import ClientTrade
from sandbox.world.events import MarketMoved, WorldEvent
from sandbox.world.markets import SandboxMarket

ACTIVITY_MAX = 10_000
"""Entries kept, of all wallets together; the oldest go first."""


class ActivityEntry(Struct, frozen=True):
    """One line of a wallet's activity: a TRADE or a REDEEM. Amounts in millionths."""

    wallet: str
    kind: str
    market: SandboxMarket
    outcome: int
    side: str
    price: int
    size: int
    money: int
    at_ns: int
    transaction: str


class Holding(Struct):
    """What was paid for a wallet's tokens, beside how many there are in the ledger."""

    bought: int = 0
    cost: int = 0
    realized: int = 0


class Holdings:
    """Watches mined trades and settlements; pays winnings out as the auto-redeem operator does."""

    def __init__(self, exchange: PolymarketExchange) -> None:
        self.activity: deque[ActivityEntry] = deque(maxlen=ACTIVITY_MAX)
        self._exchange = exchange
        self.by_token: dict[tuple[str, str], Holding] = {}
        exchange.trades.on_mined = self._handle_mined
        exchange.world.subscribe(self._handle_event)

    def _handle_mined(self, trade: ClientTrade, movements: list[Movement]) -> None:
        ledger, market = self._exchange.ledger, trade.market
        for movement in movements:
            if ledger.get(movement.wallet) is None:
                continue
            buy = movement.pays == COLLATERAL
            token = movement.gets if buy else movement.pays
            size = movement.got if buy else movement.paid
            money = movement.paid if buy else movement.got
            outcome = market.tokens.index(token)
            price = money * ONE // size if size else 0
            self._book(movement.wallet, token, buy, size, money)
            self.activity.append(
                ActivityEntry(
                    movement.wallet,
                    "TRADE",
                    market,
                    outcome,
                    "BUY" if buy else "SELL",
                    price,
                    size,
                    money,
                    trade.updated_ns,
                    trade.transaction,
                )
            )
        if market.status is MarketStatus.SETTLED:
            self._exchange.world.after(self._exchange.options.redeem_after_s, lambda: self._redeem(market))

    def _book(self, wallet: str, token: str, buy: bool, size: int, money: int) -> None:
        holding = self.by_token.setdefault((wallet, token), Holding())
        if buy:
            holding.bought += size
            holding.cost += money
            return
        average = holding.cost * ONE // holding.bought if holding.bought else 0
        holding.realized += money - notional(average, size)

    def _handle_event(self, event: WorldEvent) -> None:
        if isinstance(event, MarketMoved) and event.market.venue == POLYMARKET:
            market = event.market
            if market.status is MarketStatus.SETTLED:
                after_s = self._exchange.options.redeem_after_s
                self._exchange.world.after(after_s, lambda: self._redeem(market))

    def redeem_settled(self) -> None:
        """Pay out after a restart what had not been paid out yet."""
        for market in self._exchange.world.markets(POLYMARKET):
            if market.status is MarketStatus.SETTLED:
                after_s = self._exchange.options.redeem_after_s
                self._exchange.world.after(after_s, partial(self._redeem, market))

    def _redeem(self, market: SandboxMarket) -> None:
        """Turn winning tokens into money and remove losing ones; what is promised to a trade waits for it."""
        for wallet in self._exchange.ledger:
            for outcome, token in enumerate(market.tokens):
                size = wallet.on_chain(token) - wallet.promised.get(token, 0)
                if size <= 0:
                    continue
                price = market.payout(outcome)
                money = notional(price, size)
                wallet.chain[token] -= size
                wallet.believed[token] = wallet.chain[token]
                wallet.chain[COLLATERAL] = wallet.on_chain(COLLATERAL) + money
                now = self._exchange.world.now()
                entry = ActivityEntry(
                    wallet.address, "REDEEM", market, outcome, "", price, size, money, now, ""
                )
                self.activity.append(entry)

    # ── bodies ──────────────────────────────────────────────────────────────────────────────────────

    def positions(self, address: str) -> list[dict[str, object]]:
        """Return the body of /positions: what a wallet holds on chain."""
        wallet = self._exchange.ledger.get(address)
        if wallet is None:
            return []
        rows = [
            self._position(wallet, token, size) for token, size in wallet.chain.items() if token.isdecimal()
        ]
        return [row for row in rows if row is not None]

    def _position(self, wallet: Wallet, asset: str, size: int) -> dict[str, object] | None:
        token = self._exchange.token(asset)
        if token is None or size <= 0:
            return None
        market, outcome = token.market, token.outcome
        holding = self.by_token.get((wallet.address, asset), Holding())
        average = holding.cost * ONE // holding.bought if holding.bought else 0
        price = outcome_prices(market)[outcome]
        initial, current = notional(average, size), notional(price, size)
        settled = market.status is MarketStatus.SETTLED
        return {
            "proxyWallet": wallet.address,
            "asset": asset,
            "conditionId": market.id,
            "size": amount(size),
            "avgPrice": amount(average),
            "initialValue": amount(initial),
            "currentValue": amount(current),
            "cashPnl": amount(current - initial),
            "percentPnl": amount(_percent(current - initial, initial)),
            "totalBought": amount(holding.bought),
            "realizedPnl": amount(holding.realized),
            "percentRealizedPnl": amount(_percent(holding.realized, holding.cost)),
            "curPrice": amount(price),
            "redeemable": settled,
            "mergeable": wallet.on_chain(market.tokens[1 - outcome]) > 0,
            "title": market.title,
            "slug": market.slug,
            "icon": "",
            "eventSlug": market.event_id if market.neg_risk else market.slug,
            "outcome": outcome_word(market, outcome),
            "outcomeIndex": outcome,
            "oppositeOutcome": outcome_word(market, 1 - outcome),
            "oppositeAsset": market.tokens[1 - outcome],
            "endDate": iso(market.close_ns),
            "negativeRisk": market.neg_risk,
        }

    def value(self, address: str) -> int:
        """Return what everything a wallet holds would fetch, in millionths."""
        wallet = self._exchange.ledger.get(address)
        total = 0
        for asset, size in wallet.chain.items() if wallet else ():
            token = self._exchange.token(asset)
            if token is not None:
                total += notional(outcome_prices(token.market)[token.outcome], size)
        return total


def _percent(part: int, whole: int) -> int:
    return 100 * part * ONE // whole if whole else 0


def entry_body(entry: ActivityEntry) -> dict[str, object]:
    """Return an element of /activity."""
    return {
        "proxyWallet": entry.wallet,
        "timestamp": entry.at_ns // SECOND,
        "conditionId": entry.market.id,
        "type": entry.kind,
        "size": amount(entry.size),
        "usdcSize": amount(entry.money),
        "transactionHash": entry.transaction,
        "price": amount(entry.price),
        "asset": entry.market.tokens[entry.outcome],
        "side": entry.side,
        "outcomeIndex": entry.outcome,
        "title": entry.market.title,
        "slug": entry.market.slug,
        "icon": "",
        "eventSlug": entry.market.slug,
        "outcome": outcome_word(entry.market, entry.outcome),
    }
