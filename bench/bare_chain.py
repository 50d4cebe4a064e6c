"""The yardstick: three tape hops and a claim by nats-py alone, each hop its own process, nothing decided.

``python -m bench.bare_chain ROLE URL ARGUMENT…`` runs one process; ``bench.latency`` starts them.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import nats
import uvloop
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy
from websockets.asyncio.client import connect

STREAM = "BARE"
CLAIMS = "BARECLAIMS"
HOPS = ("tick", "proposal", "approval")
EVERY_N = 20


async def source(url: str, socket: str) -> None:
    """From the socket to the stream: each frame, stamped with its receive time."""
    client = await nats.connect(url)
    stream = client.jetstream()
    async with connect(socket) as frames:
        async for frame in frames:
            at = time.time_ns()
            payload = at.to_bytes(8, "big") + str(frame).encode()[:150]
            await stream.publish_async("bare.tick", payload)


async def hop(url: str, number: int) -> None:
    """From one subject to the next: the first hop passes every n-th on, the others all."""
    client = await nats.connect(url)
    stream = client.jetstream()
    target = f"bare.{HOPS[number + 1]}"
    seen = 0

    async def on_message(message: Msg) -> None:
        nonlocal seen
        seen += 1
        if number or seen % EVERY_N == 0:
            await stream.publish(target, message.data)

    await _subscribe(stream, HOPS[number], on_message)
    await asyncio.Future()


async def claim(url: str) -> None:
    """The last hop: win the claim; print how long the tick took to get here."""
    client = await nats.connect(url)
    stream = client.jetstream()
    number = 0

    async def on_message(message: Msg) -> None:
        nonlocal number
        number += 1
        headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
        await stream.publish(f"bareclaim.{number}", message.data, headers=headers)
        took = time.time_ns() - int.from_bytes(message.data[:8], "big")
        sys.stdout.write(f"{took / 1e6:.4f}\n")
        sys.stdout.flush()

    await _subscribe(stream, HOPS[2], on_message)
    await asyncio.Future()


async def _subscribe(
    stream: JetStreamContext, name: str, on_message: Callable[[Msg], Awaitable[None]]
) -> None:
    config = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    await stream.subscribe(f"bare.{name}", stream=STREAM, cb=on_message, ordered_consumer=True, config=config)


def main() -> None:
    """Run the role named on the command line."""
    role, url, *rest = sys.argv[1:]
    if role == "source":
        work = source(url, rest[0])
    elif role == "hop":
        work = hop(url, int(rest[0]))
    else:
        work = claim(url)
    uvloop.run(work)


if __name__ == "__main__":
    main()
