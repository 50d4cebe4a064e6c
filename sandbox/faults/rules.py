"""The kinds of faults, their rules, and the file that lists them."""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from libs.bounded import clip
from libs.venues.catalogue import VENUES, in_sandbox
from libs.venues.entry import load_entry
from proto.units import ONE, parse

RULES_MAX = 200
"""Rules of one script; each is looked at for every request."""
SCRIPT_BYTES_MAX = 256 * 1024


class FaultKind(StrEnum):
    """See ``sandbox/README.md`` for what each one does and which fields of the rule it reads."""

    DELAY = "delay"
    DROP = "drop"
    ACCEPT_THEN_TIMEOUT = "accept_then_timeout"
    APPEAR_LATE = "appear_late"
    STATUS = "status"
    RESET_CONNECTION = "reset_connection"
    RATE_LIMIT = "rate_limit"
    RESTART_WINDOW = "restart_window"
    POST_ONLY = "post_only"
    SILENT_SOCKET = "silent_socket"
    CLOSE_SOCKET = "close_socket"
    SEQUENCE_GAP = "sequence_gap"
    TICK_SIZE_CHANGE = "tick_size_change"
    DUPLICATE_FILL = "duplicate_fill"
    FAIL_SETTLEMENT = "fail_settlement"
    OVER_FILL = "over_fill"
    FILL_BEFORE_ACK = "fill_before_ack"
    STALE_BALANCE = "stale_balance"


ORDER, ORDERS, CANCEL, HEARTBEAT, READ = "order", "orders", "cancel", "heartbeat", "read"
MARKET_SOCKET, PRICES_SOCKET, USER_SOCKET = "market_socket", "prices_socket", "user_socket"
FILL, WORLD = "fill", "world"
_HTTP = frozenset({ORDER, ORDERS, CANCEL, HEARTBEAT, READ})
_SOCKETS = frozenset({MARKET_SOCKET, PRICES_SOCKET, USER_SOCKET})
_TRADING = frozenset({ORDER, ORDERS, CANCEL, HEARTBEAT})

OPERATIONS: dict[FaultKind, frozenset[str]] = {
    FaultKind.DELAY: _HTTP | _SOCKETS,
    FaultKind.DROP: _HTTP,
    FaultKind.ACCEPT_THEN_TIMEOUT: frozenset({ORDER, ORDERS, CANCEL}),
    FaultKind.APPEAR_LATE: frozenset({ORDER, ORDERS, CANCEL}),
    FaultKind.STATUS: _HTTP,
    FaultKind.RESET_CONNECTION: _HTTP,
    FaultKind.RATE_LIMIT: _HTTP,
    FaultKind.RESTART_WINDOW: _TRADING,
    FaultKind.POST_ONLY: _TRADING,
    FaultKind.SILENT_SOCKET: _SOCKETS,
    FaultKind.CLOSE_SOCKET: _SOCKETS,
    FaultKind.SEQUENCE_GAP: _SOCKETS,
    FaultKind.TICK_SIZE_CHANGE: frozenset({WORLD}),
    FaultKind.DUPLICATE_FILL: frozenset({FILL}),
    FaultKind.FAIL_SETTLEMENT: frozenset({FILL}),
    FaultKind.OVER_FILL: frozenset({FILL}),
    FaultKind.FILL_BEFORE_ACK: frozenset({FILL}),
    FaultKind.STALE_BALANCE: frozenset({READ}),
}
"""Where a kind can strike at all; ``operation`` of a rule narrows it further."""

ANYWHERE = frozenset(
    {
        FaultKind.DELAY,
        FaultKind.DROP,
        FaultKind.STATUS,
        FaultKind.RESET_CONNECTION,
        FaultKind.RATE_LIMIT,
        FaultKind.SILENT_SOCKET,
        FaultKind.CLOSE_SOCKET,
        FaultKind.SEQUENCE_GAP,
    }
)
TAKING_ORDERS = ANYWHERE | {
    FaultKind.ACCEPT_THEN_TIMEOUT,
    FaultKind.APPEAR_LATE,
    FaultKind.RESTART_WINDOW,
}


