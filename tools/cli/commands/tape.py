"""Reading a tape from outside, from one sequence to another."""

from collections.abc import AsyncIterator

from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from libs.tape.reader import TapeReader
from libs.tape.record import TapeRecord

READ_WAIT_S = 1.0
GONE_S = 5.0
"""A broker that is started again is back within a second or two; one that is away for so long was stopped."""


async def records(link: Link, first: int = 1, last: int | None = None) -> AsyncIterator[TapeRecord]:
    """The records of a tape from ``first`` (or where the window begins) to ``last`` (or its end now).

    Raises:
        BrokerUnavailable: the broker is gone.
    """
    state = await stream_state(link.client)
    if not state["messages"]:
        return
    first = max(first, int(state["first_seq"]))
    end = int(state["last_seq"]) if last is None else min(last, int(state["last_seq"]))
    reader = TapeReader(link, first - 1)
    try:
        while reader.position < end:
            if link.away_s() > GONE_S:
                raise BrokerUnavailable(f"expected the tape to {end}, was no broker after {reader.position}")
            for record in await reader.next_batch(READ_WAIT_S):
                if record.seq > end:
                    return
                yield record
    finally:
        await reader.close()
