"""Trading at Manifold through the port of ``libs/venues/gateway.py``."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial

import msgspec

from libs.bounded import clip, keep_newest
from libs.tasks import cancel_all
from libs.venues.errors import BadAnswer, NotSent, RateLimited, Refused, Unavailable, VenueError
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
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.manifold.market_data.market import is_binary
from libs.venues.manifold.market_data.rest import manifold_http
from libs.venues.manifold.market_data.streams import manifold_socket, market_topics, subscribe_commands
from libs.venues.manifold.schemas import wire
from libs.venues.manifold.trading import orders
from libs.venues.manifold.trading.account import ManifoldAccount
from libs.venues.manifold.trading.auth import ManifoldCredentials
from libs.venues.manifold.trading.settlement import settlements_of
from libs.venues.ownership import Ownership
from libs.venues.transport.websocket import Connected, Disconnected, Received, SocketEvent
from proto.units import MILLISECOND, ONE

EVENTS_WAITING_MAX = 10_000
"""Events kept for a slow reader; more are left to the next reconciliation."""
SILENCE_S = 75.0
"""Two pings unanswered: an account may have nothing to say for days, but the line must answer."""
REREAD_PER_LOOK = 1
"""Resolved markets read again each time: results are taken back now and then, and one read is of 500 a minute."""
FOLLOWED_MAX = 500
"""Markets whose bets are heard of at once, the newest; of older ones reconciliation learns."""
CONNECTION_MAX_S = 12 * 3_600.0
"""An account's connection is replaced twice a day."""


