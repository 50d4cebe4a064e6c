"""Which machines of one process are handed a message; and the best prices, folded once for all of them.

Signal, exit and advisor each keep ``Tops`` in their state. Where they stand at the same place of one tape, a Quote or a
Book makes the same of each: so they hold the very same ``Top``, which is changed once. What a machine makes of the
message beyond that is left to it, and one that makes nothing of it is not called: exit without a position in the
instrument, all of them for a Book that only repeats what a Quote has said. States, snapshots and outputs are as if each
had folded for itself (``tests/unit/libs/machine/test_routes.py``).
"""

from collections.abc import Container, Iterable, Sequence
from copy import copy
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from libs.indicators.tops import Tops
from libs.machine.machine import Handler, Machine
from proto.feed import Book, Market, MarketStatus, Quote
from proto.message import Message

Who = TypeVar("Who")
Route = list[tuple[Who, Handler]]


class AfterTops(NamedTuple):
    """What a machine does once its tops hold a message; ``None``: nothing.

    ``on_quote`` is wanted for the instruments in ``quoted`` alone (``None``: all), which is asked anew each time.
    ``on_healing`` is wanted for Books with ``snapshot``.
    """

    on_quote: Handler | None = None
    quoted: Container[str] | None = None
    on_healing: Handler | None = None


@runtime_checkable
class HoldsTops(Protocol):
    """A machine that folds each Quote and Book into ``tops`` first, and forgets an instrument only at a Market."""

    @property
    def tops(self) -> Tops: ...

    def after_tops(self) -> AfterTops: ...


class Routes(Generic[Who]):
    """Message class → who is called, in order. Made of machines that stand at the same place."""

    def __init__(
        self, machines: Iterable[tuple[Who, Machine]], kinds: Container[type[Message]] | None = None
    ) -> None:
        given = list(machines)
        self._routes: dict[type[Message], Route[Who]] = {}
        for who, machine in given:
            for kind in machine.reads:
                if kinds is None or kind in kinds:
                    self._routes.setdefault(kind, []).append((who, machine.handler(kind)))
        holders = [machine for _, machine in given if isinstance(machine, HoldsTops)]
        self._shared: _SharedTops | None = None
        if len(holders) > 1 and all(kind in self._routes for kind in (Quote, Book, Market)):
            self._shared = _SharedTops([holder.tops for holder in holders])
            self._route_shared(given)

    def _route_shared(self, machines: Sequence[tuple[Who, Any]]) -> None:
        self._quoted_all: Route[Who] = []
        self._quoted_others: Route[Who] = []
        self._healed: Route[Who] = []
        self._booked: Route[Who] = []
        self._interests: list[Container[str]] = []
        for who, machine in machines:
            if isinstance(machine, HoldsTops):
                after = machine.after_tops()
                if after.on_quote is not None:
                    self._quoted_all.append((who, after.on_quote))
                    if after.quoted is None:
                        self._quoted_others.append((who, after.on_quote))
                    else:
                        self._interests.append(after.quoted)
                if after.on_healing is not None:
                    self._healed.append((who, after.on_healing))
                continue
            if Quote in machine.reads:
                for route in (self._quoted_all, self._quoted_others):
                    route.append((who, machine.handler(Quote)))
            if Book in machine.reads:
                for route in (self._healed, self._booked):
                    route.append((who, machine.handler(Book)))

    def of(self, message: Message) -> Route[Who] | None:
        """Who is called for a message, after it has been folded where that is shared; ``None``: nobody reads its kind."""
        kind = type(message)
        shared = self._shared
        if shared is not None:
            if kind is Book:
                shared.on_book(message)  # type: ignore[arg-type]
                return self._healed if message.snapshot else self._booked  # type: ignore[attr-defined]
            if kind is Quote:
                instrument: str = message.instrument  # type: ignore[attr-defined]
                if instrument in shared.agreed:
                    shared.first.on_quote(message)  # type: ignore[arg-type]
                else:
                    shared.on_quote_apart(message)  # type: ignore[arg-type]
                for interest in self._interests:
                    if instrument in interest:
                        return self._quoted_all
                return self._quoted_others
        return self._routes.get(kind)

    def after_market(self, market: Market) -> None:
        """All machines have been handed a Market: some may have forgotten its instruments, and others not."""
        if self._shared is not None and market.status is MarketStatus.SETTLED:
            self._shared.part()


class _SharedTops:
    """Tops of which those that are equal are one and the same object, folded once."""

    def __init__(self, each: Sequence[Tops]) -> None:
        self._each = each
        self.first = each[0]
        self.agreed: dict[str, None] = {}
        for instrument in self.first.tops:
            self._agree(instrument)

    def _agree(self, instrument: str) -> None:
        """Let all hold one object, if they hold equal ones."""
        top = self.first.tops.get(instrument)
        if top is None or any(tops.tops.get(instrument) != top for tops in self._each):
            return
        for tops in self._each:
            tops.tops[instrument] = top
        self.agreed[instrument] = None

    def on_quote_apart(self, quote: Quote) -> None:
        """A quote of which not all hold the same top: each folds for itself."""
        for tops in self._each:
            tops.on_quote(quote)

    def on_book(self, book: Book) -> None:
        if book.instrument in self.agreed:
            self.first.on_book(book)
            return
        for tops in self._each:
            tops.on_book(book)
        if book.snapshot:
            self._agree(book.instrument)

    def part(self) -> None:
        """Give each a copy of its own of what no longer all of them hold."""
        for instrument in list(self.agreed):
            held = [tops for tops in self._each if instrument in tops.tops]
            if len(held) == len(self._each):
                continue
            del self.agreed[instrument]
            for tops in held[1:]:
                tops.tops[instrument] = copy(tops.tops[instrument])
