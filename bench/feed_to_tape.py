"""Feed to tape: the feed's publisher against a real broker in its own process, then everything read back."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from bench.result import Figure, Tell, rate
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.reader import TapeReader
from proto.feed import Quote
from proto.ids import parse_message_id
from services.feed.publish import FeedPublisher
from tools.system.installation import Installation

UPDATES = 200_000
RATE_AIM = 150_000
READ_WAIT_S = 5.0
TAPE = "bench"
INSTRUMENTS = tuple(f"kalshi:KXBTC15M-BENCH-{number:02}:yes" for number in range(20))


def quote(number: int) -> Quote:
    """One update of one of a few instruments."""
    turn, which = divmod(number, len(INSTRUMENTS))
    return Quote(
        instrument=INSTRUMENTS[which],
        at=1_779_000_000_000_000_000 + number * 20_000,
        counter=turn,
        bid=440_000 + number % 90 * 1_000,
        bid_size=3_000_000,
        ask=560_000 + number % 90 * 1_000,
        ask_size=2_000_000,
    )


async def publish(link: Link, count: int) -> float:
    """Publish ``count`` updates and wait until the last is stored; seconds, encoding included."""
    publisher = FeedPublisher(link, TAPE, "bench")
    await publisher.start()
    began = perf_counter()
    for number in range(count):
        await publisher.publish(quote(number))
    await publisher.flush()
    return perf_counter() - began


async def read_back(link: Link) -> tuple[list[int], float]:
    """The counters on the tape in stored order, and the seconds it took to read them."""
    last = int((await stream_state(link.client))["last_seq"])
    reader = TapeReader(link, 0)
    counters: list[int] = []
    began = perf_counter()
    while reader.position < last:
        for record in await reader.next_batch(READ_WAIT_S):
            parsed = parse_message_id(record.message_id)
            counters.append(parsed.cause if parsed else -1)
    seconds = perf_counter() - began
    await reader.close()
    return counters, seconds


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Updates stored a second; lost, doubled or misplaced ones; the way back."""
    with tempfile.TemporaryDirectory() as directory:
        installation = Installation(Path(directory))
        await installation.start_broker()
        try:
            tell(f"{UPDATES:,} updates")
            link = await installation.connect("feed")
            seconds = await publish(link, UPDATES)
            await link.close()
            tell("reading back")
            console = await installation.connect()
            counters, read_s = await read_back(console)
            await console.close()
        finally:
            await installation.stop()
    wrong = sum(found != expected for expected, found in enumerate(counters, 1))
    wrong += abs(UPDATES - len(counters))
    return [
        rate("feed to tape: updates stored", UPDATES, seconds, "updates", RATE_AIM),
        Figure("feed to tape: lost, doubled or out of order", wrong, "updates", 0),
        rate("tape to reader: messages handed out in order", len(counters), read_s, "messages"),
    ]
