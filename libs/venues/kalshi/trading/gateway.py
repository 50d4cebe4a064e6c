"""Kalshi behind the port that execution trades through.

The dead man's switch: Kalshi has no heartbeat. What it has is the *order group*: all orders of a group are
canceled by the venue, and no more are taken until a reset, once more than a limit of contracts fill within
a rolling 15 seconds, or when ``trigger_group`` is called (one request, whatever the number of orders). It
stops a runaway or a sweep; it does not notice that we are gone. For that an order carries its own end
(GTD), and may be canceled when the exchange pauses.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from libs.bounded import clip, keep_newest
from libs.tasks import cancel_all
from libs.venues.errors import BadAnswer, OutcomeUnknown, Refused, VenueError
from libs.venues.gateway import (
    Balance,
    FillReport,
    NewOrder,
    OrderReport,
    Prepared,
    SentOrder,
    SettlementReport,
    UserEvent,
)
from libs.venues.kalshi import KALSHI, limits
from libs.venues.kalshi.auth import KalshiCredentials, RequestSigner
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.legs import contract_of, instrument_of, positioned
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.schemas.errors import is_duplicate, is_gone
from libs.venues.kalshi.trading.known import Known
from libs.venues.kalshi.trading.options import KalshiOptions
from libs.venues.kalshi.trading.orders import BY_TICKER, OrderBody, Placing, encode_body, order_body
from libs.venues.kalshi.trading.reports import (
    amount,
    created_report,
    fill_report,
    order_report,
    position_of,
    settlement_reports,
    yes_payout,
)
from libs.venues.kalshi.trading.user_events import UserEvents
from libs.venues.ownership import Ownership
from libs.venues.transport.shared import SharedQuestion
from proto.units import ONE, SECOND
from proto.venue import AckStatus

CANCELS_AT_ONCE_MAX = 100
"""Cancels in one request, however large the tier: what waits behind them waits a moment only."""

PAYOUTS_MAX = 1_000
"""Payouts kept that are neither 0 nor 1: each market is requested once in the day it is reported."""

log = logging.getLogger("presage.kalshi")


class KalshiGateway:
    """One account. It remembers orders only to save questions: whatever it forgets, it asks."""

    venue = KALSHI
    heartbeat_every_s = 0.0

    def __init__(self, credentials: KalshiCredentials, options: KalshiOptions = KalshiOptions()) -> None:  # noqa: B008 - frozen
        signer = RequestSigner(credentials)
        self.client = KalshiClient(options.rest_url, signer, buckets=limits.buckets(options.tier))
        self.odd_items = self.client.odd_items
        self._payouts: dict[str, int] = {}
        self._options = options
        self._known = Known()
        self._ownership = Ownership(self.odd_items)
        self._groups: dict[int, str] = {}
        self._shards: set[int] = set()
        self._reading: asyncio.Task[None] | None = None
        self._orders = SharedQuestion(self._orders_of)
        self._user = UserEvents(self.client, signer, options.websocket_url, self._known)

    @property
    def groups(self) -> Mapping[int, str]:
        """The order groups that orders join, by shard: a group holds the orders of one shard alone."""
        return self._groups

    # ── life ────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Read the markets of the series, and find or make the order group."""
        for series in self._options.series:
            shard = (await self.client.series(series)).exchange_index
            if shard is not None:
                self._shards.add(shard)
        await self._read_markets()
        await self._join_groups()
        if self._options.series:
            self._reading = asyncio.create_task(self._keep_reading())

    async def close(self) -> None:
        if self._reading is not None:
            await cancel_all([self._reading])
            self._reading = None
        await self._orders.close()
        with contextlib.suppress(OSError):
            await self.client.close()

    async def _read_markets(self) -> None:
        for series in self._options.series:
            for status in ("open", "unopened"):
                for market in await self.client.markets({"series_ticker": series, "status": status}):
                    self._known.learn_market(market)
                    self._shards.add(market.exchange_index)

    async def _keep_reading(self) -> None:
        """Windows roll over: the grid and shard of a market are known before its first order."""
        while True:
            await asyncio.sleep(self._options.markets_every_s)
            try:
                await self._read_markets()
                await self._join_groups()
            except VenueError as e:
                log.warning("markets not read: %s", e)

    async def _join_groups(self) -> None:
        """Have a group on every shard of our markets that has none yet.

        That of an earlier start is used again: its orders may still rest, and it may have tripped.
        """
        limit = self._options.group_fill_max_contracts
        missing = self._shards - self._groups.keys()
        if limit is None or not missing:
            return
        for group in await self.client.groups():
            theirs = group.contracts_limit_fp
            if group.exchange_index in missing and theirs and amount(theirs) == limit * ONE:
                self._groups.setdefault(group.exchange_index, group.id)
        for shard in sorted(missing - self._groups.keys()):
            self._groups[shard] = await self.client.create_group(limit, shard)

    def _group_of(self, shard: int) -> str | None:
        """The group of a shard. Of a market not listed yet no shard is known: it has that of the others, if all agree."""
        if shard == BY_TICKER and len(self._groups) == 1:
            return next(iter(self._groups.values()))
        return self._groups.get(shard)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, order: NewOrder) -> Prepared:
        try:
            ticker = contract_of(order.instrument).ticker
        except ValueError as e:
            raise Refused(KALSHI, str(e), code="invalid_instrument") from None
        facts = self._known.market(ticker)
        placing = Placing(
            price_steps=facts.price_steps,
            exchange_index=facts.exchange_index,
            order_group_id=self._group_of(facts.exchange_index),
            subaccount=self._options.subaccount,
            cancel_on_pause=self._options.cancel_on_pause,
            self_trade_prevention=self._options.self_trade_prevention,
        )
        body = order_body(order, placing)
        self._known.learn_order(body.client_order_id, order.instrument)
        return Prepared(order=order.order, client_order_id=body.client_order_id, body=encode_body(body))

    async def submit(self, prepared: Prepared) -> OrderReport:
        body = msgspec.json.decode(prepared.body, type=OrderBody)
        instrument = self._known.instrument(prepared.client_order_id)
        instrument = instrument or instrument_of(body.ticker, positioned(body.side))
        try:
            created = await self.client.create_order(prepared.body)
        except Refused as e:
            if e.status != 409:
                raise
            return await self._there_already(prepared, instrument, e)
        self._known.learn_order(prepared.client_order_id, instrument, created.order_id)
        rests = body.time_in_force == "good_till_canceled"
        try:
            return created_report(created, prepared.client_order_id, instrument, rests)
        except BadAnswer as e:
            raise OutcomeUnknown(KALSHI, str(e)) from e

    async def _there_already(self, prepared: Prepared, instrument: str, refused: Refused) -> OrderReport:
        """The venue has an order of this id: whatever was thought of it, it is there. So look."""
        sent = SentOrder(
            order=prepared.order, client_order_id=prepared.client_order_id, instrument=instrument
        )
        try:
            found = await self.look_up(sent)
        except VenueError as e:
            raise OutcomeUnknown(KALSHI, f"{refused}; and not looked up: {e}") from e
        if found is not None:
            return found
        if is_duplicate(refused):
            raise OutcomeUnknown(KALSHI, f"{refused}; and not found by its client order id") from refused
        raise refused

    async def cancel(self, sent: SentOrder) -> None:
        order_id = sent.venue_order_id
        ticker = contract_of(sent.instrument).ticker
        if not order_id:
            found = await self.look_up(sent)
            if found is None:
                return
            order_id = found.venue_order_id
        try:
            await self.client.cancel_order(order_id, ticker)
        except Refused as e:
            if not is_gone(e):
                raise

    async def cancel_all(self) -> None:
        """Cancel what rests, a batch at a time. Raises what failed, after all were tried."""
        unreadable: list[str] = []
        resting = await self.client.orders({"status": "resting"}, unreadable)
        known = {o.order_id: o.ticker for o in resting if self._known.knows_market(o.ticker)}
        others = {o.order_id: o.ticker for o in resting if o.order_id not in known}
        # Apart: what is wrong with an order placed by hand in some other market must not fail a batch of ours.
        failed = await self._cancel_batches(known)
        failed += await self._cancel_batches(others)
        failed += [f"{name}: unreadable" for name in unreadable]
        if failed:
            raise Refused(KALSHI, f"{len(failed)} cancels failed, the first {clip(failed[0], 120)}")

    async def _cancel_batches(self, tickers: dict[str, str]) -> list[str]:
        """Cancel orders (id → market), whatever becomes of the batch before; what failed."""
        size = min(CANCELS_AT_ONCE_MAX, limits.batch_max(self._options.tier, limits.CANCEL_COST))
        orders, failed = list(tickers), []
        for batch in (orders[start : start + size] for start in range(0, len(orders), size)):
            try:
                items = await self.client.cancel_orders({order: tickers[order] for order in batch})
            except VenueError as e:
                failed.append(f"{batch[0]}: {e}")
                continue
            for item in items:
                error = item.error
                if error is None:
                    continue
                if not is_gone(Refused(KALSHI, "", code=error.code.lower())):
                    failed.append(f"{item.order_id}: {error.code or error.message}")
        return failed

    async def trigger_group(self) -> None:
        """Have the venue cancel every order of our groups at once; they take no more until ``release_brake``."""
        triggers = [self.client.trigger_group(group_id, shard) for shard, group_id in self._groups.items()]
        # Each is tried, whatever becomes of the others.
        outcomes = await asyncio.gather(*triggers, return_exceptions=True)
        for failed in outcomes:
            if failed is not None:
                raise failed

    async def brake(self) -> str:
        """Whether trading pauses where we trade, or a group tripped or is gone: orders are refused then."""
        if paused := await self._paused_shards():
            return f"trading paused on shards {', '.join(map(str, paused))}"
        # A copy: a market on another shard may bring its group meanwhile.
        for group_id in list(self._groups.values()):
            try:
                group = await self.client.group(group_id)
            except Refused as e:
                if e.status != 404:
                    raise
                return "order group gone"
            if not group.is_auto_cancel_enabled:
                return "order group triggered"
        return ""

    async def _paused_shards(self) -> list[int]:
        """The shards that we trade on, if none of them trades: maintenance is by shard."""
        status = await self.client.exchange_status()
        # The top level is the first shard, and all there is where no shards are told.
        trading = {0: status.exchange_active and status.trading_active}
        trading |= {
            row.exchange_index: row.exchange_active and row.trading_active
            for row in status.exchange_index_statuses
        }
        ours = sorted(self._shards & set(trading)) or [0]
        return [] if any(trading[shard] for shard in ours) else ours

    async def release_brake(self) -> None:
        """Let triggered groups take orders again, and replace those that are gone: the operator's decision."""
        for shard, group_id in list(self._groups.items()):
            try:
                await self.client.reset_group(group_id, shard)
            except Refused as e:
                if e.status != 404:
                    raise
                del self._groups[shard]
        await self._join_groups()

    async def heartbeat(self) -> None:
        """Nothing to do: this venue has none."""

    # ── questions ───────────────────────────────────────────────────────────────────────────────────

    async def look_up(self, sent: SentOrder) -> OrderReport | None:
        """By the venue's id when it is known; else among all orders of the market, which come whole.

        However many orders of a market are asked about at once, its list is read twice at most.
        """
        self._known.learn_order(sent.client_order_id, sent.instrument, sent.venue_order_id)
        if sent.venue_order_id:
            try:
                order = await self.client.order(sent.venue_order_id)
            except Refused as e:
                if e.status == 404:
                    return None
                raise
            if order.client_order_id != sent.client_order_id:
                raise BadAnswer(KALSHI, f"expected order {sent.client_order_id}, was {order.client_order_id}")
            return self._report(order, sent.instrument)
        ticker = contract_of(sent.instrument).ticker
        orders, left_out = await self._orders.get(ticker)
        for order in orders:
            if order.client_order_id == sent.client_order_id:
                self._known.learn_order(sent.client_order_id, sent.instrument, order.order_id)
                return self._report(order, sent.instrument)
        if left_out:
            raise BadAnswer(KALSHI, f"expected every order of {ticker}, was not {left_out[0]}")
        return None

    async def _orders_of(self, ticker: str) -> tuple[list[rest.Order], list[str]]:
        """Every order of a market, and those that cannot be read."""
        left_out: list[str] = []
        return await self.client.orders({"ticker": ticker}, left_out), left_out

    async def open_orders(self) -> Sequence[OrderReport]:
        reports = []
        for order in await self.client.orders({"status": "resting"}):
            client_id = order.client_order_id or ""
            self._known.learn_order(client_id, venue_order_id=order.order_id)
            try:
                reports.append(self._report(order, self._known.instrument(client_id)))
            except BadAnswer as e:
                # Whether it is ours, the look-up of our own orders shows.
                self.odd_items.record("order", order.order_id, str(e))
        return reports

    def _report(self, order: rest.Order, instrument: str) -> OrderReport:
        report = order_report(order, instrument)
        if report.status is AckStatus.UNKNOWN:
            self.odd_items.record(
                "order", order.order_id, f"expected an order's status, was {clip(order.status, 40)!r}"
            )
        return report

    def remember_order(self, sent: SentOrder) -> None:
        """Report the order's fills in the space of the outcome it was meant for, also after a restart."""
        self._known.learn_order(sent.client_order_id, sent.instrument, sent.venue_order_id)
        self._ownership.remember_order(sent)

    def set_held_markets(self, markets: Collection[str]) -> None:
        """What cannot be asked about these is an error; about a market that only hands trade it is one odd item."""
        self._ownership.set_held_markets(markets)

    async def fills(self, since: int) -> Sequence[FillReport]:
        # The filter counts whole seconds, and nothing says which side of the border it includes.
        found = await self.client.fills({"min_ts": max(0, since // SECOND - 1)})
        await self._learn_orders_of(found)
        reports = []
        for fill in found:
            client_id = self._known.client_order_id(fill.order_id) or ""
            try:
                reports.append(fill_report(fill, client_id, self._known.instrument(client_id)))
            except BadAnswer as e:
                self.odd_items.record("fill", fill.trade_id, str(e))
        # One without a time may be new: whoever was told it before, knows it by its id.
        wanted = [report for report in reports if report.at >= since or not report.at]
        return sorted(wanted, key=lambda report: (report.at, report.trade_id))

    async def _learn_orders_of(self, fills: Iterable[rest.Fill]) -> None:
        """A fill names the venue's order id alone; ours is found among the orders of its market."""
        unknown = {
            fill.ticker or fill.market_ticker or ""
            for fill in fills
            if self._known.client_order_id(fill.order_id) is None
        }
        for ticker in sorted(unknown):
            orders = await self._ownership.ask(
                partial(self.client.orders, {"ticker": ticker}), "orders", ticker, f"{KALSHI}:{ticker}"
            )
            for order in orders or ():
                self._known.learn_order(order.client_order_id or "", venue_order_id=order.order_id)

    async def positions(self) -> dict[str, int]:
        """Net positions: this venue has no market in which both outcomes are held."""
        held: dict[str, int] = {}
        for position in await self.client.positions():
            try:
                found = position_of(position)
            except BadAnswer as e:
                self.odd_items.record("position", position.ticker, str(e))
                continue
            if found is not None:
                held[found[0]] = found[1]
        return held

    async def balance(self) -> Balance:
        """Money on the shards of our series (on all of them when none is named): orders spend no other.

        The venue tells only what is available; resting orders have been taken off it.
        """
        body = await self.client.balance()
        if body.balance_breakdown is not None and self._shards:
            available = sum(
                amount(row.balance) for row in body.balance_breakdown if row.exchange_index in self._shards
            )
        elif body.balance_dollars is not None:
            available = amount(body.balance_dollars)
        else:
            available = body.balance * 10_000
        return Balance(total=available, available=available)

    async def settlements(self, since: int) -> Sequence[SettlementReport]:
        reports = []
        for settlement in await self.client.settlements({"min_ts": max(0, since // SECOND - 1)}):
            yes_price = yes_payout(settlement)
            if yes_price is None:
                yes_price = await self._yes_payout(settlement.ticker)
            if yes_price is None:
                continue
            reports += settlement_reports(settlement, yes_price)
        return sorted((r for r in reports if r.at >= since), key=lambda r: (r.at, r.instrument))

    async def _yes_payout(self, ticker: str) -> int | None:
        """What a market's YES paid, to the millionth, as the market says; ``None`` where it says nothing."""
        paid = self._payouts.get(ticker)
        if paid is not None:
            return paid
        market = await self._ownership.ask(
            partial(self.client.market, ticker), "settlement", ticker, f"{KALSHI}:{ticker}"
        )
        if market is None:
            return None
        value = market.settlement_value_dollars
        try:
            paid = None if value is None else amount(value)
        except BadAnswer:
            paid = None
        if paid is None or not 0 <= paid <= ONE:
            self.odd_items.record("settlement", ticker, f"expected what it paid, was {value!r}")
            return None
        self._payouts[ticker] = paid
        keep_newest(self._payouts, PAYOUTS_MAX)
        return paid

    def events(self) -> AsyncGenerator[UserEvent]:
        return self._user.events()
