"""Which order ids were used: remembered for ever by the highest of each tape, not by a list."""

from typing import NamedTuple

from msgspec import Struct

from proto.ids import parse_number


class OrderKey(NamedTuple):
    """The parts of an order id; within a tape, decisions rise by (cause, output)."""

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


class HighWaterMarks(Struct):
    """The highest (cause, output) used, for each tape. An entry has 40 bytes, and tapes are few."""

    marks: dict[str, tuple[int, int]] = {}

    def is_used(self, key: OrderKey) -> bool:
        """Whether this id, or a later one of its tape, was used."""
        mark = self.marks.get(key.tape)
        return mark is not None and (key.cause, key.output) <= mark

    def mark_used(self, key: OrderKey) -> None:
        """Mark ``key`` and every earlier id of its tape as used."""
        if not self.is_used(key):
            self.marks[key.tape] = (key.cause, key.output)
