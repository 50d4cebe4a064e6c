"""Publishing to a stream: acknowledged, in order, with nothing buffered while disconnected.

One reply subscription serves all acknowledgements of a connection. A missing acknowledgement is an
unknown outcome: the message may be stored, and the caller has to read back before it goes on.
"""

import asyncio
import json
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable, PublishRefused

ACK_TIMEOUT_S = 2.0
"""A local broker acknowledges within a millisecond; two seconds of silence mean it is gone."""


class Stored(dict[str, Any]):
    """The broker's acknowledgement: ``stream``, ``seq``, and ``duplicate`` when it held the id already."""

    @property
    def seq(self) -> int:
        return int(self["seq"])

    @property
    def duplicate(self) -> bool:
        return bool(self.get("duplicate", False))


class Publisher:
    """Publishes on one link. Use one for each link; ``start`` it first."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._prefix = ""
        self._counter = 0
        self._waiting: dict[str, asyncio.Future[Stored]] = {}

    async def start(self) -> None:
        """Subscribe to the acknowledgements."""
        self._prefix = self._link.client.new_inbox()
        await self._link.client.listen(f"{self._prefix}.*", self._on_ack)

    async def begin(self, subject: str, payload: bytes, headers: dict[str, str]) -> asyncio.Future[Stored]:
        """Send one message; the future is its acknowledgement. Sending order is storing order.

        Raises:
            BrokerUnavailable: nothing was sent.
        """
        self._counter += 1
        token = str(self._counter)
        future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        try:
            await self._link.client.publish(subject, payload, f"{self._prefix}.{token}", headers)
        except (nats.errors.Error, OSError) as e:
            del self._waiting[token]
            raise BrokerUnavailable(f"expected a connection to publish {subject}, was {e!r}") from e
        future.add_done_callback(lambda _: self._waiting.pop(token, None))
        return future

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> Stored:
        """Send one message and wait until it is stored.

        Raises:
            BrokerUnavailable: no connection, or no answer: the message may be stored all the same.
            PublishRefused: the broker said no.
        """
        return await self.wait(await self.begin(subject, payload, headers))

    async def wait(self, future: asyncio.Future[Stored]) -> Stored:
        """Wait for an acknowledgement that ``begin`` promised; errors as in ``publish``."""
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                return await future
        except TimeoutError as e:
            raise BrokerUnavailable(f"expected an acknowledgement within {ACK_TIMEOUT_S} s, was none") from e

    async def publish_unacknowledged(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Send without asking for an acknowledgement; a later acknowledged one vouches for it.

        Raises:
            BrokerUnavailable: nothing was sent.
        """
        try:
            await self._link.client.publish(subject, payload, headers=headers)
        except (nats.errors.Error, OSError) as e:
            raise BrokerUnavailable(f"expected a connection to publish {subject}, was {e!r}") from e

    async def _on_ack(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        status = message.headers.get("Status") if message.headers else None
        if status == "503":
            future.set_exception(
                BrokerUnavailable("expected a stream to store the message, was no responder")
            )
            return
        answer = json.loads(message.data)
        if "error" in answer:
            error = answer["error"]
            text = (
                f"expected the message to be stored, was {error.get('err_code')}: {error.get('description')}"
            )
            future.set_exception(PublishRefused(text, int(error.get("err_code") or 0)))
        else:
            future.set_result(Stored(answer))
