"""The reader of the tape: every message once, in order, whatever happens to the broker.

A push consumer without acknowledgements, with flow control and a short heartbeat. Two counters are
checked on every message: the consumer's own sequence must be contiguous, the stream's must rise. On any
doubt the reader starts a new consumer right after the last message it handed out. The client's ordered
consumer is not used: it restarts at sequence 1 after a broker restart that precedes its first message,
and does not ask again for what it dropped.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable, TapeGap
from libs.tape.record import TapeRecord
from proto.subjects import TAPE

HEARTBEAT_S = 0.5
"""Idle heartbeat asked of the broker; a new consumer is made after three of them were missed."""
CLUSTER_HEARTBEAT_S = 0.2
"""Where a stream's leader may move to another node, and the consumer with it is gone: six tenths of a second of silence."""
MISSED_MAX = 3
REQUEST_TIMEOUT_S = 2.0
RETRY_WAIT_S = 0.05
BATCH_MAX = 2_000
"""Messages handed out at once, so that a long backlog does not starve publishing and health."""
BUFFER_MAX = 1_000_000
"""Messages taken in and not handed out; far above what flow control lets through. Beyond it nothing is taken in,
and a new consumer brings the rest when the buffer is empty."""
INACTIVE_NS = 10_000_000_000
"""The broker drops an abandoned consumer after this long."""


REST_S = 0.02
"""For readers that nobody waits for: at a thousand messages a second they wake fifty times instead."""


