"""The gateways of the live venues, from the run's addresses and the keys that only this process opens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from libs.keys.venues.kinds import Key
from libs.keys.venues.passphrase import inherited
from libs.keys.venues.store import KeyStore
from libs.runtime.layout import RunFile, StateLayout
from libs.venues.catalogue import VENUES, key_kinds, takes_orders, traded
from libs.venues.entry import load_entry
from libs.venues.gateway import VenueGateway


def make_gateways(venues: Sequence[str], run: RunFile, layout: StateLayout) -> list[VenueGateway]:
    """A gateway for each venue.

    Raises:
        KeyStoreError: a key is missing or does not open; the text says which file.
        ValueError: a venue that cannot be traded, or is not configured.
    """
    store = KeyStore(layout.venue_keys, key_kinds())
    passphrase = inherited()
    return [gateway_of(venue, run, store, passphrase) for venue in venues]


def gateway_of(venue: str, run: RunFile, store: KeyStore, passphrase: str | None) -> VenueGateway:
    """One venue's gateway, not started. Raises as ``make_gateways``."""
    if not takes_orders(venue):
        raise ValueError(f"expected one of {', '.join(sorted(traded()))} as a live venue, was {venue!r}")
    if venue not in run.venues:
        raise ValueError(f"expected a configuration of {venue} in the run file, was none")
    key = store.load(venue, passphrase)
    # Loaded only now: a paper run loads no signing library.
    build: Callable[[Mapping[str, Any], Key], VenueGateway] = load_entry(VENUES[venue].gateway)
    return build(run.venues[venue], key)
