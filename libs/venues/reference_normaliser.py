"""What normalisers with little of their own share: counters, a table of handlers, reference instruments."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from libs.venues.frame import FrameError
from libs.venues.odd_items import OddItems
from libs.venues.reference import Reference, TooFineError
from proto.message import Message

REFERENCES_MAX = 1_000
"""Binance lists some two thousand pairs, Coinbase some hundreds, one connection follows few: more is garbage."""

Handlers = Mapping[type, Callable[[Any, int], list[Message]]]
"""Type of a decoded frame → what reads it. A handler checks all of a frame before it changes anything."""


class HandlerNormaliser:
    """Decodes a frame and hands it to the handler of its type.

    Counters: ``frames`` read, ``unused`` of a kind not used here, ``old`` repetitions, ``gaps``, ``errors`` the
    venue reported, the ``last_error`` in its words.
    """

    def __init__(self, decode: Callable[[bytes], object | None], handlers: Handlers) -> None:
        self.frames = 0
        self.unused = 0
        self.old = 0
        self.gaps = 0
        self.errors = 0
        self.last_error = ""
        self._decode = decode
        self._handlers = handlers

    def normalise(self, data: bytes, at: int) -> list[Message]:
        """Read one frame received at ``at`` (ns).

        Raises:
            FrameError: for a frame that is not of the protocol; nothing has changed then.
        """
        frame = self._decode(data)
        out = [] if frame is None else self._handlers[type(frame)](frame, at)
        self.frames += 1
        self.unused += frame is None
        return out

    def commands(self, at: int) -> list[bytes]:  # noqa: ARG002 - the port's signature
        """Nothing is ever asked for on the socket: what is missing comes by REST, or with the next frame."""
        return []


AnyReference = TypeVar("AnyReference", bound=Reference)


class ReferenceNormaliser(HandlerNormaliser, Generic[AnyReference]):
    """Prices of instruments that are not traded here; ``make(instrument)`` creates one.

    An instrument whose prices are too fine for millionths is refused as a whole: once, with the reason.
    ``name_of`` says of which instrument a frame is, "" for none.
    """

    def __init__(
        self,
        venue: str,
        make: Callable[[str], AnyReference],
        decode: Callable[[bytes], object | None],
        handlers: Handlers,
        name_of: Callable[[object], str] = lambda _: "",
    ) -> None:
        super().__init__(decode, handlers)
        self.odd_items = OddItems(venue)
        self._name_of = name_of
        self._refused: dict[str, str] = {}
        self._prefix = f"{venue}:"
        self._make = make
        self._references: dict[str, AnyReference] = {}

    def normalise(self, data: bytes, at: int) -> list[Message]:
        frame = self._decode(data)
        name = "" if frame is None else self._name_of(frame)
        try:
            out = [] if frame is None or name in self._refused else self._handlers[type(frame)](frame, at)
        except TooFineError as e:
            if not name:
                raise
            self.odd_items.record("instrument", name, f"it is not followed: {e}")
            if len(self._refused) < REFERENCES_MAX:
                self._refused[name] = str(e)
            known = self._references.get(name)
            out = self._invalidate(known, at, "prices too fine") if known is not None else []
        self.frames += 1
        self.unused += frame is None or name in self._refused
        return out

    def notes(self) -> list[str]:
        """Instruments that are not followed, and why, in words."""
        return [f"{name} is not followed: {reason}" for name, reason in self._refused.items()]

    def tick(self, at: int) -> list[Message]:
        """Quotes and books that waited for their turn."""
        return [message for known in self._references.values() for message in known.due_messages(at)]

    def resend(self, at: int) -> list[Message]:
        """Whole books and best prices as snapshots."""
        return [message for known in self._references.values() for message in known.snapshot_messages(at)]

    def invalidate(self, market: str, at: int, reason: str) -> list[Message]:
        """Drop what is known of one instrument's prices; the next frames build it up again."""
        known = self._references.get(market.removeprefix(self._prefix))
        return self._invalidate(known, at, reason) if known is not None else []

    def _reference(self, name: str) -> AnyReference:
        """The instrument of this name at the venue."""
        known = self._references.get(name)
        if known is None:
            if len(self._references) >= REFERENCES_MAX:
                raise FrameError(f"expected at most {REFERENCES_MAX} instruments, was {name} too")
            known = self._references[name] = self._make(self._prefix + name)
        return known

    def _invalidate(self, known: AnyReference, at: int, reason: str) -> list[Message]:
        out = known.invalidate(at, reason)
        self.gaps += bool(out)
        return out

    def _invalidate_all(self, at: int, reason: str) -> list[Message]:
        return [
            message for known in self._references.values() for message in self._invalidate(known, at, reason)
        ]
