"""From the venues' sections of the configuration to sources that run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from libs.keys.venues.errors import KeyStoreError
from libs.venues.catalogue import VENUES
from libs.venues.entry import load_entry
from libs.venues.params import VenueParams
from services.feed.live.live_feed import Inlet, LiveFeed
from services.feed.live.source import FeedContext, LiveSource
from services.feed.live.unsettled import UnsettledMarkets
from services.feed.normalise import Normalisers
from services.feed.recording.recorder import Recorder

Section = Mapping[str, Any]


def build(
    sections: Mapping[str, Section],
    feed_keys: Path,
    normalisers: Normalisers,
    recorder: Recorder | None = None,
    unsettled: UnsettledMarkets | None = None,
) -> LiveFeed:
    """The live feed of all venues in ``sections`` that are enabled; those without a usable key are off.

    Raises:
        msgspec.ValidationError: for a section that is none of its venue.
    """
    inlet = Inlet()
    context = FeedContext(inlet.emit, feed_keys, normalisers)
    sources: list[LiveSource] = []
    off: dict[str, str] = {}
    for venue, section in sections.items():
        if venue not in VENUES:
            off[venue] = f"expected one of {', '.join(VENUES)}"
        elif section.get("enabled", VenueParams().enabled):
            make: Callable[[Section, FeedContext], LiveSource] = load_entry(VENUES[venue].source)
            try:
                sources.append(make(section, context))
            except KeyStoreError as e:
                off[venue] = f"{e} (presage keys add {venue} --market-data)"
    return LiveFeed(sources, inlet, normalisers, sections, off=off, recorder=recorder, unsettled=unsettled)
