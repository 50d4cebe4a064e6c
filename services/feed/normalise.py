"""One front for the normalisers of all venues: frames in, messages or dead frames out."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import ValidationError

from libs.venues.binance.market_data.normalise import BinanceNormaliser
from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.frame import FrameError, RawFrame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from libs.venues.normaliser import Normaliser
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import Gap
from proto.message import Message
from proto.monitor import DEAD_EXCERPT_BYTES_MAX
from services.feed import control
from services.feed.control import FEED

KALSHI = "kalshi"
COINBASE = "coinbase"
POLYMARKET = "polymarket"
BINANCE = "binance"
MANIFOLD = "manifold"

# What only one venue's frames have, and early: within so many bytes.
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
    return DeadFrame(frame.at, frame.source, reason[:300], frame.data[:DEAD_EXCERPT_BYTES_MAX])


def source_of(data: bytes) -> str:
    """The venue a frame comes from, by its form; empty when it looks like nobody's."""
    if _COINBASE_FRAME.search(data, 0, _SNIFF_BYTES_MAX):
        return COINBASE
    return KALSHI if _KALSHI_FRAME.search(data, 0, _SNIFF_BYTES_MAX) else ""


def _kalshi(params: dict[str, Any]) -> Normaliser:
    """Without parameters every market is read, as old recordings want it."""
    if not params:
        return KalshiNormaliser()
    section = KalshiParams.model_validate(params)
    return KalshiNormaliser(section.series, section.markets_max_count)


_MAKERS: dict[str, Callable[[dict[str, Any]], Normaliser]] = {
    KALSHI: _kalshi,
    POLYMARKET: lambda _: PolymarketNormaliser(),
    BINANCE: lambda _: BinanceNormaliser(),
    MANIFOLD: lambda _: ManifoldNormaliser(),
    COINBASE: lambda _: CoinbaseNormaliser(),
}
"""Venue → a normaliser for its section of the configuration (empty: the defaults of a recording)."""


class Normalisers:
    """The normalisers of a session, with counters ``frames`` (all that came from venues) and ``dead``."""

    def __init__(self) -> None:
        self.by_venue: dict[str, Normaliser] = {venue: make({}) for venue, make in _MAKERS.items()}
        self.frames = 0
        self.dead = 0
        self._parameters: dict[str, dict[str, Any]] = {}

    @property
    def kalshi(self) -> KalshiNormaliser:
        """Kalshi's, with its counters."""
        found = self.by_venue[KALSHI]
        assert isinstance(found, KalshiNormaliser)
        return found

    @property
    def polymarket(self) -> PolymarketNormaliser:
        """Polymarket's, with its counters and subscriptions."""
        found = self.by_venue[POLYMARKET]
        assert isinstance(found, PolymarketNormaliser)
        return found

    @property
    def coinbase(self) -> CoinbaseNormaliser:
        """Coinbase's, with its counters."""
        found = self.by_venue[COINBASE]
        assert isinstance(found, CoinbaseNormaliser)
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
        self.dead += 1
        return dead_frame(frame, f"expected a frame of a known venue, was {frame.source[:40]!r}")

    def _control(self, frame: RawFrame) -> list[Message]:
        """What a frame of the feed's own says."""
        said = control.decode(frame.data)
        if isinstance(said, control.Tick):
            return self.tick(frame.at)
        if isinstance(said, control.Resend):
            return self.resend(frame.at)
        if isinstance(said, control.Setup):
            return self._set_up(said.msg, frame.at)
        normaliser = self.by_venue.get(said.msg.venue)
        if normaliser is None:
            raise FrameError(f"expected a known venue, was {said.msg.venue[:40]!r}")
        return normaliser.distrust(said.msg.market, frame.at, said.msg.reason)

    def _set_up(self, said: control.SetupBody, at: int) -> list[Message]:
        """Read a venue with parameters of its own from here on; the same ones again change nothing."""
        make = _MAKERS.get(said.venue)
        if make is None:
            raise FrameError(f"expected a known venue, was {said.venue[:40]!r}")
        known = self._parameters.get(said.venue)
        if known == said.params:
            return []
        try:
            self.by_venue[said.venue] = make(said.params)
        except ValidationError as e:
            raise FrameError(f"expected parameters of {said.venue}: {e}"[:300]) from e
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
