"""Order groups: more than a limit of contracts within a rolling 15 seconds cancels all orders of the group."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from proto.units import ONE, SECOND
from sandbox.kalshi.bodies import count
from sandbox.kalshi.refusals import KalshiRefusal, not_found
from sandbox.kalshi.shards import DEFAULT

WINDOW_NS = 15 * SECOND
GROUPS_MAX = 100
LIMIT_MAX = 1_000_000


@dataclass(slots=True)
class OrderGroup:
    """One group of one account on one shard. ``limit`` in contracts (millionths); ``enabled`` until triggered."""

    group_id: str
    owner: str
    limit: int
    shard: int = DEFAULT
    enabled: bool = True
    fills: deque[tuple[int, int]] = field(default_factory=deque)

    def record_fill(self, at: int, quantity: int) -> bool:
        """Count a fill; whether the group is triggered by it."""
        self.fills.append((at, quantity))
        return self.is_exceeded(at)

    def is_exceeded(self, at: int) -> bool:
        """Whether the window holds more than the limit."""
        while self.fills and self.fills[0][0] <= at - WINDOW_NS:
            self.fills.popleft()
        return sum(quantity for _, quantity in self.fills) > self.limit

    def summary(self) -> dict[str, Any]:
        return {
            "id": self.group_id,
            "is_auto_cancel_enabled": self.enabled,
            "contracts_limit_fp": count(self.limit),
            "exchange_index": self.shard,
        }

    def frame(self, event: str, at: int) -> dict[str, Any]:
        """Return the body of an ``order_group_updates`` frame."""
        return {
            "event_type": event,
            "order_group_id": self.group_id,
            "contracts_limit_fp": count(self.limit),
            "exchange_index": self.shard,
            "ts_ms": at // 1_000_000,
        }


class OrderGroups:
    """All groups, by id."""

    def __init__(self) -> None:
        self._groups: dict[str, OrderGroup] = {}
        self._made = 0

    def create(self, owner: str, contracts: int, shard: int = DEFAULT) -> OrderGroup:
        """Return a new group, under an id that no group of before a restart has."""
        if not 1 <= contracts <= LIMIT_MAX:
            raise KalshiRefusal(400, "bad_request", f"contracts_limit must be from 1 to {LIMIT_MAX}")
        if len(self.of(owner)) >= GROUPS_MAX:
            raise KalshiRefusal(400, "bad_request", "too many order groups")
        self._made += 1
        while f"{owner}-group-{self._made}" in self._groups:
            self._made += 1
        group_id = f"{owner}-group-{self._made}"
        group = self._groups[group_id] = OrderGroup(group_id, owner, contracts * ONE, shard)
        return group

    def add(self, group: OrderGroup) -> None:
        self._groups[group.group_id] = group

    def __iter__(self) -> Iterator[OrderGroup]:
        return iter(self._groups.values())

    def get(self, group_id: str, owner: str, shard: int | None = None) -> OrderGroup:
        """Return a group of an account. On a shard that is named, one of another shard is not found."""
        group = self._groups.get(group_id)
        if group is None or group.owner != owner or shard not in (None, group.shard):
            raise not_found("order group")
        return group

    def look_up(self, group_id: str | None) -> OrderGroup | None:
        return self._groups.get(group_id) if group_id else None

    def delete(self, group: OrderGroup) -> None:
        del self._groups[group.group_id]

    def of(self, owner: str) -> list[OrderGroup]:
        return [group for group in self._groups.values() if group.owner == owner]
