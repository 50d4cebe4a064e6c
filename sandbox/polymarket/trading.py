"""Trading at the CLOB: keys, orders, cancels, and what an account has there.

Source: docs/reference/venue-facts.md, Polymarket authentication; Polymarket orders.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from libs.venues.polymarket import POLYMARKET
from proto.units import SECOND
from sandbox.faults.rules import FILL, READ, FaultKind
from sandbox.polymarket.bodies import is_scoring
from sandbox.polymarket.contracts import ALLOWANCE_MAX, EXCHANGES
from sandbox.polymarket.doors import PREFIX, Call, DoorAnswer, decode, page
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.keys import ClobKey, PolymarketRefusal
from sandbox.polymarket.ledger import COLLATERAL
from sandbox.polymarket.modes import post_only_refusal
from sandbox.polymarket.notifications import Notifications
from sandbox.polymarket.order_checks import BAD_PAYLOAD, read_request
from sandbox.polymarket.orders import order_body, trade_body
from sandbox.polymarket.wire import CANCELS_MAX, ORDERS_MAX, CancelMarket, CancelOne, HeartbeatBody
from sandbox.venue import arrival_of, fault_of

ACK_DELAY_S = 0.25
"""How long the answer waits behind the fills when a fault asks for it without a time."""
ASSET_TYPES = ("COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2")


class Trading:
    """Handlers of the paths that need a signature or a key."""

    def __init__(self, exchange: PolymarketExchange) -> None:
        self.exchange = exchange
        self._notifications = Notifications(exchange)

    # ── keys ────────────────────────────────────────────────────────────────────────────────────────

    async def create_key(self, call: Call) -> DoorAnswer:
        address, nonce = self.exchange.keys.check_l1(call.request.headers, call.received_s)
        return DoorAnswer(_credentials(self.exchange.keys.create(address, nonce)))

    async def derive_key(self, call: Call) -> DoorAnswer:
        address, nonce = self.exchange.keys.check_l1(call.request.headers, call.received_s)
        return DoorAnswer(_credentials(self.exchange.keys.derive(address, nonce)))

    async def api_keys(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        return DoorAnswer({"apiKeys": self.exchange.keys.of_address(key.address)})

    async def delete_key(self, call: Call) -> DoorAnswer:
        self.exchange.keys.delete(self._key(call))
        return DoorAnswer("OK")

    async def closed_only(self, call: Call) -> DoorAnswer:
        self._key(call)
        return DoorAnswer({"closed_only": False})

    def _key(self, call: Call) -> ClobKey:
        path = call.request.path.removeprefix(PREFIX)
        at_s = call.received_s
        return self.exchange.keys.check_l2(call.request.headers, call.request.method, path, call.body, at_s)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    async def post_order(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        headers = self.exchange.limits.charge_orders(key.address, 1)
        return DoorAnswer(await self._submit(call, key, call.body), headers)

    async def _submit(self, call: Call, key: ClobKey, body: bytes) -> dict[str, object]:
        """Return one order in. A fault may make its fills known before its answer."""
        order = read_request(body)
        if fault_of(call.request).kind is FaultKind.POST_ONLY and not order.post_only:
            raise post_only_refusal(int(fault_of(call.request).seconds))
        arrival_of(call.request).keys.append(self.exchange.order_id(order))
        answer = await self.exchange.submit(key, order)
        if answer["tradeIDs"]:
            action = self.exchange.faults.pick_kind(FaultKind.FILL_BEFORE_ACK, POLYMARKET, FILL)
            if action:
                await asyncio.sleep(action.seconds or ACK_DELAY_S)
        return answer

    async def post_orders(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        legs = decode(call.body, list[msgspec.Raw])
        if len(legs) > ORDERS_MAX:
            raise PolymarketRefusal(
                400, f"Too many orders in payload: {len(legs)}, max allowed: {ORDERS_MAX}"
            )
        headers = self.exchange.limits.charge_orders(key.address, max(1, len(legs)))
        return DoorAnswer([await self._leg(call, key, bytes(leg)) for leg in legs], headers)

    async def _leg(self, call: Call, key: ClobKey, leg: bytes) -> dict[str, object]:
        """Place one order of a batch: a refusal is in its own element, whose ``success`` is true all the same."""
        try:
            return await self._submit(call, key, leg)
        except PolymarketRefusal as refusal:
            if refusal.status >= 420:
                raise
            return {
                "errorMsg": refusal.text,
                "orderID": "",
                "takingAmount": "",
                "makingAmount": "",
                "status": "",
                "success": True,
                "tradeIDs": [],
                "transactionsHashes": [],
            }

    async def cancel_order(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        wanted = decode(call.body, CancelOne)
        return self._cancel(key, [wanted.orderID])

    async def cancel_orders(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        return self._cancel(key, decode(call.body, list[str], CANCELS_MAX))

    def _cancel(self, key: ClobKey, ids: Sequence[str]) -> DoorAnswer:
        self.exchange.modes.check_cancel()
        headers = self.exchange.limits.charge_cancels(key.address, max(1, len(ids)))
        return DoorAnswer(self.exchange.cancel(key.key, ids), headers)

    async def cancel_all(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        return self._cancel_many(key, CancelMarket())

    async def cancel_market(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        wanted = decode(call.body, CancelMarket) if call.body else CancelMarket()
        if not (wanted.market or wanted.asset_id):
            raise PolymarketRefusal(400, BAD_PAYLOAD)
        return self._cancel_many(key, wanted)

    def _cancel_many(self, key: ClobKey, wanted: CancelMarket) -> DoorAnswer:
        exchange = self.exchange
        exchange.modes.check_cancel()
        ids = [
            order.id
            for order in exchange.working_orders(key.key)
            if wanted.market in ("", order.market.id) and wanted.asset_id in ("", order.token)
        ]
        headers = exchange.limits.charge_cancels(key.address, 1 + len(ids), overdraw=True)
        return DoorAnswer(exchange.cancel(key.key, ids), headers)

    async def heartbeat(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        beat = decode(call.body, HeartbeatBody) if call.body else HeartbeatBody()
        return DoorAnswer({"heartbeat_id": self.exchange.heartbeats.beat(key.key, beat.heartbeat_id)})

    # ── what is there ───────────────────────────────────────────────────────────────────────────────

    async def order(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        order = self.exchange.orders.get(call.parts["order_id"])
        if order is None or order.owner != key.key:
            raise PolymarketRefusal(404, "Order not found")
        return DoorAnswer(order_body(order))

    async def orders(self, call: Call) -> DoorAnswer:
        key, query = self._key(call), call.query
        chosen = [
            order_body(order)
            for order in self.exchange.working_orders(key.key)
            if query.get("id", order.id) == order.id
            and query.get("market", order.market.id) == order.market.id
            and query.get("asset_id", order.token) == order.token
        ]
        return DoorAnswer(page(chosen, call))

    async def trades(self, call: Call) -> DoorAnswer:
        key, query = self._key(call), call.query
        after, before = _seconds(query.get("after"), 0), _seconds(query.get("before"), 2**40)
        wallet = query.get("maker_address", "").lower()
        chosen = [
            trade_body(trade, key.key)
            for trade in self.exchange.trades.by_id.values()
            if trade.has_party(key.key)
            and query.get("id", trade.id) == trade.id
            and query.get("market", trade.market.id) == trade.market.id
            and query.get("asset_id", trade.token) in trade.tokens
            and (not wallet or wallet in trade.wallets)
            and after <= trade.matched_ns // SECOND <= before
        ]
        return DoorAnswer(page(chosen[::-1], call))

    async def order_scoring(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        return DoorAnswer({"scoring": self._scores(key, call.query.get("order_id", ""))})

    async def orders_scoring(self, call: Call) -> DoorAnswer:
        key = self._key(call)
        wanted = decode(call.body, list[str], CANCELS_MAX)
        return DoorAnswer({order_id: self._scores(key, order_id) for order_id in wanted})

    def _scores(self, key: ClobKey, order_id: str) -> bool:
        """Whether an order earns rewards; one that is not there does not."""
        order = self.exchange.orders.get(order_id)
        if order is None or order.owner != key.key or not order.is_working:
            return False
        return is_scoring(order.market, order.outcome, order.price, order.size - order.matched)

    async def notifications(self, call: Call) -> DoorAnswer:
        return DoorAnswer(self._notifications.of(self._key(call).key))

    async def drop_notifications(self, call: Call) -> DoorAnswer:
        ids = {word for word in call.query.get("ids", "").split(",") if word}
        self._notifications.drop(self._key(call).key, ids)
        return DoorAnswer("OK")

    async def balance(self, call: Call) -> DoorAnswer:
        return DoorAnswer(self._balance(call, refresh=False))

    async def update_balance(self, call: Call) -> DoorAnswer:
        self._balance(call, refresh=True)
        return DoorAnswer("")

    def _balance(self, call: Call, *, refresh: bool) -> dict[str, object]:
        key, query = self._key(call), call.query
        kind, asset = query.get("asset_type", ""), query.get("token_id", "")
        if kind not in ASSET_TYPES or (kind != ASSET_TYPES[0] and self.exchange.token(asset) is None):
            raise PolymarketRefusal(400, "Invalid asset type")
        group = self.exchange.wallets(key.address).get(_seconds(query.get("signature_type"), 0))
        if group is None:
            raise PolymarketRefusal(400, "Invalid signature type")
        asset = COLLATERAL if kind == ASSET_TYPES[0] else asset
        facts = {"path": call.request.path, "method": call.request.method}
        faults = self.exchange.faults
        self.exchange.start_stale_balance(faults.pick_kind(FaultKind.STALE_BALANCE, POLYMARKET, READ, facts))
        if refresh:
            for wallet in group:
                self.exchange.refresh(wallet, asset)
        balance = sum(self.exchange.ledger.open(wallet, key.address).balance(asset) for wallet in group)
        refused = self.exchange.options.refused_exchanges
        allowances = {name: "0" if name in refused else str(ALLOWANCE_MAX) for name in EXCHANGES}
        return {"balance": str(balance), "allowances": allowances}


def _credentials(key: ClobKey) -> dict[str, str]:
    return {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}


def _seconds(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() else otherwise
