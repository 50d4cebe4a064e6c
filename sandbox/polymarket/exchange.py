"""The CLOB behind its two doors, REST and the user channel: orders in, cancels, and what clients are told."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from libs.exchange.fees import fee_of
from libs.exchange.matching_types import LimitOrder, OrderState, Placement, Reason
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import SECOND, notional, show
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import FaultAction, Faults
from sandbox.polymarket import intake
from sandbox.polymarket.amounts import Terms
from sandbox.polymarket.heartbeats import Heartbeats
from sandbox.polymarket.keys import ApiKey, Keys, Refusal
from sandbox.polymarket.ledger import COLLATERAL, Ledger
from sandbox.polymarket.limits import Limits
from sandbox.polymarket.modes import Modes
from sandbox.polymarket.options import Options
from sandbox.polymarket.orders import Order, Status, Trade, order_event, trade_event
from sandbox.polymarket.trades import Trades, schedule_of
from sandbox.polymarket.wallets import wallets_of
from sandbox.polymarket.wire import WireRequest
from sandbox.world.events import BookChanged, OrderChange, OrderEvent, Traded, WorldEvent
from sandbox.world.lifecycle import MARKET_RESOLVED
from sandbox.world.markets import POLYMARKET, SandboxMarket
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


class Token(Struct, frozen=True):
    """An asset id: the market and outcome it stands for."""

    market: SandboxMarket
    outcome: int


class Exchange:
    """Orders and trades of clients by API key. What the world's own traders do is only in the books."""

    def __init__(self, world: World, options: Options, faults: Faults, seed: int) -> None:
        self.world = world
        self.faults = faults
        self.options = options
        self.keys = Keys(seed, options)
        self.ledger = Ledger()
        self.limits = Limits(options, self.now_s)
        self.modes = Modes(world.now, options)
        self.orders: dict[str, Order] = {}
        self.trades = Trades(world, self.ledger, options, faults, self.orders.get, self._tell_trade)
        self.trades.on_due = self.look
        self._stale_until = 0
        self.heartbeats = Heartbeats(world, options, self.cancel_of)
        self.listeners: list[Listener] = []
        self._wallets: dict[str, dict[int, tuple[str, ...]]] = {}
        self._tokens: dict[str, Token] = {}
        self._open: dict[str, Order] = {}
        world.subscribe(self._on_event)

    def now_s(self) -> float:
        return self.world.now() / SECOND

    # ── accounts ────────────────────────────────────────────────────────────────────────────────────

    def wallets(self, address: str) -> dict[int, tuple[str, ...]]:
        """The wallets of a key's address by signature type, each known to the ledger from then on."""
        if address not in self._wallets:
            self._wallets[address] = wallets_of(address)
            for group in self._wallets[address].values():
                for wallet in group:
                    self.ledger.open(wallet, address)
        return self._wallets[address]

    def deposit(self, wallet: str, owner: str, amount: int) -> None:
        """Money for a wallet of an address, in millionths."""
        self.wallets(owner.lower())
        self.ledger.open(wallet, owner)
        self.ledger.credit(wallet, COLLATERAL, amount)

    def token(self, asset: str) -> Token | None:
        """Market and outcome of an asset id."""
        found = self._tokens.get(asset)
        if found is None:
            for market in self.world.markets(POLYMARKET):
                for outcome, token in enumerate(market.tokens):
                    self._tokens.setdefault(token, Token(market, outcome))
            found = self._tokens.get(asset)
        return found

    def reserved(self, wallet: str, asset: str) -> int:
        """What the open orders of a wallet still need of an asset."""
        total = 0
        for order in self._live():
            if order.wallet == wallet:
                if order.buy and asset == COLLATERAL:
                    total += notional(order.price, max(0, order.remaining))
                elif not order.buy and asset == order.token:
                    total += order.remaining
        return total

    def order_id(self, request: WireRequest) -> str:
        """The id an order will have if it is taken: the EIP-712 digest; "" for one that has none."""
        token = self.token(request.order.token_id)
        neg_risk = token is not None and token.market.neg_risk
        try:
            return intake.digest_of(request.order, neg_risk)
        except ValueError:
            return ""

    def look(self, wallet: str, asset: str) -> None:
        """Bring what the CLOB believes of a balance up to date, unless a fault keeps it stale."""
        if self.world.now() >= self._stale_until:
            self.ledger.look(wallet, asset)

    def meet_stale_balance(self, action: FaultAction) -> None:
        """A fault: for so long nothing brings beliefs up to date, not even being asked to."""
        if action.kind is FaultKind.STALE_BALANCE:
            self._stale_until = self.world.now() + round(action.seconds * SECOND)
            self.world.schedule(self._stale_until, self.ledger.look_everywhere)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, key: ApiKey, request: WireRequest) -> dict[str, object]:
        """The body of a 200 to POST /order; raises ``Refusal`` for every no."""
        self.modes.admit_order(request.post_only)
        token = self.token(request.order.token_id)
        if token is None:
            raise Refusal(400, f"the orderbook {request.order.token_id} does not exist")
        proven = intake.prove(key, request, self.wallets(key.address), token.market.neg_risk)
        if proven.order_id in self.orders:
            raise Refusal(400, f"order {proven.order_id} is invalid. Duplicated.")
        intake.check_market(token.market, request.order.token_id)
        intake.check_expiration(request, self.now_s(), self.options.expiry_margin_s)
        terms = intake.read_terms(request, proven.order_id, token.market)
        order = self._new(key, request, proven, token, terms)
        takes = self._check(order, terms)
        if takes and self.options.taker_delay_ms and schedule_of(token.market).taker_rate:
            return await self._hold(order, terms)
        return self._place(order, terms)

    def _new(
        self, key: ApiKey, request: WireRequest, proven: intake.Proven, token: Token, terms: Terms
    ) -> Order:
        return Order(
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

    def _check(self, order: Order, terms: Terms) -> bool:
        """Raises when the order may not be placed now; whether it would trade at once."""
        takes = intake.marketable(order.market, order.outcome, order.buy, order.price)
        if takes and order.post_only:
            raise Refusal(400, intake.CROSSES)
        if takes:
            intake.check_marketable_size(order.buy, terms)
        asset = COLLATERAL if order.buy else order.token
        wallet = self.ledger.open(order.wallet, order.wallet)
        free = wallet.free(asset) - self.reserved(order.wallet, asset)
        needed = terms.cost if order.buy else terms.size
        if takes and order.buy:
            needed += fee_of(schedule_of(order.market), order.price, order.size)
        if needed > free:
            text = f"{intake.UNFUNDED}: the balance is not enough -> balance: {free}, order amount: {needed}"
            raise Refusal(400, text)
        return takes

    async def _hold(self, order: Order, terms: Terms) -> dict[str, object]:
        """The taker delay: the order is held, cannot be cancelled, and is checked again afterwards."""
        order.status = Status.DELAYED
        self._keep(order)
        if self.options.taker_delay_ms >= self.options.delayed_answer_ms:
            self.world.after(self.options.taker_delay_ms / 1000, lambda: self._release_late(order, terms))
            return _answer(order, "delayed", 0, 0)
        await asyncio.sleep(self.options.taker_delay_ms / 1000)
        return self._release(order, terms)

    def _release(self, order: Order, terms: Terms) -> dict[str, object]:
        self._drop(order)
        order.status = Status.LIVE
        intake.check_market(order.market, order.token)
        self._check(order, terms)
        return self._place(order, terms)

    def _release_late(self, order: Order, terms: Terms) -> None:
        """After the answer ``delayed`` only the user channel can tell that it came to nothing."""
        try:
            self._release(order, terms)
        except Refusal as refusal:
            if refusal.text not in (intake.FOK_KILLED, intake.FAK_KILLED):
                self._tell_killed(order, refusal.text)

    def _place(self, order: Order, terms: Terms) -> dict[str, object]:
        """Into the book, and what came of it."""
        size, spent = order.size, False
        if order.buy and order.order_type in ("FOK", "FAK"):
            size, spent = intake.affordable(order.market, order.outcome, terms.cost, order.price)
            if not size or (order.order_type == "FOK" and not spent):
                raise self._killed(order)
        self._keep(order)
        placement = self.world.place(order.market, _limit_order(order, size, self.options))
        self.trades.flush()
        if placement.state is OrderState.REJECTED:
            self._drop(order)
            if placement.reason == Reason.CROSSES:
                raise Refusal(400, intake.CROSSES)
            raise self._killed(order)
        if order.order_type in ("FOK", "FAK"):
            self._end_at_market(order, whole=spent or order.matched >= order.size)
        return _placed(order, placement)

    def _killed(self, order: Order) -> Refusal:
        text = intake.FOK_KILLED if order.order_type == "FOK" else intake.FAK_KILLED
        self._tell_killed(order, text)
        return Refusal(400, text)

    def _end_at_market(self, order: Order, whole: bool) -> None:
        """Nothing of it rests: it was filled (a buy: its money was spent), or the rest is cancelled."""
        order.status = Status.MATCHED if whole else Status.CANCELED
        if not whole:
            self._emit(order.owner, order.market, order_event(order, "CANCELLATION", self.world.now()))

    # ── cancels ─────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, key: str, order_ids: Iterable[str]) -> dict[str, object]:
        """The body of a 200 to any DELETE."""
        canceled: list[str] = []
        refused: dict[str, str] = {}
        for order_id in order_ids:
            order = self.orders.get(order_id)
            if order is None or order.owner != key or not order.working:
                refused[order_id] = NOT_FOUND
            elif order.status == Status.DELAYED:
                refused[order_id] = HELD
            elif self.world.cancel(order.market, order.id) is None:
                refused[order_id] = NOT_FOUND
            else:
                canceled.append(order_id)
        return {"canceled": canceled, "not_canceled": refused}

    def cancel_of(self, key: str) -> dict[str, object]:
        """Cancel every working order of an API key."""
        return self.cancel(key, [order.id for order in self.working(key)])

    def working(self, key: str) -> list[Order]:
        """The orders of an API key that rest or are held."""
        return [order for order in self._live() if order.owner == key]

    def _live(self) -> list[Order]:
        """Every order that rests or is held; those that have ended since the last look are let go."""
        ended = [order_id for order_id, order in self._open.items() if not order.working]
        for order_id in ended:
            del self._open[order_id]
        return list(self._open.values())

    def _keep(self, order: Order) -> None:
        """Remember an order; the oldest of those that have ended are forgotten when there are too many."""
        self.orders[order.id] = self._open[order.id] = order
        if len(self.orders) > ORDERS_KEPT:
            oldest = next((o.id for o in self.orders.values() if not o.working), None)
            if oldest is not None:
                del self.orders[oldest]

    def put(self, order: Order) -> None:
        """An order as it was before a restart; what rests is in the book already, what was held is not."""
        if order.status == Status.DELAYED:
            return
        self.orders[order.id] = order
        if order.working:
            self._open[order.id] = order

    def _drop(self, order: Order) -> None:
        del self.orders[order.id]
        self._open.pop(order.id, None)

    # ── what the world tells ────────────────────────────────────────────────────────────────────────

    def _on_event(self, event: WorldEvent) -> None:
        if isinstance(event, Traded | BookChanged | OrderEvent) and event.market.venue == POLYMARKET:
            if isinstance(event, Traded):
                self._on_match(event)
            elif isinstance(event, BookChanged):
                self.trades.flush()
            else:
                self._on_order(event)

    def _on_match(self, event: Traded) -> None:
        match = event.match
        if is_internal(match.taker.owner) and is_internal(match.maker.owner):
            return
        for execution in (match.taker, match.maker):
            order = self.orders.get(execution.order_id)
            if order is not None:
                order.matched += match.quantity
                if not execution.remaining:
                    order.status = Status.MATCHED
        self.trades.matched(event.market, match)

    def _on_order(self, event: OrderEvent) -> None:
        order = self.orders.get(event.order.order_id)
        if order is None:
            return
        if event.change is OrderChange.PLACED:
            self._emit(order.owner, order.market, order_event(order, "PLACEMENT", event.at))
        elif event.change is OrderChange.CANCELLED and order.order_type in ("GTC", "GTD"):
            order.status = _ended(event.reason)
            self._emit(order.owner, order.market, order_event(order, "CANCELLATION", event.at))

    def _tell_trade(self, trade: Trade) -> None:
        """Everybody in it, at each step; at the first one their orders have changed too."""
        now = self.world.now()
        for owner in dict.fromkeys((trade.owner, *(part.owner for part in trade.makers))):
            if self.keys.find(owner) is not None:
                self._emit(owner, trade.market, trade_event(trade, owner, now))
        if trade.stage != "MATCHED":
            return
        for order_id in dict.fromkeys((trade.taker_order_id, *(part.order_id for part in trade.makers))):
            order = self.orders.get(order_id)
            if order is not None:
                self._emit(order.owner, order.market, order_event(order, "UPDATE", now))

    def _tell_killed(self, order: Order, text: str) -> None:
        event = order_event(order, "CANCELLATION", self.world.now(), reason=text)
        blank = {"size_matched": "", "outcome": "", "created_at": "", "associate_trades": []}
        self._emit(order.owner, order.market, {**event, **blank})

    def _emit(self, owner: str, market: SandboxMarket, frame: dict[str, object]) -> None:
        for listener in tuple(self.listeners):
            listener(owner, market.id, frame)


def _limit_order(order: Order, size: int, options: Options) -> LimitOrder:
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


def _placed(order: Order, placement: Placement) -> dict[str, object]:
    money = sum(notional(match.taker.price, match.quantity) for match in placement.matches)
    shares = sum(match.quantity for match in placement.matches)
    making, taking = (money, shares) if order.buy else (shares, money)
    return _answer(order, "matched" if placement.matches else "live", making, taking)


def _answer(order: Order, status: str, making: int, taking: int) -> dict[str, object]:
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


def _ended(reason: str) -> Status:
    ends: Mapping[str, Status] = {Reason.EXPIRED: Status.EXPIRED, MARKET_RESOLVED: Status.RESOLVED}
    return ends.get(reason, Status.CANCELED)
