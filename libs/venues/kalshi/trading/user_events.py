"""The user stream as events of the port: reports of orders and fills, and whether anything was missed."""

import asyncio
import logging
from collections.abc import AsyncGenerator

from libs.bounded import clip
from libs.venues.errors import VenueError
from libs.venues.frame import FrameError
from libs.venues.gateway import FillReport, StreamState, UserEvent
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.auth import RequestSigner
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.trading import user_stream
from libs.venues.kalshi.trading.known import Known
from libs.venues.kalshi.trading.reports import fill_report, order_report
from libs.venues.transport.websocket import Connected, Disconnected, VenueSocket

FILL_ATTEMPTS_MAX = 4
FILL_PAUSE_S = 0.25
"""A fill of the socket is in the REST list within so many requests; otherwise the desk must reconcile."""

log = logging.getLogger("presage.kalshi")


class UserEvents:
    """Reads one account's socket. ``losses`` counts losses of continuity."""

    def __init__(self, client: KalshiClient, signer: RequestSigner, websocket_url: str, known: Known) -> None:
        self.losses = 0
        self._client = client
        self._signer = signer
        self._url = websocket_url
        self._known = known

    async def events(self) -> AsyncGenerator[UserEvent]:
        """Yield for ever.

        ``CONNECTED`` comes once the venue has confirmed all channels: from then on nothing is missed until
        ``DISCONNECTED``.
        """
        socket = VenueSocket(
            KALSHI,
            self._url,
            headers=lambda: self._signer.headers("GET", self._url),
            subscribe=user_stream.subscribe,
            keepalive=(user_stream.KEEPALIVE, user_stream.KEEPALIVE_EVERY_S),
            silence_s=user_stream.SILENCE_S,
        )
        missing: set[str] = set()
        whole = False
        async for event in socket.frames():
            if isinstance(event, Connected):
                missing = set(user_stream.CHANNELS)
            elif isinstance(event, Disconnected):
                log.warning("user stream lost: %s", event.reason)
                if whole:
                    self.losses += 1
                    yield StreamState.DISCONNECTED
                whole = False
            else:
                channel, told = await self._read(event.data)
                missing.discard(channel)
                for report in told:
                    yield report
                if not whole and not missing:
                    whole = True
                    yield StreamState.CONNECTED

    async def _read(self, data: bytes) -> tuple[str, list[UserEvent]]:
        """The channel a frame confirms, and what it reports."""
        try:
            frame = user_stream.decode(data)
            if isinstance(frame, user_stream.UserSubscribed):
                return frame.msg.channel, []
            if isinstance(frame, user_stream.UserOrder):
                return "", [self._order(frame.msg)]
            if isinstance(frame, user_stream.UserFill):
                return "", [await self._fill(frame.msg)]
            if isinstance(frame, user_stream.UserError):
                log.warning("user stream: error %d %s", frame.msg.code, frame.msg.msg[:120])
        except (FrameError, VenueError) as e:
            log.warning("user stream: a frame could not be used: %s", clip(str(e), 200))
            self.losses += 1
            # Something happened that is not known: whoever listens must ask.
            return "", [StreamState.DISCONNECTED, StreamState.CONNECTED]
        return "", []

    def _order(self, body: user_stream.UserOrderBody) -> UserEvent:
        client_id = body.client_order_id or ""
        self._known.learn_order(client_id, venue_order_id=body.order_id)
        return order_report(user_stream.as_order(body), self._known.instrument(client_id))

    async def _fill(self, body: user_stream.UserFillBody) -> FillReport:
        """Return the fill of a frame, or as REST has it where the frame does not tell all of it."""
        if body.client_order_id:
            self._known.learn_order(body.client_order_id, venue_order_id=body.order_id)
        elif self._known.client_order_id(body.order_id) is None:
            order = await self._client.order(body.order_id)
            self._known.learn_order(order.client_order_id or "", venue_order_id=body.order_id)
        client_id = self._known.client_order_id(body.order_id) or ""
        told = user_stream.as_fill(body)
        if told is not None:
            return fill_report(told, client_id, self._known.instrument(client_id))
        for attempt in range(1, FILL_ATTEMPTS_MAX + 1):
            for fill in await self._client.fills({"order_id": body.order_id}):
                if fill.trade_id == body.trade_id:
                    return fill_report(fill, client_id, self._known.instrument(client_id))
            await asyncio.sleep(FILL_PAUSE_S * attempt)
        raise VenueError(
            KALSHI, f"expected fill {clip(body.trade_id, 80)} of {clip(body.order_id, 80)} by REST too"
        )