class ManifoldGateway:
    """One account. Only binary markets with a pool are traded.

    A sale is a bet on the other outcome (see ``libs/venues/manifold/trading/orders.py``); fills and reports name
    the outcome that was sold.
    """

    def __init__(
        self,
        credentials: ManifoldCredentials,
        rest_url: str = REST_URL,
        websocket_url: str = WEBSOCKET_URL,
        now_ms: Callable[[], int] | None = None,
        pause_s: tuple[float, float] = (0.25, 30.0),
    ) -> None:
        self.venue = MANIFOLD
        self.heartbeat_every_s = 0.0
        self._http = manifold_http(rest_url)
        self._account = ManifoldAccount(self._http, credentials, *([now_ms] if now_ms else []))
        self.odd_items = self._account.odd_items
        self._ownership = Ownership(self.odd_items)
        self._user = ""
        self._followed: dict[str, None] = {}
        # No more than markets in the account's bets, of which there are at most `PAGES_MAX` pages.
        self._resolved: dict[str, wire.Contract] = {}
        self._events: asyncio.Queue[UserEvent] = asyncio.Queue(EVENTS_WAITING_MAX)
        self._socket = manifold_socket(
            self._topics,
            websocket_url,
            silence_s=SILENCE_S,
            connection_max_s=CONNECTION_MAX_S,
            acks_prove=True,
            pause_s=pause_s,
        )

    async def start(self) -> None:
        """Learn who the key belongs to: all else needs it."""
        self._user = (await self._account.me()).id

    async def close(self) -> None:
        """Close connections."""
        await self._http.close()

    def prepare(self, order: NewOrder) -> Prepared:
        """Put an order into the venue's words. ``body`` is what ``submit`` makes its request of.

        The amount is only known at the last moment: it depends on the present price.
        """
        intent = orders.intent_of(order)
        name = orders.client_order_id(intent.contract, intent.outcome, intent.limit, intent.expires_ms)
        return Prepared(order=order.order, client_order_id=name, body=msgspec.json.encode(intent))

    async def submit(self, prepared: Prepared) -> OrderReport:
        """Bet, once; of an immediate order the rest is cancelled at once."""
        return await self.submit_while(prepared, lambda: True)

    async def submit_while(self, prepared: Prepared, may_send: Callable[[], bool]) -> OrderReport:
        """As ``submit``; the market is read before, and whoever submits is asked behind that."""
        intent = msgspec.json.decode(prepared.body, type=orders.Intent)
        self._expect_alive(intent)
        body = await self._request(intent)
        await self._follow(intent.contract)
        self._expect_alive(intent)
        if not may_send():
            raise NotSent(MANIFOLD, "expected leave to send, was withdrawn while the market was read")
        bet = await self._account.place(body)
        try:
            # The answer need not repeat what we asked for; what we asked for is what makes it ours.
            limit = bet.limitProb if bet.limitProb is not None else intent.limit / ONE
            bet = msgspec.structs.replace(bet, limitProb=limit, expiresAt=intent.expires_ms)
            report = orders.report_of(bet, self._account.now_ms())
            fills = orders.fills_of(bet)
        except FrameError as e:
            raise orders.unknown(f"expected a bet: {e}") from e
        for fill in fills:
            self._queue_event(fill)
        if intent.immediate and report.remaining:
            return await self._end(report)
        return report

    def _expect_alive(self, intent: orders.Intent) -> None:
        if self._account.now_ms() >= intent.expires_ms:
            raise Refused(MANIFOLD, "expected an order still alive, was past its end", code="expired")

    async def _request(self, intent: orders.Intent) -> bytes:
        """The request at the present price; a question that fails has sent nothing."""
        try:
            contract = await self._account.contract(intent.contract)
        except (RateLimited, Unavailable):
            raise
        except VenueError as e:
            raise NotSent(MANIFOLD, clip(f"the market could not be read before: {e}", 300)) from e
        if not is_binary(contract) or contract.probability is None:
            raise orders.refused(f"expected a binary market, was {contract.outcomeType} {contract.mechanism}")
        amount = orders.amount_for(intent, contract.probability)
        if amount <= 0:
            raise orders.refused("expected an amount of at least a millionth of a mana, was less")
        return orders.body_of(intent, amount)

    async def _end(self, report: OrderReport) -> OrderReport:
        """Cancel what an immediate order left; should that fail, it ends by itself when the order does."""
        try:
            await self._account.cancel(report.venue_order_id)
        except VenueError:
            return report
        return msgspec.structs.replace(report, remaining=0)

    async def cancel(self, sent: SentOrder) -> None:
        """End a limit order. Refused, it may be gone already: only an order that still rests is an error."""
        bet = sent.venue_order_id
        if not bet:
            found = await self.look_up(sent)
            if found is None or not found.remaining:
                return
            bet = found.venue_order_id
        await self._cancel(bet)

    async def _cancel(self, bet: str) -> None:
        try:
            await self._account.cancel(bet)
        except (RateLimited, Unavailable):
            raise
        except Refused:
            unreadable: list[str] = []
            resting = await self._account.open_orders(self._user, unreadable)
            if unreadable or any(order.key == bet for order in resting):
                raise

    async def cancel_all(self) -> None:
        """End every limit order; the first failure is raised after all were tried."""
        failed: VenueError | None = None
        unreadable: list[str] = []
        for order in await self._account.open_orders(self._user, unreadable):
            try:
                await self._cancel(order.key)
            except VenueError as e:
                failed = failed or e
        if unreadable and failed is None:
            failed = BadAnswer(MANIFOLD, f"expected every order to be cancelled, was not {unreadable[0]}")
        if failed is not None:
            raise failed

    async def look_up(self, sent: SentOrder) -> OrderReport | None:
        """The bet of an order. ``None``: all bets since then are read, and none is it. It may still arrive.

        Raises:
            BadAnswer: when more than one bet may be it.
        """
        mark = orders.mark_of(sent)
        left_out: list[str] = []
        bets = await self._account.bets(self._user, orders.sent_after_ms(mark), mark.contract, left_out)
        found = [bet for bet in bets if bet.key == sent.venue_order_id]
        found = found or [bet for bet in bets if orders.is_bet_of(bet, mark)]
        perhaps = [bet for bet in bets if orders.is_bet_of(bet, mark) is None]
        if len(found) == 1:
            with _readable():
                return orders.report_of(found[0], self._account.now_ms())
        if left_out:
            raise BadAnswer(MANIFOLD, f"expected every bet since {sent.order}, was not {left_out[0]}")
        if found or perhaps:
            raise BadAnswer(MANIFOLD, f"expected one bet like {sent.order}, was {len(found) + len(perhaps)}")
        return None

    async def open_orders(self) -> Sequence[OrderReport]:
        """Every limit order that rests."""
        bets = await self._account.open_orders(self._user)
        now_ms = self._account.now_ms()
        reports: list[OrderReport] = []
        for bet in bets:
            with self._leaving_out("order", bet.key):
                reports += [] if bet.answerId else [orders.report_of(bet, now_ms)]
        return reports

    async def fills(self, since: int) -> Sequence[FillReport]:
        """Every fill since then, oldest first; of orders as old as ours may become."""
        since_ms = since // MILLISECOND - orders.RESTING_MS_MAX
        bets = await self._account.bets(self._user, max(0, since_ms))
        found: list[FillReport] = []
        for bet in bets:
            with self._leaving_out("fills", bet.key):
                found += orders.fills_of(bet)
        return sorted((fill for fill in found if fill.at >= since), key=lambda fill: (fill.at, fill.trade_id))

    async def positions(self) -> dict[str, int]:
        """Shares held, of all markets ever bet on that are not resolved."""
        held: dict[str, int] = {}
        for contract in await self._contracts():
            if contract in self._resolved:
                continue
            rows = await self._ownership.ask(
                partial(self._account.positions, contract, self._user),
                "position",
                contract,
                _market(contract),
            )
            for position in rows or ():
                for outcome, shares in position.totalShares.items():
                    quantity = 0
                    with self._leaving_out("position", contract):
                        quantity = wire.millionths(shares)
                    if outcome in ("YES", "NO") and quantity > 0:
                        held[f"{MANIFOLD}:{contract}:{outcome.lower()}"] = quantity
        return held

    async def balance(self) -> Balance:
        """Mana. Limit orders reserve none at this venue, so all of it is available."""
        me = await self._account.me()
        with _readable():
            amount = wire.millionths(me.balance)
        return Balance(total=amount, available=max(0, amount))

    async def settlements(self, since: int) -> Sequence[SettlementReport]:
        """Payouts of resolved markets that were bet on, oldest first."""
        contracts = await self._contracts()
        reports: list[SettlementReport] = []
        for contract, bets in contracts.items():
            resolved = self._resolved.get(contract)
            if resolved is not None and int(resolved.resolutionTime or 0) * MILLISECOND >= since:
                with self._leaving_out("settlement", contract):
                    reports += settlements_of(resolved, bets)
        return sorted(reports, key=lambda report: (report.at, report.instrument))

    def remember_order(self, sent: SentOrder) -> None:
        """Its market is ours, also after a restart."""
        self._ownership.remember_order(sent)

    def set_held_markets(self, markets: Collection[str]) -> None:
        """What cannot be asked about these is an error; about a market that only hands bet on it is one odd item."""
        self._ownership.set_held_markets(markets)

    async def heartbeat(self) -> None:
        """The venue has no dead man's switch: every order of ours ends by itself."""

    async def events(self) -> AsyncGenerator[UserEvent]:
        """Orders and fills as they happen; state of the socket."""
        reading = asyncio.create_task(self._read_socket())
        try:
            while True:
                getting = asyncio.create_task(self._events.get())
                try:
                    await asyncio.wait({getting, reading}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not getting.done():
                        getting.cancel()
                if getting.done() and not getting.cancelled():
                    yield getting.result()
                elif reading.done():
                    reading.result()
        finally:
            await cancel_all([reading])

    @contextmanager
    def _leaving_out(self, kind: str, name: str) -> Iterator[None]:
        """Leave an unreadable item out, and log it."""
        try:
            yield
        except FrameError as e:
            self.odd_items.record(kind, name, str(e))

    # ── parts ───────────────────────────────────────────────────────────────────────────────────────

    async def _read_socket(self) -> None:
        async with aclosing(self._socket.frames()) as frames:
            async for event in frames:
                for told in self._events_of(event):
                    self._queue_event(told)

    def _events_of(self, event: SocketEvent) -> list[UserEvent]:
        """What one event of the socket says of this account; what cannot be read is left to reconciliation."""
        if isinstance(event, Connected):
            return [StreamState.CONNECTED]
        if isinstance(event, Disconnected):
            return [StreamState.DISCONNECTED]
        assert isinstance(event, Received)
        told: list[UserEvent] = []
        try:
            frame = wire.decode(event.data)
            for bet in frame.bets if isinstance(frame, wire.Bets | wire.Orders) else []:
                if bet.userId == self._user and bet.key and not bet.answerId and not bet.isRedemption:
                    told += [orders.report_of(bet, self._account.now_ms()), *orders.fills_of(bet)]
        except FrameError:
            return []
        return told

    def _queue_event(self, event: UserEvent) -> None:
        if not self._events.full():
            self._events.put_nowait(event)

    def _topics(self) -> list[str]:
        return [f"user/{self._user}/orders", *market_topics(self._followed)]

    async def _follow(self, contract: str) -> None:
        """Hear of bets on a market from now on; a socket that is down will subscribe when it is up."""
        if contract in self._followed:
            return
        self._followed[contract] = None
        keep_newest(self._followed, FOLLOWED_MAX)
        if self._socket.connected:
            try:
                for command in subscribe_commands(market_topics([contract])):
                    await self._socket.send(command)
            except NotSent:
                return

    async def _contracts(self) -> dict[str, list[wire.Bet]]:
        """Markets ever bet on, with the bets; refreshes which of them are resolved, and how."""
        found: dict[str, list[wire.Bet]] = {}
        for bet in await self._account.bets(self._user, 0):
            if not bet.answerId:
                found.setdefault(bet.contractId, []).append(bet)
        for contract in found:
            if contract not in self._resolved:
                body = await self._ownership.ask(
                    partial(self._account.contract, contract), "market", contract, _market(contract)
                )
                if body is not None and body.isResolved:
                    self._resolved[contract] = body
        await self._reread_resolved()
        return found

    async def _reread_resolved(self) -> None:
        """Read those again that were read longest ago: one resolved anew is paid anew.

        One that is open again is told, and stays as it was paid until it is resolved again.
        """
        for contract in list(self._resolved)[:REREAD_PER_LOOK]:
            known = self._resolved.pop(contract)
            self._resolved[contract] = known
            try:
                body = await self._account.contract(contract)
            except VenueError as e:
                # What it paid is known. It is read again when its turn comes.
                self.odd_items.record("market", contract, str(e))
                continue
            self._resolved[contract] = body if body.isResolved else known
            if not body.isResolved:
                words = f"was resolved {known.resolution} and is open now: what was paid stands until it is resolved again"
                self.odd_items.record("resolution", contract, words)


def _market(contract: str) -> str:
    return f"{MANIFOLD}:{contract}"


@contextmanager
def _readable() -> Iterator[None]:
    """Figures that cannot be are an answer that cannot be read."""
    try:
        yield
    except FrameError as e:
        raise BadAnswer(MANIFOLD, str(e)) from e
