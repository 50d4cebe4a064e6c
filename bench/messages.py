"""The messages that matter most for speed: made, encoded, and decoded as they are read from the tape."""

from collections.abc import Callable, Sequence
from pathlib import Path
from timeit import Timer

from bench.feed_to_tape import quote
from bench.result import Figure, Tell
from libs.contract.codec import decode, encode
from proto.feed import Book, Side, book_of, quote_of, to_levels
from proto.message import Message
from proto.risk import Approval, Check, TimeInForce
from proto.units import ONE, SECOND

COUNT = 500
ROUNDS = 200
CHECKS = 29
"""Of an entry: an approval carries them all."""


def book() -> Book:
    """Ten levels a side."""
    bids = to_levels([(490_000 - 10_000 * step, 25 * ONE) for step in range(10)])
    asks = to_levels([(500_000 + 10_000 * step, 25 * ONE) for step in range(10)])
    return Book(instrument=quote(1).instrument, at=SECOND, counter=1, bids=bids, asks=asks)


def approval() -> Approval:
    """As risk sends it."""
    return Approval(
        order="bench-1-0",
        strategy="momentum",
        market="kalshi:KXBTC15M-26MAY131800-00",
        instrument="kalshi:KXBTC15M-26MAY131800-00:yes",
        side=Side.BUY,
        price=450_000,
        quantity=100 * ONE,
        time_in_force=TimeInForce.IOC,
        expires_at=SECOND,
        proposal="bench:signal:1:0",
        checks=tuple(Check("market_stake", 50 * ONE, 45 * ONE) for _ in range(CHECKS)),
    )


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Microseconds for one message, best of a few rounds."""
    tell("a Quote, a Book, an Approval")
    figures: list[Figure] = []
    for message in (quote(1), book(), approval()):
        figures += _of(message)
    figures.append(_figure("Quote made without checks", _maker(quote(1), quote_of)))
    figures.append(_figure("Book made without checks", _maker(book(), book_of)))
    return figures


def _of(message: Message) -> list[Figure]:
    name, subject, payload = type(message).__name__, message.subject(), encode(message)
    if decode(subject, payload) != message:
        raise RuntimeError(f"expected {name} to be read as it was written")
    return [
        _figure(f"{name} made", _maker(message, type(message))),
        _figure(f"{name} encoded", lambda: encode(message)),
        _figure(f"{name} decoded", lambda: decode(subject, payload)),
    ]


def _maker(message: Message, make: Callable[..., Message]) -> Callable[[], Message]:
    fields = dict(message.__dict__)
    return lambda: make(**fields)


def _figure(name: str, call: Callable[[], object]) -> Figure:
    return Figure(f"messages: {name}", min(Timer(call).repeat(ROUNDS, COUNT)) / COUNT * 1e6, "µs")
