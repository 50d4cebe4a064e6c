"""From a match to final settlement: MATCHED → MINED → CONFIRMED, or RETRYING → FAILED and all undone."""

import hashlib
import uuid
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from libs.exchange.fees import fee_of
from libs.exchange.matching_types import Execution, Match
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.fees import MODEL
from proto.feed import FeeSchedule, Side
from proto.units import ONE, notional, parse
from sandbox.faults.rules import FILL, FaultKind, FaultRule
from sandbox.faults.script import Faults
from sandbox.polymarket.gamma import BASE_FEE, CRYPTO_RATE, FEE_EXPONENT, has_fees
from sandbox.polymarket.ledger import COLLATERAL, Movement, WalletLedger
from sandbox.polymarket.options import PolymarketOptions
from sandbox.polymarket.orders import STRANGER, ClientOrder, ClientTrade, MakerPart, Stage, wallet_of_stranger
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

CRYPTO_FEES = FeeSchedule(model=MODEL, taker_rate=CRYPTO_RATE, exponent=FEE_EXPONENT)
_NO_FEES = FeeSchedule()


def schedule_of(market: SandboxMarket) -> FeeSchedule:
    """Return what takers pay in a market."""
    return CRYPTO_FEES if has_fees(market) else _NO_FEES


class PendingTrade(Struct):
    """A trade of a client and what it moves; ``fails`` once it is decided that its transaction will not pass."""

    trade: ClientTrade
    movements: list[Movement]
    fails: bool = False


