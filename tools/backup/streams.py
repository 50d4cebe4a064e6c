"""Streams of the broker as files, by its own interface for that: whole, with every sequence, time and header.

The broker sends a stream in chunks of an archive of its own form and waits for each window of them to be acknowledged;
it goes on storing meanwhile. Restoring is the same the other way round, into a stream that does not exist.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, BinaryIO

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.tape.errors import BrokerUnavailable, TapeError
from tools.backup.manifest import StoredStream

CHUNK_BYTES = 128 * 1024
"""The broker's own default; far below its largest message."""
SILENCE_S_MAX = 30.0
"""A broker that is at it sends several chunks a second; checking a large stream first takes some seconds."""
STORED_TIMEOUT_S = 300.0
"""After the last chunk the broker unpacks and reads all of it before it answers."""
NOT_FOUND = 10059
CONFIG_KEPT = ("max_msgs", "max_bytes", "max_age")
"""Of a restored stream: its limits as they were. Everything else is as this installation makes it."""

Progress = Callable[[int], None]
"""Called now and then with the bytes done."""


async def save_stream(
    client: Client, name: str, target: BinaryIO, tell: Progress = lambda _: None
) -> StoredStream:
    """Write a stream into a file; its configuration, and its state when that began.

    Raises:
        BrokerUnavailable: the broker fell silent.
        TapeError: the broker refused, or broke off.
    """
    queue: asyncio.Queue[Msg] = asyncio.Queue()

    async def take(message: Msg) -> None:
        queue.put_nowait(message)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=take)
    try:
        body = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK_BYTES}
        answer = await _ask(client, f"STREAM.SNAPSHOT.{name}", body)
        done = 0
        while chunk := await _next_chunk(queue, name):
            await asyncio.to_thread(target.write, chunk.data)
            if chunk.reply:
                await client.publish(chunk.reply)
            done += len(chunk.data)
            tell(done)
    finally:
        await subscription.unsubscribe()
    return StoredStream(answer["config"], answer["state"])


async def _next_chunk(queue: "asyncio.Queue[Msg]", name: str) -> Msg | None:
    try:
        async with asyncio.timeout(SILENCE_S_MAX):
            message = await queue.get()
    except TimeoutError as e:
        raise BrokerUnavailable(f"expected the rest of {name}, was silence for {SILENCE_S_MAX:.0f} s") from e
    if message.data:
        return message
    status = (message.headers or {}).get("Status", "")
    if status and status != "204":
        raise TapeError(f"expected all of {name}, was broken off by the broker: {message.headers}")
    return None


async def restore_stream(
    client: Client, name: str, stored: StoredStream, source: BinaryIO, tell: Progress = lambda _: None
) -> dict[str, Any]:
    """Make a stream from a file in place of an empty one; its state then.

    Raises:
        BrokerUnavailable: the broker fell silent.
        TapeError: there is a stream of that name with something in it, or the broker refused the file.
    """
    held = await _ask(client, f"STREAM.INFO.{name}", {})
    if held["state"]["last_seq"]:
        raise TapeError(
            f"expected an empty stream {name}, was one that holds {held['state']['last_seq']} messages"
        )
    config = held["config"] | {key: stored.config[key] for key in CONFIG_KEPT if key in stored.config}
    await _ask(client, f"STREAM.DELETE.{name}", {})
    answer = await _ask(client, f"STREAM.RESTORE.{name}", {"config": config, "state": stored.state})
    subject, done = answer["deliver_subject"], 0
    while chunk := await asyncio.to_thread(source.read, CHUNK_BYTES):
        await _send(client, subject, chunk, SILENCE_S_MAX)
        done += len(chunk)
        tell(done)
    made = await _send(client, subject, b"", STORED_TIMEOUT_S)
    state: dict[str, Any] = made["state"]
    return state


async def _send(client: Client, subject: str, chunk: bytes, timeout_s: float) -> dict[str, Any]:
    try:
        reply = await client.request(subject, chunk, timeout=timeout_s)
    except (nats.errors.Error, TimeoutError) as e:
        raise BrokerUnavailable(f"expected the broker to take a chunk, was {type(e).__name__}") from e
    return _answer_of(reply.data, subject) if reply.data.startswith(b"{") else {}


async def _ask(client: Client, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        reply = await client.request(f"$JS.API.{verb}", json.dumps(body).encode(), timeout=SILENCE_S_MAX)
    except (nats.errors.Error, TimeoutError) as e:
        raise BrokerUnavailable(f"expected an answer to {verb}, was {type(e).__name__}") from e
    return _answer_of(reply.data, verb)


def _answer_of(data: bytes, what: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(data)
    if "error" in answer:
        raise TapeError(f"expected the broker to do {what}, was {answer['error']}")
    return answer
