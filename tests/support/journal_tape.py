"""Records of a made-up tape, for the tests of the journal."""

from collections.abc import Iterable, Sequence

from libs.contract.codec import encode
from libs.tape.record import TapeRecord
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import MarketStatus, Quote, Side, Trade
from proto.message import Message
from proto.units import MILLISECOND, ONE
from services.journal.rows import is_kept

TAPE = "a1b2c3d4"
MARKET = "kalshi:KXBTC15M-26MAY131800-00"
YES = f"{MARKET}:yes"
BEGAN_NS = 1_779_000_000 * 1_000_000_000
"""A moment in May 2026."""

__all__ = [
    "BEGAN_NS",
    "MARKET",
    "TAPE",
    "YES",
    "MarketStatus",
    "Side",
    "kept",
    "mixed_tape",
    "order",
    "quote",
    "record",
    "trade",
]


def record(
    seq: int, message: Message, *, cause: int = 0, tape: str = TAPE, stored_at_ns: int | None = None
) -> TapeRecord:
    """``message`` as the broker would have stored it, one millisecond after the one before."""
    producer = message.kind.partition(".")[0]
    headers = {"Nats-Msg-Id": f"{tape}:{producer}:{cause or seq}:0", "build": "test"}
    if cause:
        headers |= {"cause": str(cause), "root": "1"}
    stored = BEGAN_NS + seq * MILLISECOND if stored_at_ns is None else stored_at_ns
    return TapeRecord(seq, message.subject(), headers, encode(message), stored)


def trade(number: int, price: int = 450_000) -> Trade:
    return Trade(instrument=YES, at=BEGAN_NS + number, trade_id=f"t{number}", price=price, quantity=ONE)


def quote(number: int) -> Quote:
    return Quote(instrument=YES, at=BEGAN_NS + number, counter=number, bid=440_000, bid_size=ONE)


def order(number: int, status: OrderStatus = OrderStatus.ACCEPTED) -> OrderUpdate:
    return OrderUpdate(
        order=f"{TAPE}-{number}-0", status=status, instrument=YES, market=MARKET, strategy="momentum"
    )


def mixed_tape(count: int, *, first: int = 1, tape: str = TAPE, price: int = 450_000) -> list[TapeRecord]:
    """``count`` records: quotes, trades and orders in turn."""
    made: list[TapeRecord] = []
    for seq in range(first, first + count):
        message: Message = (quote(seq), trade(seq, price), order(seq))[seq % 3]
        made.append(record(seq, message, tape=tape))
    return made


def kept(records: Iterable[TapeRecord]) -> Sequence[TapeRecord]:
    """Those the journal stores."""
    return [r for r in records if is_kept(r.subject)]