class ClientTrades:
    """Every trade of clients, oldest first.

    ``find`` gives a client's order by id; ``publish`` is called at each step, before a request can show it.
    """

    def __init__(
        self,
        world: World,
        ledger: WalletLedger,
        options: PolymarketOptions,
        faults: Faults,
        find: Callable[[str], ClientOrder | None],
        publish: Callable[[ClientTrade], None],
    ) -> None:
        self.by_id: dict[str, ClientTrade] = {}
        self.on_mined: Callable[[ClientTrade, list[Movement]], None] = lambda _trade, _movements: None
        self.on_due: Callable[[str, str], None] = ledger.refresh
        self._faults = faults
        self._world = world
        self._ledger = ledger
        self._options = options
        self._find = find
        self._publish = publish
        self._open: ClientTrade | None = None
        self.flows: dict[str, PendingTrade] = {}
        self.count = 0

    # ── matches ─────────────────────────────────────────────────────────────────────────────────────

    def matched(self, market: SandboxMarket, match: Match) -> None:
        """Add a match of a client; matches of a taker at one price become one trade."""
        taker = match.taker
        trade = self._open
        if trade is None or trade.taker_order_id != self._id_of(market, taker) or trade.price != taker.price:
            self.flush()
            trade = self._open = self._begin(market, taker)
        trade.size += match.quantity
        trade.makers.append(self._part(market, match.maker))

    def flush(self) -> None:
        """End the open trade: promise its money and publish it."""
        trade, self._open = self._open, None
        if trade is None:
            return
        self._fill_over(trade)
        trade.fee = fee_of(schedule_of(trade.market), trade.price, trade.size)
        self.by_id[trade.id] = trade
        flow = self.flows[trade.id] = PendingTrade(trade, _movements(trade))
        for movement in flow.movements:
            self._ledger.promise(movement)
        for order_id in (trade.taker_order_id, *(part.order_id for part in trade.makers)):
            order = self._find(order_id)
            if order is not None and trade.id not in order.trades:
                order.trades.append(trade.id)
        flow.fails = self._strikes(FaultKind.FAIL_SETTLEMENT, trade) is not None
        self._publish(trade)
        self._world.after(self._options.mined_after_s, lambda: self._mine(flow))

    def _strikes(self, kind: FaultKind, trade: ClientTrade) -> FaultRule | None:
        facts = {"market": trade.market.id, "order": trade.taker_order_id}
        return self._faults.pick_kind(kind, POLYMARKET, FILL, facts).rule

    def _fill_over(self, trade: ClientTrade) -> None:
        """Inject the fault of an over-fill: the trade becomes larger than its matches, for both sides."""
        rule = self._strikes(FaultKind.OVER_FILL, trade)
        if rule is None:
            return
        more = parse(rule.amount)
        trade.size += more
        trade.makers[-1] = replace(trade.makers[-1], size=trade.makers[-1].size + more)
        for order_id in (trade.taker_order_id, trade.makers[-1].order_id):
            order = self._find(order_id)
            if order is not None:
                order.matched += more

    def _begin(self, market: SandboxMarket, taker: Execution) -> ClientTrade:
        self.count += 1
        now = self._world.now()
        order = self._find(taker.order_id)
        name = f"{self._world.settings.seed}/{market.id}/{self._id_of(market, taker)}/{self.count}"
        return ClientTrade(
            id=str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            market=market,
            taker_order_id=self._id_of(market, taker),
            owner=order.owner if order else STRANGER,
            wallet=order.wallet if order else wallet_of_stranger(taker.owner),
            outcome=taker.outcome,
            side=_word(taker.side),
            price=taker.price,
            size=0,
            fee=0,
            fee_rate_bps=BASE_FEE if has_fees(market) else 0,
            matched_ns=now,
            updated_ns=now,
        )

    def _part(self, market: SandboxMarket, maker: Execution) -> MakerPart:
        order = self._find(maker.order_id)
        return MakerPart(
            order_id=self._id_of(market, maker),
            owner=order.owner if order else STRANGER,
            wallet=order.wallet if order else wallet_of_stranger(maker.owner),
            outcome=maker.outcome,
            side=_word(maker.side),
            price=maker.price,
            size=maker.quantity,
        )

    def _id_of(self, market: SandboxMarket, execution: Execution) -> str:
        if self._find(execution.order_id):
            return execution.order_id
        return "0x" + hashlib.sha256(f"{market.id}/{execution.order_id}".encode()).hexdigest()

    # ── settlement ──────────────────────────────────────────────────────────────────────────────────

    def resume(self, flow: PendingTrade) -> None:
        """Resume a trade that was on its way to the chain when the venue stopped, from its stage."""
        self.flows[flow.trade.id] = flow
        stage, wait_s = flow.trade.stage, self._options.confirmed_after_s
        if stage is Stage.MATCHED:
            self._world.after(self._options.mined_after_s, lambda: self._mine(flow))
        elif stage is Stage.RETRYING:
            self._world.after(wait_s, lambda: self._fail(flow))
        else:
            self._world.after(wait_s, lambda: self._step(flow, Stage.CONFIRMED))

    def _step(self, flow: PendingTrade, stage: Stage) -> None:
        flow.trade.stage = stage
        if stage in (Stage.CONFIRMED, Stage.FAILED):
            self.flows.pop(flow.trade.id, None)
        flow.trade.updated_ns = self._world.now()
        self._publish(flow.trade)
        if stage is Stage.MINED and self._strikes(FaultKind.DUPLICATE_FILL, flow.trade) is not None:
            self._publish(flow.trade)

    def _mine(self, flow: PendingTrade) -> None:
        wait = self._options.confirmed_after_s
        if flow.fails:
            self._step(flow, Stage.RETRYING)
            self._world.after(wait, lambda: self._fail(flow))
            return
        trade = flow.trade
        trade.transaction = "0x" + hashlib.sha256(f"transaction/{trade.id}".encode()).hexdigest()
        for movement in flow.movements:
            self._ledger.settle(movement)
        self._world.after(self._options.stale_balance_s, lambda: self._refresh_balances(flow))
        self.on_mined(trade, flow.movements)
        self._step(flow, Stage.MINED)
        self._world.after(wait, lambda: self._step(flow, Stage.CONFIRMED))

    def _fail(self, flow: PendingTrade) -> None:
        flow.trade.error = "transaction reverted"
        for movement in flow.movements:
            self._ledger.release(movement)
        self._step(flow, Stage.FAILED)

    def _refresh_balances(self, flow: PendingTrade) -> None:
        for movement in flow.movements:
            if self._ledger.get(movement.wallet) is not None:
                self.on_due(movement.wallet, movement.gets)


def _word(side: Side) -> str:
    return "BUY" if side is Side.BUY else "SELL"


def _movements(trade: ClientTrade) -> list[Movement]:
    """Return a trade's movements. Only the taker pays a fee, a seller out of the proceeds."""
    taker = _movement(trade.wallet, trade.token, trade.side, trade.price, trade.size, trade.fee)
    makers = [
        _movement(part.wallet, trade.market.tokens[part.outcome], part.side, part.price, part.size, 0)
        for part in trade.makers
    ]
    return [taker, *makers]


def _movement(wallet: str, token: str, side: str, price: int, size: int, fee: int) -> Movement:
    money = notional(min(price, ONE), size)
    if side == "BUY":
        return Movement(wallet.lower(), COLLATERAL, money + fee, token, size)
    return Movement(wallet.lower(), token, size, COLLATERAL, money - fee)
