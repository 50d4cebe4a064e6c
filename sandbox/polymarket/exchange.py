"""The CLOB behind REST and the user channel: orders, cancels, and the frames for clients."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from msgspec import Struct

from libs.exchange.fees import fee_of
from libs.exchange.matching_types import LimitOrder, OrderState, Placement, Reason
from libs.venues.polymarket import POLYMARKET
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import SECOND, notional, show
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import FaultAction, Faults
from sandbox.polymarket import order_checks
from sandbox.polymarket.amounts import Terms
from sandbox.polymarket.heartbeats import Heartbeats
from sandbox.polymarket.keys import ClobKey, ClobKeys, PolymarketRefusal
from sandbox.polymarket.ledger import COLLATERAL, WalletLedger
from sandbox.polymarket.limits import RateLimits
from sandbox.polymarket.modes import Modes
from sandbox.polymarket.options import PolymarketOptions
from sandbox.polymarket.orders import ClientOrder, ClientTrade, ClobOrderStatus, order_event, trade_event
from sandbox.polymarket.trades import ClientTrades, schedule_of
from sandbox.polymarket.wallets import wallets_of
from sandbox.polymarket.wire import WireRequest
from sandbox.world.events import BookChanged, OrderChange, OrderEvent, Traded, WorldEvent
from sandbox.world.lifecycle import MARKET_RESOLVED
from sandbox.world.markets import SandboxMarket
from sandbox.world.order_entry import is_internal
from sandbox.world.world import World

NOT_FOUND = "Order not found or already canceled"
HELD = "order is delayed and can't be canceled yet"
UNKNOWN_BOOK = "No orderbook exists for the requested token id"
ORDERS_KEPT = 50_000
"""Orders that can be asked about; an ended one is forgotten when so many newer ones came."""
Listener = Callable[[str, str, dict[str, object]], None]
"""Called with API key, market id and frame of the user channel."""

_TIMES = {"GTC": TimeInForce.GTC, "GTD": TimeInForce.GTD, "FOK": TimeInForce.FOK, "FAK": TimeInForce.IOC}


class OutcomeToken(Struct, frozen=True):
    """An asset id: the market and outcome it stands for."""

    market: SandboxMarket
    outcome: int


class PolymarketExchange:
    """Orders and trades of clients by API key. What the world's own traders do is only in the books."""

    def __init__(self, world: World, options: PolymarketOptions, faults: Faults, seed: int) -> None:
        self.world = world
        self.faults = faults
        self.options = options
        self.keys = ClobKeys(seed, options)
        self.ledger = WalletLedger()
        self.limits = RateLimits(options, self.now_s)
        self.modes = Modes(world.now, options)
        self.orders: dict[str, ClientOrder] = {}
        self.trades = ClientTrades(world, self.ledger, options, faults, self.orders.get, self._publish_trade)
        self.trades.on_due = self.refresh
        self._stale_until = 0
        self.heartbeats = Heartbeats(world, options, self.cancel_of)
        self.listeners: list[Listener] = []
        self._wallets: dict[str, dict[int, tuple[str, ...]]] = {}
        self._tokens: dict[str, OutcomeToken] = {}
        self._open: dict[str, ClientOrder] = {}
        world.subscribe(self._handle_event)
        world.keep_markets(self._tells_of)

    def _tells_of(self, market: SandboxMarket) -> bool:
        """Whether orders or trades in a market are still told to clients."""
        told: Iterable[ClientOrder | ClientTrade] = chain(self.orders.values(), self.trades.by_id.values())
        return any(thing.market is market for thing in told)

    def now_s(self) -> float:
        return self.world.now() / SECOND

    # ── accounts ────────────────────────────────────────────────────────────────────────────────────

    def wallets(self, address: str) -> dict[int, tuple[str, ...]]:
        """Return the wallets of a key's address by signature type, each known to the ledger from then on."""
        if address not in self._wallets:
            self._wallets[address] = wallets_of(address)
            for group in self._wallets[address].values():
                for wallet in group:
                    self.ledger.open(wallet, address)
        return self._wallets[address]

    def deposit(self, wallet: str, owner: str, amount: int) -> None:
        """Deposit money in a wallet of an address, in millionths."""
        self.wallets(owner.lower())
        self.ledger.open(wallet, owner)
        self.ledger.credit(wallet, COLLATERAL, amount)

    def token(self, asset: str) -> OutcomeToken | None:
        """Return market and outcome of an asset id."""
        found = self._tokens.get(asset)
        if found is None:
            for market in self.world.markets(POLYMARKET):
                for outcome, token in enumerate(market.tokens):
                    self._tokens.setdefault(token, OutcomeToken(market, outcome))
            found = self._tokens.get(asset)
        return found

    def reserved(self, wallet: str, asset: str) -> int:
        """Return what the open orders of a wallet still need of an asset."""
        total = 0
        for order in self._live():
            if order.wallet == wallet:
                if order.buy and asset == COLLATERAL:
                    total += notional(order.price, max(0, order.remaining))
                elif not order.buy and asset == order.token:
                    total += order.remaining
        return total

    def order_id(self, request: WireRequest) -> str:
        """Return the id an order will have if it is taken: the EIP-712 digest; "" for one that has none."""
        token = self.token(request.order.token_id)
        neg_risk = token is not None and token.market.neg_risk
        try:
            return order_checks.digest_of(request.order, neg_risk)
        except ValueError:
            return ""

    def refresh(self, wallet: str, asset: str) -> None:
        """Bring the CLOB's balance up to date with the chain, unless a fault keeps it stale."""
        if self.world.now() >= self._stale_until:
            self.ledger.refresh(wallet, asset)

    def start_stale_balance(self, action: FaultAction) -> None:
        """Begin the fault of a stale balance: for so long nothing brings it up to date, not even a request to."""
        if action.kind is FaultKind.STALE_BALANCE:
            self._stale_until = self.world.now() + round(action.seconds * SECOND)
            self.world.schedule(self._stale_until, self.ledger.refresh_all)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, key: ClobKey, request: WireRequest) -> dict[str, object]:
        """Return the body of a 200 to POST /order; raises ``Refusal`` for every no."""
        self.modes.check_order(request.post_only)
        token = self.token(request.order.token_id)
        if token is None:
            raise PolymarketRefusal(400, f"the orderbook {request.order.token_id} does not exist")
        proven = order_checks.verify_order(key, request, self.wallets(key.address), token.market.neg_risk)
        if proven.order_id in self.orders:
            raise PolymarketRefusal(400, f"order {proven.order_id} is invalid. Duplicated.")
        order_checks.check_market(token.market, request.order.token_id)
        order_checks.check_expiration(request, self.now_s(), self.options.expiry_margin_s)
        terms = order_checks.read_terms(request, proven.order_id, token.market)
        order = self._new(key, request, proven, token, terms)
        takes = self._check(order, terms)
        if takes and self.options.taker_delay_ms and schedule_of(token.market).taker_rate:
            return await self._hold(order, terms)
        return self._place(order, terms)

    def _new(
        self,
        key: ClobKey,
        request: WireRequest,
        proven: order_checks.VerifiedOrder,
        token: OutcomeToken,
        terms: Terms,
    ) -> ClientOrder:
        return ClientOrder(
            id=proven.order_id,
            owner=key.key,
            wallet=proven.wallet,
            market=token.market,
            outcome=token.outcome,
            side=request.order.side,
            price=terms.price,
            size=terms.size,
            order_type=request.order_type,
            expiration_s=int(request.order.expiration),
            post_only=request.post_only,
            created_ns=self.world.now(),
        )

    def _check(self, order: ClientOrder, terms: Terms) -> bool:
        """Raise when the order may not be placed now; whether it would trade at once."""
        takes = order_checks.is_marketable(order.market, order.outcome, order.buy, order.price)
        if takes and order.post_only:
            raise PolymarketRefusal(400, order_checks.CROSSES)
        if takes:
            order_checks.check_marketable_size(order.buy, terms)
        asset = COLLATERAL if order.buy else order.token
        wallet = self.ledger.open(order.wallet, order.wallet)
        free = wallet.free(asset) - self.reserved(order.wallet, asset)
        needed = terms.cost if order.buy else terms.size
        if takes and order.buy:
            needed += fee_of(schedule_of(order.market), order.price, order.size)
        if needed > free:
            text = f"{order_checks.UNFUNDED}: the balance is not enough -> balance: {free}, order amount: {needed}"
            raise PolymarketRefusal(400, text)
        return takes

    async def _hold(self, order: ClientOrder, terms: Terms) -> dict[str, object]:
        """Return the taker delay: the order is held, cannot be cancelled, and is checked again afterwards."""
        order.status = ClobOrderStatus.DELAYED
        self._keep(order)
        if self.options.taker_delay_ms >= self.options.delayed_answer_ms:
            self.world.after(self.options.taker_delay_ms / 1000, lambda: self._release_late(order, terms))
            return _answer(order, "delayed", 0, 0)
        await asyncio.sleep(self.options.taker_delay_ms / 1000)
        return self._release(order, terms)

    def _release(self, order: ClientOrder, terms: Terms) -> dict[str, object]:
        self._drop(order)
        order.status = ClobOrderStatus.LIVE
        order_checks.check_market(order.market, order.token)
        self._check(order, terms)
        return self._place(order, terms)

    def _release_late(self, order: ClientOrder, terms: Terms) -> None:
        """Release an order that was answered as ``delayed``; only the user channel can report that it was killed."""
        try:
            self._release(order, terms)
        except PolymarketRefusal as refusal:
            if refusal.text not in (order_checks.FOK_KILLED, order_checks.FAK_KILLED):
                self._publish_kill(order, refusal.text)

    def _place(self, order: ClientOrder, terms: Terms) -> dict[str, object]:
        """Place an order in the book; the answer."""
        size, spent = order.size, False
        if order.buy and order.order_type in ("FOK", "FAK"):
            size, spent = order_checks.affordable(order.market, order.outcome, terms.cost, order.price)
            if not size or (order.order_type == "FOK" and not spent):
                raise self._killed(order)
        self._keep(order)
        placement = self.world.place(order.market, _limit_order(order, size, self.options))
        self.trades.flush()
        if placement.state is OrderState.REJECTED:
            self._drop(order)
            if placement.reason == Reason.CROSSES:
                raise PolymarketRefusal(400, order_checks.CROSSES)
            raise self._killed(order)
        if order.order_type in ("FOK", "FAK"):
            self._end_at_market(order, whole=spent or order.matched >= order.size)
        return _placed(order, placement)

    def _killed(self, order: ClientOrder) -> PolymarketRefusal:
        text = order_checks.FOK_KILLED if order.order_type == "FOK" else order_checks.FAK_KILLED
        self._publish_kill(order, text)
        return PolymarketRefusal(400, text)

    def _end_at_market(self, order: ClientOrder, whole: bool) -> None:
        """End an order of which nothing rests: filled (a buy: its money was spent), or its rest cancelled."""
        order.status = ClobOrderStatus.MATCHED if whole else ClobOrderStatus.CANCELED
        if not whole:
            self._emit(order.owner, order.market, order_event(order, "CANCELLATION", self.world.now()))

    # ── cancels ─────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, key: str, order_ids: Iterable[str]) -> dict[str, object]:
        """Return the body of a 200 to any DELETE."""
        canceled: list[str] = []
        refused: dict[str, str] = {}
        for order_id in order_ids:
            order = self.orders.get(order_id)
            if order is None or order.owner != key or not order.is_working:
                refused[order_id] = NOT_FOUND
            elif order.status == ClobOrderStatus.DELAYED:
                refused[order_id] = HELD
            elif self.world.cancel(order.market, order.id) is None:
                refused[order_id] = NOT_FOUND
            else:
                canceled.append(order_id)
        return {"canceled": canceled, "not_canceled": refused}

    def cancel_of(self, key: str) -> dict[str, object]:
        """Cancel every working order of an API key."""
        return self.cancel(key, [order.id for order in self.working_orders(key)])

    def working_orders(self, key: str) -> list[ClientOrder]:
        """Return the orders of an API key that rest or are held."""
        return [order for order in self._live() if order.owner == key]

    def _live(self) -> list[ClientOrder]:
        """Return every order that rests or is held; those that have ended since the last call are dropped."""
        ended = [order_id for order_id, order in self._open.items() if not order.is_working]
        for order_id in ended:
            del self._open[order_id]
        return list(self._open.values())

    def _keep(self, order: ClientOrder) -> None:
        """Keep an order; the oldest that has ended is dropped when there are too many."""
        self.orders[order.id] = self._open[order.id] = order
        if len(self.orders) > ORDERS_KEPT:
            oldest = next((o.id for o in self.orders.values() if not o.is_working), None)
            if oldest is not None:
                del self.orders[oldest]

    def put(self, order: ClientOrder) -> None:
        """Restore an order of before a restart; what rests is in the book already, what was held is dropped."""
        if order.status == ClobOrderStatus.DELAYED:
            return
        self.orders[order.id] = order
        if order.is_working:
            self._open[order.id] = order

    def _drop(self, order: ClientOrder) -> None:
        del self.orders[order.id]
        self._open.pop(order.id, None)

    # ── events of the world ─────────────────────────────────────────────────────────────────────────

    def _handle_event(self, event: WorldEvent) -> None:
        if isinstance(event, Traded | BookChanged | OrderEvent) and event.market.venue == POLYMARKET:
            if isinstance(event, Traded):
                self._handle_match(event)
            elif isinstance(event, BookChanged):
                self.trades.flush()
            else:
                self._handle_order(event)

    def _handle_match(self, event: Traded) -> None:
        match = event.match
        if is_internal(match.taker.owner) and is_internal(match.maker.owner):
            return
        for execution in (match.taker, match.maker):
            order = self.orders.get(execution.order_id)
            if order is not None:
                order.matched += match.quantity
                if not execution.remaining:
                    order.status = ClobOrderStatus.MATCHED
        self.trades.matched(event.market, match)

    def _handle_order(self, event: OrderEvent) -> None:
        order = self.orders.get(event.order.order_id)
        if order is None:
            return
        if event.change is OrderChange.PLACED:
            self._emit(order.owner, order.market, order_event(order, "PLACEMENT", event.at))
        elif event.change is OrderChange.CANCELLED and order.order_type in ("GTC", "GTD"):
            order.status = _ended(event.reason)
            self._emit(order.owner, order.market, order_event(order, "CANCELLATION", event.at))

    def _publish_trade(self, trade: ClientTrade) -> None:
        """Publish a trade's step to both sides; the first step publishes their orders too."""
        now = self.world.now()
        for owner in dict.fromkeys((trade.owner, *(part.owner for part in trade.makers))):
            if self.keys.get(owner) is not None:
                self._emit(owner, trade.market, trade_event(trade, owner, now))
        if trade.stage != "MATCHED":
            return
        for order_id in dict.fromkeys((trade.taker_order_id, *(part.order_id for part in trade.makers))):
            order = self.orders.get(order_id)
            if order is not None:
                self._emit(order.owner, order.market, order_event(order, "UPDATE", now))

    def _publish_kill(self, order: ClientOrder, text: str) -> None:
        event = order_event(order, "CANCELLATION", self.world.now(), reason=text)
        blank = {"size_matched": "", "outcome": "", "created_at": "", "associate_trades": []}
        self._emit(order.owner, order.market, {**event, **blank})

    def _emit(self, owner: str, market: SandboxMarket, frame: dict[str, object]) -> None:
        for listener in tuple(self.listeners):
            listener(owner, market.id, frame)


