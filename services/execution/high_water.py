"""A thing is used once for ever: remembered by how far its rising number has come, not by a list."""

from typing import NamedTuple

from msgspec import Struct

from proto.ids import parse_number


class OrderKey(NamedTuple):
    """Where an order comes from; within a tape (cause, output) tells the order of decisions."""

    tape: str
    cause: int
    output: int


def parse_order_id(order: str) -> OrderKey | None:
    """Read ``{tape id}-{cause seq}-{index}``; ``None`` for anything else."""
    parts = order.rsplit("-", 2)
    if len(parts) != 3 or not parts[0]:
        return None
    cause, output = parse_number(parts[1]), parse_number(parts[2])
    if cause is None or output is None:
        return None
    return OrderKey(parts[0], cause, output)


class HighWater(Struct):
    """The highest (cause, output) used, for each tape. A tape is a line of 40 bytes, and there are few."""

    marks: dict[str, tuple[int, int]] = {}

    def covers(self, key: OrderKey) -> bool:
        """Whether this one, or a later one of its tape, was used already."""
        mark = self.marks.get(key.tape)
        return mark is not None and (key.cause, key.output) <= mark

    def rise(self, key: OrderKey) -> None:
        """Remember ``key`` and everything before it as used."""
        if not self.covers(key):
            self.marks[key.tape] = (key.cause, key.output)
