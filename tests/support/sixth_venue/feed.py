"""Its frames as quotes, and the socket they come from."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from libs.venues.frame import DECODE_ERRORS, FrameError
from libs.venues.reference import Reference, top_of
from libs.venues.reference_normaliser import ReferenceNormaliser
from libs.venues.transport.websocket import VenueSocket
from proto.message import Message
from services.feed.live.moment import now_ns
from services.feed.live.source import FeedContext, LiveSource
from tests.support.sixth_venue.venue import SIXTH, SixthParams

PAIR = "BTC-EUR"


class Prices(msgspec.Struct):
    bid: str
    ask: str


def decode(data: bytes) -> Prices | None:
    if data.startswith(b'{"type"'):
        return None
    try:
        return msgspec.json.decode(data, type=Prices)
    except DECODE_ERRORS as e:
        raise FrameError(f"expected best prices: {e}") from e


class SixthNormaliser(ReferenceNormaliser[Reference]):
    def __init__(self) -> None:
        super().__init__(
            SIXTH, lambda instrument: Reference(SIXTH, instrument), decode, {Prices: self._prices}
        )

    def _prices(self, frame: Prices, at: int) -> list[Message]:
        known = self._reference(PAIR)
        known.top = top_of(frame.bid, "1", frame.ask, "1")
        return known.due_messages(at)


class SixthSource(LiveSource):
    venue = SIXTH
    books = False

    def __init__(self, params: SixthParams, context: FeedContext) -> None:
        super().__init__(params, context.emit)
        self._params = params
        self.leases.follow([f"{SIXTH}:{PAIR}"], now_ns())

    def open_socket(self) -> VenueSocket:
        return VenueSocket(SIXTH, self._params.websocket_url, silence_s=self._params.silence_max_s)

    def proven_markets(self, data: bytes) -> Iterable[str]:
        return (f"{SIXTH}:{PAIR}",)


def build_normaliser(section: Mapping[str, Any]) -> SixthNormaliser:
    return SixthNormaliser()


def build_source(section: Mapping[str, Any], context: FeedContext) -> SixthSource:
    return SixthSource(SixthParams.model_validate(section), context)
