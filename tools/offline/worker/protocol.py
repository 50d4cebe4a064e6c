"""What is asked of the evaluator over the bus, and what it answers: JSON on core subjects, not stored.

A request goes to ``work.request.<user>``, answers come on ``work.answer.<user>.<id>``: ``queued``, ``running`` with how far
it is, and at last one of ``done`` (with ``result``), ``failed`` and ``cancelled`` (with ``detail``).
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from libs.bounded import clip
from libs.tape.credentials import WORK_ANSWER, WORK_REQUEST

REQUEST_BYTES_MAX = 64 * 1024
"""A request names some settings and two moments."""
ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
CHANGES_MAX = 50

WHAT_IF, EVALUATE, MEASURE, COUNTERFACTUAL, CANCEL = (
    "what_if",
    "evaluate",
    "measure",
    "counterfactual",
    "cancel",
)
ASKED = (WHAT_IF, EVALUATE, CANCEL)
"""What may be asked over the bus; the others come of the tape."""
QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
OVER = (DONE, FAILED, CANCELLED)


class RequestError(ValueError):
    """A request that cannot be done; the text says why."""


class Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request. ``changes``: path → value as a file writes it; ``first`` and ``last``: sequences or UTC times.

    ``day``: a date, the newest day without one. ``cancel`` is sent with the id of what is to be cancelled.
    """

    id: str
    kind: str
    changes: dict[str, str] = {}
    first: str = ""
    last: str = ""
    day: str = ""


class Asked(NamedTuple):
    """Who asked, and what."""

    user: str
    request: Request

    @property
    def subject(self) -> str:
        """Where the answers go."""
        return f"{WORK_ANSWER}.{self.user}.{self.request.id}"


def read_request(subject: str, data: bytes) -> Asked:
    """Read a request.

    Raises:
        RequestError: it is none.
    """
    user = subject.removeprefix(f"{WORK_REQUEST}.")
    if not ID.fullmatch(user) or len(data) > REQUEST_BYTES_MAX:
        raise RequestError(f"expected a request of at most {REQUEST_BYTES_MAX} bytes, was {len(data)}")
    try:
        request = msgspec.json.decode(data, type=Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise RequestError(clip(f"expected a request, was {e}", 300)) from e
    if not ID.fullmatch(request.id):
        raise RequestError("expected an id of at most 40 letters, digits, _ and -")
    if request.kind not in ASKED:
        raise RequestError(f"expected one of {', '.join(ASKED)}, was {clip(request.kind, 40)!r}")
    if request.kind == WHAT_IF and not 0 < len(request.changes) <= CHANGES_MAX:
        raise RequestError(f"expected 1 to {CHANGES_MAX} changes, was {len(request.changes)}")
    return Asked(user, request)


def answer_bytes(state: str, body: Mapping[str, Any]) -> bytes:
    """An answer as it is sent."""
    return msgspec.json.encode({"state": state, **body})
