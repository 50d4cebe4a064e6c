"""From the venues' sections of the configuration to sources that run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from libs.keys.venues.errors import KeyStoreError
from libs.venues.binance.params import BinanceParams
from libs.venues.coinbase.params import CoinbaseParams
from libs.venues.kalshi.auth import CredentialError
from libs.venues.kalshi.params import KalshiParams
from libs.venues.manifold.params import ManifoldParams
from libs.venues.params import VenueParams
from libs.venues.polymarket.params import PolymarketParams
from services.feed.live.binance import BinanceSource
from services.feed.live.coinbase import CoinbaseSource
from services.feed.live.credentials import kalshi_signer
from services.feed.live.kalshi import KalshiSource
from services.feed.live.live_feed import Inlet, LiveFeed
from services.feed.live.manifold import ManifoldSource
from services.feed.live.polymarket import PolymarketSource
from services.feed.live.source import Emit, LiveSource
from services.feed.live.unsettled import Unsettled
from services.feed.normalise import Normalisers
from services.feed.recording.recorder import Recorder

Section = Mapping[str, Any]


class FeedContext(NamedTuple):
    """What a source is given beside its section."""

    emit: Emit
    feed_keys: Path
    normalisers: Normalisers


def _polymarket(section: Section, given: FeedContext) -> LiveSource:
    params = PolymarketParams.model_validate(section)
    return PolymarketSource(params, given.emit, lambda: given.normalisers.polymarket)


def _kalshi(section: Section, given: FeedContext) -> LiveSource:
    params = KalshiParams.model_validate(section)
    signer = kalshi_signer(given.feed_keys)
    return KalshiSource(params, given.emit, signer, lambda: given.normalisers.kalshi)


def _manifold(section: Section, given: FeedContext) -> LiveSource:
    return ManifoldSource(ManifoldParams.model_validate(section), given.emit)


def _binance(section: Section, given: FeedContext) -> LiveSource:
    return BinanceSource(BinanceParams.model_validate(section), given.emit)


def _coinbase(section: Section, given: FeedContext) -> LiveSource:
    return CoinbaseSource(CoinbaseParams.model_validate(section), given.emit)


SOURCES: dict[str, Callable[[Section, FeedContext], LiveSource]] = {
    "polymarket": _polymarket,
    "kalshi": _kalshi,
    "manifold": _manifold,
    "binance": _binance,
    "coinbase": _coinbase,
}
"""Venue → its source."""


def build(
    sections: Mapping[str, Section],
    feed_keys: Path,
    normalisers: Normalisers,
    recorder: Recorder | None = None,
    unsettled: Unsettled | None = None,
) -> LiveFeed:
    """The live feed of all venues in ``sections`` that are enabled; those without a usable key are off.

    Raises:
        msgspec.ValidationError: for a section that is none of its venue.
    """
    inlet = Inlet()
    given = FeedContext(inlet.emit, feed_keys, normalisers)
    sources: list[LiveSource] = []
    off: dict[str, str] = {}
    for venue, section in sections.items():
        make = SOURCES.get(venue)
        if make is None:
            off[venue] = f"expected one of {', '.join(SOURCES)}"
        elif section.get("enabled", VenueParams().enabled):
            try:
                sources.append(make(section, given))
            except (KeyStoreError, CredentialError) as e:
                off[venue] = f"{e} (presage keys add {venue} --market-data)"
    return LiveFeed(sources, inlet, normalisers, sections, off=off, recorder=recorder, unsettled=unsettled)
