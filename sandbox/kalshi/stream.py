"""Kalshi's websocket: subscriptions with numbers, snapshots and deltas in one sequence each, user channels."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from libs.venues.kalshi import KALSHI
from proto.feed import MarketStatus, Side
from proto.units import ONE, SECOND
from sandbox.faults.rules import MARKET_SOCKET, USER_SOCKET
from sandbox.faults.script import Faults
from sandbox.kalshi import index_values
from sandbox.kalshi.bodies import bids, count, dollars, iso, rows
from sandbox.kalshi.lifecycle import lifecycle, market_id
from sandbox.kalshi.market_data import trade_body
from sandbox.kalshi.subscriptions import (
    CommandParams,
    CommandRefused,
    KalshiSocket,
    SocketCommand,
    SocketSession,
    Subscription,
    tickers_of,
)
from sandbox.world.events import BookChanged, MarketMoved, PriceMoved, Traded, WorldEvent
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

PING_EVERY_S = 10.0
PING_BODY = b"heartbeat"
TICKER_EVERY_NS = SECOND
BOOK, TICKER, TRADE, LIFECYCLE = "orderbook_delta", "ticker", "trade", "market_lifecycle_v2"
GROUPS, INDEX = "order_group_updates", "cfbenchmarks_value"
INDEX_ACTIONS = ("subscribe_indices", "unsubscribe_indices", "indexlist")
TYPES = {
    "fill": "fill",
    "user_orders": "user_order",
    "market_positions": "market_position",
    GROUPS: GROUPS,
}
USER_CHANNELS = frozenset(TYPES)
CHANNELS = frozenset({BOOK, TICKER, TRADE, LIFECYCLE, INDEX}) | USER_CHANNELS
NUMBERED = frozenset({GROUPS, INDEX})
"""Channels besides the books' whose frames are numbered."""
COMMANDS_MAX = 10_000
"""Commands of one connection before it is cut: a client that loops."""


