"""The user channel: orders and trades of one account as they happen, each step reported once."""

from collections import OrderedDict
from typing import NamedTuple

import msgspec

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError, check_length
from libs.venues.polymarket.schemas.answers import OrderRow, TradeRow
from libs.venues.polymarket.schemas.wire import PONG
from libs.venues.polymarket.trading.auth import WalletApiKey

SEEN_MAX = 20_000
"""Steps remembered; repetitions come within minutes."""


class _Kind(msgspec.Struct):
    event_type: str | None = None
    type: str | None = None


_kind: msgspec.json.Decoder[_Kind] = msgspec.json.Decoder(_Kind)
_order: msgspec.json.Decoder[OrderRow] = msgspec.json.Decoder(OrderRow)
_trade: msgspec.json.Decoder[TradeRow] = msgspec.json.Decoder(TradeRow)
_many: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_ORDER_TYPES = ("PLACEMENT", "UPDATE", "CANCELLATION")


def subscription(key: WalletApiKey) -> bytes:
    """The first frame: it carries the secret and must not be shown. All markets of the account."""
    auth = {"apiKey": key.api_key, "secret": key.secret, "passphrase": key.passphrase}
    return msgspec.json.encode({"type": "user", "auth": auth})


class _Step(NamedTuple):
    id: str
    status: str
    filled: bytes


class UserEvents:
    """Reads the channel's frames and drops repetitions: a trade is re-sent with each status."""

    def __init__(self) -> None:
        self._seen: OrderedDict[_Step, None] = OrderedDict()
        self.repeated = 0

    def read(self, data: bytes) -> list[OrderRow | TradeRow]:
        """What is new in one frame.

        Raises:
            FrameError: for anything that is not of the protocol; nothing is remembered of it then.
        """
        if data == PONG:
            return []
        check_length(data)
        try:
            parts: list[msgspec.Raw | bytes] = list(_many.decode(data)) if data[:1] == b"[" else [data]
            rows = [row for part in parts if (row := _decode(part)) is not None]
        except DECODE_ERRORS as e:
            raise FrameError(clip(f"expected a frame of the user channel: {e}", 300)) from e
        return [row for row in rows if self._is_new(row)]

    def _is_new(self, row: OrderRow | TradeRow) -> bool:
        filled = bytes(row.size_matched) if isinstance(row, OrderRow) else b""
        step = _Step(row.id, row.status, filled)
        if step in self._seen:
            self.repeated += 1
            return False
        self._seen[step] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return True

    def forget(self) -> None:
        """Handle a new connection: what the venue repeats may have been missed, and is reported again."""
        self._seen.clear()


def _decode(data: msgspec.Raw | bytes) -> OrderRow | TradeRow | None:
    kind = _kind.decode(data)
    if kind.event_type == "order" or (kind.event_type is None and kind.type in _ORDER_TYPES):
        return _order.decode(data)
    if kind.event_type == "trade" or (kind.event_type is None and kind.type == "TRADE"):
        return _trade.decode(data)
    return None
