"""The broker's client, hardened: no stored message can make it deaf.

nats-py 2.16 ends its read loop, for good and without reconnecting, on a subject that is not UTF-8 or a
header block shorter than its first line; a subject with a form feed or a vertical tab reads to it as a
protocol error, again after every reconnect. The broker stores and delivers all of these, so one message
of one compromised service would silence every reader of the tape.
"""

import re
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol import parser

_BLANK = rb"[ \t]+"
_TOKEN = rb"([^ \t\r\n]+)"
_REPLY = rb"(" + _TOKEN + _BLANK + rb")?"

# The broker separates the arguments of a line by blanks and tabs alone; so must its client.
parser.MSG_RE = re.compile(rb"\AMSG" + _BLANK + (_TOKEN + _BLANK) * 2 + _REPLY + rb"(\d+)\r\n")
parser.HMSG_RE = re.compile(
    rb"\AHMSG" + _BLANK + (_TOKEN + _BLANK) * 2 + _REPLY + rb"(\d+)" + _BLANK + rb"(\d+)\r\n"
)


class TapeClient(Client):
    """nats-py's client; what cannot be read of a message becomes U+FFFD, or is left out."""

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
