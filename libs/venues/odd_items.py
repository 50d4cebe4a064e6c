"""Items of a venue's answers that cannot be read: each is left out, counted, and kept with the reason.

A list with one odd row is the rest of the list. What a lost row meant for our books shows when they are compared with
the venue's positions and money.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from libs.bounded import clip, cut
from libs.venues.frame import DECODE_ERRORS

KEPT_MAX = 200
"""Odd items remembered, so that a list asked for every half minute counts each once; more are the venue's new normal."""
TEXT_CHARACTERS_MAX = 200

Row = TypeVar("Row")

log = logging.getLogger("presage.odd_items")


class OddItem(NamedTuple):
    """One of them: the list it was in, which it was, and what was expected."""

    kind: str
    name: str
    reason: str


class OddItems:
    """The odd items of one venue. ``count``: different ones since the start."""

    def __init__(self, venue: str) -> None:
        self.count = 0
        self._venue = venue
        self._kept: OrderedDict[OddItem, None] = OrderedDict()

    def record(self, kind: str, name: str, reason: str) -> None:
        """Count an item, if it is new, and keep it."""
        item = OddItem(kind, cut(name, TEXT_CHARACTERS_MAX), clip(reason, TEXT_CHARACTERS_MAX))
        if item in self._kept:
            self._kept.move_to_end(item)
            return
        self.count += 1
        self._kept[item] = None
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        log.warning("odd %s %s: %s", item.kind, item.name, item.reason, extra={"venue": self._venue})

    def latest(self, count: int) -> list[OddItem]:
        """Return the newest of them, oldest first."""
        return list(self._kept)[-count:]

    def readable(
        self,
        kind: str,
        rows: Iterable[msgspec.Raw],
        row_type: type[Row],
        left_out: list[str] | None = None,
    ) -> list[Row]:
        """Return the rows that can be read. The names of the others go into ``left_out``.

        Who takes the absence of a row for a proof must look there: it may be the one that could not be read.
        """
        found: list[Row] = []
        for raw in rows:
            try:
                found.append(msgspec.json.decode(raw, type=row_type))
            except DECODE_ERRORS as e:
                self.record(kind, _name_of(raw), str(e))
                if left_out is not None:
                    left_out.append(_name_of(raw))
        return found


@runtime_checkable
class KeepsOddItems(Protocol):
    """A gateway that leaves out what it cannot read of a list, and says so."""

    odd_items: OddItems


_NAMES = ("trade_id", "id", "order_id", "fill_id", "ticker", "market_ticker")


def _name_of(raw: msgspec.Raw) -> str:
    """What names a row, as far as that can be read."""
    try:
        body: Any = msgspec.json.decode(raw)
    except DECODE_ERRORS:
        body = None
    if isinstance(body, dict):
        for name in _NAMES:
            if isinstance(body.get(name), str):
                return f"{name} {body[name]}"
    return bytes(raw)[:40].decode("utf-8", "replace")