@cache
def acted_out(venue: str) -> frozenset[FaultKind]:
    """The kinds that a venue's server acts out; any other would be counted as struck and do nothing."""
    entries = VENUES[venue].sandbox
    kinds: frozenset[FaultKind] = load_entry(entries.faults) if entries is not None else frozenset()
    return kinds


_DEFAULT_SECONDS = {
    FaultKind.APPEAR_LATE: 40.0,
    FaultKind.RESTART_WINDOW: 90.0,
    FaultKind.DELAY: 1.0,
    FaultKind.STALE_BALANCE: 5.0,
}

Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class FaultScriptError(ValueError):
    """A fault script that cannot be read; the text names the file and what was expected."""


class FaultRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong, where, how often and when.

    ``venue`` and ``operation``: "*" for any the kind can strike. ``probability`` of each chance, after
    the first ``skip`` chances; at most ``count`` times. ``from_s`` and ``until_s``: seconds since the rule
    was set. ``match``: facts of the request that must be equal. The rest are parameters of the kinds.
    """

    kind: FaultKind
    venue: str = "*"
    operation: str = "*"
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    count: Annotated[int, Meta(ge=1)] | None = None
    skip: Annotated[int, Meta(ge=0)] = 0
    from_s: Seconds = 0.0
    until_s: Seconds | None = None
    match: dict[str, str] = {}
    seconds: Seconds | None = None
    post_only_s: Seconds = 0.0
    status: Annotated[int, Meta(ge=200, le=599)] = 500
    body: Literal["json", "html", "empty", "hollow"] = "json"
    retry_after_s: Seconds | None = None
    carried_out: bool = False
    amount: str = "0.01"
    tick: str = "0.001"
    market: str = ""

    def __post_init__(self) -> None:
        if parse(self.amount) <= 0 or not 0 < parse(self.tick) < ONE:
            raise ValueError(f"expected a positive amount and tick, was {self.amount} and {self.tick}")
        if self.venue != "*":
            self._check_venue()
        allowed = OPERATIONS[self.kind]
        if self.operation not in ("*", *allowed):
            raise ValueError(f"expected operation * or one of {sorted(allowed)}, was {self.operation!r}")

    def _check_venue(self) -> None:
        """Check that a rule names a fault which its venue's server can inject."""
        if self.venue not in in_sandbox():
            raise ValueError(
                f"expected venue * or one of {', '.join(in_sandbox())}, was {clip(self.venue, 40)!r}"
            )
        kinds = {self.kind} | ({FaultKind.POST_ONLY} if self.post_only_s else set())
        missing = kinds - acted_out(self.venue)
        if missing:
            able = ", ".join(venue for venue in in_sandbox() if not missing - acted_out(venue))
            raise ValueError(f"expected {min(missing)} at {able} only, was {self.venue}")

    @property
    def lasts_s(self) -> float:
        """``seconds``, or what is usual for the kind."""
        return self.seconds if self.seconds is not None else _DEFAULT_SECONDS.get(self.kind, 0.0)

    def may_strike(self, venue: str, operation: str) -> bool:
        """Whether the rule is about a venue's operation."""
        return (
            self.venue in ("*", venue)
            and self.operation in ("*", operation)
            and operation in OPERATIONS[self.kind]
            and self.kind in acted_out(venue)
        )


class FaultScript(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole script: the seed of its chances and its rules, of which the first that strikes counts."""

    seed: int = 7
    faults: Annotated[tuple[FaultRule, ...], Meta(max_length=RULES_MAX)] = ()


def read_script(path: Path) -> FaultScript:
    """Read a YAML or JSON file.

    Raises:
        FaultScriptError: when it cannot be read or is not what a script may be.
    """
    try:
        if path.stat().st_size > SCRIPT_BYTES_MAX:
            raise FaultScriptError(f"{path}: expected at most {SCRIPT_BYTES_MAX} bytes")
        document = yaml.safe_load(path.read_text())
        return msgspec.convert(document or {}, FaultScript)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as e:
        raise FaultScriptError(f"{path}: {e}") from e
