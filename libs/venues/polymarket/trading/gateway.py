"""Trading at Polymarket through the port that execution knows.

The order's EIP-712 hash is its id everywhere: claimed before the request leaves, asked about after a crash.
A request is sent again in one case only: the venue refused a sale for want of shares that we have just
bought, in so many words. That refusal is definite, the bytes are the same, and so is the hash. Whoever
submits is asked each time whether the order may still leave.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, suppress

from libs.bounded import clip
from libs.venues.errors import BadAnswer, NotSent, OutcomeUnknown, Refused, VenueError
from libs.venues.frame import FrameError
from libs.venues.gateway import (
    Balance,
    FillReport,
    NewOrder,
    OrderReport,
    Prepared,
    SentOrder,
    SettlementReport,
    StreamState,
    UserEvent,
)
from libs.venues.ownership import Ownership
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.hosts import CHAIN_ID, CLOB_URL, DATA_URL, GAMMA_URL, USER_SOCKET_URL
from libs.venues.polymarket.market_data.market import outcome_name
from libs.venues.polymarket.schemas.answers import Cancelled, OrderAnswer, OrderRow, TradeRow, amount
from libs.venues.polymarket.schemas.requests import Sent, check_taken, money, read_request, taken_report
from libs.venues.polymarket.trading.auth import PolymarketCredentials, WalletApiKey, account_of
from libs.venues.polymarket.trading.client import ORDERS_MAX, TIMEOUTS, HeartbeatMismatch, PolymarketClient
from libs.venues.polymarket.trading.directory import Directory, TradedMarket, condition_of
from libs.venues.polymarket.trading.examination import examine
from libs.venues.polymarket.trading.order import is_position
from libs.venues.polymarket.trading.purchases import Purchases
from libs.venues.polymarket.trading.reports import fill_reports, is_working, order_report, trade_status
from libs.venues.polymarket.trading.request import Token, prepare_order
from libs.venues.polymarket.trading.settlement import Payouts
from libs.venues.polymarket.trading.user_stream import UserEvents, subscription
from libs.venues.transport.http import Timeouts
from libs.venues.transport.websocket import Connected, Received, VenueSocket
from proto.units import SECOND, notional
from proto.venue import AckStatus

HEARTBEAT_EVERY_S = 5.0
"""As documented: the first one arms the switch, and 10 s without one cancel everything."""
HEARTBEAT_ATTEMPTS_MAX = 3
"""A wrong id is answered with the right one; more than one correction means that somebody else beats too."""
PING_EVERY_S = 10.0
SILENCE_S = 30.0
"""Neither event nor PONG for so long: the connection is dead."""
SALE_ATTEMPTS_MAX = 4
"""One sale, and three more after refusals for want of shares just bought."""
SALE_PAUSE_S = 0.5
"""Pause before the first of them; it doubles. A trade is on the chain within a few seconds."""
SALE_PATIENCE_S = 6.5
"""No repetition begins so long after the first request: with the half second before that and its own 12 s at most,
its answer is there before the desk gives up (20 s)."""
REFRESH_PATIENCE_S = 0.5
"""For having a balance read anew: a stop must not wait for a venue that answers no questions."""
NOT_CANCELED_MAX = 20
"""Orders not cancelled that are asked about; with more of them, one surely works."""
NOT_CANCELED_PATIENCE_S = 3.0
"""For all of these requests together: each is tried for 40 s, and emptying an account repeats them anyway."""
LOOK_BACK_S = 1
"""Trades are asked for from a second earlier: their times are whole seconds."""
_KILLED = ("fok_not_filled", "fak_not_filled")


class PolymarketGateway:
    """One account. ``markets``: those learned at the start; others by ``load_market``, before their first order."""

    venue = POLYMARKET
    heartbeat_every_s = HEARTBEAT_EVERY_S

    def __init__(
        self,
        credentials: PolymarketCredentials,
        *,
        clob_url: str = CLOB_URL,
        gamma_url: str = GAMMA_URL,
        data_url: str = DATA_URL,
        user_websocket_url: str = USER_SOCKET_URL,
        chain_id: int = CHAIN_ID,
        timeouts: Timeouts = TIMEOUTS,
        markets: Sequence[str] = (),
    ) -> None:
        self._account = account_of(credentials)
        key = None
        if credentials.api_key:
            key = WalletApiKey(
                api_key=credentials.api_key, secret=credentials.secret, passphrase=credentials.passphrase
            )
        self.client = PolymarketClient(
            clob_url,
            gamma_url,
            data_url,
            account=self._account,
            api_key=key,
            chain_id=chain_id,
            timeouts=timeouts,
        )
        self.odd_items = self.client.odd_items
        self.directory = Directory(self.client)
        self._user_url = user_websocket_url
        self._chain_id = chain_id
        self._first_markets = tuple(markets)
        self._heartbeat_id = ""
        self._purchases = Purchases()
        self._payouts = Payouts(self.client, self.directory)
        self._ownership = Ownership(self.odd_items)
        self._held: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"PolymarketGateway({self._account!r})"

    async def start(self) -> None:
        """Have an API key, and know the first markets."""
        await self.client.ensure_api_key()
        for market in self._first_markets:
            await self.load_market(market)

    async def close(self) -> None:
        with suppress(Exception):
            await self.client.close()

    async def load_market(self, market: str) -> None:
        """Read what ``prepare`` needs of a market (or of an instrument's), unless it is known."""
        condition = condition_of(market)
        if not condition:
            raise Refused(
                POLYMARKET, f"expected a market of this venue, was {clip(market, 80)!r}", 0, "unknown_market"
            )
        await self.directory.load_market(condition)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, order: NewOrder) -> Prepared:
        """Build and sign; the same order gives the same bytes and the same id.

        After a refusal for the price, ``load_market`` asks for the market's tick anew.
        """
        token = self.directory.token(order.instrument)
        try:
            return prepare_order(order, token, self._account, self._key().api_key, self._chain_id)
        except Refused as e:
            if e.code in ("price_off_grid", "unknown_tick"):
                # Near the edges the tick changes: whoever learns the market again may have a finer one.
                self.directory.forget(token.condition)
            raise

    async def submit(self, prepared: Prepared) -> OrderReport:
        """Send once."""
        sent = read_request(prepared.body)
        await self._make_ready(sent)
        return await self._submit(prepared, sent, lambda: False)

    async def submit_while(self, prepared: Prepared, may_send: Callable[[], bool]) -> OrderReport:
        """Send once, or again where a definite refusal is known to pass (see the module)."""
        sent = read_request(prepared.body)
        if await self._make_ready(sent) and not may_send():
            raise NotSent(POLYMARKET, "expected leave to send, was withdrawn while a balance was read anew")
        return await self._submit(prepared, sent, may_send)

    async def _make_ready(self, sent: Sent) -> bool:
        """Have the venue read the balance anew that a sale may need; whether that was asked for."""
        needed = not sent.buy and self._purchases.may_be_unknown(sent.token)
        if needed:
            await self._refresh(sent.token)
        return needed

    async def _submit(self, prepared: Prepared, sent: Sent, may_send: Callable[[], bool]) -> OrderReport:
        until_s = time.monotonic() + SALE_PATIENCE_S
        pause_s = SALE_PAUSE_S
        for attempt in range(1, SALE_ATTEMPTS_MAX + 1):
            try:
                answer = await self.client.post_order(prepared.body)
                return await self._accepted(prepared, sent, answer)
            except Refused as e:
                passes = e.code == "not_enough_balance" and self._may_pass(sent) and may_send()
                late = time.monotonic() + pause_s + REFRESH_PATIENCE_S > until_s
                if not passes or late or attempt == SALE_ATTEMPTS_MAX:
                    return await self._not_placed(prepared, sent, e)
                refusal = e
            await asyncio.sleep(pause_s)
            await self._refresh(sent.token)
            if not may_send():
                return await self._not_placed(prepared, sent, refusal)
            pause_s *= 2
        raise AssertionError("unreachable")

    async def submit_many(self, prepared: Sequence[Prepared]) -> list[OrderReport | VenueError]:
        """Up to 15 orders in one request; each has its own report, or the error that became of it."""
        if not 0 < len(prepared) <= ORDERS_MAX:
            raise ValueError(f"expected 1 to {ORDERS_MAX} orders, was {len(prepared)}")
        sent = [read_request(one.body) for one in prepared]
        answers = await self.client.post_orders([one.body for one in prepared])
        results: list[OrderReport | VenueError] = []
        for one, what, answer in zip(prepared, sent, answers, strict=True):
            try:
                results.append(await self._accepted(one, what, answer))
            except VenueError as e:
                try:
                    results.append(await self._not_placed(one, what, e) if isinstance(e, Refused) else e)
                except VenueError as refusal:
                    results.append(refusal)
        return results

    async def _accepted(self, prepared: Prepared, sent: Sent, answer: OrderAnswer) -> OrderReport:
        """The report of an accepted order. Raises as ``check_taken``."""
        check_taken(answer, prepared.client_order_id)
        if sent.buy:
            self._purchases.record(sent.token)
        _, token = await self._token_of(sent.token)
        order_id = prepared.client_order_id
        return taken_report(answer, sent, order_id, token.instrument, time.time_ns())

    async def _not_placed(self, prepared: Prepared, sent: Sent, refusal: Refused) -> OrderReport:
        """What a refusal means: an order killed at birth, one that is there already, or a refusal."""
        if refusal.code in _KILLED:
            _, token = await self._token_of(sent.token)
            return OrderReport(
                client_order_id=prepared.client_order_id,
                venue_order_id=prepared.client_order_id,
                instrument=token.instrument,
                status=AckStatus.CANCELED,
                reason=refusal.code,
                at=time.time_ns(),
            )
        if refusal.code == "duplicated":
            # The same hash: it is there, from an attempt of which nobody heard.
            row = await self._found(prepared.client_order_id)
            if row is None:
                raise OutcomeUnknown(
                    POLYMARKET, f"said to be a duplicate and not found: {refusal}"
                ) from refusal
            return await self._report(row)
        if refusal.code in ("tick_size", "order_version_mismatch"):
            self.directory.forget((await self._token_of(sent.token))[0])
        raise refusal

    async def _found(self, order_id: str) -> OrderRow | None:
        try:
            return await self.client.order(order_id)
        except VenueError as e:
            raise OutcomeUnknown(POLYMARKET, f"said to be a duplicate, and the look-up failed: {e}") from e

    async def _token_of(self, token: str) -> tuple[str, Token]:
        market, found = await self.directory.of_token(token)
        return market.condition, found

    async def cancel(self, sent: SentOrder) -> None:
        """Ask for a cancel; an order that is gone already is fine."""
        await self.client.cancel([sent.venue_order_id or sent.client_order_id])

    async def cancel_many(self, sent: Sequence[SentOrder]) -> None:
        """Ask for up to 1,000 cancels in one request."""
        await self.client.cancel([one.venue_order_id or one.client_order_id for one in sent])

    async def cancel_market(self, market: str) -> None:
        """Cancel every order in a market."""
        await self.client.cancel_market(condition_of(market))

    async def cancel_all(self) -> None:
        """Cancel every order of the account.

        Raises:
            Refused: ``not_canceled`` while one still works: what takes may be held, and cannot be cancelled.
        """
        answer = await self.client.cancel_all()
        try:
            async with asyncio.timeout(NOT_CANCELED_PATIENCE_S):
                works = await self._still_working(answer)
        except TimeoutError:
            works = f"known within {NOT_CANCELED_PATIENCE_S} s: no answer"
        if works:
            raise Refused(
                POLYMARKET, f"expected every order to be cancelled, was not {works}", 200, "not_canceled"
            )

    async def _still_working(self, answer: Cancelled) -> str:
        """The first order that a cancel-all left; empty when there is none."""
        left = list(answer.not_canceled or ())
        if answer.canceled is None and answer.not_canceled is None:
            unreadable: list[str] = []
            left = [row.id for row in await self.client.open_orders(unreadable)]
            if unreadable:
                return unreadable[0][:100]
        for number, order_id in enumerate(left):
            # The venue's words for why are no proof: it may not find an order that it holds back.
            row = await self.client.order(order_id) if number < NOT_CANCELED_MAX else None
            if number >= NOT_CANCELED_MAX or (row is not None and is_working(row)):
                return order_id[:100]
        return ""

    # ── questions ───────────────────────────────────────────────────────────────────────────────────

    async def look_up(self, sent: SentOrder) -> OrderReport | None:
        """The order as the venue knows it; ``None`` only when it says that there is none."""
        row = await self.client.order(sent.venue_order_id or sent.client_order_id)
        return None if row is None else await self._report(row)

    async def open_orders(self) -> list[OrderReport]:
        """Every working order of the account."""
        reports = []
        for row in await self.client.open_orders():
            described = await self._described("order", row, [row.id])
            if described is None:
                continue
            try:
                reports.append(self._order_report(row, described[1]))
            except BadAnswer as e:
                # Whose it is, the look-up of our own orders shows.
                self.odd_items.record("order", row.id, str(e))
        return reports

    async def _report(self, row: OrderRow) -> OrderReport:
        _, token = await self.directory.of_token(row.asset_id, row.market)
        return self._order_report(row, token)

    def _order_report(self, row: OrderRow, token: Token) -> OrderReport:
        report = order_report(row, token.instrument)
        if report.status is AckStatus.UNKNOWN:
            self.odd_items.record(
                "order", row.id, f"expected an order's status, was {clip(row.status, 60)!r}"
            )
        return report

    async def fills(self, since: int) -> list[FillReport]:
        """Our part of every trade since then, oldest first, with its present status."""
        rows = await self.client.trades(since // SECOND - LOOK_BACK_S)
        found: list[FillReport] = []
        for row in rows:
            market = await self._market_of(row)
            if market is None:
                continue
            try:
                found += self._fill_reports(row, market)
            except BadAnswer as e:
                self.odd_items.record("trade", row.id, str(e))
        # One that nobody can date may be new: whoever knows it already takes it once.
        found = [fill for fill in found if not fill.at or fill.at >= since - SECOND]
        return sorted(found, key=lambda fill: (fill.at, fill.trade_id, fill.client_order_id))

    async def _market_of(self, row: TradeRow) -> TradedMarket | None:
        """The market of a trade; ``None`` where none of its orders is ours and it cannot be read."""
        orders = [maker.order_id for maker in row.maker_orders or ()]
        described = await self._described("trade", row, [*orders, row.taker_order_id or ""])
        return None if described is None else described[0]

    async def _described(
        self, kind: str, row: OrderRow | TradeRow, orders: Sequence[str]
    ) -> tuple[TradedMarket, Token] | None:
        """The market and outcome of a row with these orders; ``None`` where it is not ours and they cannot be read."""
        return await self._ownership.ask(
            lambda: self.directory.of_token(row.asset_id, row.market),
            kind,
            row.id,
            f"{POLYMARKET}:{row.market}",
            orders,
        )

    def _fill_reports(self, row: TradeRow, market: TradedMarket) -> list[FillReport]:
        if trade_status(row.status) is None:
            self.odd_items.record("trade", row.id, f"expected a trade's status, was {clip(row.status, 60)!r}")
        return fill_reports(row, market, self._is_ours)

    async def positions(self) -> dict[str, int]:
        """Shares held, by instrument."""
        held: dict[str, int] = {}
        for row in await self.client.positions():
            try:
                size = amount(row.size, "position")
                instrument = f"{POLYMARKET}:{row.conditionId}:{outcome_name(row.outcome) if size > 0 else ''}"
            except (BadAnswer, FrameError) as e:
                self.odd_items.record("position", row.conditionId, str(e))
                continue
            if size > 0:
                held[instrument] = held.get(instrument, 0) + size
        return held

    async def balance(self) -> Balance:
        """Money, and what of it no open purchase has promised away."""
        body = await self.client.balance()
        total = money(body.balance)
        promised = 0
        for row in await self.client.open_orders():
            if (row.side or "").upper() == "BUY":
                try:
                    rest_of_it = amount(row.original_size, "size") - amount(row.size_matched, "matched size")
                    promised += notional(amount(row.price, "price"), max(0, rest_of_it))
                except BadAnswer as e:
                    self.odd_items.record("order", row.id, str(e))
        return Balance(total=total, available=max(0, total - promised))

    async def examine(self) -> list[tuple[str, bool, str]]:
        """For ``presage doctor``: see ``examination.py``."""
        return await examine(self.client, self._account.funder_text)

    async def settlements(self, since: int) -> list[SettlementReport]:
        """Payouts since then: winnings that were redeemed, and what lost and is worth nothing."""
        return await self._payouts.since(since, self._held)

    def set_held_markets(self, markets: Collection[str]) -> None:
        """Report payouts of these markets only from now on."""
        self._held = frozenset(map(condition_of, markets))
        self._ownership.set_held_markets(markets)

    def remember_order(self, sent: SentOrder) -> None:
        """Its rows are ours, also after a restart."""
        self._ownership.remember_order(sent)

    # ── staying alive ───────────────────────────────────────────────────────────────────────────────

    async def heartbeat(self) -> None:
        """Echo the last id; take the one the venue expects when it corrects us."""
        for _ in range(HEARTBEAT_ATTEMPTS_MAX):
            try:
                self._heartbeat_id = await self.client.heartbeat(self._heartbeat_id)
                return
            except HeartbeatMismatch as e:
                self._heartbeat_id = e.expected
        raise Refused(
            POLYMARKET, "expected one sender of heartbeats, was another beside us", 400, "heartbeat_id"
        )

    async def events(self) -> AsyncIterator[UserEvent]:
        """The user channel, for ever. A frame that cannot be read counts as a loss of continuity."""
        key = await self.client.ensure_api_key()
        socket = VenueSocket(
            POLYMARKET,
            self._user_url,
            subscribe=lambda: [subscription(key)],
            keepalive=("PING", PING_EVERY_S),
            silence_s=SILENCE_S,
            proves=lambda _: True,  # nothing happens for hours: here a PONG is proof enough
        )
        reader = UserEvents()
        async with aclosing(socket.frames()) as frames:
            async for event in frames:
                if not isinstance(event, Received):
                    up = isinstance(event, Connected)
                    reader.forget()
                    yield StreamState.CONNECTED if up else StreamState.DISCONNECTED
                    continue
                for told in await self._events_of(reader, event.data):
                    yield told

    async def _events_of(self, reader: UserEvents, data: bytes) -> list[UserEvent]:
        """Return the events of a frame; an unreadable one makes the listener reconcile."""
        try:
            told: list[UserEvent] = []
            for row in reader.read(data):
                if isinstance(row, OrderRow):
                    described = await self._described("order", row, [row.id])
                    told += [] if described is None else [self._order_report(row, described[1])]
                elif (market := await self._market_of(row)) is not None:
                    fills = self._fill_reports(row, market)
                    for fill in fills:
                        self._purchases.record_fill(fill, row)
                    told += fills
        except (FrameError, VenueError):
            return [StreamState.DISCONNECTED, StreamState.CONNECTED]
        return told

    def _may_pass(self, sent: Sent) -> bool:
        """Whether a refusal for want of shares may pass by itself: they were bought just now."""
        return not sent.buy and self._purchases.is_recent(sent.token)

    async def _refresh(self, token: str) -> None:
        """Have the venue read a balance anew; that it cannot is no reason not to try the sale."""
        kind = "CONDITIONAL-V2" if is_position(int(token)) else "CONDITIONAL"
        with suppress(VenueError, TimeoutError):
            async with asyncio.timeout(REFRESH_PATIENCE_S):
                await self.client.refresh_balance(kind, token)

    def _is_ours(self, owner: str, address: str) -> bool:
        key = self.client.api_key
        by_key = key is not None and owner == key.api_key
        return by_key or address.lower() == self._account.funder_text.lower()

    def _key(self) -> WalletApiKey:
        if self.client.api_key is None:
            raise Refused(POLYMARKET, "expected an API key, was none: start first", 0, "unauthorized")
        return self.client.api_key
