"""Binance live: one socket of combined streams, candles by REST before the start and after each gap."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from libs.venues.binance import BINANCE
from libs.venues.binance.market_data.normalise import BinanceNormaliser
from libs.venues.binance.market_data.rest import BinanceRest
from libs.venues.binance.market_data.streams import binance_socket, stream_names
from libs.venues.binance.params import BinanceParams
from libs.venues.errors import BadAnswer
from libs.venues.transport.websocket import VenueSocket
from services.feed.live.moment import now_ns
from services.feed.live.questions import Question, ask_each
from services.feed.live.source import Emit, FeedContext, LiveSource

ONE_SECOND = "1s"
"""The shortest candles that the venue has: what volatility over some seconds is measured by."""
NO_ROWS = b'"body":[]}'

_SYMBOL = re.compile(rb'"s":"([A-Z0-9]{2,20})"')
_SHUTDOWN = b"serverShutdown"


class BinanceSource(LiveSource):
    """Trades, best prices and candles of the section's symbols."""

    venue = BINANCE
    books = False

    def __init__(
        self, params: BinanceParams, emit: Emit, normaliser: Callable[[], BinanceNormaliser]
    ) -> None:
        super().__init__(params, emit)
        self._params = params
        self._normaliser = normaliser
        self._rest = BinanceRest(params.rest_url)
        self.leases.follow([f"{BINANCE}:{symbol}" for symbol in params.symbols], now_ns())

    def open_socket(self) -> VenueSocket:
        params = self._params
        return binance_socket(
            stream_names(params.symbols, params.intervals),
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
        return [(f"{BINANCE}:{symbol}", partial(self._load, symbol)) for symbol in self._params.symbols]

    async def _load(self, symbol: str) -> None:
        # One more than asked for: the last one still runs.
        frame = await self._rest.klines(symbol, ONE_SECOND, self._params.history_s + 1)
        if frame.endswith(NO_ROWS):
            raise BadAnswer(BINANCE, "expected candles of a second, was none")
        await self.emit(frame)

    async def poll(self) -> None:
        """Request the candles that the socket does not deliver."""
        params = self._params
        pairs = [(symbol, interval) for symbol in params.symbols for interval in params.intervals]
        await ask_each(
            BINANCE,
            [(f"{symbol} {interval}", partial(self._fill, symbol, interval)) for symbol, interval in pairs],
        )

    async def _fill(self, symbol: str, interval: str) -> None:
        await self.emit(await self._rest.klines(symbol, interval, self._params.backfill_count))

    def on_connected(self) -> None:
        if self.connects > 1:
            self._refresh.set()

    async def on_frame(self, data: bytes) -> None:
        if _SHUTDOWN in data[:200]:
            # This server goes down for maintenance within minutes; a new connection reaches another one.
            self._again.set()

    def proven_markets(self, data: bytes) -> Iterable[str]:
        found = _SYMBOL.search(data) if not data.startswith(b'{"_rest"') else None
        return () if found is None else (f"{BINANCE}:{found[1].decode()}",)

    async def close(self) -> None:
        await self._rest.close()


def build_source(section: Mapping[str, Any], context: FeedContext) -> BinanceSource:
    """Build the source of a section."""
    params = BinanceParams.model_validate(section)
    return BinanceSource(params, context.emit, lambda: context.normalisers.of(BINANCE, BinanceNormaliser))