class TapeReader:
    """Reads ``stream`` from ``position`` + 1. One consumer of the batches at a time.

    ``filter_subject``: a subject, a pattern, or several of which none covers another; only what fits comes.
    ``rest_s``: once it has everything, its connection rests for so long, and reads in one go what came meanwhile.
    """

    def __init__(
        self,
        link: Link,
        position: int,
        stream: str = TAPE,
        filter_subject: str | Sequence[str] = "",
        *,
        rest_s: float = 0.0,
    ) -> None:
        self.position = position
        self.restarts = 0
        self._filter_subject = filter_subject
        self._rest_s = rest_s
        self._link = link
        self._stream = stream
        self._buffer: deque[TapeRecord] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._subscription: Subscription | None = None
        self._consumer = ""
        self._consumer_seq = 0
        self._heard_at_s = 0.0
        self._broken = True
        self._taken_in = position
        self._slow_seen = 0
        self._pending = 0

    @property
    def _heartbeat_s(self) -> float:
        return CLUSTER_HEARTBEAT_S if self._link.is_cluster else HEARTBEAT_S

    @property
    def backlog(self) -> int:
        """Messages received and not yet handed out."""
        return len(self._buffer)

    @property
    def lag(self) -> int:
        """Messages of the stream not yet handed out, as far as the broker has told."""
        return len(self._buffer) + self._pending

    async def next_batch(self, timeout_s: float) -> list[TapeRecord]:
        """The next messages in order; empty when none came within ``timeout_s``.

        Raises:
            TapeGap: the stream no longer holds the message after ``position``.
        """
        if not self._buffer:
            await self._wait(timeout_s)
        batch: list[TapeRecord] = []
        buffer = self._buffer
        while buffer and len(batch) < BATCH_MAX:
            batch.append(buffer.popleft())
        if batch:
            self.position = batch[-1].seq
        return batch

    async def _wait(self, timeout_s: float) -> None:
        deadline = monotonic() + timeout_s
        while not self._buffer:
            if self._needs_restart():
                await self._restart()
            left = deadline - monotonic()
            if left <= 0:
                return
            await self._arrival(min(left, self._heartbeat_s))

    async def _arrival(self, timeout_s: float) -> None:
        """Wait for something to arrive. A future and a timer: far cheaper than an event under a timeout."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _needs_restart(self) -> bool:
        if self._link.slow_consumers != self._slow_seen:
            self._slow_seen = self._link.slow_consumers
            return True
        return self._broken or monotonic() - self._heard_at_s > MISSED_MAX * self._heartbeat_s

    async def _restart(self) -> None:
        await self._unsubscribe()
        self._taken_in = self._buffer[-1].seq if self._buffer else self.position
        try:
            await self._create_consumer(self._taken_in + 1)
        except (BrokerUnavailable, nats.errors.Error, TimeoutError, OSError):
            self._broken = True
            await asyncio.sleep(RETRY_WAIT_S)
            return
        self.restarts += 1

    async def _create_consumer(self, start: int) -> None:
        client = self._link.client
        if not self._link.connected:
            raise BrokerUnavailable("expected a connection, was none")
        inbox = client.new_inbox()
        self._consumer_seq = 0
        self._consumer = ""
        self._broken = False
        self._subscription = await client.listen(inbox, self._on_message)
        config: dict[str, Any] = {
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "idle_heartbeat": int(self._heartbeat_s * 1e9),
            "flow_control": True,
            "inactive_threshold": INACTIVE_NS,
            "mem_storage": True,
            "num_replicas": 1,
            "max_deliver": 1,
        }
        if self._filter_subject:
            one = isinstance(self._filter_subject, str)
            config["filter_subject" if one else "filter_subjects"] = self._filter_subject
        answer = await self._request(
            f"$JS.API.CONSUMER.CREATE.{self._stream}", {"stream_name": self._stream, "config": config}
        )
        if "error" in answer:
            raise BrokerUnavailable(f"expected a consumer, was {answer['error']}")
        self._consumer = answer["name"]
        if not self._consumer_seq:
            self._pending = int(answer.get("num_pending", 0))
        self._heard_at_s = monotonic()
        await self._check_window(start)

    async def _check_window(self, start: int) -> None:
        """A reader that needs a message the window has dropped must not go on as if it had it."""
        state = (await self._request(f"$JS.API.STREAM.INFO.{self._stream}", {}))["state"]
        if not self._filter_subject and state["messages"] and state["first_seq"] > start:
            raise TapeGap(
                f"expected the tape to hold sequence {start}, was a window from {state['first_seq']}"
            )

    async def _request(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = await self._link.client.request(
                subject, json.dumps(body).encode(), timeout=REQUEST_TIMEOUT_S
            )
        except (nats.errors.Error, TimeoutError) as e:
            raise BrokerUnavailable(f"expected an answer to {subject}, was {e!r}") from e
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    async def _on_message(self, message: Msg) -> None:
        if self._broken:
            return
        headers = message.headers
        self._heard_at_s = monotonic()
        fields = message.reply.split(".")
        # What the stream holds comes with an acknowledgement subject. A stored message may carry a header
        # that looks like the broker's own status; it must not pass for one.
        if fields[:2] != ["$JS", "ACK"] and headers is not None and headers.get("Status") == "100":
            await self._on_control(message, headers)
            return
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp>.<pending>
        if len(fields) != 9 or fields[0] != "$JS":
            self._fail()
            return
        stream_seq, consumer_seq = int(fields[5]), int(fields[6])
        if consumer_seq != self._consumer_seq + 1 or stream_seq <= self._taken_in:
            self._fail()
            return
        if len(self._buffer) >= BUFFER_MAX:
            self._fail()
            return
        self._consumer_seq = consumer_seq
        self._taken_in = stream_seq
        self._pending = int(fields[8])
        self._buffer.append(
            TapeRecord(stream_seq, message.subject, headers or {}, message.data, int(fields[7]))
        )
        self._wake()
        if self._rest_s and not self._pending:
            self._link.client.rest(self._rest_s)

    async def _on_control(self, message: Msg, headers: dict[str, str]) -> None:
        if message.reply:
            await self._answer_flow_control(message.reply)
        else:
            last = headers.get("Nats-Last-Consumer")
            stalled = headers.get("Nats-Consumer-Stalled")
            if stalled:
                await self._answer_flow_control(stalled)
            if last is not None and int(last) != self._consumer_seq:
                self._fail()

    async def _answer_flow_control(self, subject: str) -> None:
        try:
            await self._link.client.publish(subject)
        except nats.errors.Error:
            self._fail()

    def _fail(self) -> None:
        self._broken = True
        self._wake()

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await self._link.client.unlisten(subscription)
            except nats.errors.Error:
                log.debug("unsubscribe failed; the broker drops the consumer by itself")

    async def close(self) -> None:
        """Stop reading."""
        self._broken = True
        await self._unsubscribe()


log = logging.getLogger("presage.tape")


async def read_at(link: Link, seq: int) -> TapeRecord | None:
    """The record of one sequence; ``None`` when the window does not hold it, or the broker does not answer."""
    reader = TapeReader(link, seq - 1)
    try:
        batch = await reader.next_batch(REQUEST_TIMEOUT_S)
    except TapeGap:
        return None
    finally:
        await reader.close()
    return batch[0] if batch and batch[0].seq == seq else None


async def read_subject(link: Link, subject: str, position: int = 0) -> list[TapeRecord]:
    """What the tape holds of a subject (or pattern) after ``position``, up to now.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    reader = TapeReader(link, position, filter_subject=subject)
    found: list[TapeRecord] = []
    try:
        while not reader.restarts or reader.lag:
            if not link.connected:
                raise BrokerUnavailable(f"expected to read {subject}, was no connection")
            found += await reader.next_batch(HEARTBEAT_S / 10)
    finally:
        await reader.close()
    return found
