"""From the venues' sections of the configuration to sources that run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from libs.keys.errors import KeyStoreError
from libs.venues.kalshi.auth import CredentialError
from libs.venues.kalshi.params import KalshiParams
from libs.venues.params import VenueParams
from services.feed.live.credentials import kalshi_signer
from services.feed.live.kalshi import KalshiSource
from services.feed.live.live_feed import Inlet, LiveFeed
from services.feed.live.source import Emit, LiveSource
from services.feed.normalise import Normalisers
from services.feed.recorder import Recorder

Section = Mapping[str, Any]


def _kalshi(section: Section, emit: Emit, feed_keys: Path) -> LiveSource:
    params = msgspec.convert(section, KalshiParams)
    return KalshiSource(params, emit, kalshi_signer(feed_keys))


SOURCES: dict[str, Callable[[Section, Emit, Path], LiveSource]] = {
    "kalshi": _kalshi,
}
"""Venue → its source, from its section, the queue and the directory of the feed's own keys."""


def build(
    sections: Mapping[str, Section],
    feed_keys: Path,
    normalisers: Normalisers,
    recorder: Recorder | None = None,
) -> LiveFeed:
    """The live feed of all venues in ``sections`` that are enabled; those without a usable key are off.

    Raises:
        msgspec.ValidationError: for a section that is none of its venue.
    """
    inlet = Inlet()
    sources: list[LiveSource] = []
    off: dict[str, str] = {}
    for venue, section in sections.items():
        make = SOURCES.get(venue)
        if make is None:
            off[venue] = f"expected one of {', '.join(SOURCES)}"
        elif section.get("enabled", VenueParams().enabled):
            try:
                sources.append(make(section, inlet.emit, feed_keys))
            except (KeyStoreError, CredentialError) as e:
                off[venue] = f"{e} (presage keys add {venue} --market-data)"
    return LiveFeed(sources, inlet, normalisers, sections, off=off, recorder=recorder)
