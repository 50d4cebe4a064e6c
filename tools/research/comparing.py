"""Two runs over the same hours, order by order: what differs, and by what cause. Profit of a run is what its orders came to."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from proto.units import SECOND
from tools.research.orders_seen import RunSeen, SeenOrder

APART_MAX_NS = 5 * SECOND
"""Orders of one decision are less than this apart: the clocks of two runs differ by what a message took."""
CAUSES = ("price", "latency", "fill", "fee", "missing")
EXAMPLES = 20


class Pair(NamedTuple):
    """The same order in both runs; ``None`` where one has none."""

    first: SeenOrder | None
    second: SeenOrder | None


class Compared(NamedTuple):
    """What a comparison found. ``by_cause``: how much more the second run made, in millionths, by cause."""

    pairs: list[Pair]
    profits: tuple[int, int]
    by_cause: dict[str, int]

    @property
    def difference(self) -> int:
        """How much more the second run made."""
        return self.profits[1] - self.profits[0]

    @property
    def equal(self) -> int:
        """Orders that both runs have, with the same price and quantity, filled to the same."""
        return sum(not differing(pair) for pair in self.pairs)

    def document(self) -> dict[str, Any]:
        """As plain data: the first of the pairs that differ too."""
        different = [pair for pair in self.pairs if differing(pair)]
        return {
            "orders": [sum(pair[side] is not None for pair in self.pairs) for side in (0, 1)],
            "matched": sum(None not in pair for pair in self.pairs),
            "equal": self.equal,
            "profits": list(self.profits),
            "difference": self.difference,
            "by_cause": self.by_cause,
            "differing": [
                {
                    "what": differing(pair),
                    "first": None if pair.first is None else pair.first.document(),
                    "second": None if pair.second is None else pair.second.document(),
                }
                for pair in different[:EXAMPLES]
            ],
        }


def differing(pair: Pair) -> str:
    """In a word what differs first; empty when nothing does."""
    first, second = pair
    if first is None or second is None:
        return "missing"
    if first.price != second.price:
        return "price"
    if first.quantity != second.quantity:
        return "quantity"
    if first.filled != second.filled:
        return "fill"
    if first.value != second.value:
        return "latency"
    return "fee" if first.fees != second.fees else ""


def pairs_of(first: Sequence[SeenOrder], second: Sequence[SeenOrder]) -> list[Pair]:
    """Orders of the same strategy, instrument, side and purpose, in the order of time and at most five seconds apart."""
    waiting: dict[tuple[str, str, str, bool], list[SeenOrder]] = {}
    for order in sorted(second, key=lambda order: order.at):
        waiting.setdefault(order.key, []).append(order)
    pairs: list[Pair] = []
    for order in sorted(first, key=lambda order: order.at):
        rows = waiting.get(order.key, [])
        while rows and rows[0].at < order.at - APART_MAX_NS:
            pairs.append(Pair(None, rows.pop(0)))
        near = bool(rows) and rows[0].at <= order.at + APART_MAX_NS
        pairs.append(Pair(order, rows.pop(0) if near else None))
    pairs += [Pair(None, order) for rows in waiting.values() for order in rows]
    return sorted(pairs, key=_at)


def _at(pair: Pair) -> int:
    found = pair.first or pair.second
    return 0 if found is None else found.at


def compare(first: RunSeen, second: RunSeen) -> Compared:
    """Compare two runs; a contract is worth the same in both: what it paid, else its last mark."""
    causes = dict.fromkeys(CAUSES, 0)
    profits = [0, 0]
    pairs = pairs_of(list(first.orders.values()), list(second.orders.values()))
    for pair in pairs:
        known = pair.first or pair.second
        assert known is not None
        worth = _worth(first, second, known.instrument)
        made = [0 if order is None else order.made(worth) - order.fees for order in pair]
        profits[0] += made[0]
        profits[1] += made[1]
        if pair.first is None or pair.second is None:
            causes["missing"] += made[1] - made[0]
            continue
        fee = pair.first.fees - pair.second.fees
        fill = _excess(pair.second, pair.first, worth) - _excess(pair.first, pair.second, worth)
        causes["fee"] += fee
        causes["fill"] += fill
        # What is left was filled in both: at another price because another was approved, or because the book had moved.
        cause = "price" if pair.first.price != pair.second.price else "latency"
        causes[cause] += made[1] - made[0] - fee - fill
    return Compared(pairs, (profits[0], profits[1]), causes)


def _excess(order: SeenOrder, other: SeenOrder, worth: int) -> int:
    """What the part of an order came to that the other run did not fill."""
    more = order.filled - other.filled
    return order.made(worth) * more // order.filled if more > 0 else 0


def _worth(first: RunSeen, second: RunSeen, instrument: str) -> int:
    for found in (first.paid.get(instrument), second.worth(instrument), first.worth(instrument)):
        if found is not None:
            return found
    return first.average(instrument) or second.average(instrument)