class KalshiStream:
    """All connections. ``_shown`` are the levels sent so far, from which deltas are computed."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.sessions: set[SocketSession] = set()
        self._world = world
        self._faults = faults
        self._shown: dict[str, dict[tuple[Side, int], int]] = {}
        self._ticker_at: dict[str, int] = {}
        self._index_at = 0
        for market in world.markets(KALSHI):
            self._record_book(market)

    # ── connections ─────────────────────────────────────────────────────────────────────────────────

    async def serve(self, request: web.Request, owner: str) -> web.WebSocketResponse:
        """Return one connection from its handshake to its end."""
        socket = KalshiSocket(
            self._faults, KALSHI, MARKET_SOCKET, ping_every_s=PING_EVERY_S, ping_body=PING_BODY
        )
        session = SocketSession(owner, socket)
        response = await socket.open(request)
        self.sessions.add(session)
        commands = 0
        try:
            async for message in response:
                commands += 1
                if message.type is not WSMsgType.TEXT or commands > COMMANDS_MAX:
                    break
                self._handle_command(session, message.data)
        finally:
            self.sessions.discard(session)
            await socket.close()
        return response

    async def close(self) -> None:
        """Close every connection."""
        for session in tuple(self.sessions):
            await session.socket.close()

    def _handle_command(self, session: SocketSession, data: str) -> None:
        command = SocketCommand()
        try:
            try:
                command = msgspec.json.decode(data, type=SocketCommand)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise CommandRefused(1, "Unable to process message") from None
            handlers: dict[str, Callable[[SocketSession, SocketCommand], None]] = {
                "subscribe": self._subscribe,
                "unsubscribe": self._unsubscribe,
                "update_subscription": self._update,
                "list_subscriptions": self._list,
            }
            handler = handlers.get(command.cmd)
            if handler is None:
                raise CommandRefused(5, "Unknown command")
            handler(session, command)
        except CommandRefused as e:
            frame: dict[str, Any] = {"type": "error", "msg": {"code": e.code, "msg": e.words}}
            session.reply({"id": command.id, **frame} if command.id else frame)

    def _subscribe(self, session: SocketSession, command: SocketCommand) -> None:
        params = command.params
        if not params.channels:
            raise CommandRefused(3, "Channels required")
        if any(channel not in CHANNELS for channel in params.channels):
            raise CommandRefused(8, "Unknown channel name")
        if any(True for channel in params.channels for _ in session.of(channel)):
            raise CommandRefused(6, "Already subscribed")
        tickers = tickers_of(params)
        if tickers is None and BOOK in params.channels:
            raise CommandRefused(14, "Market ticker required")
        self._check(tickers or ())
        if USER_CHANNELS & set(params.channels):
            session.socket.serve(USER_SOCKET)
        for channel in params.channels:
            sid, session.next_sid = session.next_sid, session.next_sid + 1
            # The lifecycle channel covers all markets, whatever the command names.
            wanted = None if channel == LIFECYCLE or tickers is None else set(tickers)
            if channel == INDEX:
                # It has indices where the others have markets; without any it is silent.
                wanted = set(params.index_ids or ())
            subscription = Subscription(channel, sid, wanted, params.use_yes_price)
            session.subscriptions[sid] = subscription
            session.reply({"type": "subscribed", "id": command.id, "msg": {"channel": channel, "sid": sid}})
            if channel == BOOK and params.send_initial_snapshot:
                for ticker in tickers or ():
                    self._snapshot(session, subscription, ticker)

    def _unsubscribe(self, session: SocketSession, command: SocketCommand) -> None:
        sids = command.params.sids
        if not sids:
            raise CommandRefused(4, "Subscription IDs required")
        if any(sid not in session.subscriptions for sid in sids):
            raise CommandRefused(7, "Unknown subscription ID")
        for sid in sids:
            gone = session.subscriptions.pop(sid)
            gone.seq += 1
            session.reply({"id": command.id, "type": "unsubscribed", "sid": sid, "seq": gone.seq})

    def _update_indices(
        self, session: SocketSession, command: SocketCommand, subscription: Subscription
    ) -> None:
        """Add or drop indices of a subscription, or list those that there are."""
        params, known = command.params, subscription.tickers or set()
        if params.action == "indexlist":
            subscription.seq += 1
            frame = {"type": f"{INDEX}_indexlist", "id": command.id, "sid": subscription.sid}
            session.reply({**frame, "seq": subscription.seq, "msg": {"index_ids": list(index_values.RATIOS)}})
            return
        if not params.index_ids:
            raise CommandRefused(24, "Index IDs required")
        named = set(params.index_ids)
        subscription.tickers = known | named if params.action == "subscribe_indices" else known - named
        subscription.seq += 1
        ok = {"id": command.id, "type": "ok", "sid": subscription.sid, "seq": subscription.seq}
        session.reply({**ok, "msg": {"index_ids": sorted(subscription.tickers)}})

    def _update(self, session: SocketSession, command: SocketCommand) -> None:
        params = command.params
        if params.action in INDEX_ACTIONS and params.sids and len(params.sids) == 1:
            found = session.subscriptions.get(params.sids[0])
            if found is not None and found.channel == INDEX:
                self._update_indices(session, command, found)
                return
        subscription, tickers = self._updated(session, params)
        if params.action == "get_snapshot":
            for ticker in tickers:
                self._snapshot(session, subscription, ticker)
            return
        known = subscription.tickers or set()
        adding = params.action == "add_markets"
        subscription.tickers = known | set(tickers) if adding else known - set(tickers)
        subscription.seq += 1
        ok = {"id": command.id, "type": "ok", "sid": subscription.sid, "seq": subscription.seq}
        session.reply({**ok, "msg": {"market_tickers": sorted(subscription.tickers)}})
        if subscription.channel == BOOK and adding:
            for ticker in tickers:
                if ticker not in known:
                    self._snapshot(session, subscription, ticker)

    def _updated(self, session: SocketSession, params: CommandParams) -> tuple[Subscription, list[str]]:
        """Return what an update is about, checked."""
        if not params.sids or len(params.sids) != 1:
            raise CommandRefused(12, "Exactly one subscription ID is required")
        subscription = session.subscriptions.get(params.sids[0])
        if subscription is None:
            raise CommandRefused(7, "Unknown subscription ID")
        if not params.action:
            raise CommandRefused(15, "Action required")
        if params.action not in ("add_markets", "delete_markets", "get_snapshot"):
            raise CommandRefused(13, "Unsupported action")
        tickers = tickers_of(params)
        if not tickers or subscription.tickers is None:
            raise CommandRefused(14, "Market ticker required")
        self._check(tickers)
        return subscription, tickers

    def _list(self, session: SocketSession, command: SocketCommand) -> None:
        listed = [{"channel": s.channel, "sid": s.sid} for s in session.subscriptions.values()]
        session.reply({"id": command.id, "type": "ok", "subscriptions": listed})

    def _check(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            if self._world.market(KALSHI, ticker) is None:
                raise CommandRefused(16, "Market not found")

    # ── books ───────────────────────────────────────────────────────────────────────────────────────

    def _snapshot(self, session: SocketSession, subscription: Subscription, ticker: str) -> None:
        """Send the whole book; without levels the sides are left out."""
        market = self._world.market(KALSHI, ticker)
        if market is None:
            return
        subscription.seq += 1
        body: dict[str, Any] = {"market_ticker": ticker, "market_id": market_id(market)}
        yes, no = bids(market)
        if yes:
            body["yes_dollars_fp"] = rows(yes)
        if no:
            levels = rows(no)
            if subscription.use_yes_price:
                levels = [[dollars(ONE - level.price), count(level.quantity)] for level in reversed(no)]
            body["no_dollars_fp"] = levels
        session.send(
            {"type": "orderbook_snapshot", "sid": subscription.sid, "seq": subscription.seq, "msg": body}
        )

    def _record_book(self, market: SandboxMarket) -> None:
        """Record the book as it is, as the base of later deltas."""
        yes, no = bids(market)
        shown = {(Side.BUY, level.price): level.quantity for level in yes}
        shown |= {(Side.SELL, ONE - level.price): level.quantity for level in no}
        self._shown[market.id] = shown

    def _handle_book(self, event: BookChanged) -> None:
        market = event.market
        if market.status is not MarketStatus.OPEN:
            return
        shown = self._shown.setdefault(market.id, {})
        for change in event.changes:
            key = (change.side, change.price)
            delta = change.quantity - shown.get(key, 0)
            if not delta:
                continue
            if change.quantity:
                shown[key] = change.quantity
            else:
                del shown[key]
            self._delta(market, event.at, change.side, change.price, delta)
        if event.at - self._ticker_at.get(market.id, 0) >= TICKER_EVERY_NS:
            self._publish_ticker(market, event.at)

    def _delta(self, market: SandboxMarket, at: int, side: Side, price: int, delta: int) -> None:
        for session in self.sessions:
            for subscription in session.of(BOOK):
                if not subscription.has_market(market.id):
                    continue
                own = side is Side.BUY or subscription.use_yes_price
                subscription.seq += 1
                body = {
                    "market_ticker": market.id,
                    "market_id": market_id(market),
                    "price_dollars": dollars(price if own else ONE - price),
                    "delta_fp": count(delta),
                    "side": "yes" if side is Side.BUY else "no",
                    "ts": iso(at),
                    "ts_ms": at // 1_000_000,
                }
                frame = {"type": "orderbook_delta", "sid": subscription.sid, "seq": subscription.seq}
                session.send({**frame, "msg": body})

    # ── everything else ─────────────────────────────────────────────────────────────────────────────

    def handle_event(self, event: WorldEvent) -> None:
        """Send an event to its subscribers."""
        if isinstance(event, BookChanged):
            self._handle_book(event)
        elif isinstance(event, Traded):
            self._handle_trade(event)
        elif isinstance(event, MarketMoved):
            self._handle_market(event)
        elif isinstance(event, PriceMoved):
            self._handle_price(event)

    def publish_event_fees(self, body: dict[str, Any]) -> None:
        """Tell a change of an event's fees: on the lifecycle channel, as a kind of its own."""
        for session in self.sessions:
            for subscription in session.of(LIFECYCLE):
                session.send({"type": "event_fee_update", "sid": subscription.sid, "msg": body})

    def publish_to_owner(self, owner: str, channel: str, body: dict[str, object]) -> None:
        """Send a frame to an account's own connections."""
        ticker = str(body.get("market_ticker") or body.get("ticker") or "")
        for session in self.sessions:
            for subscription in session.of(channel) if session.owner == owner else ():
                if subscription.has_market(ticker):
                    session.send(subscription.frame(TYPES[channel], body, numbered=channel in NUMBERED))

    def _publish(self, channel: str, ticker: str, kind: str, body: dict[str, Any]) -> None:
        for session in self.sessions:
            for subscription in session.of(channel):
                if subscription.has_market(ticker):
                    session.send({"type": kind, "sid": subscription.sid, "msg": body})

    def _handle_price(self, event: PriceMoved) -> None:
        if event.at - self._index_at < index_values.EVERY_NS:
            return
        self._index_at = event.at
        heard = [(session, s) for session in self.sessions for s in session.of(INDEX)]
        bodies = index_values.value_bodies(self._world.price, event.at) if heard else {}
        for session, subscription in heard:
            wanted = subscription.tickers or set()
            for index, body in bodies.items():
                if {index, index_values.ALL} & wanted:
                    session.send(subscription.frame(INDEX, body, numbered=True))

    def _handle_trade(self, event: Traded) -> None:
        body = trade_body(event)
        ticker = body.pop("ticker")
        del body["created_time"]
        times = {"ts": event.at // SECOND, "ts_ms": event.at // 1_000_000}
        self._publish(TRADE, ticker, "trade", {"market_ticker": ticker, **body, **times})

    def _publish_ticker(self, market: SandboxMarket, at: int) -> None:
        self._ticker_at[market.id] = at
        bid, ask = market.book.best(0)
        yes, no = bids(market)
        body = {
            "market_ticker": market.id,
            "market_id": market_id(market),
            "price_dollars": dollars(market.last_price or 0),
            "yes_bid_dollars": dollars(bid or 0),
            "yes_ask_dollars": dollars(ask or ONE),
            "yes_bid_size_fp": count(yes[0].quantity if yes else 0),
            "yes_ask_size_fp": count(no[0].quantity if no else 0),
            "last_trade_size_fp": "0.00",
            "volume_fp": count(market.volume),
            "open_interest_fp": count(market.open_interest),
            "dollar_volume": market.volume // (2 * ONE),
            "dollar_open_interest": market.open_interest // (2 * ONE),
            "ts": at // SECOND,
            "ts_ms": at // 1_000_000,
            "time": iso(at),
        }
        self._publish(TICKER, market.id, "ticker", body)

    def _handle_market(self, event: MarketMoved) -> None:
        market = event.market
        for body in lifecycle(event):
            self._publish(LIFECYCLE, market.id, LIFECYCLE, {"market_ticker": market.id, **body})
        if event.previous is None or market.status is MarketStatus.OPEN:
            self._record_book(market)
            return
        if market.status is MarketStatus.CLOSED:
            self._shown[market.id] = {}
            for session in self.sessions:
                for subscription in session.of(BOOK):
                    if subscription.has_market(market.id):
                        self._snapshot(session, subscription, market.id)
