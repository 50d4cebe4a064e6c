"""One front for the normalisers of all venues: frames in, messages or dead frames out."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from libs.bounded import clip
from libs.venues.catalogue import VENUES
from libs.venues.coinbase import COINBASE
from libs.venues.entry import load_entry
from libs.venues.frame import FrameError, RawFrame
from libs.venues.kalshi import KALSHI
from libs.venues.normaliser import Normaliser
from proto.feed import Gap
from proto.message import Message
from proto.monitor import DEAD_EXCERPT_BYTES_MAX
from services.feed import control
from services.feed.control import FEED

AnyNormaliser = TypeVar("AnyNormaliser")

# The oldest recordings name no venue and hold frames of these two. What only one venue's frames have, and early:
# within so many bytes.
_COINBASE_FRAME = re.compile(rb'"product_ids?"')
_KALSHI_FRAME = re.compile(rb'"market_ticker"|"sid"|"type":"_')
_SNIFF_BYTES_MAX = 512


class DeadFrame(NamedTuple):
    """A frame nobody could read: where and when it came, why it was refused, and how it began."""

    at: int
    source: str
    reason: str
    excerpt: bytes


def dead_frame(frame: RawFrame, reason: str) -> DeadFrame:
    """Bury a frame: its reason and its beginning, both bounded."""
    return DeadFrame(frame.at, frame.source, clip(reason, 300), frame.data[:DEAD_EXCERPT_BYTES_MAX])


def source_of(data: bytes) -> str:
    """The venue a frame comes from, by its form; empty when it looks like nobody's."""
    if _COINBASE_FRAME.search(data, 0, _SNIFF_BYTES_MAX):
        return COINBASE
    return KALSHI if _KALSHI_FRAME.search(data, 0, _SNIFF_BYTES_MAX) else ""


def build_normaliser(venue: str, section: Mapping[str, Any]) -> Normaliser:
    """A venue's normaliser for its section of the configuration; an empty one is for a recording.

    Raises:
        ValidationError: for a section that is none of the venue's.
    """
    built: Normaliser = load_entry(VENUES[venue].normaliser)(section)
    return built


class Normalisers:
    """The normalisers of a session, with counters ``frames`` (all that came from venues) and ``dead``."""

    def __init__(self) -> None:
        self.by_venue: dict[str, Normaliser] = {venue: build_normaliser(venue, {}) for venue in VENUES}
        self.frames = 0
        self.dead = 0
        self._parameters: dict[str, dict[str, Any]] = {}

    def of(self, venue: str, kind: type[AnyNormaliser]) -> AnyNormaliser:
        """A venue's own normaliser, with its counters. Another one takes its place with new parameters."""
        found = self.by_venue[venue]
        assert isinstance(found, kind)
        return found

    def read(self, frame: RawFrame) -> list[Message] | DeadFrame:
        """Normalise one frame; it never raises, an unreadable frame comes back as a ``DeadFrame``."""
        try:
            if frame.source == FEED:
                return self._control(frame)
            self.frames += 1
            normaliser = self.by_venue.get(frame.source)
            if normaliser is not None:
                return normaliser.normalise(frame.data, frame.at)
        except FrameError as e:
            self.dead += 1
            return dead_frame(frame, str(e))
        except ValidationError as e:
            self.dead += 1
            return dead_frame(frame, f"expected what a message can carry, was {e}")
        self.dead += 1
        return dead_frame(frame, f"expected a frame of a known venue, was {clip(frame.source, 40)!r}")

    def _control(self, frame: RawFrame) -> list[Message]:
        """What a frame of the feed's own says."""
        said = control.decode(frame.data)
        if isinstance(said, control.Tick):
            return self.tick(frame.at)
        if isinstance(said, control.Resend):
            return self.resend(frame.at)
        if isinstance(said, control.Setup):
            return self._set_up(said.msg, frame.at)
        if isinstance(said, control.NoPast):
            body = said.msg
            reason = clip(f"no history: {body.reason}", 200)
            return [Gap(venue=body.venue, at=frame.at, reason=reason, instrument=body.instrument)]
        normaliser = self.by_venue.get(said.msg.venue)
        if normaliser is None:
            raise FrameError(f"expected a known venue, was {clip(said.msg.venue, 40)!r}")
        return normaliser.invalidate(said.msg.market, frame.at, said.msg.reason)

    def _set_up(self, said: control.SetupBody, at: int) -> list[Message]:
        """Read a venue with parameters of its own from here on; the same ones again change nothing."""
        if said.venue not in self.by_venue:
            raise FrameError(f"expected a known venue, was {clip(said.venue, 40)!r}")
        known = self._parameters.get(said.venue)
        if known == said.params:
            return []
        try:
            self.by_venue[said.venue] = build_normaliser(said.venue, said.params)
        except ValidationError as e:
            raise FrameError(clip(f"expected parameters of {said.venue}: {e}", 300)) from e
        self._parameters[said.venue] = said.params
        # Whoever held books of this venue held them from somebody else, who follows them no more.
        return [Gap(venue=said.venue, at=at, reason="followed anew")]

    def count_lost(self, dead: DeadFrame) -> DeadFrame:
        """Count a frame that was lost before it could be read: a torn line, an oversized message."""
        self.frames += 1
        self.dead += 1
        return dead

    def tick(self, at: int) -> list[Message]:
        """What the passing of time alone brings: call it ten times a second when live."""
        out: list[Message] = []
        for normaliser in self.by_venue.values():
            out += normaliser.tick(at)
        return out

    def resend(self, at: int) -> list[Message]:
        """All markets and whole books as snapshots: to be published after the broker was away."""
        out: list[Message] = []
        for normaliser in self.by_venue.values():
            out += normaliser.resend(at)
        return out

    def commands(self, at: int) -> list[tuple[str, bytes]]:
        """Requests to send, as (source, command): snapshots of broken books."""
        return [
            (venue, command)
            for venue, normaliser in self.by_venue.items()
            for command in normaliser.commands(at)
        ]
