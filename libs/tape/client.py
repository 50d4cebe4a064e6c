"""The broker's client, hardened: no stored message can make it deaf.

nats-py 2.16 ends its read loop, for good and without reconnecting, on a subject that is not UTF-8 or a
header block shorter than its first line; a subject with a form feed or a vertical tab reads to it as a
protocol error, again after every reconnect. The broker stores and delivers all of these, so one message
of one compromised service would silence every reader of the tape.

And it is in no hurry: a message passes through a queue and a task of its subscription before anybody sees it,
and what is sent through another task. ``listen`` and ``_flush_pending`` leave both out.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol import parser

_BLANK = rb"[ \t]+"
_TOKEN = rb"([^ \t\r\n]+)"
_REPLY = rb"(" + _TOKEN + _BLANK + rb")?"

# The broker separates the arguments of a line by blanks and tabs alone; so must its client.
parser.MSG_RE = re.compile(rb"\AMSG" + _BLANK + (_TOKEN + _BLANK) * 2 + _REPLY + rb"(\d+)\r\n")
parser.HMSG_RE = re.compile(
    rb"\AHMSG" + _BLANK + (_TOKEN + _BLANK) * 2 + _REPLY + rb"(\d+)" + _BLANK + rb"(\d+)\r\n"
)


Listener = Callable[[Msg], Awaitable[None]]

HEADER_NAMES_MAX = 256
"""Names of headers remembered as read; ours are seven."""


@lru_cache(maxsize=HEADER_NAMES_MAX)
def _name(raw: bytes) -> str:
    """A header's name; empty for what is none."""
    try:
        name = raw.strip().decode("ascii")
    except UnicodeDecodeError:
        return ""
    return "" if any(character.isspace() for character in name) else name


class TapeClient(Client):
    """nats-py's client; what cannot be read of a message becomes U+FFFD, or is left out."""

    def __init__(self) -> None:
        super().__init__()
        self._listeners: dict[int, Listener] = {}
        self._resting = False
        self._writing_soon = False

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Subscribe; ``listener`` is called as soon as a message is read, before the next one is.

        It must not wait for anything that comes by this connection. End it with ``unlisten``.
        """
        subscription = await self.subscribe(subject, cb=_nobody)
        self._listeners[subscription._id] = listener
        return subscription

    async def unlisten(self, subscription: Subscription) -> None:
        """Unsubscribe. Raises what the client raises; the listener hears nothing more in any case."""
        self._listeners.pop(subscription._id, None)
        await subscription.unsubscribe()

    def rest(self, seconds: float) -> None:
        """Read nothing for so long, answers included: what comes meanwhile comes all at once, and costs a third."""
        writer = getattr(self._transport, "_io_writer", None)
        if self._resting or writer is None:
            return
        transport: asyncio.Transport = writer.transport
        with suppress(RuntimeError):
            # Not when it is closing just now.
            transport.pause_reading()
            self._resting = True
            asyncio.get_running_loop().call_later(seconds, self._go_on, transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        self._resting = False
        if not transport.is_closing():
            transport.resume_reading()

    @property
    def server_info(self) -> dict[str, Any]:
        """What the node it is connected to said of itself; empty before the first connection."""
        return self._server_info

    async def leave_node(self) -> None:
        """Give up this connection as if it were lost; the next one goes to any node of the list."""
        await self._process_op_err(nats.errors.StaleConnectionError())

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        listener = self._listeners.get(sid)
        if listener is None:
            await super()._process_msg(sid, subject, reply, data, headers)  # type: ignore[arg-type] # or none
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            found = await self._process_headers(headers)
            await listener(self._build_message(sid, subject, reply, data, found))
        except Exception as e:  # noqa: BLE001  (as in the client: the read loop outlives every message)
            await self._error_cb(e)

    async def _connect_to_server(self, s: Any) -> None:
        """As the client does, which leaves a line open that led to somebody who was no broker, or no longer one."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """As the client does, which stumbles half-way when something still waits for a line that is gone."""
        self._write()
        await super()._close(status, do_cbs)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        """Write at once what is sent alone, and together what one turn of the loop sends after it."""
        if force_flush or not self.is_connected:
            return await super()._flush_pending(force_flush)
        if not self._writing_soon and self._write():
            self._writing_soon = True
            asyncio.get_running_loop().call_soon(self._write_rest)
        return None

    def _write_rest(self) -> None:
        self._writing_soon = False
        if self.is_connected:
            self._write()

    def _write(self) -> bool:
        """Hand what waits to the transport; whether there was something. A lost line loses it, as what went before."""
        pending = self._pending
        if not pending or self._transport is None:
            return False
        self._pending = []
        self._pending_data_size = 0
        with suppress(OSError, RuntimeError):
            self._transport.writelines(pending)
        return True

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """As the client does, which looks at every character of every name again."""
        found: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            raw_name, colon, value = line.partition(b":")
            if colon and (name := _name(raw_name)):
                found[name] = value.strip().decode("utf-8", "replace")
        return found

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return Msg(
            _client=self,
            subject=subject.decode(errors="replace"),
            reply=reply.decode(errors="replace"),
            data=data,
            headers=headers,
            _sid=sid,
        )

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError) as e:
            await self._error_cb(nats.errors.Error(f"expected headers, was {type(e).__name__}"))
            return None


async def _nobody(_: Msg) -> None:
    """What the subscription's own task would call; its queue stays empty."""