def _limit_order(order: ClientOrder, size: int, options: PolymarketOptions) -> LimitOrder:
    ends_s = order.expiration_s - options.expiry_margin_s if order.order_type == "GTD" else 0
    return LimitOrder(
        order_id=order.id,
        owner=order.owner,
        outcome=order.outcome,
        side=Side.BUY if order.buy else Side.SELL,
        price=order.price,
        quantity=size,
        time_in_force=_TIMES[order.order_type],
        post_only=order.post_only,
        expires_at=ends_s * SECOND,
    )


def _placed(order: ClientOrder, placement: Placement) -> dict[str, object]:
    money = sum(notional(match.taker.price, match.quantity) for match in placement.matches)
    shares = sum(match.quantity for match in placement.matches)
    making, taking = (money, shares) if order.buy else (shares, money)
    return _answer(order, "matched" if placement.matches else "live", making, taking)


def _answer(order: ClientOrder, status: str, making: int, taking: int) -> dict[str, object]:
    return {
        "errorMsg": "",
        "orderID": order.id,
        "takingAmount": show(taking) if taking else "",
        "makingAmount": show(making) if making else "",
        "status": status,
        "success": True,
        "tradeIDs": list(order.trades),
        "transactionsHashes": [],
    }


def _ended(reason: str) -> ClobOrderStatus:
    ends: Mapping[str, ClobOrderStatus] = {
        Reason.EXPIRED: ClobOrderStatus.EXPIRED,
        MARKET_RESOLVED: ClobOrderStatus.RESOLVED,
    }
    return ends.get(reason, ClobOrderStatus.CANCELED)
