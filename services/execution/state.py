"""Parameters and state of the execution machine."""

from typing import Annotated

from msgspec import Meta, Struct, field

from services.execution.orders import Admission, Tracked
from services.execution.single_use import HighWater

Seconds = Annotated[int, Meta(ge=1, le=3600)]


class ExecutionParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``execution``. Both count tape time.

    ``ack_timeout_s``: a sent order (or cancel) without an answer for so long is asked about; default 5.
    ``query_interval_s``: and asked about again after so long, until there is proof; default 10.
    """

    ack_timeout_s: Seconds = 5
    query_interval_s: Seconds = 10


class Counters(Struct):
    """What was ignored: each is an oddity somebody may have to explain."""

    illegal: int = 0
    unmatched: int = 0
    overfilled: int = 0
    unverified_claims: int = 0


class ExecutionState(Struct):
    """``live`` orders can still change; ``ended`` ones are kept a while, oldest first."""

    params: ExecutionParams | None = None
    tape: str = ""
    admission: Admission = Admission.OPEN
    live: dict[str, Tracked] = {}
    ended: dict[str, Tracked] = {}
    used: HighWater = field(default_factory=HighWater)
    counters: Counters = field(default_factory=Counters)
