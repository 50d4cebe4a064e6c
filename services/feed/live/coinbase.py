"""Coinbase live: trades and best prices from one socket, past trades and candles by REST at the start, candles after each gap."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.coinbase.market_data.rest import CoinbaseRest
from libs.venues.coinbase.market_data.streams import coinbase_socket
from libs.venues.coinbase.params import CoinbaseParams
from libs.venues.transport.websocket import VenueSocket
from proto.units import MILLISECOND
from services.feed.live.moment import now_ns
from services.feed.live.questions import Question, ask_each
from services.feed.live.source import Emit, FeedContext, LiveSource

GRANULARITY_S = 60
"""Candles asked for: the shortest the venue has, from which longer ones follow."""

_PRODUCT = re.compile(rb'"product_id":"([A-Z0-9]{1,20}-[A-Z0-9]{1,20})"')


class CoinbaseSource(LiveSource):
    """Trades, best prices and heartbeats of the section's products."""

    venue = COINBASE
    books = False

    def __init__(
        self, params: CoinbaseParams, emit: Emit, normaliser: Callable[[], CoinbaseNormaliser]
    ) -> None:
        super().__init__(params, emit)
        self._params = params
        self._normaliser = normaliser
        self._rest = CoinbaseRest(params.rest_url)
        self.leases.follow([f"{COINBASE}:{product}" for product in params.products], now_ns())

    def open_socket(self) -> VenueSocket:
        params = self._params
        return coinbase_socket(
            params.products,
            params.websocket_url,
            silence_s=params.silence_max_s,
            connection_max_s=params.connection_max_s,
        )

    @property
    def notes(self) -> list[str]:
        return [*self._normaliser().notes(), *self.past.notes]

    def past_questions(self) -> Sequence[Question]:
        if not self._params.history_s:
            return ()
        return [(f"{COINBASE}:{product}", partial(self._load, product)) for product in self._params.products]

    async def _load(self, product: str) -> None:
        since_ms = now_ns() // MILLISECOND - self._params.history_s * 1_000
        for frame in await self._rest.past_trades(product, since_ms):
            await self.emit(frame)

    async def poll(self) -> None:
        """Request the candles that the socket does not deliver."""
        await ask_each(
            COINBASE, [(product, partial(self._fill, product)) for product in self._params.products]
        )

    async def _fill(self, product: str) -> None:
        count, now_ms = self._params.backfill_count, now_ns() // MILLISECOND
        await self.emit(await self._rest.candles(product, GRANULARITY_S, count, now_ms))

    def on_connected(self) -> None:
        if self.connects > 1:
            self._refresh.set()

    def proven_markets(self, data: bytes) -> Iterable[str]:
        found = _PRODUCT.search(data) if not data.startswith(b'{"_rest"') else None
        return () if found is None else (f"{COINBASE}:{found[1].decode()}",)

    async def close(self) -> None:
        await self._rest.close()


def build_source(section: Mapping[str, Any], context: FeedContext) -> CoinbaseSource:
    """Build the source of a section."""
    params = CoinbaseParams.model_validate(section)
    return CoinbaseSource(params, context.emit, lambda: context.normalisers.of(COINBASE, CoinbaseNormaliser))
