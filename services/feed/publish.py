"""Putting the feed on the tape: fast when all is well, complete when the broker falters.

Messages carry a counter in their id. Every 64th is acknowledged and vouches for those before it; what is
not vouched for is kept and, after a failure, sent again from behind the last one the tape holds. In a cluster each one is
acknowledged before the next is sent.
"""

import asyncio
import json
from collections import deque
from time import monotonic

import nats.errors

from libs.contract.codec import encode
from libs.machine.input_gate import AHEAD_MAX
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable, TapeError
from libs.tape.lease import Lease
from libs.tape.publisher import Publisher, Stored
from libs.tape.reader import TapeReader
from libs.tape.record import BUILD_HEADER, ID_HEADER
from proto.ids import MessageId, parse_message_id
from proto.message import Message
from proto.subjects import TAPE

UNACKNOWLEDGED_MAX = 2_000
"""Messages sent and not vouched for; without a bound a core publish of a million lost a fifth."""
ACKNOWLEDGE_EVERY = 64
RETRY_WAIT_S = 0.05
LAST_TIMEOUT_S = 2.0
SEARCHED_BACK = 100_000
"""How much of the tape is searched for our last message when others have written under our name."""


class FeedPublisher:
    """Publishes feed messages in order, each once on the tape."""

    def __init__(self, link: Link, tape: str, build: str, lease: Lease | None = None) -> None:
        self.counter = 0
        self.term = 0
        self.published = 0
        self.retries = 0
        self._losses = link.losses
        self._link = link
        self._publisher = Publisher(link)
        self._tape = tape
        self._build = build
        self._lease = lease
        self._kept: deque[tuple[int, str, bytes]] = deque()
        self._acks: deque[tuple[int, asyncio.Future[Stored]]] = deque()

    async def start(self) -> None:
        """Find the last message of ours on the tape; counting goes on from there."""
        await self._publisher.start()
        await self.find_last()

    async def find_last(self) -> None:
        """Go on from the last message on the tape, whoever put it there.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        self.counter = await self._last_stored()

    async def _last_stored(self) -> int:
        """Counter of the newest feed message on this tape; 0 when there is none."""
        client = self._link.client
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        config = {
            "deliver_subject": inbox,
            "deliver_policy": "last",
            "filter_subject": "feed.>",
            "ack_policy": "none",
            "mem_storage": True,
            "inactive_threshold": 5_000_000_000,
        }
        body = json.dumps({"stream_name": TAPE, "config": config}).encode()
        try:
            reply = await client.request(f"$JS.API.CONSUMER.CREATE.{TAPE}", body, timeout=LAST_TIMEOUT_S)
            answer = json.loads(reply.data)
            if "error" in answer:
                raise BrokerUnavailable(f"expected a consumer, was {answer['error']}")
            if answer["num_pending"] == 0 and answer["delivered"]["consumer_seq"] == 0:
                return 0
            message = await subscription.next_msg(timeout=LAST_TIMEOUT_S)
        except (nats.errors.Error, TimeoutError, OSError) as e:
            raise BrokerUnavailable(f"expected the last feed message, was {e!r}") from e
        finally:
            if self._link.connected:
                await subscription.unsubscribe()
        seq = int(message.reply.split(".")[5])  # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.…
        counter = self._counter_in((message.headers or {}).get(ID_HEADER, ""), seq)
        return await self._search_back(seq) if counter is None else counter

    def _counter_in(self, message_id: str, seq: int) -> int | None:
        """The counter in an id of ours; ``None`` for what others, or nobody, gave to a feed message."""
        parsed = parse_message_id(message_id)
        if parsed is None or parsed.producer != "feed" or parsed.cause > seq + AHEAD_MAX:
            return None
        if parsed.tape != self._tape:
            return 0
        self.term = max(self.term, min(parsed.index, seq + AHEAD_MAX))
        return parsed.cause

    async def _search_back(self, last_seq: int) -> int:
        """The last feed message is not ours: somebody else, or the broker for him, wrote it.

        Counting from nought again would silence the feed, for readers drop what is not above its last id.
        """
        reader = TapeReader(self._link, max(0, last_seq - SEARCHED_BACK), filter_subject="feed.>")
        newest = 0
        try:
            while reader.position < last_seq and (batch := await reader.next_batch(LAST_TIMEOUT_S)):
                found = (self._counter_in(record.message_id, record.seq) for record in batch)
                newest = max(newest, *(counter or 0 for counter in found))
        finally:
            await reader.close()
        return newest

    async def publish_stored(self, message: Message) -> int:
        """Publish one message and wait until it is on the tape; its sequence. For lockstep, and for clusters."""
        self.counter += 1
        self.published += 1
        subject, payload = message.subject(), encode(message)
        while True:
            try:
                self._check_lease()
                stored = await self._publisher.publish(subject, payload, self._headers(self.counter))
            except TapeError:
                self.retries += 1
                await asyncio.sleep(RETRY_WAIT_S)
            else:
                return stored.seq

    async def publish(self, message: Message) -> None:
        """Publish one message; waits while too many are unacknowledged or the broker is away."""
        if self._lease is not None:
            # A cluster that elects a leader may lose one message and store the next: each waits for the one before.
            await self.publish_stored(message)
            return
        self.counter += 1
        self.published += 1
        entry = (self.counter, message.subject(), encode(message))
        self._kept.append(entry)
        try:
            await self._send(entry, acknowledged=self.counter % ACKNOWLEDGE_EVERY == 0)
            while len(self._kept) > UNACKNOWLEDGED_MAX and self._acks:
                await self._resolve_unacknowledged()
        except TapeError:
            await self._recover()

    async def flush(self) -> None:
        """Wait until everything published is on the tape."""
        while self._kept:
            try:
                if not self._acks or self._acks[-1][0] != self._kept[-1][0]:
                    await self._send(self._kept[-1], acknowledged=True)
                while self._acks:
                    await self._resolve_unacknowledged()
            except TapeError:
                await self._recover()

    async def _send(self, entry: tuple[int, str, bytes], *, acknowledged: bool) -> None:
        self._check_connection()
        counter, subject, payload = entry
        headers = self._headers(counter)
        if acknowledged:
            self._acks.append((counter, await self._publisher.begin(subject, payload, headers)))
        else:
            await self._publisher.publish_unacknowledged(subject, payload, headers)

    def _headers(self, counter: int) -> dict[str, str]:
        term = max(self.term, 0 if self._lease is None else self._lease.term)
        return {ID_HEADER: str(MessageId(self._tape, "feed", counter, term)), BUILD_HEADER: self._build}

    def _check_lease(self) -> None:
        """Raises BrokerUnavailable while another feed may lead."""
        if self._lease is not None and not self._lease.held:
            raise BrokerUnavailable("expected to hold the feed's lease, was not renewed")

    def _check_connection(self) -> None:
        """Raises BrokerUnavailable when what was sent may have been lost with a connection since."""
        if self._link.losses != self._losses:
            raise BrokerUnavailable("expected an unbroken connection, was a new one")

    async def _resolve_unacknowledged(self) -> None:
        counter, future = self._acks.popleft()
        await self._publisher.wait(future)
        self._check_connection()
        while self._kept and self._kept[0][0] <= counter:
            self._kept.popleft()

    async def _recover(self) -> None:
        """Send again what the tape lacks, until the broker has taken it all."""
        while True:
            self.retries += 1
            self._acks.clear()
            self._losses = self._link.losses
            try:
                last = await self._last_stored()
                while self._kept and self._kept[0][0] <= last:
                    self._kept.popleft()
                for entry in self._kept:
                    await self._send(entry, acknowledged=entry is self._kept[-1])
                while self._acks:
                    await self._resolve_unacknowledged()
            except TapeError:
                await asyncio.sleep(RETRY_WAIT_S)
            else:
                return


class Pace:
    """Holds playback to ``speed`` times real time; ``None`` is as fast as it goes."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._origin: tuple[float, int] | None = None

    async def wait(self, at_ns: int) -> None:
        """Wait until a message taken in at ``at_ns`` is due."""
        if self._speed is None:
            return
        if self._origin is None:
            self._origin = (monotonic(), at_ns)
        due = self._origin[0] + (at_ns - self._origin[1]) / 1e9 / self._speed
        delay = due - monotonic()
        if delay > 0:
            await asyncio.sleep(delay)
